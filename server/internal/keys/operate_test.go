package keys

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/directory"
)

func TestRotateWaitsUntilTheNextKeyIsKnown(t *testing.T) {
	now := start
	m := at(&now)
	r := loaded(t, m, Options{})
	old, next := inState(r, accessES, StateActive)[0], inState(r, accessES, StateNext)[0]

	now = now.Add(10 * time.Minute)
	for range 2 { // asking again changes nothing
		k, err := r.Rotate(t.Context(), operator, "", "", false)
		must(t, err)
		if k.ID != next || k.State != StateNext || !k.SignsFrom.Equal(start.Add(DefaultLead)) || k.Sealed != nil {
			t.Fatalf("got %s %s from %v, want the next key an hour after it was made", k.State, k.ID, k.SignsFrom)
		}
	}
	now = now.Add(50*time.Minute - 1)
	must(t, r.step(t.Context()))
	if s, _ := r.Signer(UseAccess, jose.ES256); s.ID() != old {
		t.Fatal("rotated early")
	}
	now = now.Add(1)
	must(t, r.step(t.Context()))
	if s, _ := r.Signer(UseAccess, jose.ES256); s.ID() != next {
		t.Fatal("did not rotate when promised")
	}

	// The key that stands by now has been published for long: at once.
	now = now.Add(DefaultLead)
	third := inState(r, accessES, StateNext)[0]
	k, err := r.Rotate(t.Context(), operator, UseAccess, jose.ES256, false)
	must(t, err)
	if s, _ := r.Signer(UseAccess, jose.ES256); k.ID != third || k.State != StateActive || s.ID() != third {
		t.Errorf("got %s %s, want the standing key active", k.State, k.ID)
	}
	last := m.changes[len(m.changes)-1]
	if last.Actor != "operator" || last.RequestID != "req" || last.Action != "key.rotate" || last.Detail[third] != "access ES256 next -> active" {
		t.Errorf("change is %+v", last)
	}
}

func TestForcedRotationDoesNotWait(t *testing.T) {
	now := start
	r := loaded(t, at(&now), Options{})
	for range 3 { // the second and third find no key standing by
		old := inState(r, accessES, StateActive)[0]
		k, err := r.Rotate(t.Context(), operator, UseAccess, "", true)
		must(t, err)
		if s, _ := r.Signer(UseAccess, jose.ES256); k.ID == old || s.ID() != k.ID || k.State != StateActive {
			t.Errorf("got %s %s", k.State, k.ID)
		}
		if _, ok := r.Verifiers(UseAccess).Find(old); !ok {
			t.Error("the old key is not published any more")
		}
	}
}

func TestCredentialKeysRotateOnDemandAndVerifyForEver(t *testing.T) {
	now := start
	r := loaded(t, at(&now), Options{})
	for _, use := range []Use{UseCredential, UseAudit} {
		s, err := r.Signer(use, jose.ES256)
		must(t, err)
		token, err := s.Sign("bootstrap+jwt", []byte(`{}`))
		must(t, err)
		k, err := r.Rotate(t.Context(), operator, use, "", false)
		must(t, err)
		if k.State != StateActive || k.Use != use || k.ID == s.ID() {
			t.Errorf("%s: got %s %s", use, k.State, k.ID)
		}
		now = now.Add(100 * 365 * 24 * time.Hour)
		must(t, r.step(t.Context()))
		if err := check(token, r.Verifiers(use)); err != nil {
			t.Errorf("%s: a century later: %v", use, err)
		}
		if body, _, _ := r.JWKS(); bytes.Contains(body, []byte(k.ID)) || bytes.Contains(body, []byte(s.ID())) {
			t.Errorf("%s: published", use)
		}
	}
}

func TestRotateRefusesWhatIsNotThere(t *testing.T) {
	now := start
	m := at(&now)
	r := loaded(t, m, Options{})
	version := m.version
	var invalid *directory.InvalidError
	if _, err := r.Rotate(t.Context(), operator, "tokens", "", false); !errors.As(err, &invalid) || invalid.Field != "use" {
		t.Errorf("unknown use: %v", err)
	}
	if _, err := r.Rotate(t.Context(), operator, "", "none", false); !errors.As(err, &invalid) || invalid.Field != "algorithm" {
		t.Errorf("unknown algorithm: %v", err)
	}
	if keys, err := r.Additions(t.Context(), []string{"HS256"}); !errors.As(err, &invalid) || keys != nil {
		t.Errorf("keys of HS256: %v, %v", keys, err)
	}
	if _, err := r.Rotate(t.Context(), operator, "", jose.EdDSA, false); !errors.Is(err, ErrNotFound) {
		t.Errorf("algorithm without keys: %v", err)
	}
	if _, err := r.Revoke(t.Context(), operator, "nobody"); !errors.Is(err, ErrNotFound) {
		t.Errorf("unknown kid: %v", err)
	}
	if m.version != version {
		t.Error("a refused change was stored")
	}
}

func TestRevokedKeyIsGoneAtOnce(t *testing.T) {
	now := start
	m := at(&now)
	r := loaded(t, m, Options{})
	now = now.Add(2 * time.Hour)
	_, err := r.Rotate(t.Context(), operator, "", "", false)
	must(t, err)
	must(t, r.step(t.Context()))
	for _, state := range []State{StateRetiring, StateActive, StateActive, StateNext, StateActive} {
		if state == StateNext {
			must(t, r.step(t.Context()))
		}
		list := r.List()
		i := slices.IndexFunc(list, func(k Record) bool { return k.lane() == accessES && k.State == state })
		standing := inState(r, accessES, StateNext)
		kid := list[i].ID
		k, err := r.Revoke(t.Context(), operator, kid)
		must(t, err)
		if k.State != StateRevoked || !k.RevokedAt.Equal(now) || k.ID != kid {
			t.Errorf("%s: got %+v", state, k)
		}
		body, _, _ := r.JWKS()
		_, verifies := r.Verifiers(UseAccess).Find(kid)
		s, err := r.Signer(UseAccess, jose.ES256)
		must(t, err)
		if bytes.Contains(body, []byte(kid)) || verifies || s.ID() == kid {
			t.Errorf("%s: the revoked key is still in use", state)
		}
		if state == StateActive && len(standing) == 1 && s.ID() != standing[0] {
			t.Error("the standing next key did not take over")
		}
		if !bytes.Contains(body, []byte(s.ID())) {
			t.Errorf("%s: signs with a key that is not published", state)
		}
		version := m.version
		if _, err := r.Revoke(t.Context(), operator, kid); err != nil || m.version != version {
			t.Errorf("%s: revoking twice: %v, version %d after %d", state, err, m.version, version)
		}
		for _, stored := range m.records {
			if stored.ID == kid && len(stored.Sealed) != 0 {
				t.Error("the stolen private half is kept")
			}
		}
	}
	must(t, r.step(t.Context()))
	must(t, NewRing(m, r.sealer, Options{}).Load(t.Context()))
}

// ROT-012, JWK-007.
func TestEachTargetsAlgorithmHasItsOwnKeys(t *testing.T) {
	now := start
	m := at(&now)
	r := loaded(t, m, Options{Algorithm: jose.RS256})
	rs, err := r.Signer(UseAccess, jose.RS256)
	must(t, err)
	token, err := rs.Sign("at+jwt", []byte(`{}`))
	must(t, err)
	for _, alg := range []jose.Algorithm{jose.ES256, jose.PS256, jose.EdDSA} {
		if s, err := r.Signer(UseAccess, alg); !errors.Is(err, ErrNotFound) {
			t.Fatalf("%s was never asked for: got %v, %v", alg, s, err)
		}
		must(t, r.AddOnce(t.Context(), m, alg))
		version := m.version
		must(t, r.AddOnce(t.Context(), m, alg))
		if m.version != version {
			t.Errorf("%s: ensuring twice changed the ring", alg)
		}
		s, err := r.Signer(UseAccess, alg)
		must(t, err)
		if s.Algorithm() != alg {
			t.Errorf("asked for %s, got a key of %s", alg, s.Algorithm())
		}
		signed, err := s.Sign("at+jwt", []byte(`{}`))
		must(t, err)
		if got, _ := jose.Parse(signed); got.Algorithm != string(alg) || got.KeyID == rs.ID() {
			t.Errorf("signed with %s %s, want %s", got.Algorithm, got.KeyID, alg)
		}
	}
	// A migration: what was signed before still verifies, by kid and algorithm.
	must(t, check(token, r.Verifiers(UseAccess)))
	body, _, _ := r.JWKS()
	set, err := jose.ParseKeySet(body)
	must(t, err)
	must(t, check(token, set))
	seen := map[jose.Algorithm]bool{}
	for _, k := range set.Keys() {
		seen[k.Algorithm] = true
		good := false
		switch key := k.Key.(type) {
		case *rsa.PublicKey:
			good = key.N.BitLen() == 3072 && (k.Algorithm == jose.RS256 || k.Algorithm == jose.PS256)
		case *ecdsa.PublicKey:
			good = key.Curve == elliptic.P256() && k.Algorithm == jose.ES256
		case ed25519.PublicKey:
			good = k.Algorithm == jose.EdDSA
		}
		if !good {
			t.Errorf("%s key is a %T", k.Algorithm, k.Key)
		}
	}
	if len(seen) != 4 {
		t.Errorf("published algorithms are %v, want four", seen)
	}
}

// F09. However often an operator rotates, verifiers can read the key set, and the refusal says what to do.
func TestKeySetStaysReadable(t *testing.T) {
	now := start
	r := loaded(t, at(&now), Options{})
	var err error
	n := 0
	for ; err == nil && n <= MaxPublished; n++ {
		_, err = r.Rotate(t.Context(), operator, UseAccess, jose.ES256, true)
	}
	if !errors.Is(err, ErrTooMany) {
		t.Fatalf("after %d rotations: got %v, want ErrTooMany", n, err)
	}
	set, err := jose.ParseKeySet(r.Verifiers(UseAccess).JSON())
	if err != nil || len(set.Keys()) < n-1 {
		t.Errorf("got %d keys after %d rotations, %v", len(set.Keys()), n, err)
	}
	now = now.Add(60 * 24 * time.Hour) // they are retired
	must(t, r.step(t.Context()))
	if _, err := r.Rotate(t.Context(), operator, UseAccess, jose.ES256, true); err != nil {
		t.Errorf("when they have been retired: %v", err)
	}
}
