package admin

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/policy"
)

type (
	ByEdge struct {
		Caller string `path:"caller" example:"m1" doc:"The name of the calling service."`
		Target string `path:"target" example:"m2" doc:"The name of the service that is called."`
	}
	listRulesInput struct {
		Page
		Caller string `query:"caller" maxLength:"128" example:"m1" doc:"Return only the rules of this caller."`
		Target string `query:"target" maxLength:"128" example:"m2" doc:"Return only the rules for this target."`
	}
	putRuleInput struct {
		ByEdge
		Conditions
		IfNoneMatch string `header:"If-None-Match" maxLength:"64" example:"*" doc:"With *, the rule is created only if it does not exist."`
		Body        *api.RuleTerms
	}
	putRuleOutput struct {
		Status int
		ETag   string `header:"ETag" doc:"The version in quotes, for the header If-Match."`
		Body   api.Rule
	}
)

var exampleRule = api.Rule{Caller: "m1", Target: "m2", RuleTerms: api.RuleTerms{Scopes: []string{"read"}}, Version: 1, CreatedAt: exampleTime, UpdatedAt: exampleTime}

func (a *handlers) rules() {
	register(a, operation{
		method: http.MethodGet, path: "/rules", id: "listRules", action: action{name: "rule.list"}, tag: "rules",
		summary: "List rules", description: "Lists all rules, or those of one caller or one target, in pages.",
		missing: errNoService, answer: api.RuleList{Rules: []api.Rule{exampleRule}},
	}, a.listRules)
	register(a, operation{
		method: http.MethodPut, path: "/rules/{caller}/{target}", id: "putRule", action: action{name: "rule.allow"}, tag: "rules",
		summary: "Set a rule", description: "Creates the rule, which is answered with 201, or replaces its terms, which is answered with 200. Repeating the request changes nothing. A service that calls itself needs a rule, too.",
		missing: errNoService, errors: []int{http.StatusConflict, http.StatusPreconditionFailed},
		request: api.RuleTerms{Scopes: []string{"read"}}, answer: exampleRule,
	}, a.putRule)
	register(a, operation{
		method: http.MethodGet, path: "/rules/{caller}/{target}", id: "readRule", action: action{name: "rule.read"}, tag: "rules",
		summary: "Read a rule", description: "Returns the rule, with its version as ETag.",
		missing: errNoRule, answer: exampleRule,
	}, a.readRule)
	register(a, operation{
		method: http.MethodDelete, path: "/rules/{caller}/{target}", id: "deleteRule", action: action{name: "rule.disallow"}, tag: "rules",
		summary: "Delete a rule", description: "When the server has answered with 204, it issues no more tokens for the target to the caller. Deleting a rule that does not exist also succeeds.",
		status: http.StatusNoContent, missing: errNoService, errors: []int{http.StatusConflict, http.StatusPreconditionFailed},
	}, a.deleteRule)
	documentCreated(a.huma.OpenAPI().Paths[prefix+"/rules/{caller}/{target}"].Put)
}

func (a *handlers) listRules(ctx context.Context, in *listRulesInput) (*answered[api.RuleList], error) {
	var edge policy.Edge
	filters := []string{"", ""}
	for i, f := range []struct {
		name string
		uid  *directory.UID
	}{{in.Caller, &edge.Caller}, {in.Target, &edge.Target}} {
		if f.name == "" {
			continue
		}
		uid, err := a.resolve(ctx, f.name)
		if err != nil {
			return nil, err
		}
		*f.uid, filters[i] = uid, directory.FormatUID(uid)
	}
	views, next, err := listing[directory.Rule, api.Rule]{
		name: "rules", filters: filters,
		read: func(after []byte, limit int) ([]directory.Rule, error) {
			return a.Lists.ListRules(ctx, edge.Caller, edge.Target, edgeOf(after), limit)
		},
		position: func(r directory.Rule) []byte { return append(r.Caller[:], r.Target[:]...) },
		view:     viewRule,
	}.page(ctx, a, in.Page)
	return &answered[api.RuleList]{api.RuleList{Rules: views, NextPageToken: next}}, err
}

func (a *handlers) putRule(ctx context.Context, in *putRuleInput) (*putRuleOutput, error) {
	version, err := in.version()
	switch {
	case err != nil:
		return nil, err
	case in.IfNoneMatch != "" && (in.IfNoneMatch != "*" || in.IfMatch != ""):
		return nil, errIfMatch
	case in.IfNoneMatch == "*":
		version = directory.MustNotExist
	case version == anyExisting:
		if version, err = a.currentVersion(ctx, in.ByEdge); err != nil {
			return nil, err
		}
	}
	n, err := ruleOf(in.Body)
	if err != nil {
		return nil, err
	}
	note(ctx, "scope", strings.Join(n.Scopes, " "))
	for name, value := range map[string]string{"exchange": string(n.Exchange), "mayAct": n.MayAct} {
		if value != "" {
			note(ctx, name, value)
		}
	}
	if !n.Until.IsZero() {
		note(ctx, "until", n.Until.UTC().Format(time.RFC3339))
	}
	r, made, err := a.Directory.Allow(ctx, author(ctx), in.Caller, in.Target, n, version)
	if err != nil {
		return nil, stale(version, err)
	}
	out := &putRuleOutput{Status: http.StatusOK, ETag: etag(r.Version), Body: ruleView(a.Directory.Snapshot(), r, in.Caller, in.Target)}
	if made {
		out.Status = http.StatusCreated
	}
	return out, nil
}

func (a *handlers) readRule(ctx context.Context, in *ByEdge) (*versioned[api.Rule], error) {
	r, err := a.storedRule(ctx, *in)
	if err != nil {
		return nil, err
	}
	return &versioned[api.Rule]{etag(r.Version), ruleView(a.Directory.Snapshot(), r, in.Caller, in.Target)}, nil
}

func (a *handlers) deleteRule(ctx context.Context, in *struct {
	ByEdge
	Conditions
},
) (*nothing, error) {
	version, err := in.version()
	if err != nil {
		return nil, err
	}
	// The two services first: after that, not found can only be the rule.
	for _, name := range []string{in.Caller, in.Target} {
		if _, err := a.resolve(ctx, name); err != nil {
			return nil, err
		}
	}
	err = a.Directory.Disallow(ctx, author(ctx), in.Caller, in.Target, existing(version))
	switch {
	case !errors.Is(err, directory.ErrNotFound):
		return nil, stale(version, err)
	case version != directory.AnyVersion:
		return nil, errPrecondition // RFC 9110, section 13.1.1: nothing there matches nothing
	default:
		return nil, nil
	}
}

// ruleOf is what the body says. A scope with a space in it would be two.
func ruleOf(n *api.RuleTerms) (directory.NewRule, error) {
	if n == nil {
		return directory.NewRule{}, nil
	}
	_, err := scopesOf(n.Scopes)
	if err != nil {
		return directory.NewRule{}, err
	}
	r := directory.NewRule{Scopes: n.Scopes, Exchange: policy.Exchange(n.Exchange), MayAct: n.MayAct}
	if n.Until != nil {
		r.Until = *n.Until
	}
	if n.When != nil {
		r.When, err = directory.CompileWhen(*n.When)
	}
	return r, err
}

func (a *handlers) currentVersion(ctx context.Context, e ByEdge) (int64, error) {
	r, err := a.storedRule(ctx, e)
	if errors.Is(err, directory.ErrNotFound) {
		err = errPrecondition
	}
	return r.Version, err
}

func (a *handlers) storedRule(ctx context.Context, e ByEdge) (r directory.Rule, err error) {
	caller, err := a.resolve(ctx, e.Caller)
	if err != nil {
		return r, err
	}
	target, err := a.resolve(ctx, e.Target)
	if err != nil {
		return r, err
	}
	return a.Lists.ReadRule(ctx, policy.Edge{Caller: caller, Target: target})
}

func viewRule(s *directory.Snapshot, r directory.Rule) (api.Rule, bool) {
	caller, ok := s.ServiceByUID(r.Caller)
	if !ok {
		return api.Rule{}, false
	}
	target, ok := s.ServiceByUID(r.Target)
	if !ok {
		return api.Rule{}, false
	}
	return ruleView(s, r, caller.Name, target.Name), true
}

func ruleView(s *directory.Snapshot, r directory.Rule, caller, target string) api.Rule {
	v := api.Rule{
		Caller: caller, Target: target, RuleTerms: api.RuleTerms{Scopes: append([]string{}, r.Scopes...), Exchange: string(r.Exchange), Until: optional(r.Until)},
		ManagedBy: r.ManagedBy, Version: r.Version, CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC(),
	}
	if r.When != nil {
		when := directory.ConditionsOf(r.When)
		v.When = &when
	}
	if r.MayAct != (directory.UID{}) {
		v.MayAct = directory.FormatUID(r.MayAct)
		if svc, ok := s.ServiceByUID(r.MayAct); ok {
			v.MayAct = svc.Name
		}
	}
	return v
}

// edgeOf is the edge in a position of the list of rules.
func edgeOf(position []byte) (e policy.Edge) {
	copy(e.Caller[:], position)
	if len(position) > len(e.Caller) {
		copy(e.Target[:], position[len(e.Caller):])
	}
	return e
}
