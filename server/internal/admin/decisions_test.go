package admin

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/clientauth"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/issuer"
	"github.com/watchword-dev/watchword/server/internal/policy"
)

// POL-011.
func TestWhatWouldComeOutIsWhatComesOut(t *testing.T) {
	s := start(t)
	names := []string{"m1", "m2", "m3"}
	s.services(names...)
	bearer := map[string]string{}
	for _, n := range names {
		_, secret, err := s.issuer.Credential(t.Context(), directory.Author{}, n, directory.NewCredential{TTL: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		bearer[n] = secret
	}
	scopes := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c"}), 0, 2, rapid.ID)
	rapid.Check(t, func(t *rapid.T) {
		for range rapid.IntRange(1, 3).Draw(t, "changes") {
			caller, target := rapid.SampledFrom(names).Draw(t, "caller"), rapid.SampledFrom(names).Draw(t, "target")
			body := fmt.Sprintf(`{"scopes":%s,"when":%s}`, list(scopes.Draw(t, "scopes")),
				rapid.SampledFrom([]string{"{}", `{"bound":true}`, `{"auth":["bootstrap"]}`, `{"auth":["private_key_jwt"]}`, `{"networks":["10.0.0.0/8"]}`}).Draw(t, "when"))
			if rapid.Bool().Draw(t, "delete") {
				s.must("DELETE", "/rules/"+caller+"/"+target, "")
			} else {
				s.must("PUT", "/rules/"+caller+"/"+target, body)
			}
			s.must("PATCH", "/services/"+target, fmt.Sprintf(`{"observe":%v,"disabled":%v}`, rapid.Bool().Draw(t, "observe"), rapid.IntRange(0, 5).Draw(t, "disabled") == 0))
		}
		caller, target := rapid.SampledFrom(names).Draw(t, "asking"), rapid.SampledFrom([]string{"m1", "m2", "m3", "m9"}).Draw(t, "asked")
		asked := scopes.Draw(t, "asked scopes")
		slices.Sort(asked)
		var e api.Explanation
		s.must("POST", "/decisions/explain", fmt.Sprintf(`{"caller":%q,"target":%q,"scopes":%s,"method":"bootstrap"}`, caller, target, list(asked))).into(&e)

		token, id, err := s.issuer.AccessToken(t.Context(), &issuer.Proposal{
			Request:   issuer.Request{Endpoint: issuer.AccessTokenEndpoint},
			Presented: clientauth.Presented{Bearer: bearer[caller]}, Targets: []string{target}, Scopes: asked,
		})
		var refusal *issuer.Refusal
		switch {
		case err != nil && !errors.As(err, &refusal):
			t.Fatal(err)
		case (err == nil) != e.Allowed:
			t.Fatalf("%s -> %s %v: got %v from the real path, and %+v from the rehearsal", caller, target, asked, err, e)
		case err != nil && refusal.Reason != e.Reason:
			t.Fatalf("%s -> %s %v: refused for %s, and in the rehearsal for %s", caller, target, asked, refusal.Reason, e.Reason)
		case err == nil && e.Reason == string(policy.Allowed) && !slices.Equal(token.Scopes, e.Scopes):
			t.Fatalf("%s -> %s %v: got the scopes %v, and in the rehearsal %v", caller, target, asked, token.Scopes, e.Scopes)
		}
		// The record tells the same, and what it would be today.
		var d api.Decision
		s.must("GET", "/decisions/"+id, "").into(&d)
		if (d.Outcome == "allowed") != e.Allowed || d.Today == nil && !slices.Contains([]string{"revoked", "unknown_service"}, d.Reason) && d.Caller != "" && err == nil {
			t.Fatalf("got the decision %+v, want it to agree with %+v", d, e)
		}
		if d.Today != nil && err == nil && !d.Today.Allowed {
			t.Fatalf("allowed a moment ago, and today: %+v", d.Today)
		}
	})
}

func list(scopes []string) string {
	if len(scopes) == 0 {
		return "[]"
	}
	return `["` + strings.Join(scopes, `","`) + `"]`
}

// POL-011: recorded as a rehearsal, and not as a decision.
func TestRehearsalIsRecordedAsOne(t *testing.T) {
	s := start(t)
	s.services("m1", "m2")
	a := s.must("POST", "/decisions/explain", `{"caller":"m1","target":"m2","scopes":["read"]}`)
	if strings.Contains(a.Body.String(), "eyJ") {
		t.Errorf("got a token: %s", a.Body)
	}
	records := s.records(a.Header().Get("X-Request-Id"))
	if len(records) != 1 || records[0]["action"] != "decision.explain" || records[0]["kind"] != "read" || records[0]["token"] != nil {
		t.Fatalf("got %v, want one record of a rehearsal", records)
	}
	detail := records[0]["detail"].(map[string]any)
	if detail["dryRun"] != "true" || detail["reason"] != "no_rule" || detail["caller"] != "m1" {
		t.Errorf("got detail %v", detail)
	}
	s.ask("POST", "/decisions/explain", `{"caller":"m1","target":"m2","network":"10/8"}`).wantProblem("no address", 422)
	s.ask("POST", "/decisions/explain", `{"caller":"m1","target":"m2","scopes":["a b"]}`).wantProblem("two scopes in one", 422)
	s.ask("GET", "/decisions/5f1e2d3c4b5a69788796a5b4c3d2e1f0", "").wantProblem("no such decision", 404)
	s.ask("GET", "/decisions/xyz", "").wantProblem("no id", 404)
}

// F18.
func TestADecisionIsReadOnlyFromALogThatHoldsTogether(t *testing.T) {
	s := start(t)
	s.services("m1")
	_, id, err := s.issuer.AccessToken(t.Context(), &issuer.Proposal{Targets: []string{"m1"}})
	if err == nil {
		t.Fatal("a token without a credential")
	}
	s.must("GET", "/decisions/"+id, "")
	files, err := filepath.Glob(filepath.Join(s.auditDir, "audit-*.jsonl"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	forged := bytes.Replace(text, []byte(`"reason":"no_credential"`), []byte(`"reason":"no_permission"`), 1)
	if bytes.Equal(forged, text) {
		t.Fatalf("nothing to forge in %s", text)
	}
	if err := os.WriteFile(files[0], forged, 0o600); err != nil {
		t.Fatal(err)
	}
	s.ask("GET", "/decisions/"+id, "").wantProblem("a forged record", 409)
}

// F31: a decision that was made is explained with what the record tells of the request: to what its token was bound, and
// by which way it acts for whom.
func TestF31RecordedRequestIsAllowedTodayAsItWasThen(t *testing.T) {
	s := start(t)
	s.services("m1", "m2", "m3", "m4")
	bearer := map[string]string{}
	for _, name := range []string{"m1", "m2", "m3"} {
		var c struct{ Token string }
		s.must("POST", "/services/"+name+"/credentials", "{}").into(&c)
		bearer[name] = c.Token
	}
	s.must("PUT", "/rules/m1/m2", "{}")
	s.must("PUT", "/rules/m2/m3", `{"exchange":"delegate"}`)
	s.must("PUT", "/rules/m3/m4", `{"exchange":"impersonate"}`)
	ask := func(caller, target, subject string, edit func(*issuer.Proposal)) string {
		t.Helper()
		p := &issuer.Proposal{
			Request: issuer.Request{Endpoint: issuer.TokenEndpoint}, Grant: api.GrantClientCredentials,
			Presented: clientauth.Presented{Assertion: bearer[caller]}, Targets: []string{target},
		}
		if subject != "" {
			p.Grant, p.Exchange.Subject = api.GrantTokenExchange, subject
		}
		edit(p)
		token, id, err := s.issuer.AccessToken(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		var d api.Decision
		s.must("GET", "/decisions/"+id, "").into(&d)
		if d.Today == nil || !d.Today.Allowed || d.Today.Caller != caller || d.Today.Target != target {
			t.Errorf("%s -> %s: allowed, and today %+v", caller, target, d.Today)
		}
		return token.Value
	}
	nothing := func(*issuer.Proposal) {}
	received := ask("m2", "m3", ask("m1", "m2", "", nothing), nothing)
	ask("m3", "m4", received, nothing)
	ask("m3", "m4", received, func(p *issuer.Proposal) { p.Exchange.Impersonate = true })
	s.must("PATCH", "/services/m1", `{"binding":"mtls"}`)
	ask("m1", "m2", "", func(p *issuer.Proposal) {
		p.Presented.Certificates = []*x509.Certificate{{Raw: []byte("a certificate")}}
	})
}
