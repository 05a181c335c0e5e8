package issuer_test

import (
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/issuer"
	"github.com/watchword-dev/watchword/server/internal/policy"
)

// What random maps are made of. The long scopes are such that a token with a few of them is too large.
var (
	someServices = []string{"s1", "s2", "s3", "s4", "s5"}
	someMethods  = []string{
		api.Bootstrap, api.ClientSecretBasic, api.ClientSecretPost, api.PrivateKeyJWT, api.SelfSignedTLSClientAuth,
	}
	someGrants = []string{api.GrantClientCredentials, api.GrantTokenExchange, api.GrantJWTBearer}
	someScopes = []string{"a", "b", "c", "l" + strings.Repeat("1", 900), "l" + strings.Repeat("2", 950), "l" + strings.Repeat("3", 1000)}
	networks   = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.51.100.0/24")}
	addresses  = []netip.Addr{home, netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("203.0.113.9")}
)

// seldom draws true once in n+1 times or so.
func seldom(t *rapid.T, n int, what string) bool { return rapid.IntRange(0, n).Draw(t, what) == n }

func subset[T any](t *rapid.T, all []T, what string) (some []T) {
	for _, one := range all {
		if rapid.Bool().Draw(t, what) {
			some = append(some, one)
		}
	}
	return some
}

// drawMap puts a random call map into force, in one transaction.
func (w *world) drawMap(t *rapid.T) {
	s := w.directory.Snapshot()
	b := directory.Batch{Base: s.Revision()}
	for _, name := range someServices {
		was, _ := s.Service(name)
		svc := *was
		svc.Disabled, svc.Observe, svc.MultipleTargets = seldom(t, 30, "disabled"), seldom(t, 15, "observe"), rapid.Bool().Draw(t, "multiple targets")
		svc.AuthMethods, svc.GrantTypes = nil, nil
		if seldom(t, 12, "methods") {
			svc.AuthMethods = subset(t, someMethods, "method")
		}
		if seldom(t, 12, "grants") {
			svc.GrantTypes = subset(t, someGrants, "grant")
		}
		slices.Sort(svc.AuthMethods)
		slices.Sort(svc.GrantTypes)
		svc.Binding = ""
		if seldom(t, 8, "binding") {
			svc.Binding = rapid.SampledFrom([]string{api.BindingRequired, api.BindingDPoP, api.BindingMTLS}).Draw(t, "binding")
		}
		svc.DefaultTarget = rapid.SampledFrom([]string{"", "s1", "https://s2.test"}).Draw(t, "default target")
		svc.Algorithm = rapid.SampledFrom([]string{"", "", "EdDSA"}).Draw(t, "algorithm")
		svc.TokenTTLSeconds = rapid.SampledFrom([]int64{0, 60, 3600}).Draw(t, "ttl")
		b.PutServices = append(b.PutServices, svc)
	}
	for _, from := range b.PutServices {
		for _, to := range b.PutServices {
			e := policy.Edge{Caller: from.UID, Target: to.UID}
			stored, err := w.db.ReadRule(t.Context(), e)
			if err != nil && !errors.Is(err, directory.ErrNotFound) {
				t.Fatal(err)
			}
			if !seldom(t, 3, "no rule") {
				b.PutRules = append(b.PutRules, w.drawRule(t, directory.Rule{Edge: e, Version: stored.Version}))
			} else if err == nil {
				b.DeleteRules = append(b.DeleteRules, stored)
			}
		}
	}
	if _, err := w.directory.Apply(t.Context(), operator, b, "test", ""); err != nil {
		t.Fatal(err)
	}
}

func (w *world) drawRule(t *rapid.T, r directory.Rule) directory.Rule {
	r.Scopes = subset(t, someScopes, "scope of rule")
	r.Exchange = rapid.SampledFrom([]policy.Exchange{policy.NoExchange, policy.Delegate, policy.Delegate, policy.Impersonate}).Draw(t, "exchange")
	if seldom(t, 4, "may act") {
		svc, _ := w.directory.Snapshot().Service(rapid.SampledFrom(someServices).Draw(t, "may act"))
		r.MayAct = svc.UID
	}
	if seldom(t, 8, "ends") {
		r.Until = w.clock().Add(rapid.SampledFrom([]time.Duration{-time.Second, time.Second}).Draw(t, "until"))
	}
	if !seldom(t, 6, "conditions") {
		return r
	}
	r.When = &policy.When{Bound: rapid.Bool().Draw(t, "only bound"), Direct: seldom(t, 3, "direct")}
	if rapid.Bool().Draw(t, "some methods") {
		r.When.Methods = subset(t, someMethods, "method of rule")
		slices.Sort(r.When.Methods)
	}
	if rapid.Bool().Draw(t, "some networks") {
		r.When.Networks = subset(t, networks, "network")
	}
	if now := w.clock(); rapid.Bool().Draw(t, "some hours") {
		day := rapid.SampledFrom([]time.Weekday{now.Weekday(), (now.Weekday() + 1) % 7}).Draw(t, "day")
		r.When.Hours = policy.Hours{Days: 1 << day, From: 0, To: 24 * 60}
	}
	return r
}

// drawRequest draws a token request of a service: as it is made, but for the token that is exchanged, and as it is
// rehearsed.
func (w *world) drawRequest(t *rapid.T, caller string, exchange bool) (*issuer.Proposal, *issuer.Rehearsal) {
	method := rapid.SampledFrom(someMethods).Draw(t, "method")
	p := w.by(method, caller)
	r := &issuer.Rehearsal{Endpoint: issuer.TokenEndpoint, Caller: caller, Method: method}
	switch {
	case exchange:
		p.Grant, p.Exchange.Impersonate = api.GrantTokenExchange, seldom(t, 3, "impersonate")
		r.Impersonate = p.Exchange.Impersonate
	case method == api.Bootstrap && rapid.Bool().Draw(t, "plain"):
		plain(p)
	case method == api.PrivateKeyJWT && rapid.Bool().Draw(t, "as a grant"):
		p.Grant, p.GrantAssertion, p.Presented.Assertion = api.GrantJWTBearer, p.Presented.Assertion, ""
	case seldom(t, 15, "no such grant"):
		p.Grant = "password"
	}
	r.Endpoint, r.Grant = p.Endpoint, p.Grant
	if method == api.Bootstrap && p.Endpoint == issuer.TokenEndpoint {
		p.Presented.Assertion, p.Presented.Bearer = p.Presented.Bearer, ""
	}
	for range rapid.SampledFrom([]int{1, 1, 1, 1, 1, 1, 1, 0, 2}).Draw(t, "targets") {
		p.Targets = append(p.Targets, rapid.SampledFrom(slices.Concat(someServices, someServices, []string{"https://s2.test", "nobody"})).Draw(t, "target"))
	}
	p.Scopes = subset(t, someScopes, "scope asked")
	if !seldom(t, 4, "scopes asked") {
		p.Scopes = nil
	}
	p.Address = rapid.SampledFrom(addresses).Draw(t, "address")
	p.Presented.Address = p.Address
	if r.Key = rapid.Bool().Draw(t, "key"); r.Key {
		w.withProof(w.proofs[caller].key)(p)
	}
	if r.Certificate = seldom(t, 2, "certificate"); r.Certificate {
		p.Presented.Certificates = []*x509.Certificate{w.proofs[caller].certificate}
	}
	r.Targets, r.Scopes, r.Address = slices.Clone(p.Targets), p.Scopes, p.Address
	return p, r
}

// comparable are the claims of a token without those that are each token's own.
func comparable(c map[string]any) map[string]any {
	c = maps.Clone(c)
	for _, own := range []string{"jti", "status"} {
		delete(c, own)
	}
	if cnf, ok := c["cnf"].(map[string]any); ok {
		c["cnf"] = slices.Sorted(maps.Keys(cnf))
	}
	c["deps"] = len(c["deps"].([]any))
	return c
}

// POL-011, F31: what why says is what happens. Requests and chains of exchanges over random maps, with conditions, bindings,
// grants, may_act, several targets and tokens that are too large.
func TestRehearsalComesToTheDecisionOfTheRequest(t *testing.T) {
	w := newWorld(t, func(o *issuer.Options) { o.MaxActors = 2 })
	w.service(someServices...)
	w.edit("s1", func(svc *directory.Service) { svc.Algorithm = "EdDSA" }) // so that there is such a key
	w.edit("s2", func(svc *directory.Service) { svc.Audiences = []string{"https://s2.test"} })
	seen := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		w.drawMap(t)
		for range 4 {
			w.compareChain(t, seen)
		}
	})
	t.Logf("what came out, and how often: %v", seen)
}

func (w *world) compareChain(t *rapid.T, seen map[string]int) {
	var subject string
	var way *issuer.Rehearsal
	caller := rapid.SampledFrom(someServices).Draw(t, "caller")
	for range 4 {
		p, r := w.drawRequest(t, caller, way != nil)
		if r.Exchanges = way; way != nil {
			p.Exchange.Subject = subject
			seen["exchanged"]++
		}
		// The actor of the record of the request is not looked at: what is compared is the decision.
		out := w.issuer.Rehearse(*r)
		got, id, err := w.issuer.AccessToken(t.Context(), p)
		reason := "allowed"
		var refusal *issuer.Refusal
		switch {
		case errors.As(err, &refusal):
			reason = refusal.Reason
		case err != nil:
			t.Fatal(err)
		}
		seen[reason]++
		if out.Reason != reason || !slices.Equal(out.Scopes, got.Scopes) {
			t.Fatalf("%s", fmt.Sprintf("%+v: got %s %v, and in the rehearsal %s %v; record %+v", r, reason, got.Scopes, out.Reason, out.Scopes, w.record(id)))
		}
		if err != nil {
			return
		}
		if real, rehearsed := comparable(w.claims(got.Value)), comparable(issuer.ClaimsOf(out)); !reflect.DeepEqual(real, rehearsed) {
			t.Fatalf("%+v: got %v, and in the rehearsal %v", r, real, rehearsed)
		}
		subject, way = got.Value, r
		// Most of the next ones are by a service that may exchange the token, some by any other.
		caller = rapid.SampledFrom(someServices).Draw(t, "next")
		if named, ok := w.holder(got.Value); ok && !seldom(t, 3, "another") {
			caller = named
		}
	}
}

// holder is the service that may exchange a token.
func (w *world) holder(token string) (string, bool) {
	c := w.claims(token)
	if may, ok := c["may_act"].(map[string]any); ok {
		return may["sub"].(string), true
	}
	aud, ok := c["aud"].(string)
	if svc, known := w.directory.Snapshot().Audience(aud); ok && known {
		return svc.Name, true
	}
	return "", false
}

// F31: why is asked who could call on whose behalf, and not on which way the token came.
func TestF31WayOfATokenIsFound(t *testing.T) {
	w := newWorld(t)
	w.service("m1", "m2", "m3", "m4", "m5", "agent", "far")
	exchange := func(when *policy.When) directory.NewRule {
		return directory.NewRule{Scopes: words("a b"), Exchange: policy.Delegate, When: when}
	}
	w.allow("m1", "m2", directory.NewRule{Scopes: words("a b c"), When: &policy.When{Methods: []string{api.PrivateKeyJWT}, Networks: networks[1:]}})
	w.allow("m2", "m3", exchange(nil))
	w.allow("m3", "m4", exchange(nil))
	w.allow("m1", "m5", directory.NewRule{MayAct: "agent", Scopes: words("b")})
	w.allow("agent", "m4", exchange(nil))
	w.allow("m4", "far", exchange(&policy.When{Bound: true}))
	w.allow("far", "m1", exchange(nil))
	ask := func(caller, target string, scopes ...string) issuer.Rehearsed {
		return w.issuer.Rehearse(issuer.Rehearsal{Caller: caller, Targets: []string{target}, OnBehalfOf: "m1", Scopes: scopes, Address: home})
	}
	for _, c := range []struct {
		caller, target, scope string
		reason, scopes        string
	}{
		{"m2", "m3", "", "allowed", "a b"},
		{"m3", "m4", "", "allowed", "a b"}, // by way of m2
		{"m3", "m4", "a", "allowed", "a"},
		{"agent", "m4", "", "allowed", "b"}, // by may_act of m1 -> m5
		{"m4", "far", "", "condition_bound", ""},
		{"far", "m1", "", "subject_token_bound", ""},
		{"m5", "m4", "", "not_in_may_act", ""},
		{"m3", "m5", "", "no_rule", ""},
	} {
		var asked []string
		if c.scope != "" {
			asked = []string{c.scope}
		}
		if got := ask(c.caller, c.target, asked...); got.Reason != c.reason || strings.Join(got.Scopes, " ") != c.scopes {
			t.Errorf("%s -> %s on behalf of m1: got %s %v, want %s %s", c.caller, c.target, got.Reason, got.Scopes, c.reason, c.scopes)
		}
	}
	// Where there is no way, the answer is about the first step of the nearest.
	w.service("m9")
	w.allow("m9", "m4", exchange(nil))
	if got := ask("m9", "m4"); got.Reason != "no_rule" || got.Caller != "m1" || got.Target != "m9" {
		t.Errorf("got %s for %s -> %s", got.Reason, got.Caller, got.Target)
	}
	if got := ask("m3", "m4", "c"); got.Allowed() {
		t.Error("a scope that is lost on the way is found at its end")
	}
}

// F31: a token that would be too large is none.
func TestF31TokenThatIsTooLargeIsNotSaidToBeAllowed(t *testing.T) {
	w := newChain(t)
	w.allow("m1", "m2", directory.NewRule{Scopes: []string{"a" + strings.Repeat("x", 1500), "b" + strings.Repeat("x", 1500)}})
	got := w.issuer.Rehearse(issuer.Rehearsal{Endpoint: issuer.AccessTokenEndpoint, Caller: "m1", Targets: []string{"m2"}})
	if got.Reason != "token_too_large" {
		t.Errorf("got %s", got.Reason)
	}
	if services := len(w.counted()); services != 0 {
		t.Errorf("a rehearsal was counted")
	}
	for name, r := range map[string]issuer.Rehearsal{
		"unknown_service": {Endpoint: issuer.AccessTokenEndpoint, Caller: "zz", Targets: []string{"m2"}},
		"server_failed":   {Endpoint: issuer.AccessTokenEndpoint, Caller: "m1", Targets: []string{"m2"}, Scopes: []string{"a" + strings.Repeat("x", 1500)}},
	} {
		without := issuer.New(w.directory, w.ring, w.auth, w.register, w.log, issuer.Options{Issuer: issuerURL, Algorithm: "PS256", Now: w.clock})
		if got := without.Rehearse(r); got.Reason != name {
			t.Errorf("got %s, want %s", got.Reason, name)
		}
	}
}
