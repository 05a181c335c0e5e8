package client

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"
)

var answerTime = time.Unix(1_800_000_000, 0)

func jwtWith(claims string) string {
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
}

// SCL-009. token_type in any case; a missing lifetime from the token or five minutes; a
// bad one is an error.
//
// What SCL-011 asks beside this is in conformance_test.go.
var answers = []struct {
	body string
	want time.Duration // zero: refused
}{
	{`{"accessToken":"a.b.c","expiresIn":900}`, 900 * time.Second},
	{`{"access_token":"a.b.c","expires_in":900,"token_type":"bearer"}`, 900 * time.Second},
	{`{"access_token":"a.b.c","expires_in":900,"token_type":"BEARER"}`, 900 * time.Second},
	{`{"access_token":"a.b.c","expires_in":900,"token_type":"BeArEr","scope":"x","extra":{"a":[1]}}`, 900 * time.Second},
	{`{"accessToken":"a.b.c","expires_in":1}`, time.Second},
	{` {"accessToken" : "a.b.c", "expiresIn" : 31536000 } `, 365 * 24 * time.Hour},

	{`{"accessToken":"a.b.c"}`, 5 * time.Minute},
	{`{"accessToken":"` + jwtWith(`{"exp":1800000060}`) + `"}`, time.Minute},
	{`{"accessToken":"` + jwtWith(`{"iat":1000,"exp":1120}`) + `"}`, 2 * time.Minute},
	{`{"accessToken":"` + jwtWith(`{"iat":1800000000}`) + `"}`, 5 * time.Minute},
	{`{"accessToken":"` + jwtWith(`{"exp":"soon"}`) + `"}`, 5 * time.Minute},
	{`{"accessToken":"` + jwtWith(`[]`) + `"}`, 5 * time.Minute},
	{`{"accessToken":"` + jwtWith(`{"exp":1799999999}`) + `"}`, 0},
	{`{"accessToken":"` + jwtWith(`{"exp":1e300}`) + `"}`, 0},
	{`{"accessToken":"` + jwtWith(`{"iat":-1e300,"exp":1e300}`) + `"}`, 0},
	{`{"accessToken":"` + jwtWith(`{"exp":-1}`) + `"}`, 0},

	{`{"accessToken":"a.b.c","expiresIn":"900"}`, 0},
	{`{"accessToken":"a.b.c","expiresIn":0}`, 0},
	{`{"accessToken":"a.b.c","expiresIn":-1}`, 0},
	{`{"accessToken":"a.b.c","expiresIn":-0}`, 0},
	{`{"accessToken":"a.b.c","expiresIn":900.5}`, 0},
	{`{"accessToken":"a.b.c","expiresIn":9e2}`, 0},
	{`{"accessToken":"a.b.c","expiresIn":99999999999}`, 0},
	{`{"accessToken":"a.b.c","expiresIn":1e400}`, 0},
	{`{"accessToken":"a.b.c","expiresIn":9223372036854775808}`, 0},
	{`{"accessToken":"a.b.c","expiresIn":null}`, 0},
	{`{"accessToken":"a.b.c","expiresIn":true}`, 0},
	{`{"accessToken":"a.b.c","expiresIn":[900]}`, 0},
	{`{"accessToken":"a.b.c","expiresIn":{}}`, 0},
	{`{"accessToken":"a.b.c","expiresIn":900,"expires_in":900}`, 0},
	{`{"accessToken":"a.b.c","expiresIn":900,"expiresIn":900}`, 0},

	{`{"accessToken":"a.b.c","expiresIn":900,"token_type":"dpop"}`, 0},
	{`{"accessToken":"a.b.c","expiresIn":900,"token_type":"N_A"}`, 0},
	{`{"accessToken":"a.b.c","expiresIn":900,"token_type":""}`, 0},
	{`{"accessToken":"a.b.c","expiresIn":900,"token_type":null}`, 0},
	{`{"accessToken":"a.b.c","expiresIn":900,"token_type":["bearer"]}`, 0},

	{`{"accessToken":"","expiresIn":900}`, 0},
	{`{"accessToken":null,"expiresIn":900}`, 0},
	{`{"accessToken":7,"expiresIn":900}`, 0},
	{`{"accessToken":["a.b.c"],"expiresIn":900}`, 0},
	{`{"accessToken":"a b","expiresIn":900}`, 0},
	{`{"accessToken":"a\r\nX-Evil: 1","expiresIn":900}`, 0},
	{`{"accessToken":"é","expiresIn":900}`, 0},
	{`{"accessToken":"a","access_token":"b","expiresIn":900}`, 0},
	{`{"accessToken":"a","accessToken":"b","expiresIn":900}`, 0},
	{`{"accessToken":"` + strings.Repeat("a", maxToken+1) + `","expiresIn":900}`, 0},
	{`{"accessToken":"a.b.c","expiresIn":900,"pad":"` + strings.Repeat("a", maxAnswer) + `"}`, 0},
	{`{"AccessToken":"a.b.c","expiresIn":900}`, 0},
	{`{"accessToken":"a.b.c","expiresIn":900}{}`, 0},
	{`{"accessToken":"a.b.c","expiresIn":900`, 0},
	{"{\"accessToken\":\"a.b.c\",\"expiresIn\":900,\"x\":\"\xff\"}", 0},
	{`{"expiresIn":900}`, 0},
	{`{}`, 0},
	{`[]`, 0},
	{`null`, 0},
	{`"a.b.c"`, 0},
	{`a.b.c`, 0},
	{``, 0},
}

func TestTokenAnswersAreParsedStrictly(t *testing.T) {
	for _, c := range answers {
		g, err := parseAnswer([]byte(c.body), ask{}, false, answerTime)
		if (err == nil) != (c.want != 0) || g.lifetime != c.want || err == nil && g.token == "" {
			t.Errorf("%.120q: got %v, %v; want a lifetime of %v", c.body, g.lifetime, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "a.b.c") {
			t.Errorf("%.120q: the error %q repeats the token", c.body, err)
		}
	}
}

// SCL-009, for tokens bound by DPoP: the type in any case, and no falling back to a bearer token,
// said or unsaid.
func TestBoundTokenIsNamedSoInAnyCaseAndNothingElseWillDo(t *testing.T) {
	for kind, want := range map[string]bool{
		`,"token_type":"DPoP"`: true, `,"token_type":"dpop"`: true, `,"tokenType":"DPOP"`: true,
		`,"token_type":"Bearer"`: false, `,"token_type":"N_A"`: false, ``: false,
	} {
		body := []byte(`{"access_token":"a.b.c","expires_in":900` + kind + `}`)
		if _, err := parseAnswer(body, ask{}, true, answerTime); (err == nil) != want {
			t.Errorf("%s: got %v, want accepted: %v", body, err, want)
		}
	}
}

// RFC 8693, section 2.2.1.
func TestExchangedTokenSaysItIsAnAccessToken(t *testing.T) {
	q := ask{question: question{incoming: "x"}}
	for member, want := range map[string]bool{
		`,"issued_token_type":"urn:ietf:params:oauth:token-type:access_token"`:  true,
		`,"issued_token_type":"urn:ietf:params:oauth:token-type:jwt"`:           true,
		`,"issued_token_type":"urn:ietf:params:oauth:token-type:refresh_token"`: false,
		`,"issued_token_type":null`:                                             false, ``: false,
	} {
		body := []byte(`{"access_token":"a.b.c","expires_in":900,"token_type":"Bearer"` + member + `}`)
		if _, err := parseAnswer(body, q, false, answerTime); (err == nil) != want {
			t.Errorf("%s: got %v, want accepted: %v", body, err, want)
		}
	}
}

func FuzzTokenAnswer(f *testing.F) {
	for _, c := range answers {
		if len(c.body) < 1000 {
			f.Add([]byte(c.body))
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		g, err := parseAnswer(body, ask{}, false, answerTime)
		if err != nil {
			if g != (grant{}) {
				t.Errorf("a grant with an error: %+v", g)
			}
			return
		}
		if !isB64Token(g.token) || len(g.token) > maxToken || g.lifetime < time.Second || g.lifetime > maxLifetime {
			t.Errorf("accepted lifetime %v, token %q", g.lifetime, g.token)
		}
		_ = parseErrorCode(body)
	})
}

func FuzzPeek(f *testing.F) {
	f.Add(m1Credential)
	f.Add(jwtWith(`{"sub":"m1\u0000","exp":1e999}`))
	f.Add("..")
	f.Fuzz(func(t *testing.T, jwt string) {
		if s := subject(jwt); strings.ContainsAny(s, "\n \x1b") || len(s) > 128 {
			t.Errorf("got %q", s)
		}
	})
}
