package app

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/keys"
)

// BenchmarkOAuthDoors is for profiling: the handlers alone, without a network. "verify" and "sign"
// are the cryptography that is in them.
func BenchmarkOAuthDoors(b *testing.B) {
	w := populated(start(b, oauthConfig(b)))
	token := w.get("m1", "m2")
	handler := w.s.public()
	request := func(path, body, name string) func() {
		return func() {
			r := httptest.NewRequest("POST", path, strings.NewReader(body))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.SetBasicAuth(name, secretOf(name))
			recorder := httptest.NewRecorder()
			if handler.ServeHTTP(recorder, r); recorder.Code != http.StatusOK {
				b.Error(recorder.Code, recorder.Body)
			}
		}
	}
	signer, err := w.s.ring.Signer(keys.UseAccess, jose.ES256)
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name string
		run  func()
	}{
		{"introspect", request("/oauth2/introspect", form("token", token), "m2")},
		{"introspect/inactive", request("/oauth2/introspect", form("token", token), "m3")},
		{"token", request("/oauth2/token", credentialsFor("m2"), "m1")},
		{"metadata", func() {
			handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/.well-known/openid-configuration", nil))
		}},
		{"verify", func() {
			if t, err := jose.Parse(token); err != nil || t.Verify(w.s.ring.Verifiers(keys.UseAccess), []jose.Algorithm{jose.ES256}) != nil {
				b.Error("not good")
			}
		}},
		{"sign", func() {
			if _, err := signer.Sign("at+jwt", make([]byte, 300)); err != nil {
				b.Error(err)
			}
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					c.run()
				}
			})
		})
	}
}
