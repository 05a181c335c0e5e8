package verifytest_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/verify"
	"github.com/watchword-dev/watchword/verify/verifytest"
)

// newHandler is the service under test, which takes its verifier from outside.
func newHandler(v *verify.Verifier) http.Handler {
	hello := func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "Hello to %s!", verify.ClaimsFrom(r.Context()).Subject)
	}
	return v.Middleware(verify.RequireScope("greet")(http.HandlerFunc(hello)))
}

// In a test of a service, t is the test's own.
func Example() {
	var t *testing.T

	auth := verifytest.NewIssuer(t)
	v, err := verify.New(t.Context(), auth.Config("m2"))
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("GET", "/hello", nil)
	r.Header.Set("Authorization", "Bearer "+auth.Token("m1", "m2", verifytest.Scopes("greet")))
	w := httptest.NewRecorder()
	newHandler(v).ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

func TestServiceLetsInWhoItShould(t *testing.T) {
	auth := verifytest.NewIssuer(t)
	v, err := verify.New(t.Context(), auth.Config("m2"))
	if err != nil {
		t.Fatal(err)
	}
	handler := newHandler(v)
	greet := verifytest.Scopes("greet")
	for name, c := range map[string]struct {
		token string
		want  int
	}{
		"good":                {auth.Token("m1", "m2", greet), 200},
		"another scope":       {auth.Token("m1", "m2", verifytest.Scopes("read")), 403},
		"for another service": {auth.Token("m1", "m3", greet), 401},
		"expired":             {auth.Token("m1", "m2", greet, verifytest.Expired()), 401},
		"from the future":     {auth.Token("m1", "m2", greet, verifytest.IssuedAt(time.Now().Add(time.Hour))), 401},
		"forged":              {auth.Token("m1", "m2", greet, verifytest.Forged()), 401},
		"another issuer":      {auth.Token("m1", "m2", greet, verifytest.Claim("iss", "someone-else")), 401},
		"a credential":        {auth.Token("m1", "m2", greet, verifytest.Type("bootstrap+jwt")), 401},
	} {
		r := httptest.NewRequest("GET", "/hello", nil)
		r.Header.Set("Authorization", "Bearer "+c.token)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != c.want {
			t.Errorf("%s: got %d %s, want %d", name, w.Code, w.Body, c.want)
		}
	}
}

// A verifier of the keys themselves needs no server at all.
func TestKeySetServesForStaticKeys(t *testing.T) {
	auth := verifytest.NewIssuer(t)
	auth.Publish("EdDSA")
	v, err := verify.New(t.Context(), verify.Config{Issuer: auth.Name, Audience: "m2", Keys: auth.KeySet()})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := v.Verify(t.Context(), auth.Token("m1", "m2")); err != nil {
			t.Error(err)
		}
		auth.Activate()
	}
	if auth.Fetches() != 0 {
		t.Errorf("got %d fetches, want none", auth.Fetches())
	}
}

func TestIssuerComesAndGoes(t *testing.T) {
	auth := verifytest.NewIssuer(t)
	auth.SetDown(true)
	v, err := verify.New(t.Context(), auth.Config("m2"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(t.Context(), auth.Token("m1", "m2")); !errors.Is(err, verify.ErrKeysUnavailable) {
		t.Errorf("down: got %v", err)
	}
	auth.SetDown(false)
	if v, err = verify.New(t.Context(), auth.Config("m2")); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(t.Context(), auth.Token("m1", "m2")); err != nil || auth.Fetches() != 2 {
		t.Errorf("up: got %v after %d fetches", err, auth.Fetches())
	}
}
