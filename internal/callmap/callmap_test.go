package callmap

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/internal/directory"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

const example = `version: 1
services:
  m1: {labels: {team: web}}
  m2:
  ledger: {owner: money@example.com, token-life: 5m, auth: [private_key_jwt]}
groups:
  web: {labels: {team: web}}
rules:
  - {from: m1, to: [m1, m2], scopes: [read]}
  - {from: group:web, to: ledger, scopes: [post], when: {bound: true}}
tests:
  - {from: m2, to: ledger, expect: deny}
  - {from: m1, to: m2, scopes: [read], expect: allow}
  - {from: m1, to: ledger, expect: deny}
  - {from: m1, to: ledger, with: {bound: true}, expect: allow}
`

func parse(t testing.TB, text string) *File {
	t.Helper()
	f, err := Parse("callmap.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestExampleIsPlannedAndItsTestsPass(t *testing.T) {
	p, err := Make([]*File{parse(t, example)}, &directory.State{Revision: 7}, noon)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Services) != 3 || len(p.Rules) != 3 || p.Base != 7 {
		t.Fatalf("got %d services and %d rules on %d, want 3 and 3 on 7", len(p.Services), len(p.Rules), p.Base)
	}
	results := p.Test(p.After(time.Hour), noon)
	if len(results) != 4 {
		t.Fatalf("got %d results, want 4", len(results))
	}
	for _, r := range results {
		if !r.Passed() {
			t.Error(r)
		}
	}
}

func TestMistakesAreShownInTheirPlace(t *testing.T) {
	_, err := Parse("callmap.yaml", []byte("rules:\n  - {from: m1, to: m2, scope: [read]}\n"))
	want := "callmap.yaml:2:24: a rule has no \"scope\"; did you mean scopes?\n    2 |   - {from: m1, to: m2, scope: [read]}\n      |                        ^"
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func BenchmarkPlanMillion(b *testing.B) {
	const services, fanOut = 100_000, 10
	var text strings.Builder
	text.WriteString("version: 1\nservices:\n")
	for i := range services {
		fmt.Fprintf(&text, "  s%d: {owner: team-%d}\n", i, i%50)
	}
	text.WriteString("rules:\n")
	for i := range services {
		fmt.Fprintf(&text, "  - {from: s%d, to: [", i)
		for g := range fanOut {
			fmt.Fprintf(&text, "s%d,", (i*7+g*13+1)%services)
		}
		text.WriteString("], scopes: [read]}\n")
	}
	for b.Loop() {
		start := time.Now()
		f := parse(b, text.String())
		b.Log("parsed", time.Since(start))
		p, err := Make([]*File{f}, &directory.State{}, noon)
		if err != nil {
			b.Fatal(err)
		}
		b.Log("planned", time.Since(start), len(p.Rules))
		p.After(time.Hour)
		b.Log("after", time.Since(start))
	}
}
