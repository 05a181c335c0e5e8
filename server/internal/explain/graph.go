package explain

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/policy"
)

const (
	maxNodes = 10_000
	maxArcs  = 20_000
)

// GraphOf is the part of the call map on the ways from one service to another. Nil is any service: with
// both nil it is all of the call map.
func GraphOf(s *directory.Snapshot, from, to *directory.Service, now time.Time) api.Graph {
	m := newNetwork(s)
	ahead, behind := m.follow(from, m.forward), m.follow(to, m.backward)
	g := api.Graph{Services: []api.GraphNode{}, Rules: []api.GraphArc{}}
	for i, svc := range m.services {
		if ahead[i] && behind[i] {
			if g.ServiceCount++; len(g.Services) < maxNodes {
				g.Services = append(g.Services, api.GraphNode{Name: svc.Name, Owner: svc.Owner, Labels: svc.Labels, Disabled: svc.Disabled, Observe: svc.Observe})
			}
		}
	}
	for caller := range m.services {
		if !ahead[caller] {
			continue
		}
		for _, target := range m.forward.of(int32(caller)) {
			if !behind[target] {
				continue
			}
			if g.RuleCount++; len(g.Rules) < maxArcs {
				g.Rules = append(g.Rules, arcOf(s, m.services[caller], m.services[target], now))
			}
		}
	}
	return g
}

func arcOf(s *directory.Snapshot, from, to *directory.Service, now time.Time) api.GraphArc {
	r := s.Rule(policy.Edge{Caller: from.UID, Target: to.UID})
	a := api.GraphArc{From: from.Name, To: to.Name, Scopes: r.Scopes(), Exchange: string(r.Exchange())}
	if by, ok := s.ServiceByUID(r.MayAct()); ok {
		a.MayAct = by.Name
	}
	if r.Until != 0 {
		until := time.UnixMicro(r.Until).UTC()
		a.Until, a.Ended = &until, !now.Before(until)
	}
	if r.Terms != nil && r.Terms.When != nil {
		when := directory.ConditionsOf(r.Terms.When)
		a.When = &when
	}
	return a
}

// network is the rules as numbers: a million of them are 8 MB.
type network struct {
	services          []*directory.Service // by name
	forward, backward adjacency
}

// adjacency has the neighbours of i at all[start[i]:start[i+1]].
type adjacency struct{ start, all []int32 }

func (a adjacency) of(i int32) []int32 { return a.all[a.start[i]:a.start[i+1]] }

func newNetwork(s *directory.Snapshot) *network {
	m := &network{services: slices.SortedFunc(s.All(), func(a, b *directory.Service) int { return cmp.Compare(a.Name, b.Name) })}
	number := make(map[directory.UID]int32, len(m.services))
	for i, svc := range m.services {
		number[svc.UID] = int32(i)
	}
	_, _, rules := s.Counts()
	pairs := make([][2]int32, 0, rules)
	for r := range s.Rules() {
		caller, ok1 := number[r.Caller]
		target, ok2 := number[r.Target]
		if ok1 && ok2 {
			pairs = append(pairs, [2]int32{caller, target})
		}
	}
	m.forward, m.backward = adjacent(len(m.services), pairs, 0), adjacent(len(m.services), pairs, 1)
	return m
}

// adjacent sorts pairs by their member at, counting.
func adjacent(n int, pairs [][2]int32, at int) adjacency {
	a := adjacency{make([]int32, n+1), make([]int32, len(pairs))}
	for _, p := range pairs {
		a.start[p[at]+1]++
	}
	for i := range n {
		a.start[i+1] += a.start[i]
	}
	free := slices.Clone(a.start)
	for _, p := range pairs {
		a.all[free[p[at]]] = p[1-at]
		free[p[at]]++
	}
	for i := range n {
		slices.Sort(a.of(int32(i)))
	}
	return a
}

// follow marks what is reached from a service; of nil, everything.
func (m *network) follow(from *directory.Service, along adjacency) []bool {
	seen := make([]bool, len(m.services))
	var queue []int32
	for i, svc := range m.services {
		if seen[i] = from == nil; from != nil && svc.UID == from.UID {
			seen[i], queue = true, []int32{int32(i)}
		}
	}
	for len(queue) > 0 {
		i := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		for _, next := range along.of(i) {
			if !seen[next] {
				seen[next], queue = true, append(queue, next)
			}
		}
	}
	return seen
}

// DOT writes g for Graphviz.
func DOT(g api.Graph) string {
	quote := func(s string) string { return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"` }
	var b strings.Builder
	b.WriteString("digraph callmap {\n  rankdir=LR;\n  node [shape=box];\n")
	for _, n := range g.Services {
		style := ""
		switch {
		case n.Disabled:
			style = " [style=dotted]"
		case n.Observe:
			style = " [style=dashed]"
		}
		fmt.Fprintf(&b, "  %s%s;\n", quote(n.Name), style)
	}
	for _, a := range g.Rules {
		var attributes []string
		if label := label(a); label != "" {
			attributes = append(attributes, "label="+quote(label))
		}
		switch {
		case a.Ended:
			attributes = append(attributes, "style=dotted")
		case a.Exchange != "":
			attributes = append(attributes, "arrowhead=diamond")
		}
		fmt.Fprintf(&b, "  %s -> %s", quote(a.From), quote(a.To))
		if len(attributes) > 0 {
			fmt.Fprintf(&b, " [%s]", strings.Join(attributes, ", "))
		}
		b.WriteString(";\n")
	}
	b.WriteString("}\n")
	return b.String()
}

// Mermaid writes g for Mermaid, which pages of forges show. Names are labels there: some, such as
// "end", would be words of the language.
func Mermaid(g api.Graph) string {
	quote := func(s string) string {
		return `"` + strings.NewReplacer("#", "#35;", `"`, "#quot;", "<", "#lt;", ">", "#gt;", "`", "#96;").Replace(s) + `"`
	}
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	ids := map[string]string{}
	for _, n := range g.Services {
		ids[n.Name] = fmt.Sprintf("s%d", len(ids))
		fmt.Fprintf(&b, "  %s[%s]\n", ids[n.Name], quote(n.Name))
	}
	for _, a := range g.Rules {
		from, to := ids[a.From], ids[a.To]
		if from == "" || to == "" {
			continue // a service that did not fit
		}
		arrow := "-->"
		if a.Ended {
			arrow = "-.->"
		}
		if label := label(a); label != "" {
			arrow += "|" + quote(label) + "|"
		}
		fmt.Fprintf(&b, "  %s %s %s\n", from, arrow, to)
	}
	return b.String()
}

// label is what the arrow of a rule says.
func label(a api.GraphArc) string {
	parts := slices.Clone(a.Scopes)
	if a.Exchange != "" {
		parts = append(parts, "("+a.Exchange+")")
	}
	if a.When != nil {
		parts = append(parts, "(conditions)")
	}
	if a.Until != nil {
		parts = append(parts, "until "+moment(a.Until.UnixMicro()))
	}
	return strings.Join(parts, " ")
}
