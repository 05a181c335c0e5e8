package client

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func TestNoncesAreKeptPerOriginAndBounded(t *testing.T) {
	p, err := newProver(&DPoP{})
	must(t, err)
	learn := func(url, used string, nonces ...string) bool {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
		must(t, err)
		return p.learn(req, http.Header{"Dpop-Nonce": nonces}, used)
	}
	if !learn("https://A.example/x", "", "one") || learn("https://a.example/y", "one", "one") || !learn("https://a.example/", "one", "two") {
		t.Error("it does not tell a new nonce from the one used")
	}
	// RFC 9449, section 8.1, and no more than one header.
	for _, bad := range [][]string{nil, {""}, {"a b"}, {"a\"b"}, {"a\\b"}, {"é"}, {strings.Repeat("a", 1025)}, {"three", "four"}} {
		if learn("https://a.example/", "two", bad...) || p.nonces["https://a.example"] != "two" {
			t.Errorf("%.20q was taken for a nonce", bad)
		}
	}
	for i := range 2 * maxNonces {
		if !learn(fmt.Sprintf("https://%d.example/", i), "", "n") {
			t.Errorf("origin %d: not remembered", i)
		}
	}
	if len(p.nonces) > maxNonces {
		t.Errorf("%d nonces are remembered", len(p.nonces))
	}
}

func TestDPoPKeysThatWillNotDo(t *testing.T) {
	for alg, key := range generate(t) {
		if p, err := newProver(&DPoP{Key: key}); err != nil || p.signer.Algorithm() != alg {
			t.Errorf("%s: %v", alg, err)
		}
	}
	if _, err := New(Config{Server: "https://as.example", Credential: Static("x"), DPoP: &DPoP{Key: weakKey(t)}}); err == nil {
		t.Error("a weak key: accepted")
	}
}
