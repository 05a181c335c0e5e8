package app

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/keys"
	"github.com/watchword-dev/watchword/server/internal/policy"
	"github.com/watchword-dev/watchword/server/internal/web"
)

func TestTokenExchange(t *testing.T) {
	onBothStores(t, map[string]func(*testing.T, *world){
		"delegate":    exchangeDelegates,
		"form":        exchangeForms,
		"bad tokens":  exchangeOfBadTokens,
		"not allowed": exchangeNotAllowed,
		"revoked":     exchangeOfRevoked,
		"scope":       exchangeScopes,
		"actor":       exchangeActors,
		"may act":     exchangeMayAct,
		"reborn":      exchangeByReborn,
		"impersonate": exchangeImpersonation,
		"chain":       exchangeChains,
		"lifetime":    exchangeLifetime,
		"storm":       exchangeStorm,
	})
}

// TXC-001.
func exchangeDelegates(t *testing.T, w *world) {
	subject := w.get("m1", "m2")
	a := w.exchange("m2", subject, "m3")
	token, m := given(t, a), a.json(t)
	if m["issued_token_type"] != accessToken || m["token_type"] != "Bearer" || m["refresh_token"] != nil {
		t.Errorf("got %s", a.body)
	}
	c := part(t, token, 1)
	if act, _ := c["act"].(map[string]any); c["sub"] != "m1" || c["aud"] != "m3" || c["client_id"] != "m2" || act["sub"] != "m2" || len(act) != 1 {
		t.Errorf("got %v", c)
	}
	deps, of := c["deps"].([]any), part(t, subject, 1)
	if len(deps) != 5 || deps[0] != of["deps"].([]any)[0] || deps[2] != of["jti"] {
		t.Errorf("got deps %v of %v", deps, of)
	}
	r := w.record(a.header.Get(web.DecisionHeader))
	if r["caller"] != "m2" || r["onBehalfOf"] != "m1" || r["target"] != "m3" || r["outcome"] != "allowed" {
		t.Errorf("recorded %v", r)
	}
	if m := w.introspect("m3", token).json(t); m["active"] != true || m["sub"] != "m1" || m["act"].(map[string]any)["sub"] != "m2" {
		t.Errorf("introspected %v", m)
	}
}

// TXC-003, TXC-012, TXC-016.
func exchangeForms(t *testing.T, w *world) {
	subject := w.get("m1", "m2")
	const types = "urn:ietf:params:oauth:token-type:"
	for what, body := range map[string]string{
		"no type":          form("grant_type", exchangeGrant, "audience", "m3", "subject_token", subject),
		"no token":         form("grant_type", exchangeGrant, "audience", "m3", "subject_token_type", accessToken),
		"another type":     form("grant_type", exchangeGrant, "audience", "m3", "subject_token", subject, "subject_token_type", types+"id_token"),
		"saml":             form("grant_type", exchangeGrant, "audience", "m3", "subject_token", subject, "subject_token_type", types+"saml2"),
		"actor alone":      exchangeForm(subject, "m3", "actor_token", subject),
		"actor type alone": exchangeForm(subject, "m3", "actor_token_type", accessToken),
		"actor type":       exchangeForm(subject, "m3", "actor_token", subject, "actor_token_type", types+"id_token"),
		"refresh token":    exchangeForm(subject, "m3", "requested_token_type", types+"refresh_token"),
		"saml2":            exchangeForm(subject, "m3", "requested_token_type", types+"saml2"),
		"unknown":          exchangeForm(subject, "m3", "requested_token_type", "x"),
		"impersonate":      exchangeForm(subject, "m3", "impersonate", "yes"),
	} {
		refused(t, what, w.tokenRequest(body, basic("m2")), 400, "invalid_request")
	}
	for _, kind := range []string{accessToken, types + "jwt"} {
		if a := w.exchange("m2", subject, "m3", "requested_token_type", kind); a.status != 200 {
			t.Errorf("%s: got %d %s", kind, a.status, a.body)
		}
	}
}

// TXC-004, TXC-005, TXC-019.
func exchangeOfBadTokens(t *testing.T, w *world) {
	subject := w.get("m1", "m2")
	parts := strings.Split(subject, ".")
	w.changed(t, "m2", func(svc *directory.Service) { svc.TokenTTLSeconds = 1 })
	expired := w.get("m1", "m2")
	foreign := start(t, testConfig(t)) // another realm, with services of the same names
	foreign.service("m1", "m2")
	foreign.allow("m1", "m2")
	credential, _ := foreign.credential("m1")
	bootstrap, _ := w.credential("m1")
	for what, token := range map[string]string{
		"tampered":      parts[0] + "." + b64(strings.Replace(payload(t, subject), `"m1"`, `"m9"`, 1)) + "." + parts[2],
		"alg none":      b64(`{"alg":"none","typ":"at+jwt"}`) + "." + parts[1] + ".",
		"another realm": foreign.accessToken(credential, "m2"),
		"bootstrap":     bootstrap,
		"an assertion":  w.assertion("m5", nil),
		"a proof":       proof(newKey(), nil, nil),
		"nonsense":      "x",
	} {
		refused(t, what, w.exchange("m2", token, "m3"), 400, "invalid_request")
	}
	refused(t, "for another", w.exchange("m8", subject, "m3"), 400, "invalid_request")
	refused(t, "of its own", w.exchange("m1", subject, "m2"), 400, "invalid_request")
	w.untilExpired(expired)
	refused(t, "expired", w.exchange("m2", expired, "m3"), 400, "invalid_request")
	// A token of the plain door is one of this server too.
	if a := w.exchange("m2", w.accessToken(bootstrap, "m2"), "m3"); a.status != 200 {
		t.Errorf("of the plain door: got %d %s", a.status, a.body)
	}
}

func payload(t *testing.T, token string) string { return claims(part(t, token, 1)).String() }

// untilExpired waits for the end of a token of one second, as introspection sees it.
func (w *world) untilExpired(token string) {
	w.t.Helper()
	for w.introspect("m2", token).json(w.t)["active"] == true {
		if w.t.Context().Err() != nil {
			w.t.Fatal("the token does not expire")
		}
	}
}

// TXC-006, TXC-008.
func exchangeNotAllowed(t *testing.T, w *world) {
	subject := w.get("m1", "m2")
	target := w.fresh("target")
	a := w.exchange("m2", subject, target)
	refused(t, "no rule", a, 400, "invalid_target")
	if r := w.record(a.header.Get(web.DecisionHeader)); r["outcome"] != "refused" || r["caller"] != "m2" || r["onBehalfOf"] != "m1" {
		t.Errorf("recorded %v", r)
	}
	unknown := w.exchange("m2", subject, "zz")
	if unknown.body != a.body || unknown.status != a.status {
		t.Errorf("unknown target: got %s, not allowed: %s", unknown.body, a.body)
	}
	w.rule("m2", target, directory.NewRule{Scopes: []string{"a"}})
	if got := w.exchange("m2", subject, target); got.body != a.body {
		t.Errorf("a rule without the right to exchange: got %d %s", got.status, got.body)
	}
	w.rule("m2", target, directory.NewRule{Scopes: []string{"a"}, Exchange: policy.Delegate})
	given(t, w.exchange("m2", subject, target))
	w.change(target, func(svc *directory.Service) { svc.Disabled = true })
	if got := w.exchange("m2", subject, target); got.body != a.body || got.status != 400 {
		t.Errorf("a disabled target: got %d %s", got.status, got.body)
	}
}

// TXC-007: whatever in the chain is revoked or disabled, nothing comes of it, nor of what came of
// it before.
func exchangeOfRevoked(t *testing.T, w *world) {
	type chain struct{ first, middle, subject, exchanged string }
	begin := func() (c chain) {
		c.first, c.middle = w.fresh("first"), w.fresh("middle")
		w.rule(c.first, c.middle, directory.NewRule{})
		w.rule(c.middle, "m3", directory.NewRule{Exchange: policy.Delegate})
		c.subject = w.get(c.first, c.middle)
		c.exchanged = given(t, w.exchange(c.middle, c.subject, "m3"))
		return c
	}
	credentialOf := func(token string, n int) string { return part(t, token, 1)["deps"].([]any)[n].(string) }
	for what, revoke := range map[string]func(chain){
		"token": func(c chain) {
			if a := w.revoke(c.first, c.subject); a.status != 200 {
				t.Errorf("revoke: got %d %s", a.status, a.body)
			}
		},
		"service":    func(c chain) { w.change(c.first, func(svc *directory.Service) { svc.Disabled = true }) },
		"gone":       func(c chain) { w.operate("DELETE", "/services/"+c.first, "") },
		"credential": func(c chain) { w.operate("POST", "/credentials/"+credentialOf(c.subject, 1)+"/revoke", "") },
	} {
		c := begin()
		revoke(c)
		refused(t, what, w.exchange(c.middle, c.subject, "m3"), 400, "invalid_request")
		if a := w.introspect("m3", c.exchanged); a.body != `{"active":false}` {
			t.Errorf("%s: what came of it before: got %s", what, a.body)
		}
	}
	c := begin()
	w.operate("POST", "/credentials/"+credentialOf(c.exchanged, 4)+"/revoke", "")
	if a := w.introspect("m3", c.exchanged); a.body != `{"active":false}` {
		t.Errorf("the actor's credential: got %s", a.body)
	}
}

// TXC-009: scopes only shrink.
func exchangeScopes(t *testing.T, w *world) {
	subject := w.get("m1", "m2", "scope", "a b")
	if c := part(t, given(t, w.exchange("m2", subject, "m3")), 1); c["scope"] != "a" {
		t.Errorf("what both have: got %v", c["scope"])
	}
	refused(t, "in the rule only", w.exchange("m2", subject, "m3", "scope", "read"), 400, "invalid_scope")
	refused(t, "in the token only", w.exchange("m2", subject, "m3", "scope", "b"), 400, "invalid_scope")
	if c := part(t, given(t, w.exchange("m2", subject, "m3", "scope", "a")), 1); c["scope"] != "a" {
		t.Errorf("got %v", c["scope"])
	}
}

// TXC-013.
func exchangeActors(t *testing.T, w *world) {
	subject := w.get("m1", "m2")
	w.rule("m2", "m2", directory.NewRule{})
	own := w.get("m2", "m2")
	refused(t, "of another", w.exchange("m2", subject, "m3", "actor_token", w.get("m8", "m2"), "actor_token_type", accessToken), 400, "invalid_request")
	refused(t, "nonsense", w.exchange("m2", subject, "m3", "actor_token", "x", "actor_token_type", accessToken), 400, "invalid_request")
	c := part(t, given(t, w.exchange("m2", subject, "m3", "actor_token", own, "actor_token_type", accessToken)), 1)
	if c["act"].(map[string]any)["sub"] != "m2" {
		t.Errorf("got %v", c)
	}
}

// TXC-014.
func exchangeMayAct(t *testing.T, w *world) {
	from, through, agent := w.fresh("from"), w.fresh("through"), w.fresh("agent")
	w.rule(from, through, directory.NewRule{MayAct: agent})
	for _, actor := range []string{through, agent} {
		w.rule(actor, "m3", directory.NewRule{Exchange: policy.Delegate})
	}
	subject := w.get(from, through)
	if may, _ := part(t, subject, 1)["may_act"].(map[string]any); may["sub"] != agent {
		t.Fatalf("got may_act %v", may)
	}
	refused(t, "another", w.exchange("m8", subject, "m3"), 400, "invalid_request")
	refused(t, "the audience, which is not named", w.exchange(through, subject, "m3"), 400, "invalid_request")
	if c := part(t, given(t, w.exchange(agent, subject, "m3")), 1); c["sub"] != from || c["act"].(map[string]any)["sub"] != agent {
		t.Errorf("got %v", c)
	}
}

// CAU-015, of those who receive: a token that was made for a service, or for it to exchange, is
// nothing to another one that has its name now.
func exchangeByReborn(t *testing.T, w *world) {
	from, through, agent := w.fresh("from"), w.fresh("through"), w.fresh("agent")
	for _, name := range []string{through, agent} {
		w.rule(name, "m3", directory.NewRule{Exchange: policy.Delegate})
	}
	w.rule(from, through, directory.NewRule{})
	received := w.get(from, through)
	w.rule(from, through, directory.NewRule{MayAct: agent})
	forAgent := w.get(from, through)
	// As if they were made a minute ago, and the services of these names just now.
	refused(t, "received by another", w.exchange(through, w.madeEarlier(received), "m3"), 400, "invalid_request")
	a := w.exchange(agent, w.madeEarlier(forAgent), "m3")
	refused(t, "for another to exchange", a, 400, "invalid_request")
	if r := w.record(a.header.Get(web.DecisionHeader)); r["reason"] != "subject_token_older_than_client" {
		t.Errorf("recorded %v", r)
	}
	if a := w.introspect(through, w.madeEarlier(received)); a.body != `{"active":false}` {
		t.Errorf("introspected by another: got %s", a.body)
	}
	given(t, w.exchange(through, received, "m3"))
	given(t, w.exchange(agent, forAgent, "m3"))
	if a := w.introspect(through, received); a.json(t)["active"] != true {
		t.Errorf("introspected: got %s", a.body)
	}
}

// madeEarlier is the token as it would be, had it been made a minute before.
func (w *world) madeEarlier(token string) string {
	w.t.Helper()
	signer, err := w.s.ring.Signer(keys.UseAccess, jose.ES256)
	if err != nil {
		w.t.Fatal(err)
	}
	c := part(w.t, token, 1)
	c["iat"] = int64(c["iat"].(float64)) - 60
	c["exp"] = int64(c["exp"].(float64))
	claims, err := json.Marshal(c)
	if err != nil {
		w.t.Fatal(err)
	}
	earlier, err := signer.Sign("at+jwt", claims)
	if err != nil {
		w.t.Fatal(err)
	}
	return earlier
}

// TXC-020.
func exchangeImpersonation(t *testing.T, w *world) {
	subject, actor := w.get("m1", "m2"), w.fresh("actor")
	refused(t, "where delegation is allowed", w.exchange("m2", subject, "m3", "impersonate", "true"), 400, "invalid_target")
	w.rule("m1", actor, directory.NewRule{})
	w.rule(actor, "m3", directory.NewRule{Exchange: policy.Impersonate})
	subject = w.get("m1", actor)
	a := w.exchange(actor, subject, "m3", "impersonate", "true")
	c := part(t, given(t, a), 1)
	if c["sub"] != "m1" || c["act"] != nil || c["client_id"] != actor {
		t.Errorf("got %v", c)
	}
	if r := w.record(a.header.Get(web.DecisionHeader)); r["caller"] != actor || r["onBehalfOf"] != "m1" {
		t.Errorf("recorded %v", r)
	}
}

// The chain is only added to, the current actor outermost (RFC 8693, section 4.1), and not without end.
func exchangeChains(t *testing.T, w *world) {
	names := []string{w.fresh("hop")}
	for range 6 {
		next := w.fresh("hop")
		w.rule(names[len(names)-1], next, directory.NewRule{Exchange: policy.Delegate})
		names = append(names, next)
	}
	token := w.get(names[0], names[1])
	for n := 1; n <= 5; n++ {
		token = given(t, w.exchange(names[n], token, names[n+1]))
		c := part(t, token, 1)
		for back := n; back >= 1; back-- {
			act, _ := c["act"].(map[string]any)
			if act["sub"] != names[back] {
				t.Fatalf("hop %d: got act %v", n, part(t, token, 1)["act"])
			}
			c = act
		}
		if c["act"] != nil {
			t.Fatalf("hop %d: the chain goes on: %v", n, c)
		}
	}
	w.rule(names[6], "m3", directory.NewRule{Exchange: policy.Delegate})
	refused(t, "a sixth actor", w.exchange(names[6], token, "m3"), 400, "invalid_request")
}

// Not beyond the end of the token it comes from.
func exchangeLifetime(t *testing.T, w *world) {
	w.changed(t, "m2", func(svc *directory.Service) { svc.TokenTTLSeconds = 60 })
	subject := w.get("m1", "m2")
	a := w.exchange("m2", subject, "m3")
	if from, to := part(t, subject, 1)["exp"], part(t, given(t, a), 1)["exp"]; from != to {
		t.Errorf("the token ends at %v, what came of it at %v", from, to)
	}
	if life := a.json(t)["expires_in"].(float64); life > 60 {
		t.Errorf("got expires_in %v", life)
	}
}

// TXC-022: each of many is recorded.
func exchangeStorm(t *testing.T, w *world) {
	subject, before := w.get("m1", "m2"), w.tokensIssued()
	for _, a := range inParallel(100, func(int) answer { return w.exchange("m2", subject, "m3") }) {
		given(t, a)
	}
	if got := w.tokensIssued() - before; got != 100 {
		t.Errorf("%d records of 100", got)
	}
}
