package interop

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
)

// sdk is a process that makes calls of the JWT recipe.
type sdk struct{ *process }

func startSDK(t *testing.T, env []string) sdk {
	t.Helper()
	return sdk{node(t, env, "sdk.js")}
}

// call makes one call, reads its result into v, and returns what it threw.
func (s sdk) call(t *testing.T, call map[string]any, v any) error {
	t.Helper()
	var answer struct {
		Result json.RawMessage
		Error  string
	}
	s.write(t, call)
	s.read(t, &answer)
	if answer.Error != "" {
		return errors.New(answer.Error)
	}
	if err := json.Unmarshal(answer.Result, v); err != nil {
		t.Fatalf("result %s: %v", answer.Result, err)
	}
	return nil
}

// createJWT mints a token. Nil for what the SDK has a default for.
func (s sdk) createJWT(t *testing.T, payload, validity, static any) string {
	t.Helper()
	call := map[string]any{"op": "createJWT", "payload": payload}
	if validity != nil {
		call["validity"] = validity
	}
	if static != nil {
		call["useStatic"] = static
	}
	var result struct{ Status, JWT string }
	if err := s.call(t, call, &result); err != nil || result.Status != "OK" {
		t.Fatalf("createJWT: %+v, %v", result, err)
	}
	return result.JWT
}

func TestNodeSDKs(t *testing.T) {
	server := startServer(t)
	for _, name := range sdks {
		t.Run(name, func(t *testing.T) {
			s := startSDK(t, server.client("SDK="+name))
			payload := map[string]any{"iss": "auth-server", "sub": "m1", "aud": "m2"}
			tokens := []struct {
				token, prefix string
				lifetime      time.Duration
			}{
				{s.createJWT(t, payload, nil, nil), "s-", century * time.Second},
				{s.createJWT(t, payload, 60, nil), "s-", time.Minute},
				{s.createJWT(t, payload, 3600, false), "d-", time.Hour},
			}
			set := s.keys(t)
			for _, k := range tokens {
				check(t, set, k.token, k.prefix, k.lifetime)
			}

			var ignored any
			err := s.call(t, map[string]any{"op": "createJWT", "payload": payload, "validity": -1}, &ignored)
			if err == nil || !strings.Contains(err.Error(), "status code: 400 and message: validity must be greater than or equal to 0") {
				t.Errorf("a validity of -1: %v", err)
			}
			wrong := startSDK(t, server.client("SDK="+name, "API_KEY=not-the-key-of-this-core"))
			err = wrong.call(t, map[string]any{"op": "createJWT", "payload": payload, "validity": 60}, &ignored)
			if err == nil || !strings.Contains(err.Error(), "status code: 401 and message: Invalid API key") {
				t.Errorf("a wrong API key: %v", err)
			}
		})
	}
}

// keys asks for the key set through the SDK.
func (s sdk) keys(t *testing.T) *jose.KeySet {
	t.Helper()
	var result struct {
		Keys              []json.RawMessage
		ValidityInSeconds int
	}
	if err := s.call(t, map[string]any{"op": "getJWKS"}, &result); err != nil {
		t.Fatalf("getJWKS: %v", err)
	}
	if v := result.ValidityInSeconds; v < 604700 || v > 604740 {
		t.Errorf("validityInSeconds %d, want a little less than 604740", v)
	}
	var list []string
	for _, k := range result.Keys {
		list = append(list, string(k))
	}
	set, err := jose.ParseKeySet([]byte(`{"keys":[` + strings.Join(list, ",") + `]}`))
	if err != nil || len(set.Keys()) != 2 {
		t.Fatalf("key set %s: %v", list, err)
	}
	return set
}

// check verifies a token of m1 for m2.
func check(t *testing.T, set *jose.KeySet, compact, prefix string, lifetime time.Duration) {
	t.Helper()
	token, err := jose.Parse(compact)
	must(t, err)
	if err := token.Verify(set, []jose.Algorithm{jose.RS256}); err != nil {
		t.Errorf("token of key %s: %v", token.KeyID, err)
	}
	claims, err := jose.ParseClaims(token.Payload)
	must(t, err)
	if !strings.HasPrefix(token.KeyID, prefix) || token.Type != "JWT" || claims.Issuer != "auth-server" ||
		claims.Subject != "m1" || !slices.Equal(claims.Audience, []string{"m2"}) || claims.Expiry.Sub(claims.IssuedAt) != lifetime {
		t.Errorf("token of key %s (want %s...), typ %s, claims %s", token.KeyID, prefix, token.Type, token.Payload)
	}
}

func TestGoSDK(t *testing.T) {
	server := startServer(t)
	a := runGoSDK(t, server.client())
	if a.Error != "" {
		t.Fatal(a.Error)
	}
	set := fetchKeys(t, server.core)
	check(t, set, a.Static, "s-", time.Hour)
	check(t, set, a.Dynamic, "d-", time.Hour)
	check(t, set, a.Unlimited, "s-", century*time.Second)
	var published []string
	for _, k := range set.Keys() {
		published = append(published, k.ID)
	}
	if !slices.Equal(a.Keys, published) {
		t.Errorf("the SDK sees the keys %v, published are %v", a.Keys, published)
	}

	a = runGoSDK(t, server.client("API_KEY=not-the-key-of-this-core"))
	if !strings.Contains(a.Error, "401") || !strings.Contains(a.Error, "Invalid API key") {
		t.Errorf("a wrong API key: %q", a.Error)
	}
}

type goAnswer struct {
	Static, Dynamic, Unlimited string
	Keys                       []string
	Error                      string
}

func runGoSDK(t *testing.T, env []string) (a goAnswer) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "run", ".")
	cmd.Dir = "golang"
	cmd.Env = append(append(os.Environ(), "GOWORK=off"), env...) // a module of its own
	cmd.Stderr = t.Output()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go run: %v", err)
	}
	if err := json.Unmarshal(out, &a); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	return a
}

func fetchKeys(t *testing.T, url string) *jose.KeySet {
	t.Helper()
	_, body := get(t, url+"/.well-known/jwks.json", "")
	set, err := jose.ParseKeySet([]byte(body))
	must(t, err)
	return set
}

func TestCredentialMintedThroughAnSDKIsHonoured(t *testing.T) {
	server := startServer(t)
	for _, name := range []string{"m1", "m2", "m3"} {
		server.run(t, "service", "create", name)
	}
	server.run(t, "allow", "m1", "m2")
	set := fetchKeys(t, server.public)

	for _, name := range sdks {
		s := startSDK(t, server.client("SDK="+name))
		tests := []struct {
			name, iss, sub, aud string
			static              bool
			target              string
			want                int
		}{
			{"allowed", "auth-server", "m1", "auth-server", true, "m2", 200},
			{"no rule", "auth-server", "m1", "auth-server", true, "m3", 401},
			{"no rule for this caller", "auth-server", "m3", "auth-server", true, "m2", 401},
			{"unknown service", "auth-server", "m9", "auth-server", true, "m2", 401},
			{"other issuer", "http://localhost:8000", "m1", "auth-server", true, "m2", 401},
			{"an access token of the demo's", "auth-server", "m1", "m2", true, "m2", 401},
			{"a key that leaves in days", "auth-server", "m1", "auth-server", false, "m2", 401},
		}
		for _, test := range tests {
			payload := map[string]any{"iss": test.iss, "sub": test.sub, "aud": test.aud}
			credential := s.createJWT(t, payload, century, test.static)
			status, body := post(t, server.public+"/accesstoken", credential, test.target)
			if status != test.want {
				t.Errorf("%s, %s: %d %s, want %d", name, test.name, status, body, test.want)
			}
			if status != 200 {
				continue
			}
			var answer struct{ AccessToken string }
			if err := json.Unmarshal([]byte(body), &answer); err != nil {
				t.Fatalf("%s: %v", body, err)
			}
			token, err := jose.Parse(answer.AccessToken)
			must(t, err)
			if err := token.Verify(set, []jose.Algorithm{jose.ES256}); err != nil {
				t.Errorf("the token is not the server's own: %v", err)
			}
		}
	}
}
