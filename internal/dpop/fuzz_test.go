package dpop_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/internal/dpop"
	"github.com/watchword-dev/watchword/internal/jose"
)

// FuzzDPoP, VER-034: whatever is sent, nothing holds but what one of the keys signed, for this
// request, and the URL has one form.
func FuzzDPoP(f *testing.F) {
	good := map[string]bool{}
	for _, alg := range jose.ClientAlgorithms() {
		p := forge(f, alg, dpop.Type, sound(nil))
		good[p[:strings.LastIndexByte(p, '.')]] = true
		f.Add(p, tokenURL)
	}
	f.Add(forge(f, jose.RS256, dpop.Type, sound(nil)), "HTTPS://a.Example:443/%7e/../b/./c?d#e")
	f.Add(proof(f, map[string]any{"nonce": "n", "ath": "x", "jti": strings.Repeat("j", 129)}), "https://[::1]:8443")
	f.Add("", "http://a/%2e%2e/%2F//")
	f.Add(".,.", "http://a:80%")
	f.Fuzz(func(t *testing.T, header, url string) {
		e := expected
		e.URL = url
		mine := expected
		mine.Key = signers()[jose.ES256].ID() // the seeds come from another process, with other keys
		if p, err := dpop.Check([]string{header}, mine); err == nil && (!good[header[:strings.LastIndexByte(header, '.')]] || p.ReplayKey == "") {
			t.Fatalf("%q holds: %+v", header, p)
		} else if err != nil && !errors.Is(err, dpop.ErrProof) && !errors.Is(err, dpop.ErrNonce) {
			t.Fatal(err)
		}
		// A proof for url holds for url, however it is written.
		made, err := dpop.NewProof(signers()[jose.EdDSA], "POST", url, "", "", now)
		if err != nil {
			return
		}
		if _, err := dpop.Check([]string{made}, e); err != nil {
			t.Fatalf("%q: %v", url, err)
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	header := []string{proof(b, map[string]any{"ath": dpop.TokenHash("t")})}
	e := expected
	e.AccessToken, e.Key = "t", signers()[jose.ES256].ID()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := dpop.Check(header, e); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNewProof(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := dpop.NewProof(signers()[jose.ES256], "GET", tokenURL, "", "t", time.Now()); err != nil {
			b.Fatal(err)
		}
	}
}
