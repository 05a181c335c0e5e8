package app

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/server/internal/keys"
	"github.com/watchword-dev/watchword/server/internal/web"
)

// NAT-001.
func TestAllowedCallerGetsATokenForExactlyItsTarget(t *testing.T) {
	s := start(t, testConfig(t))
	m1, _, _ := s.demo()
	before := time.Now().Unix()
	a := s.ask(m1, `{"target":"m2"}`)
	if a.status != 200 || a.header.Get("Content-Type") != "application/json" || a.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("got %d %v %s", a.status, a.header, a.body)
	}
	body := a.json(t)
	if got := body["expiresIn"]; got != float64(900) {
		t.Errorf("expiresIn: got %v, want 900", got)
	}
	token := body["accessToken"].(string)
	header, claims := part(t, token, 0), part(t, token, 1)
	if header["alg"] != "ES256" || header["typ"] != "at+jwt" || header["kid"] == "" || len(header) != 3 {
		t.Errorf("header: got %v", header)
	}
	if claims["iss"] != "auth-server" || claims["sub"] != "m1" || claims["aud"] != "m2" || len(claims["jti"].(string)) != 32 {
		t.Errorf("claims: got %v", claims)
	}
	if _, ok := claims["scope"]; ok {
		t.Errorf("scope: got %v where the rule has none", claims["scope"])
	}
	iat, exp := int64(claims["iat"].(float64)), int64(claims["exp"].(float64))
	if exp-iat != 900 || iat < before || iat > time.Now().Unix() {
		t.Errorf("iat %d, exp %d: want 900 s from now, %d", iat, exp, before)
	}
	if !strings.Contains(s.do(s.request("GET", s.url+"/.well-known/jwks.json", "")).body, header["kid"].(string)) {
		t.Error("the key set does not have the token's kid")
	}
	r := s.record(a.header.Get(web.DecisionHeader))
	if r["outcome"] != "allowed" || r["caller"] != "m1" || r["target"] != "m2" || r["token"] != claims["jti"] {
		t.Errorf("audit record: got %v", r)
	}
}

// NAT-002: the attack the public demo allowed.
func TestCalleeCannotReplayItsCallersToken(t *testing.T) {
	s := start(t, testConfig(t))
	m1, _, _ := s.demo()
	a := s.ask(s.accessToken(m1, "m2"), `{"target":"m1"}`)
	if a.status != 401 || a.json(t)["error"] != "invalid_token" {
		t.Fatalf("got %d %s, want 401 invalid_token", a.status, a.body)
	}
	if got := s.record(a.header.Get(web.DecisionHeader))["reason"]; got != "audience_mismatch" {
		t.Errorf("audit reason: got %v, want audience_mismatch", got)
	}
}

// NAT-003: iss and aud are each checked, by a token signed with the right key and right in
// everything else.
func TestIssuerAndAudienceMustBothBeTheServers(t *testing.T) {
	s := start(t, testConfig(t))
	m1, id := func() (string, string) { s.demo(); return s.credential("m1") }()
	signer, err := s.s.ring.Signer(keys.UseCredential, "ES256")
	if err != nil {
		t.Fatal(err)
	}
	sign := func(typ, claims string) string {
		token, err := signer.Sign(typ, []byte(claims))
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	rest := `"sub":"m1","jti":"` + id + `","iat":1700000000,"exp":4000000000}`
	for _, c := range []struct {
		name, claims string
		want         int
	}{
		{"both right", `{"iss":"auth-server","aud":"auth-server",` + rest, 200},
		{"aud wrong", `{"iss":"auth-server","aud":"m2",` + rest, 401},
		{"iss wrong", `{"iss":"evil","aud":"auth-server",` + rest, 401},
		{"both wrong", `{"iss":"evil","aud":"m2",` + rest, 401},
		{"both missing", `{` + rest, 401},
		{"iss missing", `{"aud":"auth-server",` + rest, 401},
		{"aud missing", `{"iss":"auth-server",` + rest, 401},
		{"aud an array", `{"iss":"auth-server","aud":["auth-server"],` + rest, 401},
		{"aud twice", `{"iss":"auth-server","aud":"m2","aud":"auth-server",` + rest, 401},
		{"trailing slash", `{"iss":"auth-server/","aud":"auth-server",` + rest, 401},
		{"upper case", `{"iss":"Auth-Server","aud":"auth-server",` + rest, 401},
		{"no exp", `{"iss":"auth-server","aud":"auth-server","sub":"m1","jti":"` + id + `"}`, 401},
		{"exp null", `{"iss":"auth-server","aud":"auth-server","sub":"m1","exp":null,"jti":"` + id + `"}`, 401},
		{"expired", `{"iss":"auth-server","aud":"auth-server","sub":"m1","exp":1700000000,"jti":"` + id + `"}`, 401},
		{"not yet valid", `{"iss":"auth-server","aud":"auth-server","nbf":3900000000,` + rest, 401},
		{"another sub", `{"iss":"auth-server","aud":"auth-server","sub":"m2","exp":4000000000,"jti":"` + id + `"}`, 401},
		{"unknown sub", `{"iss":"auth-server","aud":"auth-server","sub":"zz","exp":4000000000,"jti":"` + id + `"}`, 401},
		{"unknown jti", `{"iss":"auth-server","aud":"auth-server","sub":"m1","exp":4000000000,"jti":"00"}`, 401},
		{"no jti", `{"iss":"auth-server","aud":"auth-server","sub":"m1","exp":4000000000}`, 401},
		{"not an object", `"auth-server"`, 401},
	} {
		if a := s.ask(sign("bootstrap+jwt", c.claims), `{"target":"m2"}`); a.status != c.want {
			t.Errorf("%s: got %d %s, want %d", c.name, a.status, a.body, c.want)
		}
	}
	for _, typ := range []string{"JWT", "at+jwt", "dpop+jwt", ""} {
		if a := s.ask(sign(typ, `{"iss":"auth-server","aud":"auth-server",`+rest), `{"target":"m2"}`); a.status != 401 {
			t.Errorf("typ %q: got %d, want 401", typ, a.status)
		}
	}
	if a := s.ask(m1, `{"target":"m2"}`); a.status != 200 {
		t.Errorf("the real credential: got %d %s", a.status, a.body)
	}
}

// NAT-006, NAT-007, NAT-011, NAT-019, NAT-020.
func TestWhatIsNoCredentialIsRefused(t *testing.T) {
	s := start(t, testConfig(t))
	m1, _, _ := s.demo()
	revoked, id := s.credential("m1")
	s.operate("POST", "/credentials/"+id+"/revoke", "")
	parts := strings.Split(m1, ".")
	withHeader := func(h string) string { return b64(h) + "." + parts[1] + "." + parts[2] }
	for _, c := range []struct {
		name, authorization string
		status              int
		err                 string // in the challenge
	}{
		{"none", "", 401, ""},
		{"garbage", "Bearer garbage", 401, "invalid_token"},
		{"revoked", "Bearer " + revoked, 401, "invalid_token"},
		{"scheme in another case", "bEARER " + m1, 200, ""},
		{"two words", "Bearer a b", 401, "invalid_token"},
		{"scheme alone", "Bearer", 401, "invalid_token"},
		{"short garbage", "bearer x", 401, "invalid_token"},
		{"another scheme", "Token x", 401, ""},
		{"Basic", "Basic bTE6c2VjcmV0", 401, ""},
		{"Basic with the credential", "Basic " + m1, 401, ""},
		{"unknown kid", "Bearer " + withHeader(`{"alg":"ES256","kid":"nobody","typ":"bootstrap+jwt"}`), 401, "invalid_token"},
		{"no kid", "Bearer " + withHeader(`{"alg":"ES256","typ":"bootstrap+jwt"}`), 401, "invalid_token"},
		{"kid an array", "Bearer " + withHeader(`{"alg":"ES256","kid":["a"],"typ":"bootstrap+jwt"}`), 401, "invalid_token"},
		{"alg none", "Bearer " + b64(`{"alg":"none","typ":"bootstrap+jwt"}`) + "." + parts[1] + ".", 401, "invalid_token"},
		{"no signature", "Bearer " + parts[0] + "." + parts[1] + ".", 401, "invalid_token"},
		{"two parts", "Bearer " + parts[0] + "." + parts[1], 401, "invalid_token"},
		{"one byte more", "Bearer " + m1 + "A", 401, "invalid_token"},
		{"many dots", "Bearer " + strings.Repeat(".", 7000), 401, "invalid_token"},
	} {
		r := s.request("POST", s.url+"/accesstoken", `{"target":"m2"}`)
		if c.authorization != "" {
			r.Header.Set("Authorization", c.authorization)
		}
		a := s.do(r)
		challenge := a.header.Get("WWW-Authenticate")
		if a.status != c.status || a.status == 401 && !strings.HasPrefix(challenge, `Bearer realm="`) ||
			strings.Contains(challenge, "error=") != (c.err != "") || !strings.Contains(challenge, c.err) {
			t.Errorf("%s: got %d, challenge %q, want %d %s", c.name, a.status, challenge, c.status, c.err)
		}
		if a.status != 200 && a.json(t)["error"] == "" {
			t.Errorf("%s: no error code in %s", c.name, a.body)
		}
		if a.header.Get(web.DecisionHeader) == "" {
			t.Errorf("%s: no decision id", c.name)
		}
	}
	two := s.request("POST", s.url+"/accesstoken", `{"target":"m2"}`, "Authorization", "Bearer "+m1, "Authorization", "Bearer "+m1)
	if a := s.do(two); a.status != 400 {
		t.Errorf("two Authorization headers: got %d, want 400", a.status)
	}
	elsewhere := s.request("POST", s.url+"/accesstoken?access_token="+m1, `{"target":"m2","access_token":"`+m1+`"}`)
	if a := s.do(elsewhere); a.status != 401 {
		t.Errorf("credential in query and body: got %d, want 401", a.status)
	}
}

// NAT-008.
func TestForbiddenAndUnknownTargetLookTheSame(t *testing.T) {
	s := start(t, testConfig(t))
	m1, _, _ := s.demo()
	s.operate("POST", "/services", `{"name":"m4"}`)
	s.allow("m1", "m4")
	s.operate("PATCH", "/services/m4", `{"disabled":true}`)
	known := s.ask(m1, `{"target":"m3"}`)
	if known.status != 401 || known.json(t)["error"] != "access_denied" {
		t.Fatalf("got %d %s, want 401 access_denied", known.status, known.body)
	}
	for name, body := range map[string]string{
		"unknown":          `{"target":"zz"}`,
		"disabled":         `{"target":"m4"}`,
		"the server":       `{"target":"auth-server"}`,
		"scope not there":  `{"target":"m2","scope":"read"}`,
		"prototype":        `{"target":"__proto__"}`,
		"constructor":      `{"target":"constructor"}`,
		"another case":     `{"target":"M2"}`,
		"trailing space":   `{"target":"m2 "}`,
		"NUL":              `{"target":"m2\u0000"}`,
		"a very long name": `{"target":"` + strings.Repeat("m", 60000) + `"}`,
	} {
		a := s.ask(m1, body)
		if a.status != known.status || a.body != known.body || a.header.Get("WWW-Authenticate") != known.header.Get("WWW-Authenticate") {
			t.Errorf("%s: got %d %s, want %d %s", name, a.status, a.body, known.status, known.body)
		}
	}
}

// NAT-009, NAT-012, NAT-015, NAT-016.
func TestMalformedBodiesAreRefused(t *testing.T) {
	s := start(t, testConfig(t))
	m1, _, _ := s.demo()
	var keys strings.Builder
	for i := range 5_000 { // within 64 KiB, beyond which the answer is 413
		keys.WriteString(`"k` + strings.Repeat("x", i%7) + `":1,`)
	}
	for name, body := range map[string]string{
		"array": `{"target":["m2"]}`, "object": `{"target":{"$ne":1}}`, "number": `{"target":2}`, "null": `{"target":null}`,
		"empty": `{"target":""}`, "no member": `{}`, "an array": `[]`, "a string": `"m2"`, "nothing": ``, "null itself": `null`,
		"twice": `{"target":"m2","target":"m3"}`, "twice, in capitals": `{"target":"m2","TARGET":"m3"}`, "scope in capitals": `{"target":"m2","Scope":"read"}`, "only in capitals": `{"TARGET":"m3"}`, "escaped twice": `{"target":"m2","t\u0061rget":"m3"}`,
		"invalid UTF-8": "{\"target\":\"m\xff\"}", "lone surrogate": `{"target":"\ud800"}`,
		"byte order mark": "\xef\xbb\xbf{\"target\":\"m2\"}", "UTF-16": "{\x00}\x00", "comment": `{"target":"m2"}//`, "trailing comma": `{"target":"m2",}`,
		"NaN": `{"target":NaN}`, "deep": `{"x":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `,"target":"m2"}`,
		"wide": `{` + keys.String() + `"target":"m2"}`, "two values": `{"target":"m2"}{"target":"m3"}`,
		"scope a number": `{"target":"m2","scope":1}`, "scope with a quote": `{"target":"m2","scope":"a\"b"}`, "scope with two spaces": `{"target":"m2","scope":"a  b"}`,
		"too many scopes": `{"target":"m2","scope":"` + strings.Repeat("a ", 30000) + `a"}`,
	} {
		a := s.ask(m1, body)
		if a.status != 400 || a.json(t)["error"] != "invalid_request" {
			t.Errorf("%s: got %d %s, want 400 invalid_request", name, a.status, a.body)
		}
	}
	if a := s.ask(m1, `{"target":"m2","unknown":{"target":"m3"}}`); a.status != 200 {
		t.Errorf("a member that is not known: got %d %s, want it ignored", a.status, a.body)
	}
	for name, c := range map[string]struct {
		body   string
		header []string
		status int
	}{
		"form":         {`target=m2`, []string{"Content-Type", "application/x-www-form-urlencoded"}, 415},
		"compressed":   {`{"target":"m2"}`, []string{"Content-Encoding", "gzip"}, 415},
		"too large":    {`{"target":"m2","x":"` + strings.Repeat("x", 70_000) + `"}`, nil, 413},
		"with charset": {`{"target":"m2"}`, []string{"Content-Type", "application/json; charset=UTF-8"}, 200},
	} {
		r := s.request("POST", s.url+"/accesstoken", c.body, "Authorization", "Bearer "+m1)
		for i := 0; i < len(c.header); i += 2 {
			r.Header.Set(c.header[i], c.header[i+1])
		}
		if a := s.do(r); a.status != c.status {
			t.Errorf("%s: got %d %s, want %d", name, a.status, a.body, c.status)
		}
	}
	for _, method := range []string{"GET", "PUT", "DELETE", "PATCH", "OPTIONS"} {
		if a := s.do(s.request(method, s.url+"/accesstoken", "", "Authorization", "Bearer "+m1)); a.status != 405 || a.header.Get("Allow") != "POST" {
			t.Errorf("%s: got %d Allow %q, want 405 POST", method, a.status, a.header.Get("Allow"))
		}
	}
	if a := s.ask(m1, `{"target":"m2"}`); a.status != 200 {
		t.Errorf("after all of it: got %d %s", a.status, a.body)
	}
}

// NAT-022, POL-002: after the answer to the change, the very next request.
func TestChangesAreInForceBeforeTheyAreAnswered(t *testing.T) {
	s := start(t, testConfig(t))
	m1, _, _ := s.demo()
	ask := func() int { return s.ask(m1, `{"target":"m2"}`).status }
	for range 20 {
		if got := ask(); got != 200 {
			t.Fatalf("with the rule: got %d", got)
		}
		s.operate("DELETE", "/rules/m1/m2", "")
		if got := ask(); got != 401 {
			t.Fatalf("without the rule: got %d", got)
		}
		s.allow("m1", "m2")
		s.operate("PATCH", "/services/m1", `{"disabled":true}`)
		if got := ask(); got != 401 {
			t.Fatalf("caller disabled: got %d", got)
		}
		s.operate("PATCH", "/services/m1", `{"disabled":false}`)
		s.operate("PATCH", "/services/m2", `{"disabled":true}`)
		if got := ask(); got != 401 {
			t.Fatalf("target disabled: got %d", got)
		}
		s.operate("PATCH", "/services/m2", `{"disabled":false}`)
	}
	token, id := s.credential("m1")
	if a := s.ask(token, `{"target":"m2"}`); a.status != 200 {
		t.Fatalf("second credential: got %d", a.status)
	}
	s.operate("POST", "/credentials/"+id+"/revoke", "")
	if a := s.ask(token, `{"target":"m2"}`); a.status != 401 {
		t.Fatalf("revoked credential: got %d", a.status)
	}
	if got := ask(); got != 200 {
		t.Fatalf("the other credential of m1: got %d", got)
	}
}

// CAU-015, for bootstrap credentials.
func TestServiceMadeAgainInheritsNothing(t *testing.T) {
	s := start(t, testConfig(t))
	m1, _, _ := s.demo()
	s.operate("DELETE", "/services/m1", "")
	if a := s.ask(m1, `{"target":"m2"}`); a.status != 401 {
		t.Fatalf("deleted service: got %d", a.status)
	}
	s.service("m1")
	if a := s.ask(m1, `{"target":"m2"}`); a.status != 401 || a.json(t)["error"] != "invalid_token" {
		t.Fatalf("old credential of the new m1: got %d %s", a.status, a.body)
	}
	fresh, _ := s.credential("m1")
	if a := s.ask(fresh, `{"target":"m2"}`); a.status != 401 || a.json(t)["error"] != "access_denied" {
		t.Fatalf("new m1 on the old rule: got %d %s", a.status, a.body)
	}
}

// NAT-026.
func TestCredentialRemembersWhereItWasUsedAndMayBePinned(t *testing.T) {
	s := start(t, testConfig(t))
	s.demo()
	token, id := s.credential("m1")
	if a := s.ask(token, `{"target":"m2"}`); a.status != 200 {
		t.Fatalf("got %d", a.status)
	}
	s.s.directory.FlushUses(t.Context())
	c := s.operate("GET", "/credentials/"+id, "")
	if c["lastUsedFrom"] != "127.0.0.1" || c["lastUsedAt"] == nil {
		t.Errorf("last use: got %v from %v", c["lastUsedAt"], c["lastUsedFrom"])
	}
	pinned := func(cidr string) int {
		a := s.operate("POST", "/services/m1/credentials", `{"cidr":"`+cidr+`"}`)
		return s.ask(a["token"].(string), `{"target":"m2"}`).status
	}
	if got := pinned("127.0.0.0/8"); got != 200 {
		t.Errorf("inside its network: got %d", got)
	}
	if got := pinned("10.0.0.0/8"); got != 401 {
		t.Errorf("outside its network: got %d", got)
	}
}

func TestTargetSetsLifetimeAndAlgorithm(t *testing.T) {
	s := start(t, testConfig(t))
	m1, _, _ := s.demo()
	for _, alg := range []string{"EdDSA", "PS256", "RS256", "ES256"} { // ROT-012
		s.operate("PATCH", "/services/m2", `{"algorithm":"`+alg+`","tokenTtlSeconds":60}`)
		token := s.accessToken(m1, "m2")
		header, claims := part(t, token, 0), part(t, token, 1)
		if header["alg"] != alg || claims["exp"].(float64)-claims["iat"].(float64) != 60 {
			t.Errorf("got alg %v and %v s, want %s and 60 s", header["alg"], claims["exp"].(float64)-claims["iat"].(float64), alg)
		}
		if header := part(t, s.accessToken(m1, "m1"), 0); header["alg"] != "ES256" {
			t.Errorf("another target's tokens: got alg %v", header["alg"])
		}
	}
	for _, body := range []string{`{"algorithm":"none"}`, `{"algorithm":"HS256"}`, `{"tokenTtlSeconds":-1}`, `{"tokenTtlSeconds":1000000000}`} {
		if a := s.do(s.request("PATCH", s.admin+"/services/m2", body, "Authorization", "Bearer "+s.token)); a.status != 422 {
			t.Errorf("%s: got %d %s, want 422", body, a.status, a.body)
		}
	}
}

// NAT-025.
func TestReusedTokenNeverCrossesCredentialsScopesOrChanges(t *testing.T) {
	cfg := testConfig(t)
	cfg.Token.ReuseWindow = time.Minute
	s := start(t, cfg)
	m1, m2, _ := s.demo()
	other, _ := s.credential("m1")
	s.allow("m1", "m2", "a", "b")
	first := s.accessToken(m1, "m2")
	if s.accessToken(m1, "m2") != first {
		t.Error("two equal requests within the window got two tokens")
	}
	for name, token := range map[string]string{
		"another credential": s.accessToken(other, "m2"),
		"another caller":     s.accessToken(m2, "m2"),
		"another target":     s.accessToken(m1, "m1"),
		"another scope":      s.ask(m1, `{"target":"m2","scope":"a"}`).json(t)["accessToken"].(string),
	} {
		if token == first {
			t.Errorf("%s got the same token", name)
		}
	}
	s.allow("m1", "m2", "a")
	if after := s.accessToken(m1, "m2"); after == first || part(t, after, 1)["scope"] != "a" {
		t.Errorf("after a change of the rule: got scope %v", part(t, after, 1)["scope"])
	}
	s.operate("DELETE", "/rules/m1/m2", "")
	if a := s.ask(m1, `{"target":"m2"}`); a.status != http.StatusUnauthorized {
		t.Errorf("after the rule is gone: got %d", a.status)
	}
}

// A revoked credential key ends every credential it signed, at the next request; new ones
// are signed by the key that follows it.
func TestRevokedCredentialKeyEndsItsCredentials(t *testing.T) {
	s := start(t, testConfig(t))
	m1, _, _ := s.demo()
	s.operate("POST", "/keys/"+part(t, m1, 0)["kid"].(string)+"/revoke", "")
	a := s.ask(m1, `{"target":"m2"}`)
	if a.status != 401 || a.json(t)["error"] != "invalid_token" {
		t.Fatalf("got %d %s", a.status, a.body)
	}
	if got := s.record(a.header.Get(web.DecisionHeader))["reason"]; got != "unknown_key" {
		t.Errorf("audit reason: got %v, want unknown_key", got)
	}
	fresh, _ := s.credential("m1")
	if a := s.ask(fresh, `{"target":"m2"}`); a.status != 200 {
		t.Errorf("a new credential: got %d %s", a.status, a.body)
	}
}
