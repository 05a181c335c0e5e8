package supertokens_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/watchword-dev/watchword/server/internal/supertokens"
)

// FuzzCreateJWT: whatever the body, the answer is one of the few there are, and a token that
// is signed has an exp that did not wrap and one JSON object of claims.
func FuzzCreateJWT(f *testing.F) {
	for _, seed := range []string{
		request(),
		request("useStaticSigningKey", "false"),
		request("payload", `{"iss":"auth-server","sub":"m1","aud":["auth-server"],"jti":"x","exp":1.5e9,"n":{"a":[null,true,-0.0]}}`),
		request("payload", `{"aud":[1,"a",[],"b"],"iat":-1,"\u0069ss":null}`),
		request("payload", `{"x":9223372036854775808}`),
		request("validity", "9e18"),
		request("validity", "1e-9999999999"),
		`{"a":1,"a":2}`, `[`, "", "\xff", `{}{}`,
	} {
		f.Add([]byte(seed))
	}
	x := newFixture(f, supertokens.Options{})
	f.Fuzz(func(t *testing.T, body []byte) {
		r := x.do("POST", "/recipe/jwt", string(body), keyed)
		text := read(t, r)
		switch r.StatusCode {
		case 400, 413:
			if r.Header.Get("Content-Type") != "text/html;charset=UTF-8" {
				t.Errorf("content type of a refusal: %s", r.Header.Get("Content-Type"))
			}
		case 200:
			var answer struct{ Status, JWT string }
			if err := json.Unmarshal([]byte(text), &answer); err != nil {
				t.Fatalf("answer %q: %v", text, err)
			}
			if answer.Status == "UNSUPPORTED_ALGORITHM_ERROR" {
				return
			}
			claims := part(t, answer.JWT, 1)
			names, err := supertokens.MemberNames([]byte(claims))
			if err != nil {
				t.Fatalf("claims %s: %v", claims, err)
			}
			if names[0] != "iat" || names[1] != "exp" || strings.Contains(claims, `"exp":-`) && !strings.Contains(string(body), "-") {
				t.Errorf("claims %s", claims)
			}
		default:
			t.Errorf("status %d: %s", r.StatusCode, text)
		}
	})
}

// FuzzPath: whatever the path and the headers, there is an answer and it is none of the
// server's faults; and nothing that needs a key is answered without one.
func FuzzPath(f *testing.F) {
	for _, seed := range []struct{ method, path, version, key string }{
		{"GET", "/", "", ""},
		{"GET", "/appid-m2m-auth/.well-known/jwks.json", "4.0", ""},
		{"GET", "//APPID-//public/apiversion/", "5.6", testKey},
		{"POST", "/appid-nope/recipe/jwt", "99999999999999999999999.0", "x"},
		{"GET", "/t1/recipe/jwt/jwks", "2.7", testKey},
		{"OPTIONS", "/hello%2fhello", "1..2", ""},
		{"PATCH", "/../recipe/\u212a", "5", ""},
		{"", "*", "", ""},
	} {
		f.Add(seed.method, seed.path, seed.version, seed.key)
	}
	x := newFixture(f, supertokens.Options{BasePath: ""})
	f.Fuzz(func(t *testing.T, method, path, version, key string) {
		u := &url.URL{Path: path}
		if parsed, err := url.ParseRequestURI(path); err == nil {
			u = parsed
		}
		r := &http.Request{Method: method, URL: u, Header: http.Header{}, Body: http.NoBody, RemoteAddr: key}
		if version != "" {
			r.Header.Set("cdi-version", version)
		}
		r.Header.Set("api-key", key)
		w := httptest.NewRecorder()
		x.Handler().ServeHTTP(w, r)
		switch w.Code {
		case 200:
			if key != testKey && strings.Contains(w.Body.String(), "versions") {
				t.Errorf("%s %q was answered without an API key: %s", method, path, w.Body)
			}
		case 400, 401, 403, 404, 405:
		default:
			t.Errorf("%s %q: status %d", method, path, w.Code)
		}
		if !strings.HasSuffix(w.Body.String(), "\n") {
			t.Errorf("%s %q: answer %q", method, path, w.Body)
		}
	})
}
