package admin

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/callmap"
	"github.com/watchword-dev/watchword/server/internal/directory"
	words "github.com/watchword-dev/watchword/server/internal/explain"
	"github.com/watchword-dev/watchword/server/internal/keys"
	"github.com/watchword-dev/watchword/server/internal/policy"
	"github.com/watchword-dev/watchword/server/internal/usage"
)

// Window is how far a question looks back.
type Window struct {
	Days int `query:"days" default:"30" minimum:"1" maximum:"400" example:"30" doc:"The number of days to look back."`
}

var exampleSuggestion = api.Suggestion{
	Since: exampleTime.AddDate(0, 0, -30), RuleCount: 1, File: "# to the rules of your call map file:\n  - {from: m1, to: m2, scopes: [read]}\n", Left: []api.LeftOut{},
	Rules: []api.SuggestedRule{{From: "m1", To: "m2", Scopes: []string{"read"}, Refused: 12, Last: exampleTime, New: true, Command: "watchword allow m1 m2 --scope read"}},
}

// usageQuestions are answered from what was counted.
func (a *handlers) usageQuestions() {
	register(a, operation{
		method: http.MethodGet, path: "/callmap/unused", id: "listUnused", action: action{name: "callmap.unused", large: true}, tag: "callmap",
		summary: "List what is not used", description: "Lists the services, credentials, rules and scopes of rules that nobody used in the last days, with the command that removes each. If the server has counted decisions for fewer days, the list has no commands.",
		answer: api.Unused{Since: exampleTime.AddDate(0, 0, -90), Complete: true, Count: 1, Items: []api.Idle{{Kind: "rule", What: "m1 -> m2", Command: "watchword disallow m1 m2"}}},
	}, a.listUnused)
	register(a, operation{
		method: http.MethodGet, path: "/callmap/impact", id: "readImpact", action: action{name: "callmap.impact", large: true}, tag: "callmap",
		summary: "Show who uses something", description: "Lists the services that used a rule (caller and target), a signing key (key) or a credential (credential) in the last days, and would fail without it. Name one of the three.",
		missing: errNoRule,
		answer: api.Impact{What: "the rule m1 -> m2", Text: "m1 could not call m2 any more", Since: exampleTime.AddDate(0, 0, -30), Count: 1, Affected: []api.Affected{
			{Caller: "m1", Target: "m2", Tokens: 14112, Last: exampleTime, Scopes: []string{"read"}, Methods: []string{"private_key_jwt"}},
		}},
	}, a.readImpact)
	register(a, operation{
		method: http.MethodGet, path: "/callmap/suggestion", id: "readSuggestion", action: action{name: "callmap.suggest", large: true}, tag: "callmap",
		summary: "Suggest rules", description: "Returns the smallest rules that would allow the calls that were refused in the last days, and the calls without a rule to services that only observe. Review each rule: a call that was refused may be an attack. Nothing is applied, and no condition of a rule is weakened.",
		answer: exampleSuggestion,
	}, a.readSuggestion)
}

// eachUse calls each with what was counted since a moment, up to now, and says on which day counts begin.
// Nil: there are none.
func (a *handlers) eachUse(ctx context.Context, since time.Time, f usage.Filter, each func(*usage.Row)) (records *time.Time, err error) {
	if a.FlushUsage != nil {
		a.FlushUsage(ctx)
	}
	first, ok, err := a.Usage.UsageSince(ctx)
	if err != nil {
		return nil, err
	}
	if ok {
		start := first.Start()
		records = &start
	}
	f.Since = usage.DayOf(since)
	return records, a.Usage.EachUsage(ctx, f, func(r usage.Row) error {
		each(&r)
		return nil
	})
}

func (a *handlers) since(days int) time.Time { return a.Now().UTC().AddDate(0, 0, -days) }

func (a *handlers) listUnused(ctx context.Context, in *struct {
	Days int `query:"days" default:"90" minimum:"1" maximum:"400" example:"90" doc:"The number of days to look back."`
},
) (*answered[api.Unused], error) {
	state, err := a.Lists.Load(ctx)
	if err != nil {
		return nil, err
	}
	tally := words.NewTally(state, a.since(in.Days))
	records, err := a.eachUse(ctx, a.since(in.Days), usage.Filter{}, tally.Add)
	if err != nil {
		return nil, err
	}
	var begin time.Time
	if records != nil {
		begin = *records
	}
	return &answered[api.Unused]{tally.Unused(a.Directory.Snapshot(), begin, a.Now())}, nil
}

var errImpact = problem("invalid_value").At("query", "name caller and target, or key, or credential, and nothing else")

func (a *handlers) readImpact(ctx context.Context, in *struct {
	Window
	Caller     string `query:"caller" maxLength:"128" example:"m1" doc:"The caller of the rule. Requires target."`
	Target     string `query:"target" maxLength:"128" example:"m2" doc:"The target of the rule. Requires caller."`
	Key        string `query:"key" maxLength:"128" example:"NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs" doc:"The kid of a signing key."`
	Credential string `query:"credential" maxLength:"128" example:"00112233445566778899aabbccddeeff" doc:"The id of a credential."`
},
) (*answered[api.Impact], error) {
	since := a.since(in.Days)
	var impact api.Impact
	var err error
	switch {
	case in.Caller != "" && in.Target != "" && in.Key == "" && in.Credential == "":
		impact, err = a.impactOfRule(ctx, ByEdge{in.Caller, in.Target}, since)
	case in.Caller+in.Target+in.Credential == "" && in.Key != "":
		impact, err = a.impactOfKey(ctx, in.Key, since)
	case in.Caller+in.Target+in.Key == "" && in.Credential != "":
		impact, err = a.impactOfCredential(ctx, in.Credential, since)
	default:
		err = errImpact
	}
	if err != nil {
		return nil, err
	}
	return &answered[api.Impact]{impact}, nil
}

func (a *handlers) impactOfRule(ctx context.Context, e ByEdge, since time.Time) (api.Impact, error) {
	r, err := a.storedRule(ctx, e)
	if err != nil {
		return api.Impact{}, err
	}
	text := fmt.Sprintf("%s could not call %s any more", e.Caller, e.Target)
	if to, ok := a.Directory.Snapshot().ServiceByUID(r.Target); ok && to.Observe {
		text = fmt.Sprintf("%s could still call %s, which only observes", e.Caller, e.Target)
	}
	return a.impact(ctx, since, usage.Filter{Caller: r.Caller, Target: r.Target}, nil, "the rule "+e.Caller+" -> "+e.Target, text)
}

func (a *handlers) impactOfCredential(ctx context.Context, id string, since time.Time) (api.Impact, error) {
	c, err := a.Lists.ReadCredential(ctx, id)
	if isNotFound(err) {
		return api.Impact{}, errNoCredential
	}
	if err != nil {
		return api.Impact{}, err
	}
	s := a.Directory.Snapshot()
	name := directory.FormatUID(c.Service)
	if svc, ok := s.ServiceByUID(c.Service); ok {
		name = svc.Name
	}
	others := 0
	for _, o := range s.CredentialsOf(c.Service) {
		if o.ID != c.ID && o.Good(a.Now()) == "" {
			others++
		}
	}
	text := fmt.Sprintf("%s could not authenticate with it and has no other credential; tokens that were issued for it are refused", name)
	if others > 0 {
		text = fmt.Sprintf("%s could not authenticate with it and has %d other credentials; tokens that were issued for it are refused", name, others)
	}
	if why := c.Good(a.Now()); why != "" {
		text = fmt.Sprintf("nothing: it is %s", strings.ReplaceAll(why, "_", " "))
	}
	return a.impact(ctx, since, usage.Filter{Caller: c.Service, Credential: c.ID}, nil, fmt.Sprintf("the credential %s of %s", c.ID, name), text)
}

// impactOfKey: tokens that were signed with it are in use no longer than a token lives; credentials
// that were, for as long as they do.
func (a *handlers) impactOfKey(ctx context.Context, kid string, since time.Time) (api.Impact, error) {
	all := a.Keys.List()
	i := slices.IndexFunc(all, func(k keys.Record) bool { return k.ID == kid })
	if i < 0 {
		return api.Impact{}, errNoKey
	}
	k, s := all[i], a.Directory.Snapshot()
	end := k.RetiredAt
	if end.IsZero() {
		end = a.Now()
	}
	what := fmt.Sprintf("the %s key %s (%s)", k.Use, k.ID, k.Algorithm)
	switch {
	case k.SignsFrom.IsZero() || k.SignsFrom.After(a.Now()):
		return a.impact(ctx, a.Now(), usage.Filter{}, nobody, what, "nothing: it has not signed anything yet")
	case k.Use == keys.UseAccess:
		if life := a.Now().Add(-a.MaxTokenTTL); life.After(since) {
			since = life
		}
		return a.impact(ctx, since, usage.Filter{}, func(r *usage.Row) bool {
			to, ok := s.ServiceByUID(r.Target)
			return ok && (to.Algorithm == k.Algorithm || to.Algorithm == "" && k.Algorithm == a.Algorithm) && !r.Last.Before(k.SignsFrom)
		}, what, "the tokens that it signed are refused at once, and their callers get new ones with the next key. The counts do not contain keys: these are all services that got tokens of the algorithm within the longest lifetime of a token")
	case k.Use == keys.UseCredential:
		return a.impact(ctx, since, usage.Filter{}, func(r *usage.Row) bool {
			c, ok := s.Credential(r.Credential)
			return ok && r.Method == api.Bootstrap && !c.CreatedAt.Before(k.SignsFrom) && !c.CreatedAt.After(end)
		}, what, "the bootstrap credentials that it signed are no longer valid, and their services need new ones")
	}
	return a.impact(ctx, a.Now(), usage.Filter{}, nobody, what, "nothing of services: it signs the audit log")
}

func nobody(*usage.Row) bool { return false }

func (a *handlers) impact(ctx context.Context, since time.Time, f usage.Filter, keep func(*usage.Row) bool, what, text string) (api.Impact, error) {
	users := words.NewUsers(since, keep)
	records, err := a.eachUse(ctx, since, f, users.Add)
	i := users.Impact(a.Directory.Snapshot(), what, text)
	i.RecordsSince = records
	return i, err
}

func (a *handlers) readSuggestion(ctx context.Context, in *Window) (*answered[api.Suggestion], error) {
	wants := words.NewWants(a.since(in.Days))
	records, err := a.eachUse(ctx, a.since(in.Days), usage.Filter{}, wants.Add)
	if err != nil {
		return nil, err
	}
	state, err := a.Lists.Load(ctx)
	if err != nil {
		return nil, err
	}
	owners := map[policy.Edge]string{}
	for i := range state.Rules {
		if r := &state.Rules[i]; r.ManagedBy != "" {
			owners[r.Edge] = r.ManagedBy
		}
	}
	out, rules := wants.Suggest(a.Directory.Snapshot(), a.Now(), func(e policy.Edge) string { return owners[e] })
	out.RecordsSince, out.File = records, suggestedFile(state, rules)
	return &answered[api.Suggestion]{out}, nil
}

// suggestedFile is rules in the form of a file, those of each owner apart. It has no managed-by and
// cannot be applied as it is by mistake: an owner's file that has these rules alone would remove all its others.
func suggestedFile(state *directory.State, rules []directory.Rule) string {
	names := make([]directory.Service, len(state.Services))
	for i := range state.Services {
		names[i] = directory.Service{UID: state.Services[i].UID, Name: state.Services[i].Name, ManagedBy: "-"} // nobody's: only named
	}
	byOwner := map[string]*directory.State{}
	var owners []string
	for i := range rules {
		owner := rules[i].ManagedBy
		if byOwner[owner] == nil {
			byOwner[owner] = &directory.State{Services: names}
			owners = append(owners, owner)
		}
		byOwner[owner].Rules = append(byOwner[owner].Rules, rules[i])
	}
	slices.Sort(owners)
	var b strings.Builder
	for _, owner := range owners {
		_, lines, _ := strings.Cut(string(callmap.Export(byOwner[owner], owner)), "rules:\n")
		to := "# Rules for your call map file:\n"
		if owner != "" {
			to = fmt.Sprintf("# Rules for the call map file of %q, where they replace those for the same services:\n", owner)
		}
		b.WriteString(to + lines)
	}
	return b.String()
}
