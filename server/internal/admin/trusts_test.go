package admin

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/api"
)

const (
	clusterIssuer = "https://kubernetes.default.svc.cluster.local"
	uid           = "11111111-2222-4333-8444-555555555555"
)

// trust adds a trust of a cluster with that name.
func (s *server) trust(name string) {
	s.Helper()
	s.must("POST", "/trusts", `{"name":"`+name+`","preset":"kubernetes","issuer":"https://`+name+`.example.com"}`)
}

func TestATrustIsAddedReadChangedAndRemoved(t *testing.T) {
	s := start(t)
	a := s.must("POST", "/trusts", `{"name":"prod","preset":"kubernetes","issuer":"`+clusterIssuer+`","audience":"https://auth.example.com"}`)
	if a.Code != http.StatusCreated || a.Header().Get("ETag") != `"1"` || a.Header().Get("Location") != prefix+"/trusts/prod" {
		t.Errorf("got %d and %v", a.Code, a.Header())
	}
	var made, read api.Trust
	a.into(&made)
	if made.Preset != "kubernetes" || made.Issuer != clusterIssuer || made.Problems == nil || made.Algorithms == nil || made.Credentials != 0 {
		t.Errorf("got %+v", made)
	}
	s.must("GET", "/trusts/prod", "").into(&read)
	if read.ID != made.ID || read.Audience != "https://auth.example.com" {
		t.Errorf("read %+v, want %+v", read, made)
	}
	s.ask("PATCH", "/trusts/prod", `{"maxLifetimeSeconds":600}`, "If-Match", `"2"`).wantProblem("another version", http.StatusPreconditionFailed)
	if a := s.must("PATCH", "/trusts/prod", `{"maxLifetimeSeconds":600}`, "If-Match", `"1"`); a.Header().Get("ETag") != `"2"` {
		t.Errorf("got the ETag %s", a.Header().Get("ETag"))
	}
	s.ask("DELETE", "/trusts/prod", "", "If-Match", `"1"`).wantProblem("an earlier version", http.StatusPreconditionFailed)
	s.must("DELETE", "/trusts/prod", "")
	for _, method := range []string{"GET", "PATCH", "DELETE"} {
		body := ""
		if method == "PATCH" {
			body = `{}`
		}
		s.ask(method, "/trusts/prod", body).wantProblem(method+" of a trust that is gone", http.StatusNotFound)
	}
	var actions []string
	for _, r := range s.records("") {
		if r["outcome"] == "allowed" && r["kind"] == "change" {
			actions = append(actions, r["action"].(string))
		}
	}
	if got := strings.Join(actions, " "); got != "trust.create trust.update trust.delete" {
		t.Errorf("got the records %q", got)
	}
}

func TestTheNameAndTheIssuerOfATrustAreUnique(t *testing.T) {
	s := start(t)
	s.trust("a")
	s.trust("b")
	for what, body := range map[string]string{
		"a name":                `{"name":"a","issuer":"https://c.example.com"}`,
		"a name in other cases": `{"name":"A","issuer":"https://c.example.com"}`,
		"an issuer":             `{"name":"c","issuer":"https://a.example.com"}`,
	} {
		a := s.ask("POST", "/trusts", body)
		a.wantProblem(what, http.StatusConflict)
		if !strings.Contains(a.Body.String(), "trust_exists") {
			t.Errorf("%s: got %s", what, a.Body)
		}
	}
	s.ask("PATCH", "/trusts/b", `{"issuer":"https://a.example.com"}`).wantProblem("an issuer", http.StatusConflict)
}

func TestSettingsOfTrustsThatAreNotAllowedAreNamed(t *testing.T) {
	s := start(t)
	s.trust("prod")
	for member, body := range map[string]string{
		"preset":     `{"name":"x","preset":"kubernets","issuer":"https://x.example.com"}`,
		"issuer":     `{"name":"x","preset":"github","issuer":"https://x.example.com"}`,
		"audience":   `{"name":"x","issuer":"https://x.example.com","audience":"https://x.example.com"}`,
		"algorithms": `{"name":"x","issuer":"https://x.example.com","algorithms":["HS256"]}`,
		"jwks":       `{"name":"x","issuer":"https://x.example.com","jwks":"{}"}`,
		"once":       `{"name":"x","issuer":"https://x.example.com","once":"sometimes"}`,
	} {
		a := s.ask("POST", "/trusts", body)
		a.wantProblem(member, http.StatusUnprocessableEntity)
		if !strings.Contains(a.Body.String(), `"body.`+member) {
			t.Errorf("%s: got %s", member, a.Body)
		}
	}
	// The longest keys fit, and so do certificates beside them.
	long := `{"name":"x","issuer":"https://x.example.com","jwks":"` + strings.Repeat(`\n`, 65000) + `","authorities":"` + strings.Repeat(`\n`, 65000) + `"}`
	s.ask("POST", "/trusts", long).wantProblem("keys of 64 KiB", http.StatusUnprocessableEntity)
	s.ask("POST", "/trusts", long+strings.Repeat(" ", 256<<10)).wantProblem("more than 256 KiB", http.StatusRequestEntityTooLarge)
}

// FED-006: a rule that the token of another workload could meet is not saved, and the answer says what to pin.
func TestARuleThatOthersCouldMeetIsNotSaved(t *testing.T) {
	s := start(t)
	s.services("m1")
	s.trust("prod")
	for name, c := range map[string]struct{ claims, want string }{
		"no claims":        {`{}`, "uid"},
		"no claims at all": {`null`, "uid"},
		"a name alone":     {`{"namespace":"shop","serviceaccount":"m1"}`, "uid"},
		"a wildcard":       {`{"uid":"*"}`, "wildcard"},
		"a part of it":     {`{"uid":"` + uid + `","namespace":"shop*"}`, "wildcard"},
		"an unknown name":  {`{"uid":"` + uid + `","namespaces":"shop"}`, "did you mean namespace"},
		"the issuer":       {`{"uid":"` + uid + `","iss":"https://prod.example.com"}`, "the trust has the issuer"},
	} {
		body := `{"kind":"workload","trust":"prod","claims":` + c.claims + `}`
		if c.claims == "null" {
			body = `{"kind":"workload","trust":"prod"}`
		}
		a := s.ask("POST", "/services/m1/credentials", body)
		a.wantProblem(name, http.StatusUnprocessableEntity)
		if !strings.Contains(a.Body.String(), c.want) || !strings.Contains(a.Body.String(), `"body.claims"`) {
			t.Errorf("%s: got %s, want %q in it", name, a.Body, c.want)
		}
	}
	s.ask("POST", "/services/m1/credentials", `{"kind":"workload","claims":{"uid":"`+uid+`"}}`).wantProblem("no trust", http.StatusUnprocessableEntity)
	s.ask("POST", "/services/m1/credentials", `{"kind":"workload","trust":"dev","claims":{"uid":"`+uid+`"}}`).wantProblem("an unknown trust", http.StatusUnprocessableEntity)
	s.ask("POST", "/services/m1/credentials", `{"kind":"secret","trust":"prod"}`).wantProblem("a secret of a trust", http.StatusUnprocessableEntity)
	many := strings.Builder{}
	for i := range 33 {
		many.WriteString(`,"/c` + strings.Repeat("x", i) + `":"v"`)
	}
	s.ask("POST", "/services/m1/credentials", `{"kind":"workload","trust":"prod","claims":{"uid":"`+uid+`"`+many.String()+`}}`).wantProblem("too many claims", http.StatusUnprocessableEntity)
	if got := s.must("GET", "/services/m1/credentials", "").Body.String(); got != "{\"credentials\":[]}\n" {
		t.Errorf("got %s, want no credential", got)
	}
}

// FED-015, as far as the operator API goes: what depends on a trust that is removed is revoked with it.
func TestRemovingATrustRevokesItsCredentials(t *testing.T) {
	s := start(t)
	s.services("m1", "m2")
	s.trust("prod")
	ids := map[string]string{}
	for _, name := range []string{"m1", "m2"} {
		var issued api.IssuedCredential
		s.must("POST", "/services/"+name+"/credentials", `{"kind":"workload","trust":"prod","claims":{"uid":"`+uid+`","namespace":"shop","/kubernetes.io/serviceaccount/name":"`+name+`"}}`).into(&issued)
		c := issued.Credential
		if c.Trust != "prod" || c.Claims["uid"] != uid || c.Claims["serviceaccount"] != name || issued.Secret+issued.Token+issued.Warning != "" {
			t.Errorf("got %+v, want the claims under the names of the preset, and no secret", issued)
		}
		if c.ExpiresAt.Year() < 2100 {
			t.Errorf("it ends at %s: a credential without a secret has no reason to", c.ExpiresAt)
		}
		ids[name] = c.ID
	}
	var tr api.Trust
	if s.must("GET", "/trusts/prod", "").into(&tr); tr.Credentials != 2 || tr.Services != 2 {
		t.Errorf("got %d credentials of %d services, want 2 of 2", tr.Credentials, tr.Services)
	}
	s.must("DELETE", "/trusts/prod", "")
	var revoked api.RevocationList
	if s.must("GET", "/revocations", "").into(&revoked); len(revoked.Revocations) != 1 || revoked.Revocations[0].Kind != "trust" {
		t.Fatalf("got the revocations %+v", revoked)
	}
	s.must("GET", "/revocations/"+revoked.Revocations[0].ID, "")
	for name, id := range ids {
		var c api.Credential
		if s.must("GET", "/credentials/"+id, "").into(&c); c.Status != "revoked" || c.Trust != tr.ID {
			t.Errorf("%s: got %+v, want it revoked, and the id of the trust", name, c)
		}
	}
}

func TestCredentialsThatNoTokenMatchesAreAProblemOfTheirTrustWhichComesFirst(t *testing.T) {
	var later time.Duration
	s := start(t, func(o *Options) { o.Now = func() time.Time { return time.Now().Add(later) } })
	s.services("m1", "m2")
	s.trust("alpha")
	s.trust("omega")
	s.trust("zeta")
	for _, name := range []string{"m1", "m2"} {
		s.must("POST", "/services/"+name+"/credentials", `{"kind":"workload","trust":"omega","claims":{"uid":"`+uid+`"}}`)
	}
	s.must("PATCH", "/trusts/zeta", `{"disabled":true}`)
	names := func(target string) (names string, l api.TrustList) {
		t.Helper()
		s.must("GET", target, "").into(&l)
		for _, tr := range l.Trusts {
			names += tr.Name + " "
		}
		return names, l
	}
	if got, l := names("/trusts"); got != "zeta alpha omega " || !strings.Contains(l.Trusts[0].Problems[0], "disabled") {
		t.Errorf("got %q and %q", got, l.Trusts[0].Problems)
	}
	later = 31 * 24 * time.Hour
	got, l := names("/trusts?limit=2")
	if got != "omega zeta " {
		t.Errorf("got %q, want those with problems first", got)
	}
	if p := strings.Join(l.Trusts[0].Problems, " "); !strings.Contains(p, "No token has matched 2 of the 2 credentials for 30 days, such as ") {
		t.Errorf("got the problems %q", p)
	}
	if got, l := names("/trusts?limit=2&pageToken=" + l.NextPageToken); got != "alpha " || l.NextPageToken != "" {
		t.Errorf("got the second page %q", got)
	}
	// The list has no keys in it.
	jwks := `{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"k1\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\",\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}`
	s.must("PATCH", "/trusts/alpha", `{"jwks":"`+jwks+`"}`)
	_, l = names("/trusts")
	var tr api.Trust
	s.must("GET", "/trusts/alpha", "").into(&tr)
	if l.Trusts[2].JWKS != "" || l.Trusts[2].KeysAt == nil || !strings.Contains(tr.JWKS, `"k1"`) {
		t.Errorf("got %+v in the list and %+v alone", l.Trusts[2], tr)
	}
}

func TestOnlyTheTrustOperatorChangesTrustsAndTheirCredentials(t *testing.T) {
	s := start(t, roles)
	s.services("m1")
	as := []string{"Authorization", "Bearer " + trustTestToken}
	const add = `{"name":"prod","preset":"kubernetes","issuer":"` + clusterIssuer + `"}`
	const credential = `{"kind":"workload","trust":"prod","claims":{"uid":"` + uid + `"}}`
	refused := func(method, target, body string) {
		t.Helper()
		a := s.ask(method, target, body)
		a.wantProblem(method+" "+target, http.StatusForbidden)
		if !strings.Contains(a.Body.String(), "trust_role_required") {
			t.Errorf("%s %s: got %s", method, target, a.Body)
		}
	}
	refused("POST", "/trusts", add)
	s.must("POST", "/trusts", add, as...)
	refused("PATCH", "/trusts/prod", `{"disabled":true}`)
	refused("DELETE", "/trusts/prod", "")
	refused("POST", "/services/m1/credentials", credential)
	var issued api.IssuedCredential
	s.must("POST", "/services/m1/credentials", credential, as...).into(&issued)
	refused("POST", "/credentials/"+issued.Credential.ID+"/revoke", "")
	s.must("GET", "/trusts/prod", "")
	s.must("POST", "/credentials/"+issued.Credential.ID+"/revoke", "", as...)
	s.must("DELETE", "/trusts/prod", "", as...)
	var changes api.ChangeList
	s.must("GET", "/changes", "").into(&changes)
	for _, c := range changes.Changes {
		if want := map[bool]string{true: trustOperator, false: operator}[c.Action != "service.create" && c.Action != "key.create"]; c.Actor != want && (strings.HasPrefix(c.Action, "trust.") || strings.HasPrefix(c.Action, "credential.")) {
			t.Errorf("%s was made by %s, want %s", c.Action, c.Actor, want)
		}
	}
}

// What a file changes decides who may apply it.
func TestFilesThatChangeTrustsAreForTheTrustOperator(t *testing.T) {
	s := start(t, roles)
	as := []string{"Authorization", "Bearer " + trustTestToken}
	s.services("m1")
	s.must("POST", "/trusts", `{"name":"prod","preset":"kubernetes","issuer":"`+clusterIssuer+`"}`, as...)
	// N is another name for each request.
	for owner, c := range map[string]struct {
		text, operator, trustOperator string // the codes of the refusals
	}{
		"trust":      {`trusts: {corp-N: {issuer: 'https://N.example.com'}}`, "trust_role_required", ""},
		"service":    {`services: {s-N: }`, "", "operator_role_required"},
		"both":       {`trusts: {lab-N: {issuer: 'https://lab.example.com'}}\nservices: {b-N: }`, "trust_role_required", "operator_role_required"},
		"nothing":    {`services: {}`, "", ""},
		"identities": {`services: {i-N: {identity: [{trust: prod, claims: {uid: ` + uid + `}}]}}`, "trust_role_required", "operator_role_required"},
	} {
		for n, want := range []string{c.operator, c.trustOperator} {
			text := strings.ReplaceAll(`version: 1\nmanaged-by: `+owner+`-N\n`+c.text+`\n`, "N", fmt.Sprint("n", n))
			a := s.ask("POST", "/callmap/apply", `{"files":[{"name":"a.yaml","text":"`+text+`"}]}`, [][]string{nil, as}[n]...)
			if want == "" && a.Code != http.StatusOK || want != "" && (a.Code != http.StatusForbidden || !strings.Contains(a.Body.String(), want)) {
				t.Errorf("%s, applied by %s: got %d %s, want %q", owner, []string{operator, trustOperator}[n], a.Code, a.Body, want)
			}
		}
	}
}
