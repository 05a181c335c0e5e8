package issuer_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/audit"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/issuer"
	"github.com/watchword-dev/watchword/server/internal/keys"
	"github.com/watchword-dev/watchword/server/internal/policy"
)

// newChain is a world in which m1 may call m2, which may call m3 on behalf of others. m9 is nobody in particular.
func newChain(t *testing.T, edit ...func(*issuer.Options)) *world {
	w := newWorld(t, edit...)
	w.service("m1", "m2", "m3", "m9")
	w.allow("m1", "m2", directory.NewRule{Scopes: words("a b read write")})
	w.allow("m2", "m3", directory.NewRule{Scopes: words("a read"), Exchange: policy.Delegate})
	return w
}

// TXC-001: RFC 8693, section 4.1.
func TestExchangedTokenNamesSubjectAndActor(t *testing.T) {
	w := newChain(t)
	subject := w.token(w.propose("m1", "m2"))
	token, id, err := w.issuer.AccessToken(t.Context(), w.propose("m2", "m3", exchanging(subject)))
	w.must(err)
	c, of := w.claims(token.Value), w.claims(subject)
	if c["sub"] != "m1" || c["aud"] != "m3" || c["client_id"] != "m2" || c["scope"] != "a read" || !slices.Equal(actors(c), words("m2")) {
		t.Errorf("got %v", c)
	}
	// It depends on all that the first one does, on that one itself, and on the actor and its credential.
	if d, first := deps(c), deps(of); len(d) != 5 || !slices.Equal(d[:2], first) || d[2] != of["jti"] || d[3] != w.uid("m2") {
		t.Errorf("got deps %v of %v", d, of)
	}
	r := w.record(id)
	if r.Caller != "m2" || r.OnBehalfOf != "m1" || r.Target != "m3" || r.Outcome != audit.Allowed || r.Token != c["jti"] || r.Grant != api.GrantTokenExchange || r.Exchange != "delegate" {
		t.Errorf("recorded %+v", r)
	}
	counted := w.counted()
	if u := counted[len(counted)-1]; u.Exchange != policy.Delegate || u.Actors != 1 || u.Scopes != "a read" || u.Why != "" {
		t.Errorf("counted %+v", u)
	}
	if !w.introspected("m3", token.Value) || w.introspected("m2", token.Value) {
		t.Error("it is told to another than m3, or not to m3")
	}
}

// TXC-004, TXC-005, TXC-019.
func TestOnlyGoodTokensForTheCallerAreExchanged(t *testing.T) {
	w := newChain(t)
	subject := w.token(w.propose("m1", "m2"))
	parts := strings.Split(subject, ".")
	other := newChain(t) // another realm, with services of the same names
	sign := func(use keys.Use, typ string, edit func(map[string]any)) string {
		return w.signed(t, use, typ, subject, edit)
	}
	nothing := func(map[string]any) {}
	for name, c := range map[string]struct{ token, why string }{
		"tampered":      {parts[0] + "." + strings.Split(w.token(w.propose("m1", "m2", scopes("a"))), ".")[1] + "." + parts[2], "subject_token_bad_signature"},
		"another realm": {other.token(other.propose("m1", "m2")), "subject_token_unknown_key"},
		"a credential":  {w.proofs["m1"].bootstrap, "subject_token_wrong_type"},
		"of its key":    {sign(keys.UseCredential, issuer.AccessTokenType, nothing), "subject_token_unknown_key"},
		"another type":  {sign(keys.UseAccess, "jwt", nothing), "subject_token_wrong_type"},
		"an assertion":  {w.assertion("m1", nil), "subject_token_wrong_type"},
		"nonsense":      {"x", "subject_token_malformed"},
		"no deps":       {sign(keys.UseAccess, issuer.AccessTokenType, func(c map[string]any) { delete(c, "deps") }), "subject_token_malformed"},
		"no end":        {sign(keys.UseAccess, issuer.AccessTokenType, func(c map[string]any) { delete(c, "exp") }), "subject_token_malformed"},
		"not yet":       {sign(keys.UseAccess, issuer.AccessTokenType, func(c map[string]any) { c["nbf"] = w.clock().Unix() + 1 }), "subject_token_not_yet_valid"},
		"another iss":   {sign(keys.UseAccess, issuer.AccessTokenType, func(c map[string]any) { c["iss"] = "https://other.test" }), "subject_token_issuer_mismatch"},
		"bad scope":     {sign(keys.UseAccess, issuer.AccessTokenType, func(c map[string]any) { c["scope"] = "a  b" }), "subject_token_malformed"},
	} {
		w.refused(name, w.propose("m2", "m3", exchanging(c.token)), issuer.Malformed, c.why)
	}
	w.allow("m9", "m3", directory.NewRule{Exchange: policy.Delegate})
	w.refused("for another", w.propose("m9", "m3", exchanging(subject)), issuer.Malformed, "subject_token_for_another")
	w.refused("its own", w.propose("m1", "m3", exchanging(subject)), issuer.Malformed, "subject_token_for_another")
	svc, _ := w.directory.Snapshot().Service("m2")
	probe, err := w.issuer.Probe(t.Context(), operator, svc, "http://m2.test")
	w.must(err)
	probed, err := probe.Token(issuer.ProbeToken{OAuth: true})
	w.must(err)
	w.refused("a probe's", w.propose("m2", "m3", exchanging(probed)), issuer.Malformed, "subject_token_of_probe")
	// One of the other endpoint is one of this server too.
	w.token(w.propose("m2", "m3", exchanging(w.token(w.by("bootstrap", "m1", plain, to("m2"))))))
	w.pass(15 * time.Minute)
	w.refused("expired", w.propose("m2", "m3", exchanging(subject)), issuer.Malformed, "subject_token_expired")
}

// signed is a token with other claims, signed by a key of this server.
func (w *world) signed(t testing.TB, use keys.Use, typ, token string, edit func(map[string]any)) string {
	t.Helper()
	signer, err := w.ring.Signer(use, jose.ES256)
	w.must(err)
	c := w.claims(token)
	for _, date := range []string{"iat", "exp"} {
		c[date] = int64(c[date].(float64))
	}
	edit(c)
	signed, err := signer.Sign(typ, marshal(t, c))
	w.must(err)
	return signed
}

// TXC-006, TXC-008.
func TestExchangeNeedsARuleThatAllowsIt(t *testing.T) {
	w := newChain(t)
	subject := w.token(w.propose("m1", "m2"))
	w.service("m4")
	ask := func(target string) *issuer.Proposal { return w.propose("m2", target, exchanging(subject)) }
	if r := w.refused("no rule", ask("m4"), issuer.Denied, "no_rule"); r.Caller != "m2" || r.OnBehalfOf != "m1" {
		t.Errorf("recorded %+v", r)
	}
	w.refused("no such target", ask("zz"), issuer.Denied, "unknown_target")
	w.allow("m2", "m4", directory.NewRule{Scopes: words("a")})
	w.refused("a rule without the right to exchange", ask("m4"), issuer.Denied, "exchange_not_allowed")
	w.allow("m2", "m4", directory.NewRule{Scopes: words("a"), Exchange: policy.Delegate, When: &policy.When{Direct: true}})
	w.refused("for direct calls", ask("m4"), issuer.Denied, "condition_chain")
	w.allow("m2", "m4", directory.NewRule{Scopes: words("a"), Exchange: policy.Delegate})
	w.token(ask("m4"))
	w.edit("m4", func(svc *directory.Service) { svc.Disabled = true })
	w.refused("a disabled target", ask("m4"), issuer.Denied, "target_disabled")
	w.edit("m4", func(svc *directory.Service) { svc.Disabled, svc.Observe = false, true })
	w.must(w.directory.Disallow(t.Context(), operator, "m2", "m4", directory.AnyVersion))
	w.refused("a target that only observes", ask("m4"), issuer.Denied, "no_rule")
}

// TXC-007: whatever a token depends on is withdrawn, nothing comes of it, nor is good what came of it before.
func TestWithdrawnDependenciesEndAChain(t *testing.T) {
	for name, withdraw := range map[string]func(w *world, subject, exchanged map[string]any){
		"the token": func(w *world, subject, _ map[string]any) {
			w.must(w.directory.RevokeToken(t.Context(), operator, subject["jti"].(string), time.Time{}, ""))
		},
		"the subject is disabled": func(w *world, _, _ map[string]any) {
			w.edit("m1", func(svc *directory.Service) { svc.Disabled = true })
		},
		"the subject is deleted": func(w *world, _, _ map[string]any) {
			w.must(w.directory.DeleteService(t.Context(), operator, "m1", directory.AnyVersion))
		},
		"the subject's credential": func(w *world, subject, _ map[string]any) {
			_, err := w.directory.RevokeCredential(t.Context(), operator, deps(subject)[1])
			w.must(err)
		},
	} {
		w := newChain(t)
		subject := w.token(w.propose("m1", "m2"))
		exchanged := w.token(w.propose("m2", "m3", exchanging(subject)))
		withdraw(w, w.claims(subject), w.claims(exchanged))
		w.refused(name, w.propose("m2", "m3", exchanging(subject)), issuer.Malformed, "subject_token_revoked")
		if w.introspected("m3", exchanged) || w.introspected("m2", subject) {
			t.Errorf("%s: what came of it before is still good", name)
		}
	}
	// What the actor got goes with the actor, and leaves the first token alone.
	w := newChain(t)
	subject := w.token(w.propose("m1", "m2"))
	exchanged := w.token(w.propose("m2", "m3", exchanging(subject)))
	_, err := w.directory.RevokeCredential(t.Context(), operator, deps(w.claims(exchanged))[4])
	w.must(err)
	if w.introspected("m3", exchanged) {
		t.Error("the actor's credential is revoked, and what it got is still good")
	}
	w.token(w.by("private_key_jwt", "m2", to("m3"), exchanging(subject)))
}

// TXC-009: scopes only shrink.
func TestExchangeNeverWidensTheScope(t *testing.T) {
	w := newChain(t)
	subject := w.token(w.propose("m1", "m2", scopes("a", "b")))
	if c := w.claims(w.token(w.propose("m2", "m3", exchanging(subject)))); c["scope"] != "a" {
		t.Errorf("got %v, want what both have", c["scope"])
	}
	w.token(w.propose("m2", "m3", exchanging(subject), scopes("a")))
	w.refused("in the rule only", w.propose("m2", "m3", exchanging(subject), scopes("read")), issuer.InvalidScope, "scope_not_in_subject_token")
	w.refused("in the token only", w.propose("m2", "m3", exchanging(subject), scopes("b")), issuer.InvalidScope, "scope_not_granted")
}

// TXC-013.
func TestActorTokenIsOneOfTheCaller(t *testing.T) {
	w := newChain(t)
	w.allow("m2", "m2", directory.NewRule{})
	w.allow("m9", "m2", directory.NewRule{})
	subject := w.token(w.propose("m1", "m2"))
	with := func(actor string) *issuer.Proposal {
		return w.propose("m2", "m3", exchanging(subject), func(p *issuer.Proposal) { p.Exchange.Actor = actor })
	}
	w.refused("of another", with(w.token(w.propose("m9", "m2"))), issuer.Malformed, "actor_token_of_another")
	w.refused("nonsense", with("x"), issuer.Malformed, "actor_token_of_another")
	if c := w.claims(w.token(with(w.token(w.propose("m2", "m2"))))); !slices.Equal(actors(c), words("m2")) {
		t.Errorf("got %v", c)
	}
	w.allow("m2", "m2", directory.NewRule{Exchange: policy.Delegate})
	w.refused("itself on behalf of another", with(w.token(w.propose("m2", "m2", exchanging(subject)))), issuer.Malformed, "actor_token_of_another")
}

// TXC-014: RFC 8693, section 4.4.
func TestMayActNamesTheOneServiceThatExchanges(t *testing.T) {
	w := newChain(t)
	w.allow("m1", "m2", directory.NewRule{MayAct: "m9"})
	w.allow("m9", "m3", directory.NewRule{Exchange: policy.Delegate})
	subject := w.token(w.propose("m1", "m2"))
	if may := w.claims(subject)["may_act"].(map[string]any); may["sub"] != "m9" {
		t.Fatalf("got may_act %v", may)
	}
	w.refused("the audience, which is not named", w.propose("m2", "m3", exchanging(subject)), issuer.Malformed, "not_in_may_act")
	if c := w.claims(w.token(w.propose("m9", "m3", exchanging(subject)))); c["sub"] != "m1" || !slices.Equal(actors(c), words("m9")) {
		t.Errorf("got %v", c)
	}
	// One that is gone, and whose name another has now.
	w.must(w.directory.DeleteService(t.Context(), operator, "m9", directory.AnyVersion))
	w.service("m9")
	w.allow("m9", "m3", directory.NewRule{Exchange: policy.Delegate})
	w.refused("another of that name", w.propose("m9", "m3", exchanging(subject)), issuer.Malformed, "not_in_may_act")
}

// CAU-015, of those who receive: a token that was issued for a service is nothing to another one that has its name now,
// not even in the same second.
func TestServiceMadeAgainReceivedNothing(t *testing.T) {
	w := newChain(t)
	subject := w.token(w.propose("m1", "m2"))
	w.must(w.directory.DeleteService(t.Context(), operator, "m2", directory.AnyVersion))
	w.service("m2")
	w.allow("m2", "m3", directory.NewRule{Exchange: policy.Delegate})
	w.refused("received by another", w.propose("m2", "m3", exchanging(subject)), issuer.Malformed, "subject_token_for_another")
	if w.introspected("m2", subject) {
		t.Error("introspected by another")
	}
}

// F27: an audience that moved to another service takes no tokens with it.
func TestF27TokenBelongsToTheServiceItWasIssuedFor(t *testing.T) {
	w := newChain(t)
	const uri = "https://api.test"
	w.edit("m2", func(svc *directory.Service) { svc.Audiences = []string{uri} })
	subject := w.token(w.propose("m1", uri))
	w.edit("m2", func(svc *directory.Service) { svc.Audiences = nil })
	w.edit("m9", func(svc *directory.Service) { svc.Audiences = []string{uri} })
	w.allow("m9", "m3", directory.NewRule{Exchange: policy.Delegate})
	w.refused("of the new owner", w.propose("m9", "m3", exchanging(subject)), issuer.Malformed, "subject_token_for_another")
	if w.introspected("m9", subject) {
		t.Error("the new owner of the audience learns of tokens for the former one")
	}
	if !w.introspected("m2", subject) {
		t.Error("whom it was issued for learns nothing")
	}
	w.token(w.propose("m2", "m3", exchanging(subject)))
}

// TXC-020.
func TestImpersonationLeavesNoActor(t *testing.T) {
	w := newChain(t)
	subject := w.token(w.propose("m1", "m2"))
	w.refused("where delegation is allowed", w.propose("m2", "m3", exchanging(subject), impersonating), issuer.Denied, "impersonation_not_allowed")
	w.allow("m2", "m3", directory.NewRule{Exchange: policy.Impersonate})
	token, id, err := w.issuer.AccessToken(t.Context(), w.propose("m2", "m3", exchanging(subject), impersonating))
	w.must(err)
	if c := w.claims(token.Value); c["sub"] != "m1" || c["act"] != nil || c["client_id"] != "m2" {
		t.Errorf("got %v", c)
	}
	if r := w.record(id); r.Caller != "m2" || r.OnBehalfOf != "m1" || r.Exchange != "impersonate" {
		t.Errorf("recorded %+v", r)
	}
	// It leaves no actor, and is counted as what it is.
	counted := w.counted()
	if u := counted[len(counted)-1]; u.Exchange != policy.Impersonate || u.Actors != 0 || u.Why != "" {
		t.Errorf("counted %+v", u)
	}
}

// hops makes a way of n+1 services h0 to hn, each of which may exchange what it gets for a token for the next one.
func (w *world) hops(n int, exchange policy.Exchange) (names []string) {
	for i := range n + 1 {
		names = append(names, "h"+string(rune('0'+i)))
		w.service(names[i])
		if i > 0 {
			w.allow(names[i-1], names[i], directory.NewRule{Exchange: exchange})
		}
	}
	return names
}

// RFC 8693, section 4.1: the chain is only added to, the current actor outermost; and not without end.
func TestChainOfActorsGrowsToItsBound(t *testing.T) {
	w := newWorld(t)
	names := w.hops(7, policy.Delegate)
	token := w.token(w.propose(names[0], names[1]))
	for n := 1; n <= 5; n++ {
		token = w.token(w.propose(names[n], names[n+1], exchanging(token)))
		want := slices.Clone(names[1 : n+1])
		slices.Reverse(want)
		if got := actors(w.claims(token)); !slices.Equal(got, want) {
			t.Fatalf("hop %d: got the actors %v, want %v", n, got, want)
		}
	}
	w.refused("a sixth actor", w.propose(names[6], names[7], exchanging(token)), issuer.Malformed, "chain_too_long")
}

// F32.
func TestF32ChainOfImpersonationsHasTheSameBound(t *testing.T) {
	w := newWorld(t, func(o *issuer.Options) { o.MaxActors = 2 })
	names := w.hops(4, policy.Impersonate)
	token := w.token(w.propose(names[0], names[1]))
	for n := 1; n <= 2; n++ {
		token = w.token(w.propose(names[n], names[n+1], exchanging(token), impersonating))
	}
	w.refused("a third", w.propose(names[3], names[4], exchanging(token), impersonating), issuer.Malformed, "impersonation_chain_too_long")
	// Impersonations do not make room for actors.
	w.refused("an actor after them", w.propose(names[3], names[4], exchanging(token)), issuer.Malformed, "chain_too_long")
}

// Not beyond the end of the token it comes from.
func TestExchangedTokenEndsWithItsSubject(t *testing.T) {
	w := newChain(t)
	w.edit("m2", func(svc *directory.Service) { svc.TokenTTLSeconds = 60 })
	subject := w.token(w.propose("m1", "m2"))
	w.pass(20 * time.Second)
	got, _, err := w.issuer.AccessToken(t.Context(), w.propose("m2", "m3", exchanging(subject)))
	w.must(err)
	if from, to := w.claims(subject)["exp"], w.claims(got.Value)["exp"]; from != to || got.ExpiresIn != 40*time.Second {
		t.Errorf("the token ends at %v, and what came of it at %v, in %s", from, to, got.ExpiresIn)
	}
}

// F24: who steals a bound token, and may exchange it, gets nothing that is good without a key.
func TestF24BoundTokenIsExchangedForABoundOne(t *testing.T) {
	w := newChain(t)
	w.allow("m2", "m3", directory.NewRule{Exchange: policy.Impersonate})
	bound := map[string]string{
		"by DPoP":        w.token(w.propose("m1", "m2", w.withProof(newKey(t)))),
		"by certificate": w.token(w.by("self_signed_tls_client_auth", "m1", to("m2"))),
	}
	key := newKey(t)
	for name, subject := range bound {
		for how, impersonate := range map[string]change{"delegation": func(*issuer.Proposal) {}, "impersonation": impersonating} {
			w.refused(name+", "+how, w.propose("m2", "m3", exchanging(subject), impersonate), issuer.InvalidProof, "subject_token_bound")
			c := w.claims(w.token(w.propose("m2", "m3", exchanging(subject), impersonate, w.withProof(key))))
			if c["cnf"].(map[string]any)["jkt"] != key.ID() {
				t.Errorf("%s, %s: bound to %v, want the actor's key", name, how, c["cnf"])
			}
			c = w.claims(w.token(w.by("self_signed_tls_client_auth", "m2", to("m3"), exchanging(subject), impersonate)))
			if c["cnf"].(map[string]any)["x5t#S256"] == nil {
				t.Errorf("%s, %s: bound to %v, want the actor's certificate", name, how, c["cnf"])
			}
		}
	}
	// A service whose tokens must be bound: also those it got before.
	subject := w.token(w.propose("m1", "m2"))
	w.token(w.propose("m2", "m3", exchanging(subject), impersonating))
	w.edit("m1", func(svc *directory.Service) { svc.Binding = api.BindingDPoP })
	w.refused("of a service with a binding", w.propose("m2", "m3", exchanging(subject), impersonating), issuer.InvalidProof, "subject_token_bound")
}
