package app

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/watchword-dev/watchword/server/internal/web"
)

func TestClientSecrets(t *testing.T) {
	onBothStores(t, map[string]func(*testing.T, *world){
		"look alike": unknownAndWrongLookAlike,
		"guessing":   guessing,
		"crowd":      crowd,
		"in a query": secretInQuery,
	})
}

func rawBasic(payload string) option {
	return func(r *http.Request) { r.Header.Set("Authorization", "Basic "+payload) }
}

func encoded(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// CAU-003.
func unknownAndWrongLookAlike(t *testing.T, w *world) {
	same := func(what string, ask func(name string) answer) {
		known, unknown := ask("m1"), ask("zz")
		refused(t, what, known, 401, "invalid_client")
		for _, a := range []answer{known, unknown} {
			for _, h := range []string{"Date", web.RequestIDHeader, web.DecisionHeader} {
				a.header.Del(h)
			}
		}
		if known.status != unknown.status || known.body != unknown.body || fmt.Sprint(known.header) != fmt.Sprint(unknown.header) {
			t.Errorf("%s: got %v for a known client and %v for an unknown one", what, known, unknown)
		}
	}
	same("basic", func(name string) answer {
		return w.tokenRequest(credentialsFor("m2"), rawBasic(encoded(name+":wrong")))
	})
	same("post", func(name string) answer {
		return w.tokenRequest(credentialsFor("m2", "client_id", name, "client_secret", "wrong"))
	})
	same("assertion", func(name string) answer {
		return w.tokenRequest(withAssertion(sign(newKey(), `{"alg":"ES256"}`, assertionClaims(name).String()), "m2"))
	})
}

// F51: a credential in the query is refused, good or not, and neither answered nor recorded.
func secretInQuery(t *testing.T, w *world) {
	for _, path := range []string{"/oauth2/token", "/oauth2/introspect", "/oauth2/revoke"} {
		for query, value := range map[string]string{
			form("client_id", "m1", "client_secret", secretOf("m1")): secretOf("m1"),
			"client%5fsecret=": "client%5f",
			form("client_assertion_type", assertionType, "client_assertion", w.assertion("m5", nil)): "eyJ",
		} {
			a := w.post(path+"?"+query, credentialsFor("m2"), basic("m1"))
			refused(t, path, a, 400, "invalid_request")
			r := w.record(a.header.Get(web.DecisionHeader))
			if r["reason"] != "credential_in_query" || strings.Contains(fmt.Sprint(r, a.body), value) {
				t.Errorf("%s: answered %s, recorded %v", path, a.body, r)
			}
		}
	}
	if a := w.post("/oauth2/token?x=client_secret&%zz", credentialsFor("m2"), basic("m1")); a.status != 200 {
		t.Errorf("another parameter: got %d %s", a.status, a.body)
	}
}

// CAU-020.
func guessing(t *testing.T, w *world) {
	name := w.fresh("guessed")
	var last answer
	for i := range 100 {
		last = w.tokenRequest(credentialsFor("m2"), rawBasic(encoded(name+":wrong"+strconv.Itoa(i))))
	}
	refused(t, "the hundredth", last, 429, "temporarily_unavailable")
	if n, err := strconv.Atoi(last.header.Get("Retry-After")); err != nil || n < 1 {
		t.Errorf("got %v", last.header)
	}
	if a := w.from(t, nextAddress()).tokenRequest(credentialsFor("m2"), basic(name)); a.status != 200 {
		t.Errorf("from another address: got %d %s", a.status, a.body)
	}
	if a := w.tokenRequest(credentialsFor("m2"), basic("m1")); a.status != 200 {
		t.Errorf("another client: got %d %s", a.status, a.body)
	}
}

// CAU-027: 300 wrong secrets at once keep no right one from its token. How long each takes is for
// internal/bench to say; there is no slow hash that could make it long.
func crowd(t *testing.T, w *world) {
	for i, a := range inParallel(330, func(i int) answer {
		if i%11 == 0 {
			return w.tokenRequest(credentialsFor("m2"), basic("m8"))
		}
		return w.tokenRequest(credentialsFor("m2"), rawBasic(encoded("m"+strconv.Itoa(i)+":wrong")))
	}) {
		if i%11 == 0 {
			given(t, a)
		} else if a.status != 401 {
			t.Errorf("wrong: got %d %s", a.status, a.body)
		}
	}
}
