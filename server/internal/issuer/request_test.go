package issuer_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/dpop"
	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/audit"
	"github.com/watchword-dev/watchword/server/internal/clientauth"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/issuer"
	"github.com/watchword-dev/watchword/server/internal/policy"
)

// F43: the token of either endpoint names its client (RFC 9068, section 2.2).
func TestTokenSaysWhatWasDecided(t *testing.T) {
	w := newChain(t)
	for _, c := range []struct {
		name     string
		proposal *issuer.Proposal
		iss      string
		ttl      time.Duration
	}{
		{"plain", w.by(api.Bootstrap, "m1", plain, to("m2")), plainIssuer, 15 * time.Minute},
		{"oauth", w.propose("m1", "m2"), issuerURL, 15 * time.Minute},
	} {
		got, id, err := w.issuer.AccessToken(t.Context(), c.proposal)
		w.must(err)
		m := w.claims(got.Value)
		if m["iss"] != c.iss || m["sub"] != "m1" || m["aud"] != "m2" || m["client_id"] != "m1" || m["scope"] != "a b read write" || m["cnf"] != nil || m["act"] != nil {
			t.Errorf("%s: got %v", c.name, m)
		}
		if got.ExpiresIn != c.ttl || m["exp"].(float64)-m["iat"].(float64) != c.ttl.Seconds() || got.Type != issuer.Bearer {
			t.Errorf("%s: got %+v of %v", c.name, got, m)
		}
		if d := deps(m); len(d) != 2 || d[0] != w.uid("m1") {
			t.Errorf("%s: got deps %v", c.name, d)
		}
		r := w.record(id)
		if r.Outcome != audit.Allowed || r.Endpoint != string(c.proposal.Endpoint) || r.Caller != "m1" || r.CallerUID != w.uid("m1") || r.Target != "m2" ||
			r.Scope != "a b read write" || r.Token != m["jti"] || r.Credential != deps(m)[1] || r.Address != home.String() || r.Grant != c.proposal.Grant || r.KeyID == "" {
			t.Errorf("%s: recorded %+v", c.name, r)
		}
	}
}

// CAU-019, NAT-002, NAT-008, POL-012, TOK-021, TOK-024, TOK-026, TOK-027. A request is refused with no more told to the
// caller than has to be, and recorded with the reason. The kind of the refusal alone decides what the caller is told, so
// that targets which are not there look like those which are not allowed.
func TestRefusals(t *testing.T) {
	w := newChain(t)
	w.service("m4", "m5")
	w.allow("m4", "m2", directory.NewRule{})
	w.allow("m1", "m4", directory.NewRule{})
	w.edit("m4", func(svc *directory.Service) { svc.Disabled = true })
	w.allow("m1", "m5", directory.NewRule{Until: w.clock().Add(time.Minute)})
	w.edit("m9", func(svc *directory.Service) { svc.GrantTypes = []string{api.GrantTokenExchange} })
	bearer := func(token string) *issuer.Proposal {
		return w.by(api.Bootstrap, "m1", plain, to("m2"), func(p *issuer.Proposal) { p.Presented.Bearer = token })
	}
	for name, c := range map[string]struct {
		proposal *issuer.Proposal
		kind     issuer.RefusalKind
		reason   string
	}{
		"nothing presented":   {bearer(""), issuer.Unauthenticated, "no_credential"},
		"an access token":     {bearer(w.token(w.propose("m1", "m2"))), issuer.InvalidToken, "issuer_mismatch"},
		"one it received":     {bearer(w.token(w.by(api.Bootstrap, "m1", plain, to("m2")))), issuer.InvalidToken, "audience_mismatch"},
		"a wrong secret":      {w.propose("m1", "m2", func(p *issuer.Proposal) { p.Presented.Basic.Secret = "wws_x" }), issuer.InvalidToken, "wrong_secret"},
		"no rule":             {w.propose("m1", "m3"), issuer.Denied, "no_rule"},
		"itself":              {w.propose("m1", "m1"), issuer.Denied, "no_rule"},
		"by assertion":        {w.by(api.PrivateKeyJWT, "m1", to("m3")), issuer.Denied, "no_rule"},
		"no such target":      {w.propose("m1", "zz"), issuer.Denied, "unknown_target"},
		"of that case":        {w.propose("m1", "M2"), issuer.Denied, "unknown_target"},
		"with a space":        {w.propose("m1", "m2 "), issuer.Denied, "unknown_target"},
		"with a NUL":          {w.propose("m1", "m2\x00"), issuer.Denied, "unknown_target"},
		"a very long one":     {w.propose("m1", strings.Repeat("m", 60000)), issuer.Denied, "unknown_target"},
		"any":                 {w.propose("m1", "*"), issuer.Denied, "unknown_target"},
		"the server":          {w.propose("m1", issuerURL), issuer.Denied, "unknown_target"},
		"by its plain name":   {w.propose("m1", plainIssuer), issuer.Denied, "unknown_target"},
		"its token endpoint":  {w.propose("m1", tokenURL), issuer.Denied, "unknown_target"},
		"the server, plain":   {w.by(api.Bootstrap, "m1", plain, to(plainIssuer)), issuer.Denied, "unknown_target"},
		"unknown, plain":      {w.by(api.Bootstrap, "m1", plain, to("__proto__")), issuer.Denied, "unknown_target"},
		"allowed, and not":    {w.by(api.ClientSecretBasic, "m1", to("m2", "zz")), issuer.Denied, "several_targets"},
		"disabled target":     {w.by(api.Bootstrap, "m1", plain, to("m4")), issuer.Denied, "target_disabled"},
		"no target":           {w.by(api.ClientSecretBasic, "m1"), issuer.Denied, "no_target"},
		"several targets":     {w.by(api.ClientSecretBasic, "m1", to("m2", "m5")), issuer.Denied, "several_targets"},
		"scope":               {w.propose("m1", "m2", scopes("x")), issuer.InvalidScope, "scope_not_granted"},
		"scope, plain":        {w.by(api.Bootstrap, "m1", plain, to("m2"), scopes("x")), issuer.Denied, "scope_not_granted"},
		"disabled":            {w.propose("m4", "m2"), issuer.InvalidToken, "caller_disabled"},
		"disabled, plain":     {w.by(api.Bootstrap, "m4", plain, to("m2")), issuer.Denied, "caller_disabled"},
		"a grant not its own": {w.propose("m9", "m2"), issuer.UnauthorizedClient, "grant_not_allowed"},
		"no rule, plain":      {w.by(api.Bootstrap, "m9", plain, to("m2")), issuer.Denied, "no_rule"},
	} {
		r := w.refused(name, c.proposal, c.kind, c.reason)
		if c.reason != "no_credential" && r.Caller == "" {
			t.Errorf("%s: the record names no caller: %+v", name, r)
		}
	}
	w.token(w.propose("m1", "m5"))
	w.pass(time.Minute)
	w.refused("the rule has ended", w.propose("m1", "m5"), issuer.Denied, "rule_ended")
}

// DPO-002. Two proofs are one too many, whichever of them is good (RFC 6749, section 2.3).
func TestTwoProofsAreRefused(t *testing.T) {
	w := newChain(t)
	m1, m2 := w.proofs["m1"], w.proofs["m2"]
	for name, change := range map[string]change{
		"bearer":              func(p *issuer.Proposal) { p.Presented.Bearer = m1.bootstrap },
		"another's bearer":    func(p *issuer.Proposal) { p.Presented.Bearer = m2.bootstrap },
		"a bad bearer":        func(p *issuer.Proposal) { p.Presented.Bearer = "x" },
		"secret in the form":  func(p *issuer.Proposal) { p.Presented.ClientID, p.Presented.Post = "m1", m1.secret },
		"assertion":           func(p *issuer.Proposal) { p.Presented.Assertion = w.assertion("m1", nil) },
		"another's assertion": func(p *issuer.Proposal) { p.Presented.Assertion = w.assertion("m2", nil) },
	} {
		w.refused(name, w.propose("m1", "m2", change), issuer.Malformed, "two_methods")
	}
	w.refused("two DPoP proofs", w.propose("m1", "m2", w.withProof(m1.key), w.withProof(m1.key)), issuer.InvalidProof, "invalid_dpop_proof")
	w.refused("another client_id", w.propose("m1", "m2", func(p *issuer.Proposal) { p.Presented.ClientID = "m2" }), issuer.InvalidToken, "client_id_mismatch")
	// A certificate beside another proof is none.
	got := w.token(w.propose("m1", "m2", func(p *issuer.Proposal) { p.Presented.Certificates = []*x509.Certificate{m1.certificate} }))
	if c := w.claims(got); c["cnf"] != nil {
		t.Errorf("bound to %v, which proved nothing", c["cnf"])
	}
}

// RFC 7523, section 2.1: the assertion that is the grant says who asks.
func TestAssertionAsAGrant(t *testing.T) {
	w := newChain(t)
	ask := func(assertion string, changes ...change) *issuer.Proposal {
		return w.by(api.PrivateKeyJWT, "m1", append([]change{to("m2"), func(p *issuer.Proposal) {
			p.Grant, p.GrantAssertion, p.Presented.Assertion = api.GrantJWTBearer, assertion, ""
		}}, changes...)...)
	}
	good := w.assertion("m1", nil)
	if c := w.claims(w.token(ask(good))); c["sub"] != "m1" || c["client_id"] != "m1" {
		t.Errorf("got %v", c)
	}
	w.refused("again", ask(good), issuer.InvalidGrant, "replayed_assertion")
	w.refused("no rule", ask(w.assertion("m1", nil), to("m3")), issuer.Denied, "no_rule") // POL-012
	w.refused("expired", ask(w.assertion("m1", map[string]any{"exp": w.clock().Unix()})), issuer.InvalidGrant, "expired")
	w.refused("a credential of this server", ask(w.proofs["m1"].bootstrap), issuer.InvalidGrant, "wrong_type")
	w.token(ask(w.assertion("m1", nil), func(p *issuer.Proposal) {
		p.Presented.Basic = &clientauth.Secret{ClientID: "m1", Secret: w.proofs["m1"].secret}
	}))
	w.refused("beside another's proof", ask(w.assertion("m1", nil), func(p *issuer.Proposal) {
		p.Presented.Basic = &clientauth.Secret{ClientID: "m2", Secret: w.proofs["m2"].secret}
	}), issuer.InvalidGrant, "grant_of_another")
	w.refused("beside a wrong one", ask(w.assertion("m1", nil), func(p *issuer.Proposal) {
		p.Presented.Basic = &clientauth.Secret{ClientID: "m1", Secret: "x"}
	}), issuer.InvalidToken, "wrong_secret")
}

// PKJ-015, DPO-015: an assertion, and the proof of a key, count once; and a proof is not used up by a request that fails
// before it.
func TestProofsCountOnce(t *testing.T) {
	w := newChain(t)
	p := w.by(api.PrivateKeyJWT, "m1", to("m2"))
	w.token(p)
	w.refused("the assertion again", p, issuer.InvalidToken, "replayed_assertion")
	key := newKey(t)
	p = w.propose("m1", "m2", w.withProof(key))
	unspent := w.propose("m1", "m2", func(bad *issuer.Proposal) { bad.Proof, bad.Presented.Basic.Secret = p.Proof, "x" })
	w.refused("a wrong secret", unspent, issuer.InvalidToken, "wrong_secret")
	w.token(p)
	w.refused("the proof again", p, issuer.InvalidProof, "replayed_dpop_proof")
	w.refused("of another service", w.propose("m9", "m2", func(again *issuer.Proposal) { again.Proof = p.Proof }), issuer.InvalidProof, "replayed_dpop_proof")
}

// A service whose tokens must be bound gets no others, at no endpoint and by no grant.
func TestBindingIsDemanded(t *testing.T) {
	w := newChain(t)
	key, certificate := newKey(t), w.proofs["m1"].certificate
	with := func(p *issuer.Proposal) { p.Presented.Certificates = []*x509.Certificate{certificate} }
	proof := func() change { return w.withProof(key) }
	none := func(*issuer.Proposal) {}
	const jkt, x5t = "jkt", "x5t#S256"
	for _, c := range []struct {
		binding string
		kind    issuer.RefusalKind // of what is not bound
		good    map[string]*issuer.Proposal
		bad     []change
	}{
		{"", 0, map[string]*issuer.Proposal{
			"": w.propose("m1", "m2", with), jkt: w.propose("m1", "m2", proof(), with), x5t: w.by(api.SelfSignedTLSClientAuth, "m1", to("m2")),
		}, nil},
		{api.BindingRequired, issuer.InvalidProof, map[string]*issuer.Proposal{
			jkt: w.propose("m1", "m2", proof(), with), x5t: w.propose("m1", "m2", with),
		}, []change{none}},
		{api.BindingDPoP, issuer.InvalidProof, map[string]*issuer.Proposal{jkt: w.propose("m1", "m2", proof(), with)}, []change{none, with}},
		{api.BindingMTLS, issuer.Malformed, map[string]*issuer.Proposal{
			x5t: w.propose("m1", "m2", with), jkt + " " + x5t: w.propose("m1", "m2", proof(), with),
		}, []change{none, proof()}},
	} {
		w.edit("m1", func(svc *directory.Service) { svc.Binding = c.binding })
		for _, bad := range c.bad {
			w.refused("binding "+c.binding, w.propose("m1", "m2", bad), c.kind, "unbound")
			w.refused("binding "+c.binding+", plain", w.by(api.Bootstrap, "m1", plain, to("m2"), bad), c.kind, "unbound")
		}
		for want, p := range c.good {
			got, id, err := w.issuer.AccessToken(t.Context(), p)
			w.must(err)
			if r := w.record(id); r.Bound != want {
				t.Errorf("binding %q: recorded as bound to %q, want %q", c.binding, r.Bound, want)
			}
			cnf, _ := w.claims(got.Value)["cnf"].(map[string]any)
			for _, name := range []string{jkt, x5t} {
				if (cnf[name] != nil) != strings.Contains(want, name) {
					t.Errorf("binding %q: got %v, want it bound to %q", c.binding, cnf, want)
				}
			}
			if isDPoP := strings.Contains(want, jkt); isDPoP != (got.Type == issuer.DPoP) || isDPoP && cnf[jkt] != key.ID() {
				t.Errorf("binding %q: got a token of type %s with %v", c.binding, got.Type, cnf)
			}
		}
	}
}

// RFC 9449, section 8.
func TestNonceIsAskedFor(t *testing.T) {
	nonces, err := dpop.NewNonces([]byte("a key for nonces, 32 bytes long."), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	w := newChain(t, func(o *issuer.Options) { o.Nonces, o.RequireNonce = nonces, true })
	with := func(nonce string) change {
		proof, err := dpop.NewProof(newKey(t), "POST", tokenURL, nonce, "", w.clock())
		w.must(err)
		return func(p *issuer.Proposal) {
			p.Proof = issuer.Proof{Headers: []string{proof}, Method: "POST", URL: tokenURL}
		}
	}
	w.refused("none", w.propose("m1", "m2", with("")), issuer.NonceNeeded, "dpop_nonce_needed")
	w.refused("made up", w.propose("m1", "m2", with("x")), issuer.NonceNeeded, "dpop_nonce_needed")
	w.token(w.propose("m1", "m2", with(nonces.Next(w.clock()))))
}

// TOK-024, TOK-043: RFC 9068, section 3, and RFC 8707, section 2.
func TestTargets(t *testing.T) {
	w := newChain(t)
	const uri = "https://m2.test/api"
	w.service("m4")
	w.edit("m2", func(svc *directory.Service) { svc.Audiences = []string{uri} })
	w.edit("m1", func(svc *directory.Service) { svc.DefaultTarget, svc.MultipleTargets = uri, true })
	w.allow("m1", "m4", directory.NewRule{Scopes: words("a b")})
	if c := w.claims(w.token(w.by(api.ClientSecretBasic, "m1"))); c["aud"] != uri {
		t.Errorf("default target: got aud %v", c["aud"])
	}
	w.refused("no default at the other endpoint", w.by(api.Bootstrap, "m1", plain), issuer.Denied, "no_target")
	if c := w.claims(w.token(w.by(api.ClientSecretBasic, "m1", to(uri, "m2")))); c["aud"] != uri {
		t.Errorf("one service twice: got aud %v", c["aud"])
	}
	w.refused("what they grant differs", w.by(api.ClientSecretBasic, "m1", to("m2", "m4")), issuer.InvalidScope, "targets_disagree")
	w.edit("m4", func(svc *directory.Service) { svc.TokenTTLSeconds = 60 })
	got, _, err := w.issuer.AccessToken(t.Context(), w.by(api.ClientSecretBasic, "m1", to("m2", "m4"), scopes("a")))
	w.must(err)
	if c := w.claims(got.Value); len(c["aud"].([]any)) != 2 || c["scope"] != "a" || got.ExpiresIn != time.Minute {
		t.Errorf("got %v, good for %s: want both targets, and the shorter life", c, got.ExpiresIn)
	}
	if !w.introspected("m2", got.Value) || !w.introspected("m4", got.Value) || w.introspected("m3", got.Value) {
		t.Error("it is not told to its two targets, or to another")
	}
	w.edit("m4", func(svc *directory.Service) { svc.Algorithm = "EdDSA" })
	w.refused("algorithms differ", w.by(api.ClientSecretBasic, "m1", to("m2", "m4"), scopes("a")), issuer.Denied, "targets_disagree")
	got, _, err = w.issuer.AccessToken(t.Context(), w.propose("m1", "m4"))
	w.must(err)
	if j, err := jose.Parse(got.Value); err != nil || j.Algorithm != "EdDSA" {
		t.Errorf("got %v, %v; want the target's algorithm", j, err)
	}
}

// A target that observes lets in whom no rule allows, and the record says that it would not have.
func TestObservedTargetIsRecordedAndCounted(t *testing.T) {
	w := newChain(t)
	w.edit("m3", func(svc *directory.Service) { svc.Observe = true })
	_, id, err := w.issuer.AccessToken(t.Context(), w.propose("m1", "m3", scopes("x")))
	w.must(err)
	if r := w.record(id); r.WouldRefuse != "no_rule" || r.Outcome != audit.Allowed || r.Scope != "x" {
		t.Errorf("recorded %+v", r)
	}
	w.refused("no rule", w.propose("m9", "m2", scopes("x")), issuer.Denied, "no_rule")
	counted := w.counted()
	if len(counted) != 2 || counted[0].Would != policy.NoRule || counted[0].Why != "" || counted[1].Why != policy.NoRule || counted[1].Scopes != "x" {
		t.Errorf("counted %+v", counted)
	}
}

// TOK-047.
func TestTokenThatIsTooLargeIsRefused(t *testing.T) {
	w := newChain(t)
	long := []string{"a" + strings.Repeat("x", 1400), "b" + strings.Repeat("x", 1400)}
	w.allow("m1", "m2", directory.NewRule{Scopes: append(long, "c")})
	w.refused("all scopes", w.propose("m1", "m2"), issuer.InvalidScope, "token_too_large")
	w.token(w.propose("m1", "m2", scopes(long[0], "c")))
}

// CAU-027, TOK-042, TXC-022: of many requests at once each is decided by itself, and recorded once, while others guess
// secrets.
func TestRequestsAtOnceAreEachDecidedAndRecorded(t *testing.T) {
	const n = 100
	w := newChain(t)
	subject := w.token(w.propose("m1", "m2"))
	var all sync.WaitGroup
	var seen sync.Map
	for i := range n {
		guess := w.propose("m9", "m2", func(p *issuer.Proposal) {
			p.Presented.Basic = &clientauth.Secret{ClientID: fmt.Sprint("m", i), Secret: "x"}
		})
		for _, p := range []*issuer.Proposal{w.propose("m1", "m2"), w.propose("m2", "m3", exchanging(subject)), guess} {
			all.Go(func() {
				got, id, err := w.issuer.AccessToken(t.Context(), p)
				if (err != nil) != (p == guess) {
					t.Errorf("got %v for %+v", err, p.Presented.Basic)
				}
				if p == guess {
					return // many of these are only counted
				}
				r := w.record(id)
				for _, one := range []string{id, r.Token} {
					if _, twice := seen.LoadOrStore(one, true); twice {
						t.Errorf("%s is of two requests", one)
					}
				}
				if w.claims(got.Value)["jti"] != r.Token {
					t.Errorf("the record names the token %q", r.Token)
				}
			})
		}
	}
	all.Wait()
}

// A key that cannot be had is the server's fault, and is recorded as such.
func TestFailureOfTheServerIsRecorded(t *testing.T) {
	w := newChain(t)
	without := issuer.New(w.directory, w.ring, w.auth, w.register, w.log, issuer.Options{Issuer: issuerURL, Algorithm: jose.PS256, Now: w.clock})
	got, id, err := without.AccessToken(t.Context(), w.propose("m1", "m2"))
	var refusal *issuer.Refusal
	if !errors.Is(err, issuer.ErrUnavailable) || errors.As(err, &refusal) || got.Value != "" {
		t.Errorf("got %v, %v", got, err)
	}
	if r := w.record(id); r.Outcome != audit.Failed || r.Reason != "server_failed" || r.Caller != "m1" {
		t.Errorf("recorded %+v", r)
	}
	id, err = w.issuer.Fail(t.Context(), issuer.Request{Endpoint: issuer.RevokeEndpoint}, errors.New("panic"))
	if r := w.record(id); !errors.Is(err, issuer.ErrUnavailable) || r.Outcome != audit.Failed || r.Endpoint != "oauth2/revoke" {
		t.Errorf("got %v, recorded %+v", err, r)
	}
	id, err = w.issuer.Refuse(t.Context(), issuer.Request{Endpoint: issuer.TokenEndpoint}, issuer.Malformed, "malformed_body")
	if r := w.record(id); !errors.As(err, &refusal) || r.Outcome != audit.Refused || r.Reason != "malformed_body" {
		t.Errorf("got %v, recorded %+v", err, r)
	}
}

// No token leaves before the record of it is on disk, and none at all where that fails.
func TestTokenIsGivenOutAfterItsRecordIsOnDisk(t *testing.T) {
	w := newChain(t)
	proposal := w.propose("m1", "m2")
	synctest.Test(t, func(t *testing.T) {
		log, err := audit.Open(filepath.Join(t.TempDir(), "audit"), audit.Options{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		i := issuer.New(w.directory, w.ring, w.auth, nil, log, issuer.Options{Issuer: issuerURL, Now: w.clock})
		var got issuer.Token
		var id string
		done := make(chan error, 1)
		ask := func() {
			var err error
			got, id, err = i.AccessToken(t.Context(), proposal)
			done <- err
		}
		go ask()
		synctest.Wait() // it goes no further, for nobody writes the log yet
		select {
		case err := <-done:
			t.Fatalf("got %+v, %v before anything was written", got, err)
		default:
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = log.Run(ctx)
		}()
		if err := <-done; err != nil || got.Value == "" {
			t.Fatalf("got %+v, %v", got, err)
		}
		if r, err := log.Find(t.Context(), id, 1<<20); r == nil || err != nil {
			t.Errorf("the record is not on disk: %v", err)
		}
		cancel()
		<-ended
		go ask()
		if err := <-done; !errors.Is(err, issuer.ErrUnavailable) || got.Value != "" {
			t.Errorf("got %+v, %v without a log", got, err)
		}
	})
}

// withKeySet makes a service whose keys are where serve answers.
func (w *world) withKeySet(name string, serve http.HandlerFunc) {
	w.Helper()
	s := httptest.NewServer(serve)
	w.Cleanup(s.Close)
	_, err := w.directory.CreateService(w.Context(), operator, directory.NewService{Name: name})
	w.must(err)
	w.proofs[name] = &credentials{key: newKey(w)}
	_, _, err = w.issuer.Credential(w.Context(), operator, name, directory.NewCredential{Kind: directory.KindJWKS, Material: s.URL})
	w.must(err)
}

func mustService(w *world, name string) *directory.Service {
	w.Helper()
	svc, ok := w.directory.Snapshot().Service(name)
	if !ok {
		w.Fatalf("no service %s", name)
	}
	return svc
}

// F26: what is withdrawn while a caller's keys are fetched counts no more, however early the request came.
func TestF26DecisionIsOfTheDirectoryAsItIsThen(t *testing.T) {
	for name, c := range map[string]struct {
		withdraw func(*world)
		kind     issuer.RefusalKind
		reason   string
	}{
		"the rule":    {func(w *world) { w.must(w.directory.Disallow(t.Context(), operator, "m5", "m2", directory.AnyVersion)) }, issuer.Denied, "no_rule"},
		"the caller":  {func(w *world) { w.edit("m5", func(svc *directory.Service) { svc.Disabled = true }) }, issuer.InvalidToken, "caller_disabled"},
		"the service": {func(w *world) { w.must(w.directory.DeleteService(t.Context(), operator, "m5", directory.AnyVersion)) }, issuer.InvalidToken, "unknown_service"},
		"the credential": {func(w *world) {
			for _, c := range w.directory.Snapshot().CredentialsOf(mustService(w, "m5").UID) {
				if c.Kind == directory.KindJWKS {
					_, err := w.directory.RevokeCredential(t.Context(), operator, c.ID)
					w.must(err)
				}
			}
		}, issuer.InvalidToken, "revoked"},
		"the grant": {func(w *world) {
			w.edit("m5", func(svc *directory.Service) { svc.GrantTypes = []string{api.GrantTokenExchange} })
		}, issuer.UnauthorizedClient, "grant_not_allowed"},
		"the method": {func(w *world) {
			w.edit("m5", func(svc *directory.Service) { svc.AuthMethods = []string{api.Bootstrap} })
		}, issuer.InvalidToken, "method_not_accepted"},
		"the binding": {func(w *world) { w.edit("m5", func(svc *directory.Service) { svc.Binding = api.BindingDPoP }) }, issuer.InvalidProof, "unbound"},
		"time":        {func(w *world) { w.pass(time.Hour); w.edit("m9", func(svc *directory.Service) { svc.Owner = "x" }) }, issuer.Denied, "rule_ended"},
		"nothing":     {func(*world) {}, 0, ""},
	} {
		w := newChain(t)
		fetched := make(chan struct{}, 1)
		w.withKeySet("m5", func(rw http.ResponseWriter, _ *http.Request) {
			jwk, err := w.proofs["m5"].key.Public().JWK()
			w.must(err)
			c.withdraw(w)
			_, _ = rw.Write([]byte(`{"keys":[` + string(jwk) + `]}`))
			fetched <- struct{}{}
		})
		w.allow("m5", "m2", directory.NewRule{Until: w.clock().Add(time.Minute)})
		p := w.by(api.PrivateKeyJWT, "m5", to("m2"))
		if c.reason == "" {
			w.token(p)
		} else {
			w.refused(name, p, c.kind, c.reason)
		}
		<-fetched
	}
}

// F36: whom the operator has to help is in the record.
func TestF36MisconfiguredClientIsNamed(t *testing.T) {
	w := newChain(t)
	password := func(p *issuer.Proposal) { p.Grant = "password" }
	if r := w.refused("no such grant", w.propose("m1", "m2", password), issuer.UnsupportedGrant, "unsupported_grant_type"); r.Caller != "m1" || r.CallerUID != w.uid("m1") || r.Grant != "password" {
		t.Errorf("recorded %+v", r)
	}
	// RFC 6749, section 5.2: a client whose proof is not good is told that first. Who sends none learns nothing of
	// services.
	w.refused("a wrong secret", w.propose("m1", "m2", password, func(p *issuer.Proposal) { p.Presented.Basic.Secret = "x" }), issuer.InvalidToken, "wrong_secret")
	for _, name := range []string{"m1", "nobody"} {
		p := w.propose("m1", "m2", password, func(p *issuer.Proposal) { p.Presented.Basic, p.Presented.ClientID = nil, name })
		if r := w.refused("no proof", p, issuer.UnsupportedGrant, "unsupported_grant_type"); r.Caller != name || r.CallerUID != "" {
			t.Errorf("recorded %+v", r)
		}
	}

	w.withKeySet("m5", func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusInternalServerError) })
	_, id, err := w.issuer.AccessToken(t.Context(), w.by(api.PrivateKeyJWT, "m5", to("m2")))
	if !errors.Is(err, issuer.ErrUnavailable) || !strings.Contains(err.Error(), `"m5"`) {
		t.Errorf("got %v, want the name in the error, which is logged", err)
	}
	r := w.record(id)
	if r.Caller != "m5" || r.Outcome != audit.Failed || r.Reason != "keys_unavailable" || r.Credential == "" {
		t.Errorf("recorded %+v", r)
	}
}

// NAT-025. A burst of equal requests gets one token, within a window and until anything changes.
func TestReuseOfAToken(t *testing.T) {
	w := newChain(t, func(o *issuer.Options) { o.ReuseWindow = time.Minute })
	w.edit("m3", func(svc *directory.Service) { svc.TokenTTLSeconds = 30 })
	w.allow("m1", "m3", directory.NewRule{})
	first := w.token(w.propose("m1", "m2"))
	if w.token(w.propose("m1", "m2")) != first {
		t.Error("an equal request got another token")
	}
	for name, p := range map[string]*issuer.Proposal{
		"another scope":      w.propose("m1", "m2", scopes("a")),
		"another credential": w.by(api.ClientSecretPost, "m1", to("m2"), scopes("b")),
		"another endpoint":   w.by(api.Bootstrap, "m1", plain, to("m2")),
		"bound":              w.propose("m1", "m2", w.withProof(newKey(t))),
		"another target":     w.propose("m1", "m3"),
	} {
		if w.token(p) == first {
			t.Errorf("%s: got the same token", name)
		}
	}
	short := w.token(w.propose("m1", "m3"))
	w.pass(16 * time.Second)
	if w.token(w.propose("m1", "m3")) == short {
		t.Error("a token in the second half of its life is given out again")
	}
	if w.token(w.propose("m1", "m2")) != first {
		t.Error("within the window an equal request got another token")
	}
	w.pass(time.Minute)
	second := w.token(w.propose("m1", "m2"))
	if second == first {
		t.Error("it is given out again after the window")
	}
	w.edit("m9", func(svc *directory.Service) { svc.Owner = "x" })
	if w.token(w.propose("m1", "m2")) == second {
		t.Error("it is given out again after a change")
	}
}
