package verify

import (
	"net/http"
	"strings"
	"testing"

	"github.com/watchword-dev/watchword/internal/jose"
)

// FuzzVerify: whatever is sent, nothing passes that the issuer did not sign.
func FuzzVerify(f *testing.F) {
	key, err := jose.GenerateKey(jose.EdDSA)
	if err != nil {
		f.Fatal(err)
	}
	signer, err := jose.NewSigner("k", jose.EdDSA, key)
	if err != nil {
		f.Fatal(err)
	}
	v, err := New(f.Context(), Config{Issuer: "auth-server", Audience: "m2", Keys: jose.NewKeySet(signer.Public()).JSON()})
	if err != nil {
		f.Fatal(err)
	}
	good, err := signer.Sign("at+jwt", []byte(`{"iss":"auth-server","sub":"m1","aud":"m2","iat":1,"exp":253402300799,"jti":"a"}`))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good + "." + good)
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Add("eyJhbGciOiJFZERTQSIsImtpZCI6ImsiLCJ0eXAiOiJhdCtqd3QifQ.e30.AAAA")
	f.Fuzz(func(t *testing.T, token string) {
		claims, err := v.Verify(t.Context(), token)
		if (claims == nil) == (err == nil) {
			t.Fatalf("got %v, %v", claims, err)
		}
		if err == nil && token != good {
			t.Fatalf("%q passed", token)
		}
	})
}

// FuzzAuthorizationHeader: what is taken for a token is exactly what follows the scheme.
func FuzzAuthorizationHeader(f *testing.F) {
	for _, s := range []string{"Bearer a.b.c", "bearer  a", "Bearer a b", "Basic YTpi", "Bearer", "", "Bearer a,Bearer b", "Bearer\ta", "Bearer a\r\nX: y", "\u212Aearer a", "DPoP a.b.c", "dpop a b", "DPoP"} {
		f.Add(s, false)
	}
	f.Add("Bearer a", true)
	f.Fuzz(func(t *testing.T, value string, twice bool) {
		h := http.Header{"Authorization": {value}}
		if twice {
			h.Add("Authorization", value)
		}
		scheme, token, err := credentials(h)
		if err != nil {
			if token != "" {
				t.Fatalf("an error and a token: %q", token)
			}
			return
		}
		if scheme != "Bearer" && scheme != "DPoP" {
			t.Fatalf("scheme %q", scheme)
		}
		rest := strings.TrimLeft(value[len(scheme):], " ")
		if twice || !strings.EqualFold(value[:len(scheme)], scheme) || value[len(scheme)] != ' ' || token != rest || !isQuotable(token) || strings.ContainsAny(token, " ,") {
			t.Fatalf("%q was taken for token %q", value, token)
		}
	})
}
