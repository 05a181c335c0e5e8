package app

import (
	"crypto/rand"
	"testing"
)

func TestClientAssertions(t *testing.T) {
	onBothStores(t, map[string]func(*testing.T, *world){
		"once":           assertionsOnce,
		"once, parallel": assertionsInParallel,
	})
}

// PKJ-015, PKJ-017, PKJ-020.
func assertionsOnce(t *testing.T, w *world) {
	jti := rand.Text()
	first := w.assertion("m5", claims{"jti": jti})
	if a := w.tokenRequest(withAssertion(first, "m2")); a.status != 200 {
		t.Fatalf("got %d %s", a.status, a.body)
	}
	refused(t, "again", w.tokenRequest(withAssertion(first, "m2")), 401, "invalid_client")
	refused(t, "at the other replica", w.replica().tokenRequest(withAssertion(first, "m2")), 401, "invalid_client")
	refused(t, "the jti in another", w.tokenRequest(withAssertion(w.assertion("m5", claims{"jti": jti}), "m2")), 401, "invalid_client")
	refused(t, "to introspect", w.post("/oauth2/introspect", form("token", "x", "client_assertion_type", assertionType, "client_assertion", first)), 401, "invalid_client")
	if a := w.tokenRequest(withAssertion(w.assertion("m9", claims{"jti": jti}), "m2")); a.status != 200 {
		t.Errorf("the jti of another client: got %d %s", a.status, a.body)
	}
}

// PKJ-016, PKJ-017: 50 at once, half of them at each replica.
func assertionsInParallel(t *testing.T, w *world) {
	body := withAssertion(w.assertion("m5", nil), "m2")
	good := 0
	for _, a := range inParallel(50, func(i int) answer { return []*world{w, w.replica()}[i%2].tokenRequest(body) }) {
		if a.status == 200 {
			good++
		} else {
			refused(t, "in parallel", a, 401, "invalid_client")
		}
	}
	if good != 1 {
		t.Errorf("%d of 50 were granted", good)
	}
}
