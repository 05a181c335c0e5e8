package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/watchword-dev/watchword/internal/jose"
)

// platform is an issuer of tokens, which has a key of its own and publishes it.
type platform struct {
	mu   sync.Mutex
	kid  int
	key  *jose.Signer
	http *httptest.Server
}

// vouch runs what a script asks of the platform:
//
//	platform keys FILE          make a key in the place of the one before, publish it, and write the key set to FILE
//	platform token FILE CLAIMS  write a token with these claims, which is valid for ten minutes, to FILE
//
// The first has ISSUER name the issuer, whose discovery document is there.
func vouch(ts *testscript.TestScript, _ bool, args []string) {
	p := ts.Value(platform{}).(*platform)
	if len(args) < 2 {
		ts.Fatalf("usage: platform keys FILE | token FILE CLAIMS")
	}
	switch args[0] {
	case "keys":
		p.rotate(ts)
		ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(p.set()), 0o600))
	case "token":
		now := time.Now().Unix()
		claims := map[string]any{"iat": now, "nbf": now, "exp": now + 600}
		var given map[string]any
		ts.Check(json.Unmarshal([]byte(args[2]), &given))
		maps.Copy(claims, given)
		payload, err := json.Marshal(claims)
		ts.Check(err)
		token, err := p.key.Sign("", payload)
		ts.Check(err)
		ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(token+"\n"), 0o600))
	default:
		ts.Fatalf("platform has no command %s", args[0])
	}
}

func (p *platform) rotate(ts *testscript.TestScript) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key, err := jose.GenerateKey(jose.ES256)
	ts.Check(err)
	p.kid++
	p.key, err = jose.NewSigner("k"+strconv.Itoa(p.kid), jose.ES256, key)
	ts.Check(err)
	if p.http == nil {
		p.http = httptest.NewServer(p)
		ts.Defer(p.http.Close)
		ts.Setenv("ISSUER", p.http.URL)
	}
}

// set is the key set that the platform publishes.
func (p *platform) set() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	jwk, err := p.key.Public().JWK()
	if err != nil {
		panic(err) // it was made here
	}
	return `{"keys": [` + string(jwk) + "]}\n"
}

func (p *platform) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Path == "/.well-known/openid-configuration" {
		fmt.Fprintf(w, `{"issuer": %q, "jwks_uri": %q}`, p.http.URL, p.http.URL+"/keys")
		return
	}
	fmt.Fprint(w, p.set())
}
