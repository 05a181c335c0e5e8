package policy

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func id(n int) (id ServiceID) {
	binary.BigEndian.PutUint64(id[:], uint64(n))
	id[15] = 1 // the zero id is no service
	return id
}

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC).UnixMicro()

func TestNothingIsAllowedThatNoRuleAllows(t *testing.T) {
	m := CallMap{}.
		With(Rule{Edge: Edge{id(1), id(2)}}).
		With(Rule{Edge: Edge{id(2), id(3)}, Terms: &Terms{Scopes: []string{"read", "write"}}}).
		With(Rule{Edge: Edge{id(3), id(1)}, Until: now})
	for _, c := range []struct {
		name   string
		q      Query
		want   Reason
		scopes []string
	}{
		{"an edge", Query{Edge: Edge{id(1), id(2)}}, Allowed, nil},
		{"its reverse", Query{Edge: Edge{id(2), id(1)}}, NoRule, nil},
		{"oneself, without a rule", Query{Edge: Edge{id(1), id(1)}}, NoRule, nil},
		{"two edges in a row", Query{Edge: Edge{id(1), id(3)}}, NoRule, nil},
		{"a scope the rule lacks", Query{Edge: Edge{id(1), id(2)}, Scopes: []string{"read"}}, ScopeNotGranted, nil},
		{"one scope of two", Query{Edge: Edge{id(2), id(3)}, Scopes: []string{"write"}}, Allowed, []string{"write"}},
		{"one scope too many", Query{Edge: Edge{id(2), id(3)}, Scopes: []string{"admin", "read"}}, ScopeNotGranted, nil},
		{"no scope asked", Query{Edge: Edge{id(2), id(3)}}, Allowed, []string{"read", "write"}},
		{"the end date itself", Query{Edge: Edge{id(3), id(1)}, At: now}, RuleEnded, nil},
		{"just before the end date", Query{Edge: Edge{id(3), id(1)}, At: now - 1}, Allowed, nil},
		{"an unknown service", Query{Edge: Edge{id(9), id(2)}}, NoRule, nil},
	} {
		got := m.Decide(c.q)
		if got.Reason != c.want || !slices.Equal(got.Scopes, c.scopes) || got.Allowed() != (c.want == Allowed) {
			t.Errorf("%s: got %v %v, want %v %v", c.name, got.Reason, got.Scopes, c.want, c.scopes)
		}
	}
}

// POL-001.
func TestEmptyCallMapAllowsNothing(t *testing.T) {
	if d := (CallMap{}).Decide(Query{Edge: Edge{id(1), id(1)}, At: now}); d.Allowed() {
		t.Error("the empty call map allowed a call")
	}
	if (Decision{}).Allowed() {
		t.Error("the zero decision is a yes")
	}
}

func TestOrderOfChangesNeverMatters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		model := map[Edge]Rule{}
		m := CallMap{}
		for range rapid.IntRange(0, 200).Draw(t, "steps") {
			e := Edge{id(rapid.IntRange(0, 12).Draw(t, "caller")), id(rapid.IntRange(0, 12).Draw(t, "target"))}
			if rapid.Bool().Draw(t, "remove") {
				delete(model, e)
				m = m.Without(e)
				continue
			}
			r := Rule{Edge: e, Until: rapid.Int64Range(0, 3).Draw(t, "until")}
			model[e] = r
			m = m.With(r)
		}
		compiled := Compile(len(model), func(yield func(Rule) bool) {
			for _, r := range model {
				if !yield(r) {
					return
				}
			}
		})
		if m.Len() != len(model) || compiled.Len() != len(model) {
			t.Fatalf("got %d changed, %d compiled rules, want %d", m.Len(), compiled.Len(), len(model))
		}
		for c := range 13 {
			for g := range 13 {
				e := Edge{id(c), id(g)}
				want, ok := model[e]
				if a, b := m.Rule(e), compiled.Rule(e); (a != nil) != ok || (b != nil) != ok || ok && (a.Until != want.Until || b.Until != want.Until) {
					t.Fatalf("edge %d -> %d differs", c, g)
				}
			}
		}
	})
}

func TestDecideDoesNotAllocate(t *testing.T) {
	m := CallMap{}.With(Rule{Edge: Edge{id(1), id(2)}, Terms: &Terms{Scopes: []string{"a", "b"}}})
	q := Query{Edge: Edge{id(1), id(2)}, Scopes: []string{"b"}, At: now}
	if n := testing.AllocsPerRun(100, func() { m.Decide(q) }); n != 0 {
		t.Errorf("Decide allocates %v times", n)
	}
}

func million() (CallMap, []Edge) {
	const services, fanOut = 100_000, 10
	edges := make([]Edge, 0, services*fanOut)
	for c := range services {
		for g := range fanOut {
			edges = append(edges, Edge{id(c), id((c*7 + g*13 + 1) % services)})
		}
	}
	m := Compile(len(edges), func(yield func(Rule) bool) {
		for _, e := range edges {
			if !yield(Rule{Edge: e, Terms: &Terms{Scopes: []string{"read"}}}) {
				return
			}
		}
	})
	rand.Shuffle(len(edges), func(i, j int) { edges[i], edges[j] = edges[j], edges[i] })
	return m, edges
}

func BenchmarkDecideMillionRules(b *testing.B) {
	m, edges := million()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if !m.Decide(Query{Edge: edges[i%len(edges)], At: now}).Allowed() {
			b.Fatal("refused")
		}
	}
}

func BenchmarkChangeOneOfMillionRules(b *testing.B) {
	m, edges := million()
	for i := 0; b.Loop(); i++ {
		m = m.With(Rule{Edge: edges[i%len(edges)]})
	}
}
