package callmap_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// F07: what a few lines come to is counted before it is written out.
func TestSmallFileDoesNotBecomeAHugeMap(t *testing.T) {
	var services strings.Builder
	services.WriteString("version: 1\nservices:\n")
	const n = 2000
	for i := range n {
		fmt.Fprintf(&services, "  s%d: {labels: {a: b}}\n", i)
	}
	line := n + 3
	all := services.String() + "groups:\n  all: {labels: {a: b}}\n"
	line += 2
	var many strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&many, "  g%d: [group:all]\n", i)
	}
	for name, c := range map[string]struct{ text, want string }{
		"rules":        {all + "rules:\n- {from: group:all, to: group:all}\n", fmt.Sprintf("a.yaml:%d:3: with this rule, from 2000 services to 2000, the files have 4000000 rules; at most 1048576 are accepted", line+1)},
		"shadow rules": {all + "rules:\n- {from: group:all, to: group:all, shadow: true}\n", "the files have 4000000 rules"},
		"many rules":   {all + "rules:\n" + strings.Repeat("- {from: group:all, to: s1}\n", 600), "with this rule, from 2000 services to 1, the files have 1050000 rules"},
		"tests":        {all + "tests:\n- {from: group:all, to: group:all, expect: deny}\n", fmt.Sprintf("a.yaml:%d:3: with this test, the files ask for 4000000 decisions", line+1)},
		"groups":       {all + many.String(), "all groups have 4196000 members; at most 4194304 are accepted"},
		"one group again and again": {
			services.String() + "groups:\n  all: {labels: {a: b}}\n  g: [" + strings.Repeat("group:all,", 3000) + "]\nrules:\n- {from: [" + strings.Repeat("group:g,", 3000) + "s1], to: group:all}\n",
			"the files have 4000000 rules",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := makeOf(c.text)
			runtime.ReadMemStats(&after)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %.300v, want %s", err, c.want)
			}
			// 4,000,000 names alone are 64 MiB, and a rule is a hundred times that.
			if took := (after.TotalAlloc - before.TotalAlloc) >> 20; took > 400 {
				t.Errorf("%d MiB were allocated for %d KiB of text", took, len(c.text)>>10)
			}
		})
	}
	if p, err := makeOf(all + "rules:\n- {from: group:all, to: [s1, s2]}\ntests:\n- {from: group:all, to: s1, expect: allow}\n"); err != nil || len(p.Rules) != 2*n {
		t.Errorf("a map of %d rules: %v", 2*n, err)
	}
}
