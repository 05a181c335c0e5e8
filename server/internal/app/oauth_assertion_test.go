package app

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/web"
)

func TestClientAssertions(t *testing.T) {
	onBothStores(t, map[string]func(*testing.T, *world){
		"good":           assertionsThatAreGood,
		"bad claims":     assertionsWithBadClaims,
		"bad form":       assertionsOfBadForm,
		"once":           assertionsOnce,
		"once, parallel": assertionsInParallel,
		"burned":         assertionsNotBurned,
		"as a grant":     assertionAsGrant,
	})
}

// PKJ-001, PKJ-012, PKJ-033.
func assertionsThatAreGood(t *testing.T, w *world) {
	ahead := assertionClaims("m5")["iat"].(int64) + 8
	for what, assertion := range map[string]string{
		"plain":    w.assertion("m5", nil),
		"ahead":    w.assertion("m5", claims{"iat": ahead, "nbf": ahead}),
		"no iat":   w.assertion("m5", claims{"iat": nil}),
		"no kid":   sign(w.keys["m5"], `{"alg":"ES256"}`, assertionClaims("m5").String()),
		"typ":      sign(w.keys["m5"], `{"alg":"ES256","typ":"client-authentication+jwt"}`, assertionClaims("m5").String()),
		"typ JWT":  sign(w.keys["m5"], `{"alg":"ES256","typ":"JWT"}`, assertionClaims("m5").String()),
		"long jti": w.assertion("m5", claims{"jti": rand.Text() + strings.Repeat("x", 64)}),
	} {
		if a := w.tokenRequest(withAssertion(assertion, "m2")); a.status != 200 {
			t.Errorf("%s: got %d %s: %v", what, a.status, a.body, w.record(a.header.Get(web.DecisionHeader)))
		}
	}
	a := w.tokenRequest(withAssertion(w.assertion("m5", nil), "m2", "client_id", "m5"))
	if c := part(t, given(t, a), 1); c["client_id"] != "m5" {
		t.Errorf("got %v", c)
	}
}

// PKJ-002, PKJ-004, PKJ-005, PKJ-006, PKJ-008, PKJ-009, PKJ-011.
func assertionsWithBadClaims(t *testing.T, w *world) {
	now := assertionClaims("m5")["iat"].(int64)
	for what, more := range map[string]claims{
		"token endpoint":  {"aud": tokenURL},
		"array":           {"aud": []string{issuerURL, "https://evil"}},
		"array of one":    {"aud": []string{issuerURL}},
		"another server":  {"aud": "https://other.test"},
		"no aud":          {"aud": nil},
		"aud 42":          {"aud": 42},
		"aud null":        {"aud": json.RawMessage("null")},
		"slash":           {"aud": issuerURL + "/"},
		"upper case":      {"aud": strings.ToUpper(issuerURL)},
		"exp past":        {"exp": now - 300},
		"no exp":          {"exp": nil},
		"exp null":        {"exp": json.RawMessage("null")},
		"exp 0":           {"exp": 0},
		"exp text":        {"exp": "1764000000"},
		"exp huge":        {"exp": json.RawMessage("1e400")},
		"exp negative":    {"exp": -1},
		"exp 2^53":        {"exp": json.RawMessage("9007199254740993")},
		"exp too far":     {"exp": now + 3600},
		"iat far ahead":   {"iat": now + 61},
		"nbf far ahead":   {"nbf": now + 61},
		"no jti":          {"jti": nil},
		"no sub":          {"sub": nil},
		"no iss":          {"iss": nil},
		"other iss":       {"iss": "m9"},
		"other sub":       {"sub": "m9"},
		"unknown service": {"iss": "zz", "sub": "zz"},
	} {
		refused(t, what, w.tokenRequest(withAssertion(w.assertion("m5", more), "m2")), 401, "invalid_client")
	}
	if a := w.tokenRequest(withAssertion(w.assertion("m5", nil), "m2", "client_id", "m6")); a.status != 400 && a.status != 401 {
		t.Errorf("another client_id: got %d %s", a.status, a.body)
	}
	w.changed(t, "m5", func(svc *directory.Service) { svc.TokenEndpointAudience = true })
	if a := w.tokenRequest(withAssertion(w.assertion("m5", claims{"aud": tokenURL}), "m2")); a.status != 200 {
		t.Errorf("token endpoint, where it may be: got %d %s", a.status, a.body)
	}
}

// PKJ-023, PKJ-024, PKJ-026, PKJ-027, PKJ-028, PKJ-029, PKJ-030, PKJ-031,
// PKJ-034, PKJ-036, PKJ-038, PKJ-039, PKJ-040.
func assertionsOfBadForm(t *testing.T, w *world) {
	key, c := w.keys["m5"], assertionClaims("m5").String()
	signed := func(head claims) string {
		return sign(key, claims{"alg": "ES256", "kid": "m5-key"}.with(head).String(), c)
	}
	good := signed(nil)
	unsigned := good[:strings.LastIndexByte(good, '.')+1]
	other := newKey()
	bad := map[string]string{
		"another's key":   sign(w.keys["m9"], `{"alg":"ES256","kid":"m5-key"}`, c),
		"embedded key":    sign(other, claims{"alg": "ES256", "jwk": jwkPublic(other)}.String(), c),
		"jku":             sign(other, claims{"alg": "ES256", "jku": w.url}.String(), c),
		"x5u":             sign(other, claims{"alg": "ES256", "x5u": w.url}.String(), c),
		"x5c":             sign(other, claims{"alg": "ES256", "x5c": []string{base64.StdEncoding.EncodeToString(selfSigned(other, "m5"))}}.String(), c),
		"kid path":        signed(claims{"kid": "../../etc/passwd"}),
		"kid SQL":         signed(claims{"kid": "' OR 1=1--"}),
		"kid NUL":         signed(claims{"kid": "m5-key\x00"}),
		"kid long":        signed(claims{"kid": strings.Repeat("k", 5000)}),
		"at+jwt":          signed(claims{"typ": "at+jwt"}),
		"dpop+jwt":        signed(claims{"typ": "dpop+jwt"}),
		"bootstrap+jwt":   signed(claims{"typ": "bootstrap+jwt"}),
		"RS256":           signed(claims{"alg": "RS256"}),
		"ES384":           signed(claims{"alg": "ES384"}),
		"crit":            signed(claims{"crit": []string{"exp"}}),
		"HS256":           withHS256(jwkOf(key, "m5-key"), c),
		"no signature":    unsigned,
		"dots":            strings.Repeat(".", 60000),
		"five parts":      "a.b.c.d.e",
		"eyJ":             strings.Repeat("eyJ", 20000),
		"JWE":             b64(`{"alg":"PBES2-HS256+A128KW","enc":"A128GCM","p2c":2147483648,"zip":"DEF"}`) + ".a.b.c.d",
		"line break":      good[:20] + "\n" + good[20:],
		"space":           good + " ",
		"padding":         good + "=",
		"trailing bits":   good[:len(good)-1] + otherBits(good[len(good)-1]),
		"repeated sub":    sign(key, `{"alg":"ES256"}`, strings.Replace(c, `"sub"`, `"sub":"m9","sub"`, 1)),
		"Sub":             sign(key, `{"alg":"ES256"}`, strings.Replace(c, `"sub"`, `"Sub"`, 1)),
		"repeated alg":    sign(key, `{"alg":"ES256","alg":"none"}`, c),
		"none, then good": sign(key, `{"alg":"none","alg":"ES256"}`, c),
	}
	for _, alg := range []string{"none", "None", "nOnE", "NONE", ""} {
		bad["alg "+alg] = b64(claims{"alg": alg}.String()) + "." + b64(c) + "."
	}
	for what, assertion := range bad {
		refused(t, what, w.tokenRequest(withAssertion(assertion, "m2")), 401, "invalid_client")
	}
	// PKJ-028, PKJ-029: none of it used up what the good one needs.
	if a := w.tokenRequest(withAssertion(good, "m2")); a.status != 200 {
		t.Errorf("the good one: got %d %s", a.status, a.body)
	}
}

// otherBits is another character whose first four bits are the same: base64url of 64 bytes ends in
// two bits that count and four that must be zero.
func otherBits(c byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[strings.IndexByte(alphabet, c)+1])
}

// PKJ-015, PKJ-017, PKJ-020.
func assertionsOnce(t *testing.T, w *world) {
	jti := rand.Text()
	first := w.assertion("m5", claims{"jti": jti})
	if a := w.tokenRequest(withAssertion(first, "m2")); a.status != 200 {
		t.Fatalf("got %d %s", a.status, a.body)
	}
	refused(t, "again", w.tokenRequest(withAssertion(first, "m2")), 401, "invalid_client")
	refused(t, "at the other replica", w.replica().tokenRequest(withAssertion(first, "m2")), 401, "invalid_client")
	refused(t, "the jti in another", w.tokenRequest(withAssertion(w.assertion("m5", claims{"jti": jti}), "m2")), 401, "invalid_client")
	refused(t, "to introspect", w.post("/oauth2/introspect", form("token", "x", "client_assertion_type", assertionType, "client_assertion", first)), 401, "invalid_client")
	if a := w.tokenRequest(withAssertion(w.assertion("m9", claims{"jti": jti}), "m2")); a.status != 200 {
		t.Errorf("the jti of another client: got %d %s", a.status, a.body)
	}
}

// PKJ-016, PKJ-017: 50 at once, half of them at each replica.
func assertionsInParallel(t *testing.T, w *world) {
	body := withAssertion(w.assertion("m5", nil), "m2")
	good := 0
	for _, a := range inParallel(50, func(i int) answer { return []*world{w, w.replica()}[i%2].tokenRequest(body) }) {
		if a.status == 200 {
			good++
		} else {
			refused(t, "in parallel", a, 401, "invalid_client")
		}
	}
	if good != 1 {
		t.Errorf("%d of 50 were granted", good)
	}
}

// PKJ-021, PKJ-022.
func assertionsNotBurned(t *testing.T, w *world) {
	jti := rand.Text()
	forged := sign(newKey(), `{"alg":"ES256","kid":"m5-key"}`, assertionClaims("m5").with(claims{"jti": jti}).String())
	refused(t, "forged", w.tokenRequest(withAssertion(forged, "m2")), 401, "invalid_client")
	refused(t, "wrong aud", w.tokenRequest(withAssertion(w.assertion("m5", claims{"jti": jti, "aud": "https://other.test"}), "m2")), 401, "invalid_client")
	if a := w.tokenRequest(withAssertion(w.assertion("m5", claims{"jti": jti}), "m2")); a.status != 200 {
		t.Errorf("got %d %s", a.status, a.body)
	}
}

// RFC 7523, section 2.1. The assertion is used up as one that authenticates.
func assertionAsGrant(t *testing.T, w *world) {
	ask := func(assertion string, more ...string) answer {
		return w.tokenRequest(form(append([]string{"grant_type", bearerGrant, "assertion", assertion, "audience", "m2"}, more...)...))
	}
	first := w.assertion("m5", nil)
	if c := part(t, given(t, ask(first)), 1); c["sub"] != "m5" || c["client_id"] != "m5" {
		t.Errorf("got %v", c)
	}
	refused(t, "again", ask(first), 400, "invalid_grant")
	refused(t, "again, as authentication", w.tokenRequest(withAssertion(first, "m2")), 401, "invalid_client")
	refused(t, "wrong aud", ask(w.assertion("m5", claims{"aud": "https://other.test"})), 400, "invalid_grant")
	refused(t, "none", ask(""), 400, "invalid_request")
	// It is what the service's own key signed. The long-lived credential is none.
	bootstrap, _ := w.credential(w.fresh("old"))
	refused(t, "bootstrap credential", ask(bootstrap), 400, "invalid_grant")
	refused(t, "another client_id", ask(w.assertion("m5", nil), "client_id", "m1"), 400, "invalid_grant")
	body := form("grant_type", bearerGrant, "assertion", w.assertion("m5", nil), "audience", "m2")
	refused(t, "beside another client", w.tokenRequest(body, basic("m1")), 400, "invalid_grant")
	if a := ask(w.assertion("m5", nil), "client_assertion_type", assertionType, "client_assertion", w.assertion("m5", nil)); a.status != 200 {
		t.Errorf("beside the same client: got %d %s", a.status, a.body)
	}
}
