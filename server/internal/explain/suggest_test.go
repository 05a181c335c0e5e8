package explain

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/policy"
	"github.com/watchword-dev/watchword/server/internal/usage"
)

// rowOf is the row that a decision leaves, as the issuer counts it.
func rowOf(q directory.Question, v directory.Verdict) usage.Row {
	r := usage.Row{Day: usage.DayOf(q.At), N: 1, Last: q.At, Use: usage.Use{
		Edge: policy.Edge{Caller: q.Caller, Target: v.Target.UID}, Scopes: strings.Join(v.Scopes, " "), Method: q.With.Method, Bound: q.With.Bound,
		Exchange: q.Exchange, Actors: q.With.Actors, Would: v.Observed,
	}}
	if q.With.Address.IsValid() {
		r.Network = usage.NetworkOf(q.With.Address)
	}
	if !v.Allowed() {
		r.Why, r.Scopes = v.Reason, strings.Join(q.Scopes, " ")
	}
	return r
}

func someQuestion(t *rapid.T) directory.Question {
	q := directory.Question{
		Caller: uid(rapid.IntRange(0, people-1).Draw(t, "caller")), Target: name(rapid.IntRange(0, people-1).Draw(t, "target")),
		Scopes: someScopes(t, "asked"), At: now.Add(-1), With: someCircumstances(t),
		Exchange: rapid.SampledFrom([]policy.Exchange{"", "", policy.Delegate, policy.Impersonate}).Draw(t, "as"),
	}
	if q.Exchange != policy.NoExchange {
		q.Within, q.With.Actors = someScopes(t, "within"), 1
	}
	return q
}

// With the suggestion added, the calls that were refused are allowed or listed as left out, and no other
// edge and no other scope is.
func TestSuggestionAllowsWhatWasRefusedAndNothingElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		st := someState(t)
		s := directory.NewSnapshot(st, 0)
		wants := NewWants(now.AddDate(0, 0, -30))
		asked := map[string]bool{} // edge and scope that somebody was refused
		type call struct {
			q   directory.Question
			row usage.Row
		}
		var refused []call
		for range rapid.IntRange(0, 6).Draw(t, "calls") {
			q := someQuestion(t)
			v := s.Decide(q)
			if v.Target == nil {
				continue
			}
			row := rowOf(q, v)
			wants.Add(&row)
			if row.Why == "" && row.Would == "" {
				continue
			}
			refused = append(refused, call{q, row})
			edge := string(row.Caller[:]) + string(row.Target[:])
			asked[edge] = true
			for _, scope := range q.Scopes {
				asked[edge+scope] = true
			}
		}
		out, rules := wants.Suggest(s, now, func(policy.Edge) string { return "" })
		after := *st
		after.Rules = nil
		changed := map[policy.Edge]bool{}
		for _, r := range rules {
			changed[r.Edge] = true
			after.Rules = append(after.Rules, r)
		}
		for _, r := range st.Rules {
			if !changed[r.Edge] {
				after.Rules = append(after.Rules, r)
			}
		}
		s2 := directory.NewSnapshot(&after, 0)
		granted := func(s *directory.Snapshot, q directory.Question) (d policy.Decision, ok bool) {
			v := s.Decide(q)
			return v.Decision, v.Allowed() && v.Observed == ""
		}
		left := map[string]bool{}
		for _, l := range out.Left {
			left[l.From+l.To] = true
		}
		for _, c := range refused {
			svc, _ := s.ServiceByUID(c.q.Caller)
			q := c.q
			if q.At = now; q.Exchange != policy.NoExchange && c.row.Why != policy.ScopeNotInToken {
				q.Within = q.Scopes // counts do not know it
			}
			if c.row.Network.IsValid() {
				q.With.Address = c.row.Network.Addr()
			}
			if d, ok := granted(s2, q); !ok && !left[svc.Name+q.Target] {
				t.Fatalf("%+v is refused still: %+v; suggested %+v", q, d, out)
			}
		}
		for range 20 { // anything else
			q := someQuestion(t)
			q.At = now
			d, ok := granted(s2, q)
			if _, before := granted(s, q); !ok || before {
				continue
			}
			to, _ := s.Service(q.Target)
			edge := string(q.Caller[:]) + string(to.UID[:])
			if !asked[edge] {
				t.Fatalf("%+v is allowed, and nobody was refused that", q)
			}
			old := s.Rule(policy.Edge{Caller: q.Caller, Target: to.UID})
			for _, scope := range d.Scopes {
				if !asked[edge+scope] && (old == nil || !strings.Contains(strings.Join(old.Scopes(), " "), scope)) {
					t.Fatalf("%+v got the scope %s, which nobody was refused", q, scope)
				}
			}
		}
	})
}

func TestSuggestionLoosensNoCondition(t *testing.T) {
	st := &directory.State{Services: []directory.Service{{UID: uid(0), Name: "m1"}, {UID: uid(1), Name: "m2"}}}
	edge := policy.Edge{Caller: uid(0), Target: uid(1)}
	when := &policy.When{Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	st.Rules = []directory.Rule{{Edge: edge, Scopes: []string{"a"}, When: when}}
	s := directory.NewSnapshot(st, 0)
	wants := NewWants(now.AddDate(0, 0, -1))
	for _, u := range []usage.Use{
		{Edge: edge, Scopes: "b", Network: usage.NetworkOf(inside), Why: policy.ScopeNotGranted},
		{Edge: edge, Scopes: "c", Network: usage.NetworkOf(outside), Why: policy.NetworkNotAllowed},
	} {
		wants.Add(&usage.Row{Use: u, N: 3, Last: now})
	}
	wants.Add(&usage.Row{Use: usage.Use{Edge: edge, Scopes: "d", Why: policy.ScopeNotGranted}, N: 3, Last: now.AddDate(0, 0, -2)}) // too long ago
	out, rules := wants.Suggest(s, now, func(policy.Edge) string { return "web" })
	if len(out.Rules) != 1 || strings.Join(out.Rules[0].Scopes, " ") != "a b" || rules[0].When != when || out.Rules[0].Refused != 3 ||
		out.Rules[0].Command != `change the rule in the call map file of "web", and apply it` {
		t.Errorf("got %+v", out.Rules)
	}
	if len(out.Left) != 1 || out.Left[0].Reason != string(policy.NetworkNotAllowed) || out.Left[0].Refused != 3 {
		t.Errorf("left out: got %+v", out.Left)
	}
}

// F05: what is suggested, and what it takes, is bounded, whatever was asked for.
func TestSuggestionIsBoundedWhateverWasAskedFor(t *testing.T) {
	st := &directory.State{Services: []directory.Service{{UID: uid(0), Name: "m1"}, {UID: uid(1), Name: "m2"}}}
	edge := policy.Edge{Caller: uid(0), Target: uid(1)}
	wants := NewWants(now.AddDate(0, 0, -1))
	const asked = maxWays + 1000
	for i := range asked {
		wants.Add(&usage.Row{Use: usage.Use{Edge: edge, Scopes: fmt.Sprintf("s%06d", i), Why: policy.NoRule}, N: 1 + int64(i%2), Last: now})
	}
	wants.Add(&usage.Row{Use: usage.Use{Edge: edge, Scopes: "s000000", Why: policy.NoRule}, N: 5, Last: now})
	out, rules := wants.Suggest(directory.NewSnapshot(st, 0), now, func(policy.Edge) string { return "" })
	if len(rules) != 1 || len(rules[0].Scopes) != directory.MaxScopes || rules[0].Scopes[0] != "s000000" || out.Unread != 1500 {
		t.Fatalf("got %d rules, %d unread", len(rules), out.Unread)
	}
	if _, err := directory.ParseScopes(strings.Join(rules[0].Scopes, " ")); err != nil {
		t.Errorf("the suggested scopes are not those of a rule: %v", err)
	}
	if got := out.Rules[0].Refused + out.Left[0].Refused + out.Unread; got != asked+asked/2+5 {
		t.Errorf("got %d calls in all, want %d", got, asked+asked/2+5)
	}
}
