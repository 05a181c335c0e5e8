package endpoint

import (
	"context"
	"errors"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/watchword-dev/watchword/server/internal/issuer"
	"github.com/watchword-dev/watchword/server/internal/web"
)

// proposed is what a form for the token endpoint asks for, which came with forged names of the server (TOK-037).
func proposed(pairs ...string) (*issuer.Proposal, *problem) {
	e := &endpoints{o: Options{Issuer: "https://as.test"}}
	r := httptest.NewRequest("POST", "http://evil.test/oauth2/token", nil)
	r.Header.Set("X-Forwarded-Host", "evil.test")
	r.Header.Set("Dpop", "proof")
	q := &request{w: httptest.NewRecorder(), r: r}
	for i := 0; i < len(pairs); i += 2 {
		q.form = append(q.form, parameter{pairs[i], pairs[i+1]})
	}
	p, _, bad := e.propose(q)
	return p, bad
}

// TOK-009, TOK-010, TOK-011, TOK-012, TOK-018, TOK-020, TOK-022, TOK-023, TOK-025, TXC-003, TXC-012, TXC-016, DPO-011.
func TestTokenRequestIsReadByItsGrant(t *testing.T) {
	const (
		exchange = "urn:ietf:params:oauth:grant-type:token-exchange"
		types    = "urn:ietf:params:oauth:token-type:"
		fragment = "https://m2.test/api#frag"
	)
	good := []string{"grant_type", "client_credentials", "audience", "m2"}
	exchanged := []string{"grant_type", exchange, "audience", "m3", "subject_token", "x", "subject_token_type", accessTokenType}
	for _, c := range []struct {
		reason string
		kind   issuer.RefusalKind
		form   []string
	}{
		{"no_grant_type", issuer.Malformed, []string{"audience", "m2"}},
		{"half_an_assertion", issuer.Malformed, append(good, "client_assertion", "x")},
		{"half_an_assertion", issuer.Malformed, append(good, "client_assertion_type", assertionType)},
		{"unsupported_assertion_type", issuer.InvalidToken, append(good, "client_assertion_type", "x", "client_assertion", "x")},
		{"no_assertion", issuer.Malformed, []string{"grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer", "audience", "m2"}},
		{"malformed_resource", issuer.Denied, append(good, "resource", fragment)},
		{"malformed_resource", issuer.Denied, append(good, "resource", "https://m2.test/api#")},
		{"malformed_resource", issuer.Denied, append(good, "resource", "m2")},
		{"malformed_resource", issuer.Denied, append(good, "resource", "/m2")},
		{"malformed_resource", issuer.Denied, append(good, "resource", "//m2")},
		{"malformed_resource", issuer.Denied, append(good, "resource", "%")},
		{"malformed_scope", issuer.InvalidScope, append(good, "scope", `"`)},
		{"malformed_scope", issuer.InvalidScope, append(good, "scope", `\`)},
		{"malformed_scope", issuer.InvalidScope, append(good, "scope", "a\tb")},
		{"malformed_scope", issuer.InvalidScope, append(good, "scope", "\x7f")},
		{"malformed_scope", issuer.InvalidScope, append(good, "scope", "é")},
		{"malformed_scope", issuer.InvalidScope, append(good, "scope", "a  b")},
		{"malformed_scope", issuer.InvalidScope, append(good, "scope", strings.Repeat("x ", 30000))},
		{"no_subject_token", issuer.Malformed, exchanged[:4]},
		{"unsupported_subject_token_type", issuer.Malformed, exchanged[:6]},
		{"unsupported_subject_token_type", issuer.Malformed, append(exchanged[:6:6], "subject_token_type", types+"id_token")},
		{"half_an_actor", issuer.Malformed, append(exchanged, "actor_token", "x")},
		{"half_an_actor", issuer.Malformed, append(exchanged, "actor_token_type", accessTokenType)},
		{"unsupported_actor_token_type", issuer.Malformed, append(exchanged, "actor_token", "x", "actor_token_type", types+"id_token")},
		{"unsupported_requested_token_type", issuer.Malformed, append(exchanged, "requested_token_type", types+"refresh_token")},
		{"unsupported_requested_token_type", issuer.Malformed, append(exchanged, "requested_token_type", types+"saml2")},
		{"unsupported_requested_token_type", issuer.Malformed, append(exchanged, "requested_token_type", "x")},
		{"malformed_impersonate", issuer.Malformed, append(exchanged, "impersonate", "yes")},
	} {
		if p, bad := proposed(c.form...); bad == nil || bad.reason != c.reason || bad.kind != c.kind {
			t.Errorf("%.200q: got %+v, %+v, want %s", c.form, p, bad, c.reason)
		}
	}
	// The issuer refuses these, which it knows not to be grants.
	for _, grant := range []string{"password", "CLIENT_CREDENTIALS", " client_credentials", "refresh_token"} {
		if p, bad := proposed("grant_type", grant, "username", "a", "password", "b"); bad != nil || p.Grant != grant || p.Targets != nil {
			t.Errorf("%s: got %+v, %+v", grant, p, bad)
		}
	}
	p, bad := proposed(append(good, "foo", "bar", "scope", "b a a a", "resource", "https://m2.test/api")...)
	if bad != nil || !slices.Equal(p.Scopes, []string{"a", "b"}) || !slices.Equal(p.Targets, []string{"https://m2.test/api", "m2"}) {
		t.Errorf("got %+v, %+v", p, bad)
	}
	if want := (issuer.Proof{Headers: []string{"proof"}, Method: "POST", URL: "https://as.test/oauth2/token"}); p.Proof.URL != want.URL || p.Proof.Method != want.Method {
		t.Errorf("the proof of a key is for %+v, want %+v", p.Proof, want)
	}
	for _, kind := range []string{accessTokenType, types + "jwt"} {
		p, bad := proposed(append(exchanged, "requested_token_type", kind, "impersonate", "true")...)
		if bad != nil || p.Exchange.Subject != "x" || !p.Exchange.Impersonate {
			t.Errorf("%s: got %+v, %+v", kind, p, bad)
		}
	}
}

// recording is an issuer that remembers what was refused before it was asked.
type recording struct {
	Issuer
	reasons []string
}

func (r *recording) Refuse(_ context.Context, _ issuer.Request, kind issuer.RefusalKind, reason string) (string, error) {
	r.reasons = append(r.reasons, reason)
	return "id", &issuer.Refusal{Kind: kind, Reason: reason}
}

// F51: a credential in the query is refused, good or not, before the body is read, and repeated nowhere. Other
// parameters there are ignored.
func TestCredentialInTheQueryIsRefused(t *testing.T) {
	i := &recording{}
	for _, e := range Table(i, nil, Options{}) {
		if !strings.HasPrefix(e.Path, "/oauth2/") {
			continue
		}
		for query, want := range map[string]string{
			"client_id=m1&client_secret=hush": "credential_in_query", "client%5fsecret=hush": "credential_in_query", "client_assertion=hush": "credential_in_query",
			"x=client_secret&%zz": "malformed_body", "client_id=m1": "malformed_body",
		} {
			r := formRequest("%zz")
			r.URL.RawQuery = query
			w := httptest.NewRecorder()
			err, ok := errors.AsType[*web.Error](e.Serve(w, r))
			if !ok || err.Status != 400 || err.Code != "invalid_request" || strings.Contains(err.Description, "hush") || w.Header().Get(web.DecisionHeader) != "id" {
				t.Errorf("%s?%s: got %+v, %v", e.Path, query, err, w.Header())
			}
			if got := i.reasons[len(i.reasons)-1]; got != want {
				t.Errorf("%s?%s: recorded as %s, want %s", e.Path, query, got, want)
			}
		}
	}
	if len(i.reasons) != 15 {
		t.Errorf("%d requests were recorded, want 15", len(i.reasons))
	}
}
