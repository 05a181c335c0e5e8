package callmap

import (
	"fmt"
	"strings"

	"github.com/watchword-dev/watchword/api"
)

// edge is a rule of a plan, as it is drawn.
type edge struct{ from, to, op, text string }

// drawn returns the rules that change and the services that they name, in the order of the plan.
func drawn(changes []api.PlannedChange) (edges []edge, nodes []string) {
	seen := map[string]bool{}
	node := func(name string) {
		if !seen[name] {
			seen[name] = true
			nodes = append(nodes, name)
		}
	}
	for _, c := range changes {
		from, to, isEdge := strings.Cut(c.What, " -> ")
		switch {
		case isEdge && c.Kind != "service":
			node(from)
			node(to)
			edges = append(edges, edge{from, to, c.Op, c.Text})
		case c.Kind == "service" && c.Op != "change":
			node(c.What)
		}
	}
	return edges, nodes
}

var signs = map[string]string{"add": "+", "change": "~", "remove": "-"}

func drawMermaid(changes []api.PlannedChange) string {
	edges, nodes := drawn(changes)
	ids := map[string]string{}
	var b strings.Builder
	b.WriteString("graph LR\n")
	for i, name := range nodes {
		ids[name] = fmt.Sprintf("n%d", i)
		fmt.Fprintf(&b, "  n%d[\"%s\"]\n", i, mermaidText(name))
	}
	arrows := map[string]string{"add": "-->", "change": "==>", "remove": "-.->"}
	for _, e := range edges {
		label := strings.TrimSpace(signs[e.op] + " " + e.text)
		fmt.Fprintf(&b, "  %s %s|\"%s\"| %s\n", ids[e.from], arrows[e.op], mermaidText(label), ids[e.to])
	}
	return b.String()
}

// mermaidText escapes the two characters that have a meaning in a quoted text.
func mermaidText(s string) string {
	return strings.NewReplacer(`#`, "#35;", `"`, "#quot;").Replace(s)
}

func drawDOT(changes []api.PlannedChange) string {
	edges, nodes := drawn(changes)
	var b strings.Builder
	b.WriteString("digraph plan {\n  rankdir=LR;\n")
	for _, name := range nodes {
		fmt.Fprintf(&b, "  %q;\n", name)
	}
	looks := map[string]string{"add": "color=green4", "change": "color=orange3, penwidth=2", "remove": "color=red3, style=dashed"}
	for _, e := range edges {
		fmt.Fprintf(&b, "  %q -> %q [%s, label=%q];\n", e.from, e.to, looks[e.op], strings.TrimSpace(signs[e.op]+" "+e.text))
	}
	b.WriteString("}\n")
	return b.String()
}
