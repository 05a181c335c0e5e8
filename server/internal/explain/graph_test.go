package explain

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/policy"
)

func TestGraphHasTheRulesOnTheWay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		st := someState(t)
		s := directory.NewSnapshot(st, 0)
		var reach [people][people]bool // by rules, in any number of steps
		for i := range people {
			reach[i][i] = true
		}
		for range people {
			for _, r := range st.Rules {
				for i := range people {
					caller, target := int(r.Caller[0])-1, int(r.Target[0])-1
					reach[i][target] = reach[i][target] || reach[i][caller]
				}
			}
		}
		pick := func(label string) (*directory.Service, int) {
			i := rapid.IntRange(-1, people-1).Draw(t, label)
			if i < 0 {
				return nil, i
			}
			return &st.Services[i], i
		}
		from, f := pick("from")
		to, o := pick("to")
		got := map[string]bool{}
		g := GraphOf(s, from, to, now)
		for _, a := range g.Rules {
			got[a.From+" "+a.To] = true
		}
		want := 0
		for _, r := range st.Rules {
			caller, target := int(r.Caller[0])-1, int(r.Target[0])-1
			if (f < 0 || reach[f][caller]) && (o < 0 || reach[target][o]) {
				if want++; !got[name(caller)+" "+name(target)] {
					t.Fatalf("%s -> %s is missing in %+v", name(caller), name(target), g)
				}
			}
		}
		if want != len(g.Rules) || want != g.RuleCount {
			t.Fatalf("got %d rules, want %d", len(g.Rules), want)
		}
	})
}

func TestGraphsAreWrittenSoThatNothingInThemIsRead(t *testing.T) {
	st := &directory.State{Services: []directory.Service{{UID: uid(0), Name: "end"}, {UID: uid(1), Name: "m.2", ServiceSettings: api.ServiceSettings{Observe: true}}}}
	st.Rules = []directory.Rule{{Edge: policy.Edge{Caller: uid(0), Target: uid(1)}, Scopes: []string{"a#b", "c|d", "<x>"}, Exchange: policy.Delegate, Until: now}}
	g := GraphOf(directory.NewSnapshot(st, 0), nil, nil, now)
	dot := "digraph callmap {\n  rankdir=LR;\n  node [shape=box];\n  \"end\";\n  \"m.2\" [style=dashed];\n" +
		"  \"end\" -> \"m.2\" [label=\"a#b c|d <x> (delegate) until 2026-11-24T12:00:00Z\", style=dotted];\n}\n"
	if got := DOT(g); got != dot {
		t.Errorf("got %s\nwant %s", got, dot)
	}
	mermaid := "flowchart LR\n  s0[\"end\"]\n  s1[\"m.2\"]\n  s0 -.->|\"a#35;b c|d #lt;x#gt; (delegate) until 2026-11-24T12:00:00Z\"| s1\n"
	if got := Mermaid(g); got != mermaid {
		t.Errorf("got %s\nwant %s", got, mermaid)
	}
	if empty := GraphOf(directory.NewSnapshot(&directory.State{}, 0), nil, nil, now); strings.Count(DOT(empty), "->") != 0 {
		t.Errorf("got %+v", empty)
	}
}
