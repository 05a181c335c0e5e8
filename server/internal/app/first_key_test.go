package app

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/watchword-dev/watchword/server/internal/config"
)

// keysOf returns how many keys of an algorithm the ring has.
func (s *server) keysOf(algorithm string) (n int) {
	s.t.Helper()
	for _, k := range s.operate("GET", "/keys", "")["keys"].([]any) {
		if k.(map[string]any)["algorithm"] == algorithm {
			n++
		}
	}
	return n
}

// F29: the first key of an algorithm is stored with the change that needs it, in one revision, or not at all.
func TestFirstKeyIsStoredWithWhatNeedsIt(t *testing.T) {
	onBothEngines(t, firstKey)
}

func firstKey(t *testing.T, cfg config.Config) {
	s := start(t, cfg)
	m1, _, _ := s.demo()
	apply := func(base int64, text string) answer {
		body, err := json.Marshal(map[string]any{"base": base, "files": []any{map[string]string{"name": "callmap.yaml", "text": text}}})
		must(t, err)
		return s.do(s.request("POST", s.admin+"/callmap/apply", string(body), "Authorization", "Bearer "+s.token))
	}
	plan := s.operate("POST", "/callmap/plan", `{"files":[{"name":"callmap.yaml","text":"version: 1"}]}`)
	base := int64(plan["base"].(float64))

	const file = "version: 1\nservices:\n  m4: {algorithm: %s}\nrules:\n- {from: m1, to: m4}\n"
	a := apply(base, fmt.Sprintf(file, "EdDSA"))
	if a.status != 200 || int64(a.json(t)["revision"].(float64)) != base+1 {
		t.Fatalf("apply on revision %d: got %d %s", base, a.status, a.body)
	}
	if alg := part(t, s.accessToken(m1, "m4"), 0)["alg"]; alg != "EdDSA" {
		t.Errorf("the token is signed with %v", alg)
	}
	if a := apply(base, fmt.Sprintf(file, "PS256")); a.status != 409 {
		t.Errorf("apply on an old revision: got %d %s", a.status, a.body)
	}
	if a := s.do(s.request("POST", s.admin+"/services", `{"name":"m1","algorithm":"RS256"}`, "Authorization", "Bearer "+s.token)); a.status != 409 {
		t.Errorf("a name that is taken: got %d %s", a.status, a.body)
	}
	for _, algorithm := range []string{"PS256", "RS256"} {
		if n := s.keysOf(algorithm); n > 0 {
			t.Errorf("what was refused left %d keys of %s", n, algorithm)
		}
	}
	s.operate("POST", "/services", `{"name":"m5","algorithm":"PS256"}`)
	s.allow("m1", "m5")
	if alg := part(t, s.accessToken(m1, "m5"), 0)["alg"]; alg != "PS256" {
		t.Errorf("the token is signed with %v", alg)
	}
}
