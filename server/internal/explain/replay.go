package explain

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/policy"
	"github.com/watchword-dev/watchword/server/internal/usage"
)

// Replay decides again, on the directory as it would be, what was allowed on the directory as it is,
// from the counts of decisions. It looks at the edges that a plan touches only: nothing else can come
// out otherwise.
type Replay struct {
	before, after *directory.Snapshot
	edges         map[policy.Edge]bool
	services      map[directory.UID]bool
	callers       map[directory.UID]bool // of those edges, and those services
	now           time.Time
	admits        Admits

	looked  int64
	refused map[policy.Edge]*refused
	hours   bool // some rule asks for hours
	narrow  bool // some rule asks for a network narrower than what was recorded
}

// Admits returns why requests such as those of row are refused on s before the call map is asked, because of what their
// caller may use, or "".
type Admits func(s *directory.Snapshot, caller *directory.Service, row usage.Row) (why string)

// NewReplay replays what a plan does to the directory: edges whose rule it changes, services it changes.
func NewReplay(before, after *directory.Snapshot, admits Admits, edges []policy.Edge, services []directory.UID, now time.Time) *Replay {
	r := &Replay{
		before: before, after: after, admits: admits, now: now,
		edges: make(map[policy.Edge]bool, len(edges)), services: make(map[directory.UID]bool, len(services)),
		callers: map[directory.UID]bool{}, refused: map[policy.Edge]*refused{},
	}
	for _, e := range edges {
		r.edges[e], r.callers[e.Caller] = true, true
	}
	for _, s := range services {
		r.services[s], r.callers[s] = true, true
	}
	return r
}

// manyFilters is when it is quicker to read all usage than that of each caller.
const manyFilters = 200

// Filters choose the usage to add, each row in one of them.
func (r *Replay) Filters(since, until usage.Day) (filters []usage.Filter) {
	if len(r.callers)+len(r.services) > manyFilters {
		return []usage.Filter{{Since: since, Until: until}}
	}
	for c := range r.callers {
		filters = append(filters, usage.Filter{Since: since, Until: until, Caller: c})
	}
	for s := range r.services {
		filters = append(filters, usage.Filter{Since: since, Until: until, Target: s})
	}
	return filters
}

// Add replays one row that f, one of Filters, chose.
func (r *Replay) Add(f usage.Filter, row usage.Row) {
	none := directory.UID{}
	switch {
	case row.Why != "", !r.edges[row.Edge] && !r.services[row.Caller] && !r.services[row.Target]:
		return
	case f.Caller == none && f.Target != none && r.callers[row.Caller]:
		return // a filter of its caller chose it too
	}
	caller, ok1 := r.before.ServiceByUID(row.Caller)
	target, ok2 := r.before.ServiceByUID(row.Target)
	if !ok1 || !ok2 { // gone before the plan
		return
	}
	r.looked += row.N
	if why, _ := r.decide(r.before, row, target.Name); why != "" {
		return // the plan does not make the difference
	}
	why, text := r.decide(r.after, row, target.Name)
	if why == "" {
		return
	}
	u := r.refused[row.Edge]
	if u == nil {
		u = &refused{api.RefusedEdge{Caller: caller.Name, Target: target.Name}, map[string]int64{}}
		r.refused[row.Edge] = u
	}
	u.add(row, why)
	if u.Reason == why { // it is the commonest
		u.Text = text()
	}
}

// refused is what of one edge, with how many tokens for each reason.
type refused struct {
	api.RefusedEdge
	reasons map[string]int64
}

func (u *refused) add(row usage.Row, why string) {
	u.Tokens += row.N
	if u.reasons[why] += row.N; u.Reason == "" || u.reasons[why] > u.reasons[u.Reason] {
		u.Reason = why
	}
	if row.Last.After(u.Last) {
		u.Last = row.Last
	}
	u.Scopes = merged(u.Scopes, row.Scopes)
}

// decide asks what was asked, and returns why it is refused, as a word and in words. A day's count does not tell the
// hour, nor a network the address: where a rule wants to know, those are taken that it allows, and Notes say so.
func (r *Replay) decide(s *directory.Snapshot, row usage.Row, target string) (why string, text func() string) {
	asked := Asked{Target: target, Scopes: strings.Fields(row.Scopes), Method: row.Method, At: r.now}
	if caller, ok := s.ServiceByUID(row.Caller); ok {
		asked.Caller = caller.Name
		if why := r.admits(s, caller, row); why != "" && why != string(policy.CallerDisabled) { // as the call map says too
			return why, func() string { return before(s, asked, why).Text }
		}
	} else if caller, ok := r.before.ServiceByUID(row.Caller); ok {
		asked.Caller = caller.Name
	}
	rule := s.Rule(row.Edge)
	q := directory.Question{
		Caller: row.Caller, Target: target, Scopes: strings.Fields(row.Scopes), Exchange: row.Exchange, Within: strings.Fields(row.Scopes), At: r.now,
		With: policy.Circumstances{Method: row.Method, Bound: row.Bound, Actors: row.Actors, Address: row.Network.Addr()},
	}
	if rule != nil && rule.Terms != nil && rule.Terms.When != nil {
		when := rule.Terms.When
		if i := slices.IndexFunc(when.Networks, func(p netip.Prefix) bool { return p.Bits() > row.Network.Bits() && p.Overlaps(row.Network) }); i >= 0 {
			q.With.Address, r.narrow = when.Networks[i].Addr(), true
		}
		if when.Hours != (policy.Hours{}) {
			q.At, r.hours = within(when.Hours, r.now), true
		}
	}
	v := s.Decide(q)
	if v.Allowed() {
		return "", nil
	}
	asked.At = q.At
	return string(v.Reason), func() string { text, _ := miss(s, asked, v); return text }
}

// within is the last moment of h, to the minute, that is not after at: before it, for a rule that had
// not ended has not ended then.
func within(h policy.Hours, at time.Time) time.Time {
	for m := range 7 * 24 * 60 {
		if t := at.Add(-time.Duration(m) * time.Minute); h.Contain(t.UnixMicro()) {
			return t
		}
	}
	return at // of no day
}

// Replayed is what came out.
type Replayed struct {
	// Looked at, and of these refused: tokens.
	Looked, Refused int64
	// Edges with the most tokens first.
	Edges []api.RefusedEdge
	// Notes say what could not be replayed.
	Notes []string
}

// Result of all rows that were added.
func (r *Replay) Result() (out Replayed) {
	out.Looked = r.looked
	for _, u := range r.refused {
		out.Refused += u.Tokens
		out.Edges = append(out.Edges, u.RefusedEdge)
	}
	slices.SortFunc(out.Edges, func(a, b api.RefusedEdge) int {
		return cmp.Or(cmp.Compare(b.Tokens, a.Tokens), cmp.Compare(a.Caller, b.Caller), cmp.Compare(a.Target, b.Target))
	})
	if r.hours {
		out.Notes = append(out.Notes, "usage is counted by day, so that hours of rules could not be replayed: those calls count as within them")
	}
	if r.narrow {
		out.Notes = append(out.Notes, "usage is counted by /24 and /48, so that narrower networks of rules could not be replayed: calls from around them count as from within")
	}
	return out
}

// Sentence says in one line what would have been refused of an edge.
func Sentence(u api.RefusedEdge, days int) string {
	tokens := "tokens"
	if u.Tokens == 1 {
		tokens = "token"
	}
	return fmt.Sprintf("in the last %d days %s %s for %s -> %s would have been refused: %s", days, grouped(u.Tokens), tokens, u.Caller, u.Target, u.Text)
}

// grouped writes 14112 as 14,112.
func grouped(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
