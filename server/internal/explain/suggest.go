package explain

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/policy"
	"github.com/watchword-dev/watchword/server/internal/usage"
)

// Suggestion is the least that would allow the calls which were, or would have been, refused. It is for
// a person to look at: a call that was refused may be the attack.
type Suggestion struct {
	Since        time.Time       `json:"since" example:"2026-10-25T00:00:00Z" doc:"Where the window begins that was looked at."`
	RecordsSince *time.Time      `json:"recordsSince,omitempty" example:"2026-05-01T00:00:00Z" doc:"The first day of which there are counts. Absent: there are none."`
	Rules        []SuggestedRule `json:"rules" nullable:"false" doc:"The rules, the first 10,000."`
	RuleCount    int             `json:"ruleCount" example:"1" doc:"How many."`
	File         string          `json:"file" example:"# to the rules of your call map file:\n  - {from: m1, to: m2, scopes: [read]}\n" doc:"The same in the form of call map files: lines for the rules of the file that owns them, in the place of those there for the same caller and target."`
	Left         []LeftOut       `json:"left" nullable:"false" doc:"Calls that were refused and that no suggested rule allows, the first 10,000: what they lack is a condition, or a service."`
}

// SuggestedRule is one rule, as it should be.
type SuggestedRule struct {
	From      string          `json:"from" example:"m1" doc:"The caller."`
	To        string          `json:"to" example:"m2" doc:"The target."`
	Scopes    []string        `json:"scopes" nullable:"false" example:"[\"read\"]" doc:"What it needs, with what it has."`
	Exchange  policy.Exchange `json:"exchange,omitempty" enum:"delegate,impersonate" example:"delegate" doc:"What it does with tokens of others."`
	Refused   int64           `json:"refused" example:"12" doc:"How many calls were refused, or would have been."`
	Last      time.Time       `json:"lastAt" example:"2026-11-24T12:00:00Z" doc:"When the last one."`
	New       bool            `json:"new" example:"true" doc:"There is no rule yet."`
	ManagedBy string          `json:"managedBy,omitempty" example:"callmap" doc:"The call map file that owns the rule there is."`
	Command   string          `json:"command" example:"watchword allow m1 m2 --scope read" doc:"What would make it so."`

	Rule directory.Rule `json:"-"`
}

// LeftOut are calls that are not suggested to be allowed.
type LeftOut struct {
	From    string        `json:"from" example:"m1" doc:"The caller."`
	To      string        `json:"to" example:"m2" doc:"The target."`
	Reason  policy.Reason `json:"reason" example:"condition_bound" doc:"Why they are refused still."`
	Text    string        `json:"text" example:"the rule wants a token that is bound to a key" doc:"In words."`
	Refused int64         `json:"refused" example:"12" doc:"How many."`
}

// Wants collects calls that were refused, or would have been had their target not been observing.
type Wants struct {
	since time.Time
	ways  map[want]*wanted
}

// want is a way in which was asked.
type want struct {
	policy.Edge
	scopes, method string
	bound          bool
	exchange       policy.Exchange
	actors         int
	network        netip.Prefix
	inToken        bool // the token that was exchanged had all the scopes
}

type wanted struct {
	n    int64
	last time.Time
}

// NewWants collects from since.
func NewWants(since time.Time) *Wants { return &Wants{since, map[want]*wanted{}} }

// Add counts a row.
func (w *Wants) Add(r *usage.Row) {
	if r.Why == "" && r.Would == "" || r.Last.Before(w.since) {
		return
	}
	k := want{r.Edge, r.Scopes, r.Method, r.Bound, r.Exchange, r.Actors, r.Network, r.Why != policy.ScopeNotInToken}
	way := w.ways[k]
	if way == nil {
		way = &wanted{}
		w.ways[k] = way
	}
	way.n += r.N
	if r.Last.After(way.last) {
		way.last = r.Last
	}
}

// Suggest is the least that allows what was collected, on top of what s has by now: what is allowed
// today needs no rule. Conditions and ends of rules in force are never loosened.
func (w *Wants) Suggest(s *directory.Snapshot, now time.Time, managedBy func(policy.Edge) string) Suggestion {
	out := suggesting{Suggestion: Suggestion{Since: w.since, Rules: []SuggestedRule{}, Left: []LeftOut{}}, w: w, s: s, now: now, left: map[leftKey]int64{}}
	edges := map[policy.Edge][]want{}
	for k := range w.ways {
		edges[k.Edge] = append(edges[k.Edge], k)
	}
	for e, ways := range edges {
		from, ok1 := s.ServiceByUID(e.Caller)
		to, ok2 := s.ServiceByUID(e.Target)
		if ok1 && ok2 {
			out.edge(from, to, ways, managedBy)
		}
	}
	for k, n := range out.left {
		out.Left = append(out.Left, LeftOut{k.from, k.to, k.reason, Recorded(string(k.reason)), n})
	}
	slices.SortFunc(out.Rules, func(a, b SuggestedRule) int { return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To)) })
	slices.SortFunc(out.Left, func(a, b LeftOut) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To), cmp.Compare(a.Reason, b.Reason))
	})
	out.RuleCount = len(out.Rules)
	out.Rules, out.Left = out.Rules[:min(len(out.Rules), maxIdle)], out.Left[:min(len(out.Left), maxIdle)]
	return out.Suggestion
}

type suggesting struct {
	Suggestion
	w    *Wants
	s    *directory.Snapshot
	now  time.Time
	left map[leftKey]int64
}

type leftKey struct {
	from, to string
	reason   policy.Reason
}

// lacking is what no rule can mend: a service that is disabled, a condition, or scopes that a token had
// not. Rule is the one the way would have with all it asks for.
func lacking(from, to *directory.Service, k want, rule *policy.Rule, last time.Time) policy.Reason {
	switch {
	case from.Disabled:
		return policy.CallerDisabled
	case to.Disabled:
		return policy.TargetDisabled
	case !k.inToken:
		return policy.ScopeNotInToken
	}
	if d := rule.Decide(k.query(last)); !d.Allowed() {
		return d.Reason
	}
	return ""
}

// edge is the least rule for one caller and target.
func (out *suggesting) edge(from, to *directory.Service, ways []want, managedBy func(policy.Edge) string) {
	e := policy.Edge{Caller: from.UID, Target: to.UID}
	old := out.s.Rule(e)
	rule := directory.Rule{Edge: e}
	suggested := SuggestedRule{From: from.Name, To: to.Name, New: old == nil}
	if old != nil && old.Terms != nil {
		rule.MayAct, rule.When = old.Terms.MayAct, old.Terms.When
	}
	if old != nil && old.Until != 0 && out.now.UnixMicro() >= old.Until {
		old = nil // it has ended: what it allowed is not what is asked for now
	} else if old != nil {
		rule.Scopes, rule.Exchange = slices.Clone(old.Scopes()), old.Exchange()
		if old.Until != 0 {
			rule.Until = time.UnixMicro(old.Until).UTC()
		}
	}
	for _, k := range ways {
		way := out.w.ways[k]
		if k.inToken && !from.Disabled && !to.Disabled && old.Decide(k.query(way.last)).Allowed() {
			continue // by now
		}
		generous := directory.Rule{Edge: e, Scopes: strings.Fields(k.scopes), Exchange: policy.Impersonate, When: rule.When}.Compiled()
		if reason := lacking(from, to, k, &generous, way.last); reason != "" {
			out.left[leftKey{from.Name, to.Name, reason}] += way.n
			continue
		}
		rule.Scopes = append(rule.Scopes, strings.Fields(k.scopes)...)
		if more(k.exchange, rule.Exchange) {
			rule.Exchange = k.exchange
		}
		suggested.Refused += way.n
		if way.last.After(suggested.Last) {
			suggested.Last = way.last.UTC()
		}
	}
	if suggested.Refused == 0 {
		return
	}
	slices.Sort(rule.Scopes)
	rule.Scopes = slices.Compact(rule.Scopes)
	if !suggested.New {
		suggested.ManagedBy = managedBy(e)
	}
	rule.ManagedBy = suggested.ManagedBy
	suggested.Rule, suggested.Exchange, suggested.Scopes = rule, rule.Exchange, append([]string{}, rule.Scopes...)
	c := rule.Compiled()
	suggested.Command = allow(out.s, Asked{Caller: from.Name, Target: to.Name, At: out.now}, &c, rule.Scopes, rule.Exchange)
	if suggested.ManagedBy != "" {
		suggested.Command = owned(Why{}, suggested.ManagedBy).Command
	}
	out.Rules = append(out.Rules, suggested)
}

func more(a, b policy.Exchange) bool {
	rank := []policy.Exchange{policy.NoExchange, policy.Delegate, policy.Impersonate}
	return slices.Index(rank, a) > slices.Index(rank, b)
}

// query is what was asked last, as far as counts tell: of an address they know the network.
func (k want) query(last time.Time) policy.Query {
	q := policy.Query{
		Edge: k.Edge, Scopes: strings.Fields(k.scopes), Exchange: k.exchange, At: last.UnixMicro(),
		With: policy.Circumstances{Method: k.method, Bound: k.bound, Actors: k.actors},
	}
	if q.Exchange != policy.NoExchange {
		q.Within = q.Scopes
	}
	if k.network.IsValid() {
		q.With.Address = k.network.Addr()
	}
	return q
}
