package callmap_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/watchword-dev/watchword/server/internal/callmap"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/policy"
)

// F80: a file of which nothing is left is not one that says "nothing".
func TestFileWithoutContentOrVersionIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		"":                               "a.yaml:1:1: the file has no content; a call map begins with version: 1",
		"\n\n":                           "a.yaml:1:1: the file has no content",
		"# version: 1\n":                 "a.yaml:1:1: the file has no content",
		"---\n":                          "a.yaml:1:1: the file has no content",
		"{}":                             "a.yaml:1:1: a call map has a version: begin the file with version: 1, or run: watchword callmap fmt -w",
		"managed-by: a\n":                "a.yaml:1:1: a call map has a version",
		"services: {m1: {version: 1}}\n": "a.yaml:1:1: a call map has a version",
	} {
		if _, err := callmap.Parse("a.yaml", []byte(text)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
	for text, want := range map[string]string{
		"# why\nservices: {m1: }\n":      "# why\nversion: 1\nservices: {m1: }\n",
		"--- # {\n  services: {m1: }\n":  "--- # {\n  version: 1\n  services: {m1: }\n",
		"# {\n{services: {m1: }}\n":      "# {\n{version: 1, services: {m1: }}\n",
		"version: 1\nservices: {m1: }\n": "version: 1\nservices: {m1: }\n",
		"":                               "",
		"{}":                             "{}",
		"a: [":                           "a: [",
	} {
		if got := string(callmap.WithVersion([]byte(text))); got != want {
			t.Errorf("WithVersion(%q) = %q, want %q", text, got, want)
		}
	}
	got, err := callmap.Format("a.yaml", []byte("rules: []\nservices: {m1: {}}\n"))
	if err != nil || !strings.HasPrefix(string(got), "version: 1\nservices:") {
		t.Errorf("formatted: %q, %v", got, err)
	}
}

// F80.
func TestPlanCountsWhatItRemoves(t *testing.T) {
	// owned is what the files own: services s0 and so on, and a rule from s0 to each but itself.
	state := func(services int) *directory.State {
		st := &directory.State{Services: []directory.Service{{UID: uid(200), Name: "by-hand", Version: 1}}}
		for i := range services {
			st.Services = append(st.Services, directory.Service{UID: uid(byte(i + 1)), Name: fmt.Sprintf("s%d", i), ManagedBy: "callmap", Version: 1})
			if i > 0 {
				st.Rules = append(st.Rules, directory.Rule{Edge: policy.Edge{Caller: uid(1), Target: uid(byte(i + 1))}, ManagedBy: "callmap", Version: 1})
			}
		}
		return st
	}
	file := func(keep int) string {
		text := "version: 1\nservices:\n  other: {}\n"
		for i := range keep {
			text += fmt.Sprintf("  s%d: {}\n", i)
		}
		if keep > 1 {
			text += "rules:\n"
		}
		for i := 1; i < keep; i++ {
			text += fmt.Sprintf("- {from: s0, to: s%d}\n", i)
		}
		return text
	}
	for _, c := range []struct {
		services, keep, removed int
		many                    bool
	}{
		{3, 3, 0, false},
		{3, 1, 4, false},     // few
		{3, 0, 5, true},      // all services
		{1, 0, 1, true},      // all services
		{0, 0, 0, false},     // there are none
		{14, 10, 8, false},   // 8 of 27, but few
		{20, 16, 8, false},   // few
		{20, 15, 10, true},   // 10 of 39
		{100, 95, 10, false}, // 10 of 199
		{100, 76, 48, false}, // 48 of 199
		{100, 75, 50, true},  // 50 of 199
	} {
		f, err := callmap.Parse("a.yaml", []byte(file(c.keep)))
		if err != nil {
			t.Fatal(err)
		}
		p, err := callmap.Make([]*callmap.File{f}, state(c.services), noon)
		if err != nil {
			t.Fatal(err)
		}
		if p.Removed != c.removed || p.RemovesMany != c.many {
			t.Errorf("%d services, %d stay: removes %d, many %v, want %d, %v", c.services, c.keep, p.Removed, p.RemovesMany, c.removed, c.many)
		}
	}
}

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
		"tests":        {all + "tests:\n- {from: group:all, to: group:all, expect: deny}\n", fmt.Sprintf("a.yaml:%d:3: with this test, the files require 4000000 decisions", line+1)},
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
