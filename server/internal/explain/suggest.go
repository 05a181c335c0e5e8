package explain

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/reason"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/policy"
	"github.com/watchword-dev/watchword/server/internal/usage"
)

// Wants collects calls that were refused, or would have been had their target not been observing.
type Wants struct {
	since  time.Time
	ways   map[want]*wanted
	unread int64 // calls in further ways than maxWays
}

// maxWays is the number of different ways that are kept: about 100 MB.
const maxWays = 200_000

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
func NewWants(since time.Time) *Wants { return &Wants{since: since, ways: map[want]*wanted{}} }

// Add counts a row.
func (w *Wants) Add(r *usage.Row) {
	if r.Why == "" && r.Would == "" || r.Last.Before(w.since) {
		return
	}
	k := want{r.Edge, r.Scopes, r.Method, r.Bound, r.Exchange, r.Actors, r.Network, r.Why != policy.ScopeNotInToken}
	way := w.ways[k]
	if way == nil && len(w.ways) >= maxWays {
		w.unread += r.N
		return
	}
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
// today needs no rule; and the suggested rules as the directory would have them. Conditions and ends of rules in force are never loosened.
func (w *Wants) Suggest(s *directory.Snapshot, now time.Time, managedBy func(policy.Edge) string) (api.Suggestion, []directory.Rule) {
	out := suggesting{w: w, s: s, now: now, left: map[leftKey]int64{}}
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
	answer := api.Suggestion{Since: w.since, Rules: []api.SuggestedRule{}, RuleCount: len(out.rules), Left: []api.LeftOut{}, Unread: w.unread}
	for k, n := range out.left {
		answer.Left = append(answer.Left, api.LeftOut{From: k.from, To: k.to, Reason: string(k.reason), Text: reason.Text(string(k.reason)), Refused: n})
	}
	slices.SortFunc(out.rules, func(a, b suggested) int { return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To)) })
	slices.SortFunc(answer.Left, func(a, b api.LeftOut) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To), cmp.Compare(a.Reason, b.Reason))
	})
	answer.Left = answer.Left[:min(len(answer.Left), maxIdle)]
	var rules []directory.Rule
	for _, r := range out.rules[:min(len(out.rules), maxIdle)] {
		answer.Rules, rules = append(answer.Rules, r.SuggestedRule), append(rules, r.rule)
	}
	return answer, rules
}

type suggesting struct {
	w     *Wants
	s     *directory.Snapshot
	now   time.Time
	rules []suggested
	left  map[leftKey]int64
}

// suggested is a rule in words, and as the directory would have it.
type suggested struct {
	api.SuggestedRule
	rule directory.Rule
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
	old, stored := out.s.Rule(e), policy.Rule{}
	rule := directory.Rule{Edge: e}
	next := api.SuggestedRule{From: from.Name, To: to.Name, New: old == nil}
	if old != nil {
		stored = *old
	}
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
	// The most frequent come first, because a rule has at most MaxScopes.
	slices.SortFunc(ways, func(a, b want) int {
		return cmp.Or(-cmp.Compare(out.w.ways[a].n, out.w.ways[b].n), cmp.Compare(a.scopes, b.scopes))
	})
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
		scopes := append(slices.Clone(rule.Scopes), strings.Fields(k.scopes)...)
		slices.Sort(scopes)
		if scopes = slices.Compact(scopes); len(scopes) > directory.MaxScopes {
			out.left[leftKey{from.Name, to.Name, policy.ScopeNotGranted}] += way.n
			continue
		}
		rule.Scopes = scopes
		if more(k.exchange, rule.Exchange) {
			rule.Exchange = k.exchange
		}
		next.Refused += way.n
		if way.last.After(next.Last) {
			next.Last = way.last.UTC()
		}
	}
	if next.Refused == 0 {
		return
	}
	if !next.New {
		next.ManagedBy = managedBy(e)
	}
	rule.ManagedBy = cmp.Or(next.ManagedBy, to.ManagedBy) // as "why" advises, new rules belong to the file of the target
	next.Exchange, next.Scopes = string(rule.Exchange), append([]string{}, rule.Scopes...)
	next.Command = allow(Asked{Caller: from.Name, Target: to.Name, At: out.now}, &stored, rule.Scopes, rule.Exchange)
	switch {
	case next.ManagedBy != "":
		next.Command = owned(api.Explanation{}, next.ManagedBy).Command
	case rule.ManagedBy != "":
		next.Command = addTo(rule.ManagedBy)
	}
	out.rules = append(out.rules, suggested{next, rule})
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
