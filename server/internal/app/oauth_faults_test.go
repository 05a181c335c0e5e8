package app

import (
	"testing"

	"github.com/watchword-dev/watchword/server/internal/config"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/store/pgtest"
)

// PKJ-018, and the same of DPoP proofs: what was used before kill -9 is used after it.
func TestUsedProofsStayUsedAfterAKill(t *testing.T) {
	onBothEngines(t, replayAfterKill)
}

func replayAfterKill(t *testing.T, cfg config.Config) {
	s := start(t, cfg)
	w := populated(s)
	must(t, s.stop())
	body := withAssertion(w.assertion("m5", claims{"aud": cfg.Issuer}), "m2")
	used := withProof(proof(newKey(), nil, claims{"htu": cfg.Issuer + "/oauth2/token"}))
	before, cmd := child(t, cfg)
	given(t, before.tokenRequest(body))
	given(t, before.tokenRequest(credentialsFor("m2"), basic("m1"), used))
	must(t, cmd.Process.Kill())
	_ = cmd.Wait() // it says that it was killed

	after, cmd := child(t, cfg)
	refused(t, "the assertion", after.tokenRequest(body), 401, "invalid_client")
	refused(t, "the proof", after.tokenRequest(credentialsFor("m2"), basic("m1"), used), 400, "invalid_dpop_proof")
	given(t, after.tokenRequest(withAssertion(w.assertion("m5", claims{"aud": cfg.Issuer}), "m2")))
	must(t, cmd.Process.Kill())
	_ = cmd.Wait()
}

// REV-005: a token that could not be revoked is not said to be; and what cannot be seen to be used
// once is not used at all.
func TestStoreThatFailsRevokesNothing(t *testing.T) {
	unavailable := func(t *testing.T, what string, a answer) {
		refused(t, what, a, 503, "temporarily_unavailable")
		if a.header.Get("Retry-After") == "" {
			t.Errorf("%s: got %v", what, a.header)
		}
	}
	asked := func(t *testing.T, w *world, token string) {
		unavailable(t, "revocation", w.revoke("m1", token))
		unavailable(t, "an assertion", w.tokenRequest(withAssertion(w.assertion("m5", nil), "m2")))
		unavailable(t, "a proof", w.tokenRequest(credentialsFor("m2"), basic("m1"), withProof(proof(newKey(), nil, nil))))
		if m := w.introspect("m2", token).json(t); m["active"] != true {
			t.Errorf("introspected %v", m)
		}
		given(t, w.tokenRequest(credentialsFor("m2"), basic("m1"))) // nothing is written for it
	}
	t.Run("PostgreSQL", func(t *testing.T) {
		pg := pgtest.New(t, pgtest.Options{})
		cfg := oauthConfig(t)
		cfg.Database = config.NewSecret(pg.Database(t))
		w := populated(start(t, cfg))
		token := w.get("m1", "m2")
		pg.Stop(t, "immediate")
		asked(t, w, token)
		pg.Start(t)
		for a := w.revoke("m1", token); a.status != 200; a = w.revoke("m1", token) {
			unavailable(t, "revocation", a)
			if t.Failed() || t.Context().Err() != nil {
				t.Fatal("it does not heal")
			}
		}
		if a := w.introspect("m2", token); a.body != `{"active":false}` {
			t.Errorf("introspected %s", a.body)
		}
	})
	t.Run("SQLite", func(t *testing.T) {
		w := populated(start(t, oauthConfig(t)))
		token := w.get("m1", "m2")
		must(t, w.s.db.Close())
		asked(t, w, token)
	})
}

// TOK-048: no key to sign with.
func TestNoSignerIsUnavailable(t *testing.T) {
	w := populated(start(t, oauthConfig(t)))
	svc, _ := w.s.directory.Snapshot().Service("m2")
	changed := *svc
	changed.Algorithm = "PS256" // which nobody has made a key for
	change := directory.Change{At: changed.UpdatedAt, Actor: "operator", Action: "service.update", Subject: directory.SubjectService(svc.UID)}
	if _, err := w.s.db.UpdateService(t.Context(), changed, change); err != nil {
		t.Fatal(err)
	}
	must(t, w.s.directory.CatchUp(t.Context()))
	a := w.tokenRequest(credentialsFor("m2"), basic("m1"))
	refused(t, "no key", a, 503, "temporarily_unavailable")
	if a.header.Get("Retry-After") == "" {
		t.Errorf("got %v", a.header)
	}
}
