package app

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/web"
)

func TestClientSecrets(t *testing.T) {
	onBothStores(t, map[string]func(*testing.T, *world){
		"good":       secretsThatAreGood,
		"wrong":      secretsThatAreWrong,
		"look alike": unknownAndWrongLookAlike,
		"two":        twoProofs,
		"header":     basicHeaders,
		"reborn":     rebornService,
		"two live":   twoSecretsLive,
		"method":     methodIsBinding,
		"grant":      grantIsBinding,
		"guessing":   guessing,
		"crowd":      crowd,
		"disabled":   disabledClient,
	})
}

func rawBasic(payload string) option {
	return func(r *http.Request) { r.Header.Set("Authorization", "Basic "+payload) }
}

func encoded(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// CAU-008, CAU-009, CAU-011.
func secretsThatAreGood(t *testing.T, w *world) {
	id, secret := "m1", secretOf("m1")
	for what, a := range map[string]answer{
		"basic":         w.tokenRequest(credentialsFor("m2"), basic("m1")),
		"post":          w.tokenRequest(credentialsFor("m2", "client_id", id, "client_secret", secret)),
		"same id twice": w.tokenRequest(credentialsFor("m2", "client_id", id), basic("m1")),
		"bAsIc":         w.tokenRequest(credentialsFor("m2"), header("Authorization", "bAsIc "+encoded(id+":"+secret))),
		"two spaces":    w.tokenRequest(credentialsFor("m2"), header("Authorization", "Basic  "+encoded(id+":"+secret))),
		"form-encoded":  w.tokenRequest(credentialsFor("m2"), rawBasic(encoded(percent(id)+":"+percent(secret)))),
	} {
		if a.status != 200 {
			t.Errorf("%s: got %d %s", what, a.status, a.body)
		}
	}
	// A secret of any characters, brought from elsewhere; names have none that are encoded.
	odd := "s:+% /é"
	w.addSecret("m1", odd)
	if a := w.tokenRequest(credentialsFor("m2"), rawBasic(encoded("m1:"+url.QueryEscape(odd)))); a.status != 200 {
		t.Errorf("form-encoded odd secret: got %d %s", a.status, a.body)
	}
}

// percent encodes every byte, as RFC 6749, appendix B allows.
func percent(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

// CAU-001, CAU-002, CAU-012, CAU-013, CAU-025.
func secretsThatAreWrong(t *testing.T, w *world) {
	name := w.fresh("long")
	long := strings.Repeat("0123456789", 8)
	w.addSecret(name, long)
	for _, wrong := range []string{"wrong", long[:72], long + "x", long + " ", long + "\n", " " + long, strings.ToUpper(secretOf(name)), secretOf("m1")} {
		a := w.tokenRequest(credentialsFor("m2"), rawBasic(encoded(url.QueryEscape(name)+":"+url.QueryEscape(wrong))))
		refused(t, fmt.Sprintf("basic %q", wrong), a, 401, "invalid_client")
		if !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Basic realm=") {
			t.Errorf("%q: got challenge %q", wrong, a.header.Get("WWW-Authenticate"))
		}
		a = w.tokenRequest(credentialsFor("m2", "client_id", name, "client_secret", wrong))
		refused(t, fmt.Sprintf("post %q", wrong), a, 401, "invalid_client")
		// Who used no header is asked for none: some clients stop at a challenge and never read
		// the error.
		if a.header.Get("WWW-Authenticate") != "" {
			t.Errorf("%q: got challenge %q", wrong, a.header.Get("WWW-Authenticate"))
		}
	}
	if a := w.tokenRequest(credentialsFor("m2"), rawBasic(encoded(name+":"+long))); a.status != 200 {
		t.Errorf("the whole secret: got %d %s", a.status, a.body)
	}
	refused(t, "NUL", w.tokenRequest(credentialsFor("m2"), rawBasic(encoded("m1:"+secretOf("m1")+"%00"))), 401, "invalid_client")
	refused(t, "empty", w.tokenRequest(credentialsFor("m2"), rawBasic(encoded("m1:"))), 401, "invalid_client")
	for what, a := range map[string]answer{
		"nothing":      w.tokenRequest(credentialsFor("m2")),
		"client_id":    w.tokenRequest(credentialsFor("m2", "client_id", "m1")),
		"empty secret": w.tokenRequest(credentialsFor("m2", "client_id", "m1", "client_secret", "")),
	} {
		refused(t, what, a, 401, "invalid_client")
		if !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Basic realm=") {
			t.Errorf("%s: got challenge %q", what, a.header.Get("WWW-Authenticate"))
		}
	}
}

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

// CAU-005, CAU-006, CAU-007.
func twoProofs(t *testing.T, w *world) {
	refused(t, "basic and post", w.tokenRequest(credentialsFor("m2", "client_id", "m1", "client_secret", secretOf("m1")), basic("m1")), 400, "invalid_request")
	refused(t, "basic and assertion", w.tokenRequest(withAssertion(w.assertion("m5", nil), "m2"), basic("m1")), 400, "invalid_request")
	refused(t, "post and assertion", w.tokenRequest(withAssertion(w.assertion("m5", nil), "m2", "client_id", "m5", "client_secret", "x")), 400, "invalid_request")
	refused(t, "two headers", w.tokenRequest(credentialsFor("m2"), basic("m1"), header("Authorization", "Basic "+encoded("m1:x"))), 400, "invalid_request")
	if a := w.tokenRequest(credentialsFor("m2", "client_id", "m2"), basic("m1")); a.status != 400 && a.status != 401 {
		t.Errorf("another client_id: got %d %s", a.status, a.body)
	}
}

// CAU-010.
func basicHeaders(t *testing.T, w *world) {
	for _, value := range []string{"Basic", "Basic ", "Basic !", "Basic " + encoded("nocolon"), "Basic " + encoded("m1:%zz"), "Basic " + encoded("m1:\xff"), "Basic a b", "Bearer x", "x"} {
		a := w.tokenRequest(credentialsFor("m2"), header("Authorization", value))
		refused(t, value, a, 401, "invalid_client")
		if !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Basic ") {
			t.Errorf("%s: got %v", value, a.header)
		}
	}
}

// CAU-015.
func rebornService(t *testing.T, w *world) {
	name := w.fresh("reborn")
	w.keys[name] = newKey()
	w.addCredential(name, directory.KindKey, jwkOf(w.keys[name], name+"-key"))
	old := w.get(name, "m2")
	w.operate("DELETE", "/services/"+name, "")
	w.service(name)
	refused(t, "the old secret", w.tokenRequest(credentialsFor("m2"), basic(name)), 401, "invalid_client")
	refused(t, "the old key", w.tokenRequest(withAssertion(w.assertion(name, nil), "m2")), 401, "invalid_client")
	w.addSecret(name, "a-new-one")
	a := w.tokenRequest(credentialsFor("m2", "client_id", name, "client_secret", "a-new-one"))
	refused(t, "the old rule", a, 400, "invalid_target")
	if a := w.introspect("m2", old); a.body != `{"active":false}` {
		t.Errorf("the old token: got %s", a.body)
	}
	w.rule(name, "m2", directory.NewRule{})
	fresh := given(t, w.tokenRequest(credentialsFor("m2", "client_id", name, "client_secret", "a-new-one")))
	if a, b := part(t, old, 1)["deps"].([]any)[0], part(t, fresh, 1)["deps"].([]any)[0]; a == b {
		t.Errorf("both tokens carry %v", a)
	}
}

// CAU-016. That there are at most two, and that the old one ends, is the directory's to show.
func twoSecretsLive(t *testing.T, w *world) {
	name := w.fresh("rotated")
	second := w.addSecret(name, "the-second")
	ask := func(secret string) answer {
		return w.tokenRequest(credentialsFor("m2", "client_id", name, "client_secret", secret))
	}
	for _, secret := range []string{secretOf(name), "the-second"} {
		if a := ask(secret); a.status != 200 {
			t.Errorf("got %d %s", a.status, a.body)
		} else if r := w.record(a.header.Get(web.DecisionHeader)); (r["credential"] == second) != (secret == "the-second") {
			t.Errorf("recorded %v", r)
		}
	}
	w.operate("POST", "/credentials/"+second+"/revoke", "")
	refused(t, "the revoked one", ask("the-second"), 401, "invalid_client")
	if a := ask(secretOf(name)); a.status != 200 {
		t.Errorf("the other: got %d %s", a.status, a.body)
	}
}

// CAU-017.
func methodIsBinding(t *testing.T, w *world) {
	name := w.fresh("strict")
	w.keys[name] = newKey()
	w.addCredential(name, directory.KindKey, jwkOf(w.keys[name], name+"-key"))
	w.change(name, func(svc *directory.Service) { svc.AuthMethods = []string{"private_key_jwt"} })
	refused(t, "secret", w.tokenRequest(credentialsFor("m2"), basic(name)), 401, "invalid_client")
	refused(t, "secret by post", w.tokenRequest(credentialsFor("m2", "client_id", name, "client_secret", secretOf(name))), 401, "invalid_client")
	bootstrap, _ := w.credential(name)
	refused(t, "bootstrap", w.tokenRequest(withAssertion(bootstrap, "m2")), 401, "invalid_client")
	if a := w.tokenRequest(withAssertion(w.assertion(name, nil), "m2")); a.status != 200 {
		t.Errorf("key: got %d %s", a.status, a.body)
	}
}

// CAU-019.
func grantIsBinding(t *testing.T, w *world) {
	name := w.fresh("simple")
	w.change(name, func(svc *directory.Service) { svc.GrantTypes = []string{"client_credentials"} })
	refused(t, "exchange", w.exchange(name, w.get("m1", "m2"), "m3"), 400, "unauthorized_client")
	w.get(name, "m2")
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

func disabledClient(t *testing.T, w *world) {
	a := w.tokenRequest(credentialsFor("m2"), basic("m4"))
	refused(t, "disabled", a, 401, "invalid_client")
	if r := w.record(a.header.Get(web.DecisionHeader)); r["reason"] != "caller_disabled" {
		t.Errorf("recorded %v", r)
	}
}
