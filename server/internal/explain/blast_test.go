package explain

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/policy"
)

// token is what a thief, or somebody it called, has in hand.
type token struct {
	target, mayAct directory.UID
	scopes         string
	actors         int
}

// walk tries everything that can be asked, token by token, and returns what was reached.
func walk(s *directory.Snapshot, from directory.UID, maxActors int) map[string]bool {
	got := map[string]bool{}
	seen := map[token]bool{}
	var queue []token
	ask := func(caller directory.UID, exchange policy.Exchange, within []string, actors int) {
		for i := range people {
			for _, method := range []string{"", "x"} {
				for _, address := range []netip.Addr{inside, outside} {
					for _, scopes := range [][]string{nil, {"a"}, {"b"}, {"a", "b"}, {"other"}} {
						v := s.Decide(directory.Question{
							Caller: caller, Target: name(i), Scopes: scopes, Exchange: exchange, Within: within, At: now,
							With: policy.Circumstances{Method: method, Bound: true, Address: address, Actors: actors},
						})
						if !v.Allowed() {
							continue
						}
						got[name(i)] = true
						for _, scope := range v.Scopes {
							got[name(i)+" "+scope] = true
						}
						t := token{uid(i), v.Rule.MayAct(), strings.Join(v.Scopes, " "), actors}
						if !seen[t] {
							seen[t], queue = true, append(queue, t)
						}
					}
				}
			}
		}
	}
	ask(from, policy.NoExchange, nil, 0)
	for len(queue) > 0 {
		t := queue[0]
		queue = queue[1:]
		actor := t.target
		if t.mayAct != (directory.UID{}) {
			actor = t.mayAct
		}
		if svc, ok := s.ServiceByUID(actor); !ok || len(svc.GrantTypes) > 0 {
			continue
		}
		if t.actors < maxActors {
			ask(actor, policy.Delegate, strings.Fields(t.scopes), t.actors+1)
		}
		ask(actor, policy.Impersonate, strings.Fields(t.scopes), t.actors)
	}
	return got
}

func TestBlastIsWhatTheDecisionsAllowStepByStep(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := directory.NewSnapshot(someState(t), 0)
		maxActors := rapid.IntRange(1, 3).Draw(t, "actors")
		from, _ := s.ServiceByUID(uid(0))
		b := BlastOf(s, from, now, maxActors)
		got := map[string]bool{}
		for i, r := range b.Reaches {
			got[r.Service] = true
			for _, scope := range r.Scopes {
				got[r.Service+" "+scope] = true
			}
			if r.AnyScope {
				for _, scope := range []string{"a", "b", "other"} {
					got[r.Service+" "+scope] = true
				}
			}
			if r.Depth > 0 && (i == 0 || b.Reaches[i-1].Depth < r.Depth-1) || r.Depth == 0 && r.Exchange != "" {
				t.Fatalf("%+v has no place in the tree %+v", r, b.Reaches)
			}
		}
		if want := walk(s, uid(0), maxActors); !maps.Equal(got, want) {
			t.Fatalf("got %v\nwant %v", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
		}
		if len(b.Reaches) != b.Direct+b.Through {
			t.Fatalf("%d direct and %d through others are not %d", b.Direct, b.Through, len(b.Reaches))
		}
	})
}

// A rule for some hours counts for whoever can wait.
func TestBlastCountsRulesOfOtherHours(t *testing.T) {
	hours, err := directory.ParseHours("Sat 08:00-09:00")
	if err != nil {
		t.Fatal(err)
	}
	st := &directory.State{Services: []directory.Service{{UID: uid(0), Name: "m1"}, {UID: uid(1), Name: "m2"}}}
	st.Rules = []directory.Rule{{Edge: policy.Edge{Caller: uid(0), Target: uid(1)}, When: &policy.When{Hours: hours}}}
	s := directory.NewSnapshot(st, 0)
	if b := BlastOf(s, &st.Services[0], now, 5); b.Direct != 1 {
		t.Errorf("got %+v", b)
	}
	st.Rules[0].Until = now.AddDate(0, 0, 1) // before Saturday
	if b := BlastOf(directory.NewSnapshot(st, 0), &st.Services[0], now, 5); b.Direct != 0 {
		t.Errorf("got %+v", b)
	}
}

// large is a directory with n services, each of which may call and exchange for some others.
func large(n, rules int) *directory.Snapshot {
	st := &directory.State{}
	id := func(i int) (u directory.UID) {
		u[0], u[1], u[2], u[15] = byte(i), byte(i>>8), byte(i>>16), 1
		return u
	}
	for i := range n {
		st.Services = append(st.Services, directory.Service{UID: id(i), Name: fmt.Sprintf("m%06d", i)})
	}
	for i := range rules {
		caller := i % n
		st.Rules = append(st.Rules, directory.Rule{
			Edge: policy.Edge{Caller: id(caller), Target: id((caller*7 + i/n*7919 + 1) % n)}, Scopes: []string{"read", "write"}, Exchange: policy.Impersonate,
		})
	}
	return directory.NewSnapshot(st, time.Hour)
}

func BenchmarkBlast(b *testing.B) {
	s := large(100_000, 1_000_000)
	from, _ := s.Service("m000000")
	b.ReportAllocs()
	for b.Loop() {
		if got := BlastOf(s, from, now, 5); got.Through < 90_000 {
			b.Fatal(got.Through)
		}
	}
}

func BenchmarkGraph(b *testing.B) {
	s := large(100_000, 1_000_000)
	from, _ := s.Service("m000000")
	b.ReportAllocs()
	for b.Loop() {
		if got := GraphOf(s, from, nil, now); got.RuleCount < 900_000 {
			b.Fatal(got.RuleCount)
		}
	}
}
