package callmap

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/issuer"
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
	must(t, err)
	return f
}

func TestExampleIsPlannedAndItsTestsPass(t *testing.T) {
	p, err := Make([]*File{parse(t, example)}, &directory.State{Revision: 7}, noon)
	must(t, err)
	if len(p.Services) != 3 || len(p.Rules) != 3 || p.Base != 7 {
		t.Fatalf("got %d services and %d rules on %d, want 3 and 3 on 7", len(p.Services), len(p.Rules), p.Base)
	}
	results := p.Test(issuer.NewRehearser(p.After(time.Hour), issuer.Options{}), noon)
	if len(results) != 4 {
		t.Fatalf("got %d results, want 4", len(results))
	}
	for _, r := range results {
		if !r.Passed() {
			t.Error(r)
		}
	}
}

// F96: a test comes out as a request would, which depends on what its caller may use, and on how a token that is exchanged
// came to be.
func TestTestsKnowWhatCallersMayUse(t *testing.T) {
	p, err := Make([]*File{parse(t, `version: 1
services:
  keyed: {auth: private_key_jwt, binding: dpop, grants: client_credentials}
  exchanging: {grants: client_credentials}
  web:
  shop:
  bank: {algorithm: RS256}
rules:
  - {from: keyed, to: [web, bank]}
  - {from: exchanging, to: bank, exchange: delegate}
  - {from: web, to: shop, scopes: [pay]}
  - {from: web, to: exchanging, scopes: [pay]}
  - {from: shop, to: bank, scopes: [pay, refund], exchange: delegate}
tests:
  - {from: keyed, to: web, with: {auth: bootstrap, bound: true}, expect: deny}
  - {from: keyed, to: web, with: {auth: private_key_jwt}, expect: deny}
  - {from: keyed, to: [web, bank], with: {auth: private_key_jwt, bound: true}, expect: allow}
  - {from: exchanging, to: bank, with: {on-behalf-of: web}, expect: deny}
  - {from: shop, to: bank, scopes: [pay], with: {on-behalf-of: web}, expect: allow}
  - {from: shop, to: bank, scopes: [refund], with: {on-behalf-of: web}, expect: deny}
  - {from: shop, to: bank, with: {on-behalf-of: keyed}, expect: deny}
`)}, &directory.State{}, noon)
	must(t, err)
	var reasons []string
	for _, r := range p.Test(issuer.NewRehearser(p.After(time.Hour), issuer.Options{}), noon) {
		if !r.Passed() {
			t.Error(r)
		}
		reasons = append(reasons, r.Reason)
	}
	want := []string{"method_not_accepted", "unbound", "allowed", "allowed", "grant_not_allowed", "allowed", "scope_not_granted", "no_rule"}
	if !slices.Equal(reasons, want) {
		t.Errorf("got %v, want %v", reasons, want)
	}
}

// F107: what was disabled by hand, in an emergency, is not enabled by a file that does not say so.
func TestApplyKeepsWhatWasDisabledByHand(t *testing.T) {
	was := directory.Service{UID: directory.UID{1}, Name: "m1", ManagedBy: DefaultOwner}
	was.Disabled = true
	for text, disabled := range map[string]bool{
		"m1:":                   true,
		"m1: {labels: {a: b}}":  true,
		"m1: {disabled: true}":  true,
		"m1: {disabled: false}": false,
	} {
		p, err := Make([]*File{parse(t, "version: 1\nservices:\n  "+text+"\n")}, &directory.State{Services: []directory.Service{was}}, noon)
		if err != nil {
			t.Fatal(err)
		}
		if svc, _ := p.After(time.Hour).Service("m1"); svc == nil || svc.Disabled != disabled {
			t.Errorf("%s: got %+v, want disabled: %v", text, svc, disabled)
		}
	}
}

func TestMistakesAreShownInTheirPlace(t *testing.T) {
	_, err := Parse("callmap.yaml", []byte("rules:\n  - {from: m1, to: m2, scope: [read]}\nversion: 1\n"))
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
		must(b, err)
		b.Log("planned", time.Since(start), len(p.Rules))
		p.After(time.Hour)
		b.Log("after", time.Since(start))
	}
}

// applied is the state after a plan, as the store would have it.
func applied(p *Plan) *directory.State {
	s := &directory.State{Revision: p.Base + 1, Shadow: p.Shadow}
	services := map[directory.UID]directory.Service{}
	for _, svc := range p.state.Services {
		services[svc.UID] = svc
	}
	for _, c := range p.Services {
		if c.New != nil {
			next := *c.New
			next.Version++
			services[next.UID] = next
		} else {
			delete(services, c.Old.UID)
		}
	}
	for _, svc := range services {
		s.Services = append(s.Services, svc)
	}
	changed := map[string]bool{}
	for _, c := range p.Rules {
		changed[c.Caller+" "+c.Target] = true
		if c.New != nil {
			next := *c.New
			next.Version++
			s.Rules = append(s.Rules, next)
		}
	}
	for _, r := range p.state.Rules {
		if !changed[p.names[r.Caller]+" "+p.names[r.Target]] {
			s.Rules = append(s.Rules, r)
		}
	}
	return s
}

func TestExportThenPlanIsEmpty(t *testing.T) {
	p, err := Make([]*File{parse(t, example)}, &directory.State{}, noon)
	must(t, err)
	state := applied(p)
	text := Export(state, DefaultOwner)
	again, err := Make([]*File{parse(t, string(text))}, state, noon.Add(time.Hour))
	must(t, err)
	if !again.Empty() {
		t.Errorf("planning the export changes %d services and %d rules:\n%s", len(again.Services), len(again.Rules), text)
	}
}

func TestFormatIsStable(t *testing.T) {
	once, err := Format("callmap.yaml", []byte("tests:\n    - {expect: deny, from: m2, to: m1} # never\nservices: {m2: , m1: }\nversion: 1\n"))
	must(t, err)
	twice, err := Format("callmap.yaml", once)
	if err != nil || string(once) != string(twice) {
		t.Errorf("got %v\n%s\nthen\n%s", err, once, twice)
	}
	if !strings.HasPrefix(string(once), "version: 1\n") || !strings.Contains(string(once), "{from: m2, to: m1, expect: deny} # never") {
		t.Errorf("got\n%s", once)
	}
}

// must ends the test if something failed that has to succeed.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
