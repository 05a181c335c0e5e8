package app

import (
	"testing"

	"github.com/watchword-dev/watchword/server/internal/web"
)

func TestTokenExchange(t *testing.T) {
	onBothStores(t, map[string]func(*testing.T, *world){
		"delegate": exchangeDelegates,
		"form":     exchangeForms,
		"storm":    exchangeStorm,
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
