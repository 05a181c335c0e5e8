package trust_test

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/trust"
)

// recorded is a file of testdata: see the README there.
type recorded struct {
	Alg, Typ, Issuer, Audience string
	At                         time.Time
	Claims                     json.RawMessage

	preset string
	parsed *trust.Claims
}

func recording(t testing.TB, preset string) *recorded {
	t.Helper()
	text, err := os.ReadFile("testdata/" + preset + ".json")
	if err != nil {
		t.Fatal(err)
	}
	r := &recorded{preset: preset}
	if err := json.Unmarshal(text, r); err != nil {
		t.Fatalf("%s: %v", preset, err)
	}
	r.parsed = parse(t, string(r.Claims))
	return r
}

func parse(t testing.TB, claims string) *trust.Claims {
	t.Helper()
	c, err := trust.Parse([]byte(claims))
	if err != nil {
		t.Fatalf("%v in %s", err, claims)
	}
	return c
}

const serverIssuer = "https://auth.example.com"

func (r *recorded) settings() *api.TrustSettings {
	s := &api.TrustSettings{Preset: r.preset, Issuer: r.Issuer, Audience: r.Audience}
	if r.preset == trust.SPIFFE {
		s.JWKS = `{"keys":[]}`
	}
	return s
}

// edited is the claims after a change.
func (r *recorded) edited(t testing.TB, change func(all map[string]any)) *trust.Claims {
	t.Helper()
	var all map[string]any
	if err := json.Unmarshal(r.Claims, &all); err != nil {
		t.Fatal(err)
	}
	change(all)
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, string(text))
}

// changed is the claims with one of them replaced, or removed if value is nil.
func (r *recorded) changed(t testing.TB, at []string, value any) *trust.Claims {
	t.Helper()
	return r.edited(t, func(inner map[string]any) {
		for _, part := range at[:len(at)-1] {
			next, ok := inner[part].(map[string]any)
			if !ok {
				next = map[string]any{}
				inner[part] = next
			}
			inner = next
		}
		if inner[at[len(at)-1]] = value; value == nil {
			delete(inner, at[len(at)-1])
		}
	})
}

func (r *recorded) judge(c *trust.Claims) []api.ClaimFinding {
	s := r.settings()
	return trust.Judge(s, c, trust.Audience(s, serverIssuer), r.Typ, r.Alg, r.At)
}

func TestRecordedTokensMeetTheRuleThatIsProposedForThem(t *testing.T) {
	for _, p := range trust.Names() {
		t.Run(p, func(t *testing.T) {
			r := recording(t, p)
			s := r.settings()
			if err := trust.CheckSettings(*s, serverIssuer); err != nil {
				t.Fatal(err)
			}
			if got := trust.Detect(r.parsed); got != p {
				t.Errorf("Detect: %s", got)
			}
			proposal, words := trust.Propose(s, r.parsed)
			t.Logf("%s\n%v", words[0], words[1:])
			rule, err := trust.CheckClaims(s, proposal)
			if err != nil {
				t.Fatalf("%v: %v", proposal, err)
			}
			for _, f := range append(r.judge(r.parsed), trust.Match(s, rule, r.parsed)...) {
				if !f.Met {
					t.Errorf("%+v", f)
				}
			}
		})
	}
}
