package verify_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/watchword-dev/watchword/verify"
	"github.com/watchword-dev/watchword/verify/verifytest"
)

var whoCalls = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	fmt.Fprint(w, verify.ClaimsFrom(r.Context()).Subject)
})

func serve(h http.Handler, r *http.Request, authorization ...string) *httptest.ResponseRecorder {
	r.Header["Authorization"] = authorization
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func get() *http.Request { return httptest.NewRequest("GET", "/hello", nil) }

// NAT-019, NAT-006, NAT-007 and RFC 6750, section 3, on the called side.
func TestAnswersAreThoseOfRFC6750(t *testing.T) {
	i := verifytest.NewIssuer(t)
	h := offline(t, i).Middleware(whoCalls)
	good := i.Token("m1", "m2")
	const bare = `Bearer realm="watchword"`
	invalid := func(description string) string {
		return bare + `, error="invalid_token", error_description="` + description + `"`
	}
	for _, c := range []struct {
		name          string
		authorization []string
		status        int
		code          string
		challenge     string
	}{
		{"a good token", []string{"Bearer " + good}, 200, "", ""},
		{"scheme in lower case", []string{"bearer " + good}, 200, "", ""},
		{"scheme in upper case", []string{"BEARER " + good}, 200, "", ""},
		{"two spaces", []string{"Bearer  " + good}, 200, "", ""},
		{"no header", nil, 401, "unauthorized", bare},
		{"empty header", []string{""}, 401, "unauthorized", bare},
		{"Basic", []string{"Basic bTE6bTI="}, 401, "unauthorized", bare},
		{"Token", []string{"Token " + good}, 401, "unauthorized", bare},
		{"the token alone", []string{good}, 401, "unauthorized", bare},
		{"a longer scheme", []string{"Bearers " + good}, 401, "unauthorized", bare},
		{"a tab", []string{"Bearer\t" + good}, 401, "unauthorized", bare},
		{"no token", []string{"Bearer"}, 401, "invalid_token", invalid("malformed token")},
		{"no token but a space", []string{"Bearer "}, 401, "invalid_token", invalid("malformed token")},
		{"two tokens", []string{"Bearer a b"}, 401, "invalid_token", invalid("malformed token")},
		{"two good tokens", []string{"Bearer " + good + " " + good}, 401, "invalid_token", invalid("malformed token")},
		{"two credentials in one header", []string{"Bearer " + good + ", Bearer " + good}, 401, "invalid_token", invalid("malformed token")},
		{"quotes", []string{`Bearer "` + good + `"`}, 401, "invalid_token", invalid("malformed token")},
		{"garbage", []string{"Bearer garbage"}, 401, "invalid_token", invalid("malformed token")},
		{"expired", []string{"Bearer " + i.Token("m1", "m2", verifytest.Expired())}, 401, "invalid_token", invalid("token has expired; if it is fresh, clocks differ")},
		{"for m3", []string{"Bearer " + i.Token("m1", "m3")}, 401, "invalid_token", invalid("token is for another audience")},
		{"forged", []string{"Bearer " + i.Token("m1", "m2", verifytest.Forged())}, 401, "invalid_token", invalid("signature does not match")},
		{"a credential", []string{"Bearer " + i.Token("m1", "m2", verifytest.Type("bootstrap+jwt"))}, 401, "invalid_token", invalid("not an access token")},
		{"two headers", []string{"Bearer " + good, "Bearer " + good}, 400, "invalid_request", bare + `, error="invalid_request", error_description="more than one Authorization header"`},
		{"two headers, one empty", []string{"Bearer " + good, ""}, 400, "invalid_request", bare + `, error="invalid_request", error_description="more than one Authorization header"`},
	} {
		w := serve(h, get(), c.authorization...)
		if w.Code != c.status || w.Header().Get("WWW-Authenticate") != c.challenge {
			t.Errorf("%s: got %d %q, want %d %q", c.name, w.Code, w.Header().Get("WWW-Authenticate"), c.status, c.challenge)
		}
		if c.status == 200 {
			if w.Body.String() != "m1" {
				t.Errorf("%s: got %q", c.name, w.Body)
			}
			continue
		}
		checkErrorBody(t, c.name, w, c.code)
	}
}

func checkErrorBody(t *testing.T, name string, w *httptest.ResponseRecorder, code string) {
	t.Helper()
	var body struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	text := w.Body.String()
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || body.Error != code || body.Description == "" {
		t.Errorf("%s: got body %q, want error %q", name, text, code)
	}
	if w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%s: got headers %v", name, w.Header())
	}
	if strings.Contains(text+fmt.Sprint(w.Header()), "eyJ") {
		t.Errorf("%s: the answer shows a token: %s", name, text)
	}
}

// NAT-020: the query and the body are not places for a token.
func TestTokenCountsInTheHeaderOnly(t *testing.T) {
	i := verifytest.NewIssuer(t)
	h := offline(t, i).Middleware(whoCalls)
	token := i.Token("m1", "m2")
	form := httptest.NewRequest("POST", "/hello?access_token="+token, strings.NewReader("access_token="+token))
	form.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if w := serve(h, form); w.Code != 401 || w.Header().Get("WWW-Authenticate") != `Bearer realm="watchword"` {
		t.Errorf("got %d %v", w.Code, w.Header())
	}
}

func TestScopeIsRequired(t *testing.T) {
	i := verifytest.NewIssuer(t)
	v := offline(t, i, func(c *verify.Config) { c.Realm = "shop" })
	h := v.Middleware(verify.RequireScope("read", "write")(whoCalls))
	for scope, status := range map[string]int{"read write": 200, "write read admin": 200, "read": 403, "readwrite": 403, "READ WRITE": 403, "": 403} {
		w := serve(h, get(), "Bearer "+i.Token("m1", "m2", verifytest.Claim("scope", scope)))
		if w.Code != status {
			t.Errorf("scope %q: got %d, want %d", scope, w.Code, status)
		}
		if status == 403 {
			const want = `Bearer realm="shop", error="insufficient_scope", error_description="the token lacks a scope", scope="read write"`
			if got := w.Header().Get("WWW-Authenticate"); got != want {
				t.Errorf("scope %q: got %q, want %q", scope, got, want)
			}
			checkErrorBody(t, scope, w, "insufficient_scope")
		}
	}
	if w := serve(h, get(), "Bearer "+i.Token("m1", "m2")); w.Code != 403 {
		t.Errorf("no scope claim: got %d, want 403", w.Code)
	}
	if w := serve(verify.RequireScope("read")(whoCalls), get(), "Bearer "+i.Token("m1", "m2", verifytest.Scopes("read"))); w.Code != 401 {
		t.Errorf("without Middleware in front: got %d, want 401", w.Code)
	}
}

func TestNonsenseScopesPanicAtStart(t *testing.T) {
	for _, scopes := range [][]string{{}, {""}, {"read write"}, {`a"b`}, {`a\b`}, {"a\n"}, {"é"}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("RequireScope(%q) did not panic", scopes)
				}
			}()
			verify.RequireScope(scopes...)
		}()
	}
}

// The token says nothing when there is nothing to check it with: 503, so that the caller keeps it.
func TestNoKeysIsNotTheTokensFault(t *testing.T) {
	i := verifytest.NewIssuer(t)
	i.SetDown(true)
	c := i.Config("m2")
	c.Logger = quiet
	v, err := verify.New(t.Context(), c)
	must(t, err)
	w := serve(v.Middleware(whoCalls), get(), "Bearer "+i.Token("m1", "m2"))
	if w.Code != 503 || w.Header().Get("Retry-After") == "" || w.Header().Get("WWW-Authenticate") != "" {
		t.Errorf("got %d %v", w.Code, w.Header())
	}
	checkErrorBody(t, "no keys", w, "temporarily_unavailable")
}

func TestNoClaimsWithoutMiddleware(t *testing.T) {
	if c := verify.ClaimsFrom(t.Context()); c != nil {
		t.Errorf("got %+v, want nil", c)
	}
}
