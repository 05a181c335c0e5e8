package trust_test

import (
	"maps"
	"runtime"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/watchword-dev/watchword/server/internal/trust"
)

// FED-005: what chooses the nearest credential says the same as what is compared claim by claim.
func TestNumberOfUnmetClaimsIsThatOfTheFindings(t *testing.T) {
	for _, name := range trust.Names() {
		r, p := recording(t, name), preset(t, name)
		proposal, _ := trust.Propose(r.settings(), r.parsed)
		claims := []string{"/nowhere", "/a~1b/c", "/a~2"}
		for _, c := range p.Claims {
			claims = append(claims, c.Name)
		}
		for _, claim := range claims {
			tokens := []*trust.Claims{r.parsed}
			for _, value := range []any{nil, "pull_request", "spiffe://example.org/x/y", true, 1, []any{"x", 1, nil}, map[string]any{}} {
				tokens = append(tokens, r.changed(t, where(p, claim), value))
			}
			for _, want := range []string{"", "x", "true", "1", "pull_request", "spiffe://example.org/x/", "spiffe://example.org/x/y", proposal[claim]} {
				wanted := maps.Clone(proposal)
				if wanted[claim] = want; want == "" {
					delete(wanted, claim)
				}
				for _, issuer := range []string{r.Issuer, "https://gitlab.com", "https://ghes.example.com/_services/token"} {
					s := r.settings()
					s.Issuer = issuer
					for i, c := range tokens {
						findings := unmet(trust.Match(s, wanted, c))
						if got := trust.Unmet(s, wanted, c); got != len(findings) {
							t.Errorf("%s, token %d, %s is %q of %s: %d are not met, and the findings have %v", name, i, claim, want, issuer, got, findings)
						}
					}
				}
			}
		}
	}
}

// The rules that a refused token is compared with may be many.
func TestRulesAreComparedWithoutAllocating(t *testing.T) {
	for _, name := range trust.Names() {
		r := recording(t, name)
		s := r.settings()
		rule, _ := trust.Propose(s, r.parsed)
		rule["sub"] = "spiffe://example.org/other/"
		if got := testing.AllocsPerRun(100, func() { trust.Unmet(s, rule, r.parsed) }); got > 0 {
			t.Errorf("%s: %.0f allocations", name, got)
		}
	}
}

func TestWhatIsShownOfALongTextIsItsBeginning(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		text := strings.Repeat(rapid.OneOf(
			rapid.StringN(1, 20, -1),
			rapid.SampledFrom([]string{"\U000E0001", "\x00", "\xff", "\xf3\xa0\x80", "é", "\U0001F600"}),
		).Draw(rt, "text"), rapid.IntRange(1, 400).Draw(rt, "times"))
		whole := trust.Show(text)
		// The text as people would see it with no bound, cut.
		var all strings.Builder
		for _, r := range text {
			all.WriteString(trust.Show(string(r)))
		}
		want := all.String()
		if len(want) > 256 {
			n := 0
			for i := range want {
				if i <= 253 {
					n = i
				}
			}
			want = want[:n] + "…"
		}
		if whole != want {
			rt.Errorf("%q: %q, want %q", text, whole, want)
		}
	})
}

func TestShowingTheBeginningOfATextDoesNotCopyTheRest(t *testing.T) {
	text := strings.Repeat("\x00", 1<<20)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 20 {
		trust.Show(text)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 1<<20 {
		t.Errorf("showing 256 bytes 20 times allocates %d bytes", got)
	}
}

func BenchmarkUnmet(b *testing.B) {
	r := recording(b, "github")
	s := r.settings()
	rule := map[string]string{}
	for _, c := range preset(b, "github").Claims {
		rule[c.Name] = "x"
	}
	b.ReportAllocs()
	for b.Loop() {
		trust.Unmet(s, rule, r.parsed)
	}
}
