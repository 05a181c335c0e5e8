package verify_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/watchword-dev/watchword/verify"
	"github.com/watchword-dev/watchword/verify/verifytest"
)

// issuer returns the authorization server of the examples. Tests pass their own t instead of exampleT.
func issuer() (*verifytest.Issuer, func()) {
	t := &exampleT{}
	return verifytest.NewIssuer(t), t.end
}

// exampleT is used by examples, which have no *testing.T.
type exampleT struct {
	testing.TB
	cleanups []func()
}

func (t *exampleT) Helper()                  {}
func (t *exampleT) Context() context.Context { return context.Background() }
func (t *exampleT) Cleanup(f func())         { t.cleanups = append(t.cleanups, f) }
func (t *exampleT) end() {
	for _, f := range t.cleanups {
		f()
	}
}

// A service named m2 protects a handler.
func Example() {
	auth, end := issuer()
	defer end()

	v, err := verify.New(context.Background(), verify.Config{
		Issuer:   "auth-server",
		Audience: "m2",
		JWKSURL:  auth.JWKSURL, // http://localhost:8000/.well-known/jwks.json
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	hello := v.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "Hello to %s from m2!", verify.ClaimsFrom(r.Context()).Subject)
	}))

	r := httptest.NewRequest("GET", "/hello", nil)
	r.Header.Set("Authorization", "Bearer "+auth.Token("m1", "m2"))
	w := httptest.NewRecorder()
	hello.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Body)

	// The same caller sends a token for another service.
	r.Header.Set("Authorization", "Bearer "+auth.Token("m1", "m3"))
	w = httptest.NewRecorder()
	hello.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"))
	// Output:
	// 200 Hello to m1 from m2!
	// 401 Bearer realm="watchword", error="invalid_token", error_description="token is for another audience"
}

func ExampleRequireScope() {
	auth, end := issuer()
	defer end()
	v, err := verify.New(context.Background(), auth.Config("m2"))
	if err != nil {
		fmt.Println(err)
		return
	}
	remove := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "removed") })
	handler := v.Middleware(verify.RequireScope("write")(remove))

	for _, scope := range []string{"read", "read write"} {
		r := httptest.NewRequest("DELETE", "/things/1", nil)
		r.Header.Set("Authorization", "Bearer "+auth.Token("m1", "m2", verifytest.Claim("scope", scope)))
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		fmt.Println(w.Code)
	}
	// Output:
	// 403
	// 200
}

// Verify a token without HTTP, for example in a queue worker.
func ExampleVerifier_Verify() {
	auth, end := issuer()
	defer end()
	v, err := verify.New(context.Background(), auth.Config("m2"))
	if err != nil {
		fmt.Println(err)
		return
	}
	claims, err := v.Verify(context.Background(), auth.Token("m1", "m2", verifytest.Scopes("read")))
	fmt.Println(claims.Subject, claims.Scopes(), err)

	_, err = v.Verify(context.Background(), auth.Token("m1", "m3"))
	fmt.Println(err)
	// Output:
	// m1 [read] <nil>
	// token is for another audience: ["m3"], not "m2"
}

func ExampleClaims_Decode() {
	auth, end := issuer()
	defer end()
	v, err := verify.New(context.Background(), auth.Config("m2"))
	if err != nil {
		fmt.Println(err)
		return
	}
	claims, err := v.Verify(context.Background(), auth.Token("m1", "m2", verifytest.Claim("region", "eu")))
	if err != nil {
		fmt.Println(err)
		return
	}
	var more struct {
		Region string `json:"region"`
	}
	fmt.Println(claims.Decode(&more), more.Region)
	// Output: <nil> eu
}
