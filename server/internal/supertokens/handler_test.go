package supertokens_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/watchword-dev/watchword/server/internal/audit"
	"github.com/watchword-dev/watchword/server/internal/supertokens"
)

func TestCommonRules(t *testing.T) {
	f := newFixture(t, supertokens.Options{BasePath: "/some/Base/"})
	const (
		badKey     = "Invalid API key"
		unknownApp = "AppId or tenantId not found => Tenant with the following connectionURIDomain, appId and tenantId combination not found: (, nope, public)"
		publicOnly = "Only public tenantId can call this app specific API"
		badJSON    = "Invalid Json Input"
		good       = `{"versions":["2.7","2.8",`
	)
	with := func(lines ...string) header { return append(header{"api-key: " + testKey}, lines...) }
	tests := []struct {
		name   string
		method string
		path   string
		header header
		status int
		body   string // how the answer begins; for errors, all of it
	}{
		{"hello", "GET", "/some/base/hello", nil, 200, "Hello"},
		{"hello at the root", "GET", "/some/base", nil, 200, "Hello"},
		{"hello by POST", "POST", "/some/base/hello", nil, 200, "Hello"},
		{"hello by PUT", "PUT", "/some/base/", nil, 200, "Hello"},
		{"hello by DELETE", "DELETE", "/some/base/hello", nil, 200, "Hello"},
		{"hello of an app", "GET", "/some/base/appid-m2m-auth/hello", nil, 200, "Hello"},
		{"the root of an app", "GET", "/some/base/appid-m2m-auth/", nil, 200, "Hello"},
		{"base path and case", "GET", "/SOME/base//HELLO//", nil, 200, "Hello"},
		{"outside of the base path", "GET", "/hello", nil, 404, "Not found"},
		{"half of the base path", "GET", "/some/hello", nil, 404, "Not found"},
		{"an escaped slash", "GET", "/some/base%2fhello", nil, 404, "Not found"},
		{"unknown path", "GET", "/some/base/recipe/session", nil, 404, "Not found"},
		{"unknown path below a known one", "GET", "/some/base/recipe/jwt/x", with(), 404, "Not found"},
		{"a tenant alone", "GET", "/some/base/tenant1", nil, 404, "Not found"},
		{"unknown path, unknown version", "GET", "/some/base/x", header{"cdi-version: 2.6"}, 400, "cdi-version 2.6 not supported"},

		{"other method", "PUT", "/some/base/recipe/jwt", with(), 405, "Method not supported"},
		{"preflight", "OPTIONS", "/some/base/recipe/jwt", with(), 405, "Method not supported"},
		{"HEAD", "HEAD", "/some/base/.well-known/jwks.json", nil, 405, "Method not supported"},
		{"HEAD of hello", "HEAD", "/some/base/hello", nil, 405, "Method not supported"},
		{"GET of a POST path", "GET", "/some/base/recipe/jwt", with(), 405, "Method not supported"},
		{"key before method", "GET", "/some/base/recipe/jwt", nil, 401, badKey},

		{"no key for versions", "GET", "/some/base/apiversion", nil, 401, badKey},
		{"no key for telemetry", "GET", "/some/base/telemetry", nil, 401, badKey},
		{"no key for the old key set", "GET", "/some/base/recipe/jwt/jwks", nil, 401, badKey},
		{"wrong key", "GET", "/some/base/apiversion", header{"api-key: " + testKey + "x"}, 401, badKey},
		{"empty key", "GET", "/some/base/apiversion", header{"api-key: "}, 401, badKey},
		{"good key", "GET", "/some/base/apiversion", with(), 200, good},
		{"the second key", "GET", "/some/base/apiversion", header{"api-key: second-key-of-the-door="}, 200, good},
		{"key with spaces", "GET", "/some/base/apiversion", header{"api-key:   " + testKey + "  "}, 200, good},
		{"Bearer", "GET", "/some/base/apiversion", header{"Authorization: Bearer " + testKey}, 200, good},
		{"bearer", "GET", "/some/base/apiversion", header{"Authorization: bEARER " + testKey}, 200, good},
		{"bare Authorization", "GET", "/some/base/apiversion", header{"Authorization: " + testKey}, 200, good},
		{"other scheme", "GET", "/some/base/apiversion", header{"Authorization: Basic " + testKey}, 401, badKey},
		{"api-key wins", "GET", "/some/base/apiversion", header{"api-key: wrong", "Authorization: " + testKey}, 401, badKey},
		{"api-key wins the other way", "GET", "/some/base/apiversion", with("Authorization: wrong"), 200, good},
		{"key before version", "GET", "/some/base/apiversion", header{"cdi-version: x"}, 401, badKey},

		{"versions at any version", "GET", "/some/base/apiversion", with("cdi-version: 1.0"), 200, good},
		{"version of no syntax", "GET", "/some/base/apiversion", with("cdi-version: 4.x"), 400, "cdi-version header is invalid"},
		{"version of no syntax for hello", "GET", "/some/base/hello", header{"cdi-version: .1"}, 400, "cdi-version header is invalid"},
		{"empty version", "GET", "/some/base/hello", header{"cdi-version: "}, 400, "cdi-version header is invalid"},
		{"version too new for hello", "GET", "/some/base/hello", header{"cdi-version: 5.7"}, 400, "cdi-version 5.7 not supported"},
		{"version of many digits", "GET", "/some/base/hello", header{"cdi-version: 99999999999999999999.1"}, 400, "cdi-version 99999999999999999999.1 not supported"},
		{"unknown version for hello", "GET", "/some/base/hello", header{"cdi-version: 4.0.0"}, 200, "Hello"},
		{"unknown version at the root", "GET", "/some/base/", header{"cdi-version: 4.0.0"}, 400, "cdi-version 4.0.0 not supported"},
		{"the latest version written otherwise", "GET", "/some/base/telemetry", with("cdi-version: 5.6.0"), 400, "cdi-version 5.6.0 not supported"},
		{"unknown version for the public key set", "GET", "/some/base/.well-known/jwks.json", header{"cdi-version: 4.0.0"}, 200, `{"keys":[{"kty":"RSA","kid":"d-`},
		{"2.9 is older than 2.21", "GET", "/some/base/telemetry", with("cdi-version: 2.9"), 200, `{"exists":false}`},
		{"the oldest version", "GET", "/some/base/telemetry", with("cdi-version: 2.7"), 200, `{"exists":false}`},
		{"older than the oldest", "GET", "/some/base/telemetry", with("cdi-version: 2.6"), 400, "cdi-version 2.6 not supported"},
		{"version before method", "PUT", "/some/base/telemetry", with("cdi-version: 2.6"), 400, "cdi-version 2.6 not supported"},

		{"app public", "GET", "/some/base/appid-public/apiversion", with(), 200, good},
		{"app without a name", "GET", "/some/base/appid-/apiversion", with(), 200, good},
		{"app in capitals", "GET", "/some/base/APPID-M2M-Auth/apiversion", with(), 200, good},
		{"unknown app", "GET", "/some/base/appid-nope/apiversion", with(), 400, unknownApp},
		{"unknown app has no keys", "GET", "/some/base/appid-nope/apiversion", nil, 400, unknownApp},
		{"hello of an unknown app", "GET", "/some/base/appid-nope/hello", nil, 400, unknownApp},
		{"key set of an unknown app", "GET", "/some/base/appid-nope/.well-known/jwks.json", nil, 400, unknownApp},
		{"method before unknown app", "PUT", "/some/base/appid-nope/telemetry", nil, 405, "Method not supported"},
		{"body before unknown app", "POST", "/some/base/appid-nope/recipe/jwt", nil, 400, badJSON},

		{"tenant public", "GET", "/some/base/public/apiversion", with(), 200, good},
		{"tenant of an app", "GET", "/some/base/appid-public/t1/apiversion", with(), 403, publicOnly},
		{"tenant at 5.0", "GET", "/some/base/t1/telemetry", with("cdi-version: 5.0"), 403, publicOnly},
		{"tenant at 4.0", "GET", "/some/base/t1/telemetry", with("cdi-version: 4.0"), 200, `{"exists":false}`},
		{"tenant at 3.0", "GET", "/some/base/t1/telemetry", with("cdi-version: 3.0"), 200, `{"exists":false}`},
		{"tenant at 2.21", "GET", "/some/base/t1/telemetry", with("cdi-version: 2.21"), 404, "Not found"},
		{"tenant before known version", "GET", "/some/base/t1/telemetry", with("cdi-version: 2.6"), 404, "Not found"},
		{"tenant with a stop word", "GET", "/some/base/recipe/apiversion", with(), 404, "Not found"},
		{"tenant called hello", "GET", "/some/base/hello/hello", nil, 404, "Not found"},
		{"body before tenant", "POST", "/some/base/t1/recipe/jwt", with(), 400, badJSON},
		{"key before tenant", "GET", "/some/base/t1/apiversion", nil, 401, badKey},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := f.do(test.method, test.path, "", test.header)
			body := read(t, r)
			want := test.body
			if !strings.HasPrefix(want, "{") {
				want += "\n"
			}
			if r.StatusCode != test.status || !strings.HasPrefix(body, want) || !strings.HasSuffix(body, "\n") {
				t.Errorf("%s %s: got %d %q, want %d %q", test.method, test.path, r.StatusCode, body, test.status, want)
			}
			contentType := "text/html;charset=UTF-8"
			if strings.HasPrefix(test.body, "{") {
				contentType = "application/json;charset=UTF-8"
			}
			if got := r.Header.Get("Content-Type"); got != contentType {
				t.Errorf("content type %q, want %q", got, contentType)
			}
			if got := r.Header.Get("Access-Control-Allow-Origin"); got != "" {
				t.Errorf("Access-Control-Allow-Origin is %q: a browser has no business here", got)
			}
		})
	}
}

func TestVersionsOfAllSDKsAreListed(t *testing.T) {
	f := newFixture(t, supertokens.Options{})
	body := read(t, f.do("GET", "/apiversion?apiDomain=http%3A%2F%2Flocalhost%3A8000&websiteDomain=x", "", keyed))
	want := `{"versions":["2.7","2.8","2.9","2.10","2.11","2.12","2.13","2.14","2.15","2.16","2.17","2.18","2.19","2.20","2.21",` +
		`"3.0","3.1","4.0","5.0","5.1","5.2","5.3","5.4","5.5","5.6"]}` + "\n"
	if body != want {
		t.Errorf("got %s, want %s", body, want)
	}
}

func TestRefusedAPIKeyIsRecordedBeforeTheAnswer(t *testing.T) {
	f := newFixture(t, supertokens.Options{})
	f.do("POST", "/appid-m2m-auth/recipe/jwt", "", header{"api-key: a-wrong-key-of-somebody"})
	e := f.audit.last(t)
	if e.Kind != audit.KindMint || e.Outcome != audit.Refused || e.Endpoint != "supertokens" || e.Reason != "invalid_api_key" ||
		e.Detail["app"] != "m2m-auth" || e.Detail["path"] != "/recipe/jwt" || e.Address != "192.0.2.1" || len(e.ID) != 32 {
		t.Errorf("recorded %+v", e)
	}
	for _, v := range e.Detail {
		if strings.Contains(v, "wrong") {
			t.Errorf("the key itself is in the record: %+v", e)
		}
	}
	f.audit.fail(errors.New("disk full"))
	r := f.do("GET", "/apiversion", "", nil)
	if r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Retry-After") == "" {
		t.Errorf("without a record: %d, want 503", r.StatusCode)
	}
}

// STJ-014.
func TestDoorWithoutAPIKeyIsNotMadeAndStoresNothing(t *testing.T) {
	db := newStore(t)
	_, err := supertokens.New(db, newSealer(t), &recorder{}, nil, supertokens.Options{})
	if !errors.Is(err, supertokens.ErrNoAPIKey) {
		t.Errorf("error %v, want ErrNoAPIKey", err)
	}
	for _, app := range []string{"public", "m2m-auth"} {
		if stored, err := db.SigningKeys(t.Context(), app); err != nil || len(stored) != 0 {
			t.Errorf("keys of %s: %v, %v", app, stored, err)
		}
	}
}

func TestDoorMakesNoKeysBeforeTheyAreUsed(t *testing.T) {
	db := newStore(t)
	f := newReplica(t, db, newSealer(t), newClock(), supertokens.Options{})
	f.do("GET", "/hello", "", nil)
	f.do("GET", "/apiversion", "", keyed)
	f.do("POST", "/recipe/jwt", "{}", keyed)
	f.do("POST", "/recipe/jwt", `{"algorithm":"RS256","jwksDomain":"x","payload":{},"validity":1}`, nil)
	if stored, err := db.SigningKeys(t.Context(), "public"); err != nil || len(stored) != 0 {
		t.Errorf("keys: %v, %v", stored, err)
	}
	f.kids(t, "/.well-known/jwks.json")
	if stored, _ := db.SigningKeys(t.Context(), "m2m-auth"); len(stored) != 0 {
		t.Errorf("asking for one app's keys made those of another: %v", stored)
	}
}

func TestOptionsThatCannotBeRightAreRefused(t *testing.T) {
	tests := []struct {
		name string
		keys []string
		o    supertokens.Options
	}{
		{"short key", []string{"short"}, supertokens.Options{}},
		{"one short key of two", []string{testKey, "short"}, supertokens.Options{}},
		{"key with other characters", []string{"0123456789abcdefghi_"}, supertokens.Options{}},
		{"app with other characters", []string{testKey}, supertokens.Options{Apps: []string{"a_b"}}},
		{"app without a name", []string{testKey}, supertokens.Options{Apps: []string{""}}},
	}
	for _, test := range tests {
		_, err := supertokens.New(nil, nil, nil, test.keys, test.o)
		if err == nil {
			t.Errorf("%s: accepted", test.name)
			continue
		}
		for _, k := range test.keys {
			if strings.Contains(err.Error(), k) {
				t.Errorf("%s: the error %q contains the key", test.name, err)
			}
		}
	}
}
