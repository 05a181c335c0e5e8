package interop

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/api"
)

// The type of an assertion and the grant of RFC 7523, and the type of draft-ietf-oauth-spiffe-client-auth-02.
const (
	jwtBearerAssertion = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	jwtBearerGrant     = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	jwtSPIFFEAssertion = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"
)

// answered is what the server makes of a platform token.
type answered struct {
	status   int
	body     string
	decision string // the id that watchword why takes
}

// presenting are the ways in which a workload sends a platform token to get a token for m2.
var presenting = map[string]func(token string) (path, kind, authorization string, body string){
	"as client_assertion": func(token string) (string, string, string, string) {
		return "/oauth2/token", "application/x-www-form-urlencoded", "", url.Values{
			"grant_type": {"client_credentials"}, "resource": {m2URL},
			"client_assertion_type": {jwtBearerAssertion}, "client_assertion": {token},
		}.Encode()
	},
	asSVID: func(token string) (string, string, string, string) {
		return "/oauth2/token", "application/x-www-form-urlencoded", "", url.Values{
			"grant_type": {"client_credentials"}, "resource": {m2URL},
			"client_assertion_type": {jwtSPIFFEAssertion}, "client_assertion": {token},
		}.Encode()
	},
	"as assertion of the grant jwt-bearer": func(token string) (string, string, string, string) {
		return "/oauth2/token", "application/x-www-form-urlencoded", "", url.Values{
			"grant_type": {jwtBearerGrant}, "resource": {m2URL}, "assertion": {token},
		}.Encode()
	},
	"at POST /accesstoken": func(token string) (string, string, string, string) {
		return "/accesstoken", "application/json", "Bearer " + token, `{"target":"` + m2URL + `"}`
	},
}

// asSVID is the way that is for JWT-SVIDs alone.
const asSVID = "as client_assertion of the type jwt-spiffe"

// waysOf returns the ways in which a platform token can be sent.
func waysOf(t *testing.T, token string) (ways []string) {
	t.Helper()
	for way := range presenting {
		if way != asSVID || strings.HasPrefix(claimsOf(t, token).Subject, "spiffe://") {
			ways = append(ways, way)
		}
	}
	return ways
}

// present sends a platform token in one of the ways.
func (o *oauth) present(t *testing.T, way, token string) (a answered) {
	t.Helper()
	path, kind, authorization, body := presenting[way](token)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, o.issuer+path, strings.NewReader(body))
	must(t, err)
	r.Header.Set("Content-Type", kind)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	return o.ask(t, o.http, r)
}

// ask sends a request, again if the machine is too busy to record what is decided of it.
func (o *oauth) ask(t *testing.T, c *http.Client, r *http.Request) (a answered) {
	t.Helper()
	until(t, "an answer", func() (string, bool) {
		again := r.Clone(t.Context())
		again.Body, _ = r.GetBody() // which is of a string
		answer, err := c.Do(again)
		must(t, err)
		defer answer.Body.Close()
		var text bytes.Buffer
		_, err = text.ReadFrom(answer.Body)
		must(t, err)
		a = answered{answer.StatusCode, text.String(), answer.Header.Get("Watchword-Decision")}
		return a.body, a.status != http.StatusServiceUnavailable
	})
	return a
}

// joins wants a platform token to be accepted in each way, as that of a service, again and again. No token that is issued
// for it outlives it.
func (o *oauth) joins(t *testing.T, platformToken, service string) {
	t.Helper()
	end := claimsOf(t, platformToken).Expiry
	for _, way := range waysOf(t, platformToken) {
		for range 2 {
			a := o.present(t, way, platformToken)
			var got struct {
				OAuth string `json:"access_token"`
				Plain string `json:"accessToken"`
			}
			if err := json.Unmarshal([]byte(a.body), &got); err != nil || a.status != http.StatusOK {
				t.Errorf("%s: %d %s", way, a.status, a.body)
				continue
			}
			if c := claimsOf(t, got.OAuth+got.Plain); c.Subject != service || c.Expiry > end || c.Expiry <= time.Now().Unix() {
				t.Errorf("%s: the token is for %s until %d, want %s until %d at the latest", way, c.Subject, c.Expiry, service, end)
			}
		}
	}
}

// refuses wants a platform token to be refused in each way, with the answer that a token of an unknown issuer gets.
func (o *oauth) refuses(t *testing.T, what, platformToken string) {
	t.Helper()
	if o.refused == nil {
		o.refused = map[string]answered{}
		for way := range presenting {
			o.refused[way] = o.present(t, way, unknownToken)
		}
	}
	for _, way := range waysOf(t, platformToken) {
		a, unknown := o.present(t, way, platformToken), o.refused[way]
		if a.status/100 != 4 || a.status != unknown.status || a.body != unknown.body {
			t.Errorf("%s, %s: %d %s; a token of an unknown issuer gets %d %s", what, way, a.status, a.body, unknown.status, unknown.body)
		}
	}
}

// refusesFor is refuses, of which an operator learns the reason, and which claims are not as they are wanted.
func (o *oauth) refusesFor(t *testing.T, what, platformToken, reason string, claims ...string) {
	t.Helper()
	o.refuses(t, what, platformToken)
	var v api.PlatformTokenVerdict
	o.admin(t, http.MethodPost, "/platform-tokens/test", api.PlatformTokenTest{Token: platformToken}, &v)
	var unmet []string
	for _, f := range v.Findings {
		if !f.Met {
			unmet = append(unmet, f.Claim)
		}
	}
	if v.Accepted || v.Reason != reason || !slices.Equal(unmet, claims) {
		t.Errorf("%s: the reason is %s for the claims %q, want %s for %q: %+v", what, v.Reason, unmet, reason, claims, v)
	}
}

// unknownToken has an issuer that no server trusts.
var unknownToken = strings.Join([]string{
	base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","kid":"k1"}`)),
	base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"https://issuer.example.com","sub":"m1","aud":"m2","iat":1800000000,"exp":1800000600}`)),
	base64.RawURLEncoding.EncodeToString(make([]byte, 256)),
}, ".")

// subjectAndEnd are the claims of tokens of platforms and of the server.
type subjectAndEnd struct {
	Subject string `json:"sub"`
	Expiry  int64  `json:"exp"`
}

func claimsOf(t *testing.T, token string) (c subjectAndEnd) {
	t.Helper()
	_, rest, _ := strings.Cut(token, ".")
	payload, _, _ := strings.Cut(rest, ".")
	text, err := base64.RawURLEncoding.DecodeString(payload)
	must(t, err)
	must(t, json.Unmarshal(text, &c))
	return c
}

// watchword runs a command of the operator's with this on its standard input, and returns what it prints.
func (s *server) watchword(t *testing.T, env []string, stdin string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program(t), args...)
	cmd.Env = slices.Concat(s.env, env)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("watchword %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}
