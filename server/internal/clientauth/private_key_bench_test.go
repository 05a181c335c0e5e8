package clientauth_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"strings"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/server/internal/clientauth"
	"github.com/watchword-dev/watchword/server/internal/directory"
)

func FuzzAssertion(f *testing.F) {
	b, s := withKey(f)
	signed := map[string]bool{}
	for _, payload := range []string{
		b.claimsOf("m5", nil), b.claimsOf("m5", claims{"aud": []string{issuer}}), b.claimsOf("m5", claims{"exp": nil}), `{}`, `[]`,
	} {
		for _, typ := range []string{"", "at+jwt"} {
			token := b.sign(s, typ, payload).Assertion
			signed[token[:strings.LastIndexByte(token, '.')]] = true
			f.Add(token)
		}
	}
	f.Add("..")
	f.Fuzz(func(t *testing.T, assertion string) {
		p := clientauth.Presented{Assertion: assertion, Address: home}
		id, failure := b.auth.Authenticate(t.Context(), &p, directory.NewSnapshot(&b.state, time.Hour), b.now)
		if failure != nil {
			return
		}
		if last := strings.LastIndexByte(assertion, '.'); !signed[assertion[:last]] || id.Service.Name != "m5" {
			t.Errorf("%q proves %s, and nobody signed it", assertion, id.Service.Name)
		}
	})
}

// BenchmarkAssertion and BenchmarkVerify differ by all that is ours.
func BenchmarkAssertion(b *testing.B) {
	bench, s := withKey(b)
	p := bench.sign(s, "", bench.claimsOf("m5", nil))
	p.Address = home
	snapshot := directory.NewSnapshot(&bench.state, time.Hour)
	b.ReportAllocs()
	for b.Loop() {
		each := p
		if _, f := bench.auth.Authenticate(b.Context(), &each, snapshot, bench.now); f != nil {
			b.Fatal(f)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	sum := sha256.Sum256([]byte("input"))
	r, s, _ := ecdsa.Sign(rand.Reader, key, sum[:])
	b.ReportAllocs()
	for b.Loop() {
		if !ecdsa.Verify(&key.PublicKey, sum[:], r, s) {
			b.Fatal("not verified")
		}
	}
}
