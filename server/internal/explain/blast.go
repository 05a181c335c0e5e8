package explain

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/policy"
)

const maxReaches = 10_000

// anyScope stands for all scopes there are. It is none itself: scopes are printable.
const anyScope = "\x00"

// BlastOf returns what a credential of a service reaches, directly and through services that exchange the
// tokens they receive, with at most maxActors of those in a row. Each step is one that
// s.Decide allows, under circumstances that suit the rule. It reads each rule once, and follows each
// scope by itself: scopes only shrink, and no scope depends on another.
func BlastOf(s *directory.Snapshot, from *directory.Service, now time.Time, maxActors int) api.Blast {
	w := &wave{
		s: s, now: now, maxActors: maxActors, by: map[directory.UID][]policy.Rule{},
		levels: make([][]*actor, maxActors+1), actors: map[directory.UID]*actor{}, reached: map[directory.UID]*reached{},
		moments: map[policy.Hours]time.Time{},
	}
	var direct []policy.Rule
	for r := range s.Rules() {
		if r.Caller == from.UID {
			direct = append(direct, r)
		}
		if r.Exchange() != policy.NoExchange {
			w.by[r.Caller] = append(w.by[r.Caller], r)
		}
	}
	w.start(from, direct)
	for acting := range w.levels {
		for len(w.levels[acting]) > 0 { // impersonation adds to the same level
			turn := w.levels[acting]
			w.levels[acting] = nil
			for _, a := range turn {
				w.exchange(a, acting)
			}
		}
	}
	return w.tree(from)
}

// actor is a service that has a token of the stolen one which it may exchange.
type actor struct {
	uid directory.UID
	// token is whom the first such token is for.
	token *reached
	// fresh are scopes such tokens have and that were not tried, by how many act already; "" stands
	// for the token itself, whatever its scopes.
	fresh [][]string
	tried map[string]bool
}

type reached struct {
	*directory.Service
	parent   *reached // nil: directly
	by       directory.UID
	exchange policy.Exchange
	when     *policy.When
	scopes   map[string]bool
}

type wave struct {
	s         *directory.Snapshot
	now       time.Time
	maxActors int
	by        map[directory.UID][]policy.Rule // rules that allow exchange, by who may
	levels    [][]*actor                      // who has something to try, by how many act already
	actors    map[directory.UID]*actor
	reached   map[directory.UID]*reached
	order     []*reached
	moments   map[policy.Hours]time.Time
}

func (w *wave) start(from *directory.Service, direct []policy.Rule) {
	for i := range direct {
		r := &direct[i]
		to, ok := w.s.ServiceByUID(r.Target)
		if !ok {
			continue
		}
		v := w.s.Decide(w.suit(r, directory.Question{Caller: r.Caller, Target: to.Name}))
		if v.Allowed() && v.Observed == "" {
			w.reach(to, r, nil, 0, v.Scopes, false)
		}
	}
	for to := range w.s.All() {
		if !to.Observe {
			continue
		}
		if v := w.s.Decide(directory.Question{Caller: from.UID, Target: to.Name, At: w.now}); v.Allowed() {
			r := w.s.Rule(policy.Edge{Caller: from.UID, Target: to.UID})
			if r == nil {
				r = &policy.Rule{}
			}
			w.reach(to, r, nil, 0, nil, true)
		}
	}
}

// exchange is one service's exchanging of what it has not tried yet.
func (w *wave) exchange(a *actor, acting int) {
	fresh := slices.DeleteFunc(a.fresh[acting], func(scope string) bool { return a.tried[scope] })
	a.fresh[acting] = nil
	svc, ok := w.s.ServiceByUID(a.uid)
	if !ok || len(fresh) == 0 || len(svc.GrantTypes) > 0 && !slices.Contains(svc.GrantTypes, api.GrantTokenExchange) {
		return
	}
	for _, scope := range fresh {
		a.tried[scope] = true
	}
	slices.Sort(fresh)
	rules := w.by[a.uid]
	for i := range rules {
		r := &rules[i]
		to, ok := w.s.ServiceByUID(r.Target)
		next := acting
		if r.Exchange() == policy.Delegate {
			next++
		}
		if !ok || next > w.maxActors {
			continue
		}
		q := directory.Question{Caller: a.uid, Target: to.Name, Exchange: r.Exchange(), Within: fresh}
		if slices.Contains(fresh, anyScope) {
			q.Within = r.Scopes()
		}
		q.With.Actors = next
		if v := w.s.Decide(w.suit(r, q)); v.Allowed() {
			w.reach(to, r, a, next, v.Scopes, false)
		}
	}
}

// reach notes that there is a token for to with these scopes, given by the rule r, and who may exchange
// it. By is who exchanged another for it; nil: it was got directly.
func (w *wave) reach(to *directory.Service, r *policy.Rule, by *actor, acting int, scopes []string, any bool) {
	t := w.reached[to.UID]
	if t == nil {
		t = &reached{Service: to, scopes: map[string]bool{}}
		if r.Terms != nil {
			t.when = r.Terms.When
		}
		if by != nil {
			t.parent, t.by, t.exchange = by.token, by.uid, r.Exchange()
		}
		w.reached[to.UID], w.order = t, append(w.order, t)
	}
	uid := to.UID
	if m := r.MayAct(); m != (directory.UID{}) {
		uid = m
	}
	a := w.actors[uid]
	if a == nil {
		a = &actor{uid: uid, token: t, fresh: make([][]string, w.maxActors+1), tried: map[string]bool{}}
		w.actors[uid] = a
	}
	w.give(a, acting, "")
	for _, scope := range scopes {
		t.scopes[scope] = true
		w.give(a, acting, scope)
	}
	if any {
		t.scopes[anyScope] = true
		w.give(a, acting, anyScope)
	}
}

// give lets a try a scope when it is its turn.
func (w *wave) give(a *actor, acting int, scope string) {
	if a.tried[scope] || slices.Contains(a.fresh[acting], scope) {
		return
	}
	if len(a.fresh[acting]) == 0 {
		w.levels[acting] = append(w.levels[acting], a)
	}
	a.fresh[acting] = append(a.fresh[acting], scope)
}

// suit has q asked so that the conditions of r hold, if they can.
func (w *wave) suit(r *policy.Rule, q directory.Question) directory.Question {
	q.At, q.With.Bound = w.now, true
	if r.Terms == nil || r.Terms.When == nil {
		return q
	}
	when := r.Terms.When
	if len(when.Methods) > 0 {
		q.With.Method = when.Methods[0]
	}
	if len(when.Networks) > 0 {
		q.With.Address = when.Networks[0].Addr()
	}
	at, ok := w.moments[when.Hours]
	if !ok {
		at = soonest(when.Hours, w.now)
		w.moments[when.Hours] = at
	}
	q.At = at
	return q
}

// soonest is the next moment within h.
func soonest(h policy.Hours, now time.Time) time.Time {
	for at, minute := now, 0; minute < 7*24*60; minute++ {
		if h.Contain(at.UnixMicro()) {
			return at
		}
		at = at.Truncate(time.Minute).Add(time.Minute)
	}
	return now
}

// tree lists what was reached, each service before those reached through it.
func (w *wave) tree(from *directory.Service) api.Blast {
	b := api.Blast{Service: from.Name, Reaches: []api.Reach{}}
	below := map[*reached][]*reached{}
	for _, t := range w.order {
		below[t.parent] = append(below[t.parent], t)
		if t.parent == nil {
			b.Direct++
		} else {
			b.Through++
		}
	}
	var list func(parent *reached, depth int)
	list = func(parent *reached, depth int) {
		all := below[parent]
		slices.SortFunc(all, func(x, y *reached) int { return cmp.Compare(x.Name, y.Name) })
		for _, t := range all {
			if len(b.Reaches) == maxReaches {
				return
			}
			b.Reaches = append(b.Reaches, t.view(w.s, depth))
			list(t, depth+1)
		}
	}
	list(nil, 0)
	return b
}

func (t *reached) view(s *directory.Snapshot, depth int) api.Reach {
	r := api.Reach{Service: t.Name, Depth: depth, Exchange: string(t.exchange), AnyScope: t.scopes[anyScope], Scopes: []string{}}
	delete(t.scopes, anyScope)
	r.Scopes = append(r.Scopes, slices.Sorted(maps.Keys(t.scopes))...)
	if by, ok := s.ServiceByUID(t.by); ok && t.by != t.parent.UID {
		r.By = by.Name
	}
	if t.when != nil {
		when := directory.ConditionsOf(t.when)
		r.When = &when
	}
	return r
}
