package verify_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/watchword-dev/watchword/verify"
	"github.com/watchword-dev/watchword/verify/verifytest"
)

// Server sets the issuer of OAuth tokens, the key set, and the deny-list, which is followed until Close.
func ExampleConfig_server() {
	auth, end := issuer()
	defer end()
	v, err := verify.New(context.Background(), verify.Config{
		Server:   auth.URL,      // http://localhost:8000
		Issuer:   "auth-server", // accept tokens of POST /accesstoken, too
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

	auth.Revoke("svc_1") // an operator deletes the service m1
	auth.AwaitFollower() // at most a second
	_, err = v.Verify(context.Background(), token)
	fmt.Println(err)
	// Output:
	// <nil>
	// token has been revoked, by what it depends on
}

// Tokens that are bound to a key need no setting, except for the external URL behind a proxy.
func ExampleConfig_externalURL() {
	auth, end := issuer()
	defer end()
	c := auth.Config("m2")
	c.ExternalURL = "https://api.example.com/m2" // the proxy passes .../m2/hello on as /hello
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

	// A thief has the token and the proof, but not the key.
	w = httptest.NewRecorder()
	hello.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"))
	r.Header.Set("Authorization", "Bearer "+token)
	w = httptest.NewRecorder()
	hello.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"))
	// Output:
	// 200 Hello to m1 from m2!
	// 401 DPoP realm="watchword", error="invalid_dpop_proof", error_description="DPoP proof is not valid: used before", algs="ES256 PS256 EdDSA"
	// 401 DPoP realm="watchword", error="invalid_token", error_description="token is bound to a key and is not a bearer token", algs="ES256 PS256 EdDSA"
}

// m2 calls m3 on behalf of m1, with an exchanged token.
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

// A client that knows only the URL of this service finds out where to get a token for it.
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

// Verify a token and a proof from another protocol than HTTP.
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
