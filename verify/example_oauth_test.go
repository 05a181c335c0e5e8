package verify_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/watchword-dev/watchword/verify"
	"github.com/watchword-dev/watchword/verify/verifytest"
)

// One URL is enough: tokens of the OAuth door, keys, and revocations, which are followed until Close.
func ExampleConfig_server() {
	auth, end := issuer()
	defer end()
	v, err := verify.New(context.Background(), verify.Config{
		Server:   auth.URL,      // http://localhost:8000
		Issuer:   "auth-server", // take tokens of the plain door too
		Audience: "m2",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer v.Close()

	token := auth.Token("m1", "m2", verifytest.DependsOn("svc_1"))
	_, err = v.Verify(context.Background(), token)
	fmt.Println(err)

	auth.Revoke("svc_1") // somebody deletes the service m1
	auth.AwaitFollower() // at most a second
	_, err = v.Verify(context.Background(), token)
	fmt.Println(err)
	// Output:
	// <nil>
	// token has been revoked, by what it depends on
}

// Sender-constrained tokens need no setting, but behind a proxy the URL callers use.
func ExampleConfig_externalURL() {
	auth, end := issuer()
	defer end()
	c := auth.Config("m2")
	c.ExternalURL = "https://api.example.com/m2" // what a proxy passes on as /hello is .../m2/hello
	v, err := verify.New(context.Background(), c)
	if err != nil {
		fmt.Println(err)
		return
	}
	hello := v.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "Hello to %s from m2!", verify.ClaimsFrom(r.Context()).Subject)
	}))

	key := verifytest.NewKey(&exampleT{}) // the caller's
	token := auth.Token("m1", "m2", verifytest.BoundToKey(key))
	r := httptest.NewRequest("GET", "/hello", nil)
	key.Attach(r, "https://api.example.com/m2/hello", token)
	w := httptest.NewRecorder()
	hello.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Body)

	// A thief has the token, and the proof too, but not the key.
	w = httptest.NewRecorder()
	hello.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"))
	r.Header.Set("Authorization", "Bearer "+token)
	w = httptest.NewRecorder()
	hello.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"))
	// Output:
	// 200 Hello to m1 from m2!
	// 401 DPoP realm="watchword", error="invalid_dpop_proof", error_description="DPoP proof does not hold: used before", algs="ES256 PS256 EdDSA"
	// 401 DPoP realm="watchword", error="invalid_token", error_description="token is bound to a key and is no bearer token", algs="ES256 PS256 EdDSA"
}

// m3 calls with a token that m2 exchanged for one that says: m2 acts for m1.
func ExampleClaims_Actor() {
	auth, end := issuer()
	defer end()
	v, err := verify.New(context.Background(), auth.Config("m3"))
	if err != nil {
		fmt.Println(err)
		return
	}
	c, err := v.Verify(context.Background(), auth.Token("m1", "m3", verifytest.Actors("m2")))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s for %s\n", c.Actor(), c.Subject)
	// Output: m2 for m1
}

// A client that knows only this service's URL finds out where to get a token for it.
func ExampleVerifier_ResourceMetadata() {
	auth, end := issuer()
	defer end()
	c := auth.Config("m2")
	c.Audiences = []string{"https://m2.example.com/api"}
	c.Resource = verify.Resource{URL: "https://m2.example.com/api", Scopes: []string{"read"}}
	v, err := verify.New(context.Background(), c)
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle(v.ResourceMetadata())
	mux.Handle("/api/", v.Middleware(http.NotFoundHandler()))

	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest("GET", "/api/things", nil))
	fmt.Println(w.Header().Get("WWW-Authenticate"))
	w = httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest("GET", "/.well-known/oauth-protected-resource/api", nil))
	fmt.Println(w.Code)
	// Output:
	// Bearer realm="watchword", resource_metadata="https://m2.example.com/.well-known/oauth-protected-resource/api"
	// 200
}

// For protocols other than HTTP: the token and the proof come from wherever those carry them.
func ExampleVerifier_VerifyWith() {
	auth, end := issuer()
	defer end()
	v, err := verify.New(context.Background(), auth.Config("m2"))
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = v.VerifyWith(context.Background(), auth.Token("m1", "m3"), verify.Proof{Scheme: "Bearer"})
	answer := v.Refusal(err)
	fmt.Println(answer.Status, answer.Code, answer.Description)
	// Output: 401 invalid_token token is for another audience
}
