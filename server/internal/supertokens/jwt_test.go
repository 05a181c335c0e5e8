package supertokens_test

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/watchword-dev/watchword/server/internal/audit"
	"github.com/watchword-dev/watchword/server/internal/supertokens"
)

// request writes a body of POST /recipe/jwt with the members given in place of the good ones;
// an empty value leaves the member out.
func request(members ...string) string {
	body := "{"
	for _, name := range []string{"payload", "validity", "useStaticSigningKey", "algorithm", "jwksDomain"} {
		value := map[string]string{
			"payload": "{}", "validity": "3600", "useStaticSigningKey": "true", "algorithm": `"RS256"`, "jwksDomain": `"http://x"`,
		}[name]
		for i := 0; i < len(members); i += 2 {
			if members[i] == name {
				value = members[i+1]
			}
		}
		if value == "" {
			continue
		}
		if body != "{" {
			body += ","
		}
		body += `"` + name + `":` + value
	}
	return body + "}"
}

// STJ-001.
func TestTokenIsSignedWithTheStaticKey(t *testing.T) {
	f := newFixture(t, supertokens.Options{})
	r := f.do("POST", "/recipe/jwt", `{"algorithm":"RS256","jwksDomain":"http://x","payload":{},"validity":3600}`, keyed)
	body := read(t, r)
	token, ok := strings.CutPrefix(body, `{"status":"OK","jwt":"`)
	token, ok2 := strings.CutSuffix(token, "\"}\n")
	if r.StatusCode != 200 || !ok || !ok2 || r.Header.Get("Content-Type") != "application/json;charset=UTF-8" {
		t.Fatalf("got %d %s", r.StatusCode, body)
	}
	id := kid(t, token)
	if got, want := part(t, token, 0), `{"kid":"`+id+`","typ":"JWT","alg":"RS256"}`; got != want || len(id) != 38 || !strings.HasPrefix(id, "s-") {
		t.Errorf("header %s, want %s with s- and a UUID", got, want)
	}
	if got, want := part(t, token, 1), `{"iat":1795467585,"exp":1795471185,"iss":"http://x"}`; got != want {
		t.Errorf("claims %s, want %s", got, want)
	}
	verify(t, f, "/.well-known/jwks.json", token)
	if again := kid(t, f.mint(t, "/recipe/jwt", request())); again != id {
		t.Errorf("the second token is signed with %s, the first with %s", again, id)
	}
}

// verify checks the signature of token with the interface's key set, by hand.
func verify(t *testing.T, f *fixture, path, token string) {
	t.Helper()
	var set struct {
		Keys []struct{ Kty, Kid, N, E, Alg, Use string }
	}
	if err := json.Unmarshal([]byte(read(t, f.do("GET", path, "", nil))), &set); err != nil {
		t.Fatal(err)
	}
	dot := strings.LastIndexByte(token, '.')
	signature, _ := base64.RawURLEncoding.DecodeString(token[dot+1:])
	digest := sha256.Sum256([]byte(token[:dot]))
	for _, k := range set.Keys {
		if k.Kid != kid(t, token) {
			continue
		}
		n, err := base64.RawURLEncoding.DecodeString(k.N)
		if err != nil || len(n) != 256 || n[0] == 0 || k.E != "AQAB" || k.Kty != "RSA" || k.Alg != "RS256" || k.Use != "sig" {
			t.Errorf("published key %+v, %v", k, err)
		}
		public := &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: 65537}
		if err := rsa.VerifyPKCS1v15(public, crypto.SHA256, digest[:], signature); err != nil {
			t.Errorf("signature: %v", err)
		}
		return
	}
	t.Errorf("key %s is not published", kid(t, token))
}

// STJ-002.
func TestTokenIsSignedWithTheDynamicKeyWhenAsked(t *testing.T) {
	f := newFixture(t, supertokens.Options{})
	tests := []struct{ version, static, prefix string }{
		{"", "false", "d-"},
		{"5.6", "false", "d-"},
		{"2.21", "false", "d-"},
		{"2.21", "true", "s-"},
		{"2.21", "", "s-"},
		{"2.20", "false", "s-"},
		{"2.9", `"anything"`, "s-"},
	}
	for _, test := range tests {
		h := keyed
		if test.version != "" {
			h = append(header{"cdi-version: " + test.version}, keyed...)
		}
		body := read(t, f.do("POST", "/recipe/jwt", request("useStaticSigningKey", test.static), h))
		var answer struct{ JWT string }
		if err := json.Unmarshal([]byte(body), &answer); err != nil || answer.JWT == "" {
			t.Errorf("%+v: answer %s", test, body)
			continue
		}
		if id := kid(t, answer.JWT); !strings.HasPrefix(id, test.prefix) {
			t.Errorf("%+v: key %s", test, id)
		}
	}
	token := f.mint(t, "/recipe/jwt", request("useStaticSigningKey", "false"))
	if want := fmt.Sprintf("d-%d", start.UnixMilli()); kid(t, token) != want {
		t.Errorf("key %s, want %s", kid(t, token), want)
	}
	verify(t, f, "/.well-known/jwks.json", token)
}

func TestBodiesThatAreRefused(t *testing.T) {
	f := newFixture(t, supertokens.Options{})
	field := func(name string) string { return "Field name '" + name + "' is invalid in JSON input" }
	const (
		notJSON  = "Invalid Json Input"
		positive = "validity must be greater than or equal to 0"
		claims   = "java.lang.IllegalArgumentException: Claim values must only be of types Map, List, Boolean, Integer, Long, Double, String, Date, Instant, and Null"
	)
	tests := []struct{ name, body, want string }{
		{"nothing", "", notJSON},
		{"not JSON", "{", notJSON},
		{"array", "[]", notJSON},
		{"null", "null", notJSON},
		{"text after", "{}x", notJSON},
		{"second value", "{}{}", notJSON},
		{"trailing comma", `{"a":1,}`, notJSON},
		{"comment", "{/**/}", notJSON},
		{"single quotes", `{'a':1}`, notJSON},
		{"repeated member", `{"a":1,"a":1}`, notJSON},
		{"repeated member, escaped", `{"a":1,"\u0061":1}`, notJSON},
		{"repeated claim", request("payload", `{"sub":"m1","sub":"m2"}`), notJSON},
		{"repeated claim inside", request("payload", `{"x":[{"sub":"m1","sub":"m2"}]}`), notJSON},
		{"repeated member of what is ignored", request("payload", `{}, "other":{"a":1,"a":2}`), notJSON},
		{"lone surrogate", request("payload", `{"sub":"\ud800"}`), notJSON},
		{"invalid UTF-8", request("payload", "{\"sub\":\"\xff\"}"), notJSON},
		{"too deep", request("payload", `{"x":`+strings.Repeat("[", 20000)+strings.Repeat("]", 20000)+"}"), notJSON},

		// STJ-003.
		{"algorithm missing", request("algorithm", ""), field("algorithm")},
		{"algorithm null", request("algorithm", "null"), field("algorithm")},
		{"algorithm in an array", request("algorithm", `["RS256"]`), field("algorithm")},
		{"algorithm in the wrong case", request("algorithm", `"RS256","Algorithm":1,"algorithM":2`, "jwksDomain", "1"), field("jwksDomain")},
		{"jwksDomain missing", request("jwksDomain", ""), field("jwksDomain")},
		{"jwksDomain a number", request("jwksDomain", "1"), field("jwksDomain")},
		{"payload missing", request("payload", ""), field("payload")},
		{"payload a string", request("payload", `"x"`), field("payload")},
		{"payload null", request("payload", "null"), field("payload")},
		{"payload an array", request("payload", "[]"), field("payload")},
		{"validity missing", request("validity", ""), field("validity")},
		{"validity a string", request("validity", `"3600"`), field("validity")},
		{"validity null", request("validity", "null"), field("validity")},
		{"validity true", request("validity", "true"), field("validity")},
		{"algorithm first", "{}", field("algorithm")},
		{"jwksDomain second", `{"algorithm":"RS256"}`, field("jwksDomain")},
		{"payload third", `{"algorithm":"RS256","jwksDomain":"x"}`, field("payload")},
		{"validity fourth", `{"algorithm":"RS256","jwksDomain":"x","payload":{}}`, field("validity")},
		{"validity before static", request("validity", "0", "useStaticSigningKey", "null"), positive},
		{"static null", request("useStaticSigningKey", "null"), field("useStaticSigningKey")},
		{"static a string", request("useStaticSigningKey", `"false"`), field("useStaticSigningKey")},
		{"static a number", request("useStaticSigningKey", "1"), field("useStaticSigningKey")},

		// STJ-005.
		{"validity negative", request("validity", "-3600"), positive},
		{"validity zero", request("validity", "0"), positive},
		{"validity minus zero", request("validity", "-0"), positive},
		{"validity below one", request("validity", "0.9"), positive},
		{"validity very negative", request("validity", "-9223372036854775809"), positive},
		{"validity very negative float", request("validity", "-1e300"), positive},
		{"validity tiny", request("validity", "1e-300"), positive},

		// STJ-008.
		{"validity 2^63-1", request("validity", "9223372036854775807"), field("validity")},
		{"validity 2^63", request("validity", "9223372036854775808"), field("validity")},
		{"validity 9e18", request("validity", "9e18"), field("validity")},
		{"validity 9000000000000000000", request("validity", "9000000000000000000"), field("validity")},
		{"validity 9000000000000000000.5", request("validity", "9000000000000000000.5"), field("validity")},
		{"validity 1e999999999", request("validity", "1e999999999"), field("validity")},
		{"validity that would pass 2^53", request("validity", "9007199254740991"), field("validity")},

		{"integer over 64 bits", request("payload", `{"x":9223372036854775808}`), claims},
		{"integer under 64 bits", request("payload", `{"x":-9223372036854775809}`), claims},
		{"integer over 64 bits inside", request("payload", `{"x":[{"y":18446744073709551616}]}`), claims},
		{"integer over 64 bits as exp", request("payload", `{"exp":9223372036854775808}`), claims},
		{"number over a double", request("payload", `{"x":1e400}`), claims},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := f.do("POST", "/recipe/jwt", test.body, keyed)
			if body := read(t, r); r.StatusCode != 400 || body != test.want+"\n" || r.Header.Get("Content-Type") != "text/html;charset=UTF-8" {
				t.Errorf("got %d %q, want 400 %q", r.StatusCode, body, test.want)
			}
		})
	}
	if len(f.audit.events) == 0 {
		t.Error("no refusal was recorded")
	}
	for _, e := range f.audit.events {
		if e.Outcome != audit.Refused || e.Reason == "" || e.Token != "" {
			t.Errorf("recorded as %s %s, token %q", e.Outcome, e.Reason, e.Token)
		}
	}
}

func TestAppAndTenantAreCheckedAfterTheBody(t *testing.T) {
	f := newFixture(t, supertokens.Options{})
	tests := []struct {
		path, body string
		status     int
		want       string
	}{
		{"/appid-nope/recipe/jwt", request("validity", "0"), 400, "validity must be greater than or equal to 0\n"},
		{"/appid-nope/recipe/jwt", request(), 400, "AppId or tenantId not found => Tenant with the following connectionURIDomain, appId and tenantId combination not found: (, nope, public)\n"},
		{"/appid-nope/recipe/jwt", request("algorithm", `"HS256"`), 400, "AppId or tenantId not found => Tenant with the following connectionURIDomain, appId and tenantId combination not found: (, nope, public)\n"},
		{"/t1/recipe/jwt", request(), 403, "Only public tenantId can call this app specific API\n"},
		{"/recipe/jwt", request("algorithm", `"HS256"`), 200, `{"status":"UNSUPPORTED_ALGORITHM_ERROR"}` + "\n"},
		{"/recipe/jwt", request("algorithm", `""`, "payload", `{"x":9223372036854775808}`), 200, `{"status":"UNSUPPORTED_ALGORITHM_ERROR"}` + "\n"},
	}
	for _, test := range tests {
		r := f.do("POST", test.path, test.body, keyed)
		if body := read(t, r); r.StatusCode != test.status || body != test.want {
			t.Errorf("POST %s %s: got %d %q, want %d %q", test.path, test.body, r.StatusCode, body, test.status, test.want)
		}
	}
}

func TestClaims(t *testing.T) {
	f := newFixture(t, supertokens.Options{})
	const (
		iat  = `"iat":1795467585,`
		made = iat + `"exp":1795471185,`
		iss  = made + `"iss":"http://x"`
	)
	tests := []struct{ name, body, want string }{
		{"order of the payload", request("payload", `{"z":1,"a":2,"m":3}`), `{` + iss + `,"z":1,"a":2,"m":3}`},
		// STJ-013.
		{"iss of the payload", request("payload", `{"sub":"m1","iss":"auth-server"}`), `{` + made + `"sub":"m1","iss":"auth-server"}`},
		{"iss null", request("payload", `{"iss":null}`), `{` + made + `"iss":null}`},
		{"iss under an escaped name", request("payload", `{"i\u0073s":"y"}`), `{` + made + `"iss":"y"}`},
		{"empty jwksDomain", request("jwksDomain", `""`), `{` + made + `"iss":""}`},
		{"jwksDomain with quotes", request("jwksDomain", `"a\"\u0062<&"`), `{` + made + `"iss":"a\"b<&"}`},
		{"iat and exp of the payload", request("payload", `{"a":1,"exp":5,"iat":4}`), `{"iat":4,"exp":5,"iss":"http://x","a":1}`},
		{"exp null", request("payload", `{"exp":null}`), `{` + iat + `"exp":null,"iss":"http://x"}`},
		{"nbf and jti of the payload", request("payload", `{"nbf":1,"jti":"x"}`), `{` + iss + `,"nbf":1,"jti":"x"}`},
		{
			"kinds of values", request("payload", `{"n":null,"t":true,"d":1.50,"e":1e2,"i":-9223372036854775808,"o":{"b":[1,{}],"a":""},"l":[[]]}`),
			`{` + iss + `,"n":null,"t":true,"d":1.50,"e":1e2,"i":-9223372036854775808,"o":{"b":[1,{}],"a":""},"l":[[]]}`,
		},
		{"white space", request("payload", "{ \"a\" :\t[ 1 ,\n2 ] }"), `{` + iss + `,"a":[1,2]}`},
		{"names", request("payload", `{"":1,"__proto__":2,"é\n":3}`), `{` + iss + `,"":1,"__proto__":2,"é\n":3}`},

		{"aud a string", request("payload", `{"aud":"m2"}`), `{` + iss + `,"aud":"m2"}`},
		{"aud of two", request("payload", `{"aud":["m2", "m3"],"x":1}`), `{` + iss + `,"aud":["m2","m3"],"x":1}`},
		{"aud of one", request("payload", `{"aud":["m2"]}`), `{` + iss + `,"aud":"m2"}`},
		{"aud of one string", request("payload", `{"aud":[1,"m2",null,["m3"]]}`), `{` + iss + `,"aud":"m2"}`},
		{"aud of two strings", request("payload", `{"aud":[1,"m2",{"m3":"m4"},"m5"]}`), `{` + iss + `,"aud":["m2","m5"]}`},
		{"aud empty", request("payload", `{"aud":[],"x":1}`), `{` + iss + `,"x":1}`},
		{"aud of numbers", request("payload", `{"aud":[1]}`), `{` + iss + `}`},
		{"aud null", request("payload", `{"aud":null}`), `{` + iss + `}`},
		{"aud a number", request("payload", `{"aud":1}`), `{` + iss + `}`},
		{"aud an object", request("payload", `{"aud":{"a":"b"}}`), `{` + iss + `}`},
		{"aud inside", request("payload", `{"x":{"aud":["m2"]}}`), `{` + iss + `,"x":{"aud":["m2"]}}`},

		{"validity truncated", request("validity", "1.9"), `{` + iat + `"exp":1795467586,"iss":"http://x"}`},
		{"validity with an exponent", request("validity", "1.5e1"), `{` + iat + `"exp":1795467600,"iss":"http://x"}`},
		{"validity of a hundred years", request("validity", "3153600000"), `{` + iat + `"exp":4949067585,"iss":"http://x"}`},
		{"validity up to 2^53", request("validity", "9007197459273406"), `{` + iat + `"exp":9007199254740991,"iss":"http://x"}`},
		{"algorithm in small letters", request("algorithm", `"rs256"`), `{` + iss + `}`},
		{"unknown members", request("payload", `{}, "x":9223372036854775808, "y":[{}]`), `{` + iss + `}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := part(t, f.mint(t, "/recipe/jwt", test.body), 1); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

// F74: what can be a credential of the server has no date that is still to come.
func TestCredentialOfTheServerIsNotDatedAhead(t *testing.T) {
	f := newFixture(t, supertokens.Options{Server: "auth-server"})
	now := f.clock.now().Unix()
	for payload, want := range map[string]int{
		`{"iss":"auth-server","aud":"auth-server","sub":"m1"}`:                                         200,
		fmt.Sprintf(`{"iss":"auth-server","aud":"auth-server","sub":"m1","iat":%d}`, now):              200,
		fmt.Sprintf(`{"iss":"auth-server","aud":"auth-server","sub":"m1","iat":%d}`, now+1):            400,
		fmt.Sprintf(`{"iss":"auth-server","aud":["auth-server"],"sub":"m1","iat":%d.5e0}`, now):        400,
		`{"iss":"auth-server","aud":"\u0061uth-server","sub":"m1","iat":1e12}`:                         400,
		fmt.Sprintf(`{"iss":"auth-server","aud":"m2","sub":"m1","iat":%d}`, now+86400):                 200,
		fmt.Sprintf(`{"iss":"another","aud":"auth-server","sub":"m1","iat":%d}`, now+86400):            200,
		fmt.Sprintf(`{"iss":"auth-server","aud":["auth-server","m2"],"sub":"m1","iat":%d}`, now+86400): 200,
	} {
		if r := f.do("POST", "/recipe/jwt", request("payload", payload), keyed); r.StatusCode != want {
			t.Errorf("%s: got %d %s, want %d", payload, r.StatusCode, read(t, r), want)
		}
	}
}

// F49: a large payload is signed, as the core does, for whoever has an API key.
func TestBodyOverTheLimitIsRefused(t *testing.T) {
	f := newFixture(t, supertokens.Options{})
	fill := func(size int) string {
		empty := request("payload", `{"x":""}`)
		return strings.Replace(empty, `"x":"`, `"x":"`+strings.Repeat("a", size-len(empty)), 1)
	}
	f.mint(t, "/recipe/jwt", fill(1<<20))
	if r := f.do("POST", "/recipe/jwt", fill(1<<20), nil); r.StatusCode != 401 {
		t.Errorf("without API key: got %d", r.StatusCode)
	}
	if r := f.do("POST", "/appid-zz/recipe/jwt", fill(64<<10+1), nil); r.StatusCode != 413 {
		t.Errorf("for an app that does not exist, without API key: got %d", r.StatusCode)
	}
	r := f.do("POST", "/recipe/jwt", fill(1<<20+1), keyed)
	if body := read(t, r); r.StatusCode != 413 || body != "Request body is larger than 1048576 bytes\n" {
		t.Errorf("got %d %q", r.StatusCode, body)
	}
}

func TestTokenIsRecordedBeforeTheAnswer(t *testing.T) {
	f := newFixture(t, supertokens.Options{})
	token := f.mint(t, "/appid-m2m-auth/recipe/jwt",
		request("payload", `{"iss":"auth-server","sub":"m1","aud":"auth-server","jti":"j1","exp":1999999999,"secret":"hush"}`, "validity", "60"))
	e := f.audit.last(t)
	want := map[string]string{
		"app": "m2m-auth", "validity": "60", "iss": "auth-server", "sub": "m1", "aud": "auth-server", "exp": "1999999999",
	}
	if e.Kind != audit.KindMint || e.Outcome != audit.Allowed || e.Endpoint != "supertokens" || e.Action != "mint" ||
		e.KeyID != kid(t, token) || e.Token != "j1" || !e.At.Equal(start) || len(e.ID) != 32 || fmt.Sprint(e.Detail) != fmt.Sprint(want) {
		t.Errorf("recorded %+v, want detail %v", e, want)
	}

	f.mint(t, "/recipe/jwt", request("payload", `{"sub":["m1"],"aud":["a","b"],"jti":7,"iss":"`+strings.Repeat("é", 200)+`"}`))
	e = f.audit.last(t)
	if e.Token != "7" || e.Detail["sub"] != `["m1"]` || e.Detail["aud"] != `["a","b"]` || e.Detail["iss"] != strings.Repeat("é", 128)+"..." {
		t.Errorf("recorded %+v", e)
	}

	f.audit.fail(errors.New("disk full"))
	r := f.do("POST", "/recipe/jwt", request(), keyed)
	body := read(t, r)
	if r.StatusCode != 503 || r.Header.Get("Retry-After") != "1" || body != "Service unavailable, try again later\n" {
		t.Errorf("without a record: %d %q", r.StatusCode, body)
	}
	f.audit.fail(nil)
	f.mint(t, "/recipe/jwt", request())
}
