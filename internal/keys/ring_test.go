package keys

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/watchword-dev/watchword/internal/directory"
	"github.com/watchword-dev/watchword/internal/jose"
)

func TestFirstKeySignsAtOnceAndTheNextStandsBy(t *testing.T) {
	now := start
	m := at(&now)
	r := NewRing(m, sealerOf(t, keyLine(1)), Options{})
	if _, err := r.Signer(UseAccess, jose.ES256); err == nil || r.Healthy() == nil {
		t.Error("a ring that is not loaded signs")
	}
	must(t, r.Load(t.Context()))
	for _, use := range []Use{UseAccess, UseCredential, UseAudit} {
		s, err := r.Signer(use, jose.ES256)
		must(t, err)
		token, err := s.Sign("at+jwt", []byte(`{}`))
		must(t, err)
		for _, other := range []Use{UseAccess, UseCredential, UseAudit} {
			if err := check(token, r.Verifiers(other)); (err == nil) != (other == use) {
				t.Errorf("a %s signature verified as %s: %v", use, other, err)
			}
		}
	}
	must(t, r.step(t.Context()))
	must(t, r.Healthy())
	next := inState(r, accessES, StateNext)
	if len(next) != 1 || len(m.changes) != 2 {
		t.Fatalf("got next keys %v after %d changes", next, len(m.changes))
	}
	if _, published := r.Verifiers(UseAccess).Find(next[0]); !published {
		t.Error("the next key is not among the verifiers")
	}
	for _, l := range []Lane{{UseCredential, "ES256"}, {UseAudit, "ES256"}} {
		if got := inState(r, l, StateNext); len(got) != 0 {
			t.Errorf("%v has next keys %v", l, got)
		}
	}
	for _, c := range m.changes {
		if c.Subject != directory.SubjectKeys || c.Actor != "system" || c.Action != "key.create" || len(c.Detail) == 0 || !c.At.Equal(now) {
			t.Errorf("change is %+v", c)
		}
	}
}

// check is what a verifier does with a key set.
func check(token string, keys *jose.KeySet) error {
	tok, err := jose.Parse(token)
	if err != nil {
		return err
	}
	return tok.Verify(keys, []jose.Algorithm{jose.ES256, jose.RS256, jose.PS256, jose.EdDSA})
}

// FLT-038.
func TestRestartsMakeNoKeys(t *testing.T) {
	now := start
	m := at(&now)
	first := loaded(t, m, Options{}).List()
	version := m.version
	for range 20 {
		now = now.Add(time.Minute)
		r := loaded(t, m, Options{})
		if got := r.List(); len(got) != len(first) || m.version != version {
			t.Fatalf("got %d keys at version %d, want %d at %d", len(got), m.version, len(first), version)
		}
	}
}

func TestListHasNoPrivateHalves(t *testing.T) {
	now := start
	r := loaded(t, at(&now), Options{})
	for _, k := range r.List() {
		if k.Sealed != nil || len(k.Public) == 0 || k.CreatedAt.IsZero() || k.SignsFrom.IsZero() {
			t.Errorf("record is %+v", k)
		}
	}
	r.List()[0].State = StateRevoked
	if r.List()[0].State == StateRevoked {
		t.Error("a list can be used to change the ring")
	}
}

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
	if err := r.Ensure(t.Context(), operator, "HS256"); !errors.As(err, &invalid) {
		t.Errorf("ensure HS256: %v", err)
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
		must(t, r.Ensure(t.Context(), operator, alg))
		version := m.version
		must(t, r.Ensure(t.Context(), operator, alg))
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

// ROT-008.
func TestOneReplicasWrongClockRotatesNothing(t *testing.T) {
	now := start
	m := at(&now)
	r := loaded(t, m, Options{})
	ahead := NewRing(m, r.sealer, Options{Now: func() time.Time { return now.Add(2 * time.Hour) }})
	now = start.Add(DefaultRotateEvery - time.Hour)
	version := m.version
	must(t, ahead.Load(t.Context()))
	must(t, ahead.step(t.Context()))
	if m.version != version {
		t.Fatal("the replica whose clock is ahead rotated early")
	}
	now = start.Add(DefaultRotateEvery)
	must(t, r.step(t.Context()))
	retired := r.policy.Overlap
	now = now.Add(retired - time.Hour)
	must(t, ahead.step(t.Context()))
	if got := inState(ahead, accessES, StateRetiring); len(got) != 1 {
		t.Error("the replica whose clock is ahead dropped a key early")
	}
}

// FLT-033: stopped between deciding and writing, while another replica went on.
func TestReplicaThatStoodStillWritesNothingOld(t *testing.T) {
	now := start
	m := at(&now)
	stopped := loaded(t, m, Options{})
	other := loaded(t, m, Options{})
	now = now.Add(DefaultRotateEvery)
	m.meanwhile = func() {
		now = now.Add(time.Minute)
		must(t, other.step(t.Context()))
		_, err := other.Revoke(t.Context(), operator, inState(other, accessES, StateActive)[0])
		must(t, err)
		must(t, other.step(t.Context()))
	}
	must(t, stopped.step(t.Context()))
	if a, b := stopped.List(), other.List(); !slices.EqualFunc(a, b, same) {
		t.Errorf("the replicas differ:\n%+v\n%+v", a, b)
	}
	if got := len(inState(other, accessES, StateNext)); got != 1 {
		t.Errorf("%d next keys", got)
	}
}

// FLT-033: stopped while nobody else wrote. The version alone would let it through, and
// with it a date of publication long before the publication.
func TestPauseDoesNotBackdateAKey(t *testing.T) {
	now := start
	m := at(&now)
	r := NewRing(m, sealerOf(t, keyLine(1)), Options{Now: func() time.Time { return now }})
	must(t, r.Load(t.Context()))
	m.meanwhile = func() { // the first time the key is found missing, the second time it is there
		m.meanwhile = func() { now = now.Add(time.Minute) }
	}
	must(t, r.step(t.Context()))
	for _, k := range r.List() {
		if k.State == StateNext && !k.CreatedAt.Equal(start.Add(time.Minute)) {
			t.Errorf("published at %v says %v", now, k.CreatedAt)
		}
	}
}

// ROT-010.
func TestResealLeavesTheOldSealingKeyWithoutUse(t *testing.T) {
	now := start
	m := at(&now)
	elsewhere := &otherRecords{}
	r := loaded(t, m, Options{Resealers: []Resealer{elsewhere}})
	replica := NewRing(m, sealerOf(t, keyLine(1)), Options{})
	must(t, replica.Load(t.Context()))
	elsewhere.sealed, _ = r.sealer.Seal("s-1", []byte("secret"))
	signing := make(chan struct{})
	ctx, stop := context.WithCancel(t.Context())
	go func() { // no downtime
		defer close(signing)
		for ctx.Err() == nil {
			s, err := r.Signer(UseAccess, jose.ES256)
			if err == nil {
				_, err = s.Sign("at+jwt", []byte(`{}`))
			}
			if err != nil {
				t.Error(err)
				return
			}
		}
	}()
	// Every replica's file has the new line first; then one of them reseals.
	writeFile(t, r.sealer.path, keyLine(2)+keyLine(1))
	writeFile(t, replica.sealer.path, keyLine(2)+keyLine(1))
	n, err := r.Reseal(t.Context(), operator)
	must(t, err)
	if n != 5 { // three active, one next, one elsewhere
		t.Errorf("resealed %d, want 5", n)
	}
	if n, err := r.Reseal(t.Context(), operator); n != 0 || err != nil {
		t.Errorf("resealing again: %d, %v", n, err)
	}
	if c := m.changes[len(m.changes)-1]; c.Action != "key.reseal" || c.Actor != "operator" {
		t.Errorf("change is %+v", c)
	}
	// The old line goes, while the other replica has not even looked yet.
	writeFile(t, r.sealer.path, keyLine(2))
	writeFile(t, replica.sealer.path, keyLine(2))
	_, err = replica.Rotate(t.Context(), operator, "", "", true)
	must(t, err)
	stop()
	<-signing

	fresh := NewRing(m, sealerOf(t, keyLine(2)), Options{})
	must(t, fresh.Load(t.Context()))
	if s := fresh.snapshot.Load(); s.warning != nil || len(s.opened) != 3 {
		t.Errorf("with the new key alone: %d keys open, %v", len(s.opened), s.warning)
	}
	if got, err := fresh.sealer.Open("s-1", elsewhere.sealed); err != nil || string(got) != "secret" {
		t.Errorf("the other record: %q, %v", got, err)
	}
	err = NewRing(m, sealerOf(t, keyLine(1)), Options{}).Load(t.Context())
	if !errors.Is(err, ErrUnknownKEK) {
		t.Errorf("with the old key alone: got %v, want ErrUnknownKEK", err)
	}
}

// otherRecords stands for another package's table.
type otherRecords struct{ sealed []byte }

func (o *otherRecords) Reseal(_ context.Context, _ directory.Author, s *Sealer) (int, error) {
	again, changed, err := s.Rewrap("s-1", o.sealed)
	if err != nil || !changed {
		return 0, err
	}
	o.sealed = again
	return 1, nil
}

// ROT-010: a key made while another replica reseals must not bring the old line back.
func TestKeyMadeDuringAResealIsUnderTheNewKey(t *testing.T) {
	now := start
	m := at(&now)
	r, other := loaded(t, m, Options{}), loaded(t, m, Options{})
	m.meanwhile = func() { // the key is found missing, and then made,
		m.meanwhile = func() { // and before it is stored:
			for _, each := range []*Ring{r, other} {
				writeFile(t, each.sealer.path, keyLine(2)+keyLine(1))
			}
			_, err := other.Reseal(t.Context(), operator)
			must(t, err)
		}
	}
	_, err := r.Rotate(t.Context(), operator, UseAudit, "", false)
	must(t, err)
	must(t, NewRing(m, sealerOf(t, keyLine(2)), Options{}).Load(t.Context()))
}

// ROT-010: no downtime even where the new line was forgotten.
func TestReplicaWhoseFileLagsBehindGoesOnSigning(t *testing.T) {
	now := start
	m := at(&now)
	r := loaded(t, m, Options{})
	other := NewRing(m, sealerOf(t, keyLine(2), keyLine(1)), Options{})
	must(t, other.Load(t.Context()))
	_, err := other.Reseal(t.Context(), operator)
	must(t, err)
	must(t, r.Reload(t.Context()))
	must(t, r.Healthy())
	if _, err := r.Signer(UseAccess, jose.ES256); err != nil {
		t.Error(err)
	}
}

func TestKeyThatCannotBeOpenedIsReported(t *testing.T) {
	now := start
	m := at(&now)
	var log bytes.Buffer
	r := loaded(t, m, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	// A replica with another sealing key file: its keys are of no use here.
	foreign := sealerOf(t, keyLine(2), keyLine(1))
	other := NewRing(m, foreign, Options{})
	must(t, other.Load(t.Context()))
	_, err := other.Rotate(t.Context(), operator, "", "", true)
	must(t, err)
	must(t, other.step(t.Context()))
	must(t, r.Reload(t.Context()))
	must(t, r.Healthy()) // the key that signs was here before
	_, err = other.Rotate(t.Context(), operator, "", "", true)
	must(t, err)
	for range 3 {
		must(t, r.Reload(t.Context()))
	}
	if err := r.Healthy(); !errors.Is(err, ErrUnknownKEK) {
		t.Errorf("Healthy: got %v, want ErrUnknownKEK", err)
	}
	if _, err := r.Signer(UseAccess, jose.ES256); !errors.Is(err, ErrUnknownKEK) {
		t.Errorf("Signer: got %v, want ErrUnknownKEK", err)
	}
	if _, err := r.Signer(UseCredential, jose.ES256); err != nil {
		t.Errorf("a key that is well: %v", err)
	}
	a, etag, _ := r.JWKS()
	b, same, _ := other.JWKS()
	if !bytes.Equal(a, b) || etag != same {
		t.Error("the replicas publish different keys")
	}
	if n := strings.Count(log.String(), "a key of the ring cannot be used"); n != 2 { // as next, as active
		t.Errorf("said %d times that a key cannot be used, want once for each change:\n%s", n, log.String())
	}
	writeFile(t, r.sealer.path, keyLine(1)+keyLine(2))
	must(t, r.Reload(t.Context()))
	must(t, r.Healthy())
}

func TestDamagedRecordsAreNotUsed(t *testing.T) {
	now := start
	for name, damage := range map[string]func(k, other *Record){
		"public half of another":  func(k, other *Record) { k.Public = other.Public },
		"private half of another": func(k, other *Record) { k.Sealed = other.Sealed },
		"another algorithm":       func(k, _ *Record) { k.Algorithm = "EdDSA" },
		"no JSON":                 func(k, _ *Record) { k.Public = []byte("{") },
		"no private half":         func(k, _ *Record) { k.Sealed = nil },
		"sealed no key": func(k, _ *Record) {
			k.Sealed, _ = sealerOf(t, keyLine(1)).Seal(k.ID, []byte("no key"))
		},
	} {
		m := at(&now)
		loaded(t, m, Options{})
		i := slices.IndexFunc(m.records, func(k Record) bool { return k.Use == UseAccess && k.State == StateActive })
		j := slices.IndexFunc(m.records, func(k Record) bool { return k.Use == UseAudit })
		damage(&m.records[i], &m.records[j])
		r := NewRing(m, sealerOf(t, keyLine(1)), Options{})
		if err := r.Load(t.Context()); err == nil || !strings.Contains(err.Error(), m.records[i].ID) {
			t.Errorf("%s: got %v, want the kid", name, err)
		}
	}
}

func TestEmptiedStoreIsNotFilledAnew(t *testing.T) {
	now := start
	m := at(&now)
	r := loaded(t, m, Options{})
	records := m.records
	m.records = nil
	if r.step(t.Context()) == nil || r.Reload(t.Context()) == nil {
		t.Error("took a store without keys for a good answer")
	}
	if NewRing(m, r.sealer, Options{}).Load(t.Context()) == nil {
		t.Error("a new start made new keys over lost ones")
	}
	if _, err := r.Signer(UseAccess, jose.ES256); err != nil || len(m.records) != 0 {
		t.Errorf("signing stopped: %v", err)
	}
	m.records = records
	must(t, r.step(t.Context()))
}

func TestHotPathDoesNotAllocate(t *testing.T) {
	now := start
	r := loaded(t, at(&now), Options{})
	if n := testing.AllocsPerRun(100, func() {
		r.Signer(UseAccess, jose.ES256)
		r.Verifiers(UseAccess)
		r.JWKS()
	}); n != 0 {
		t.Errorf("allocates %v times", n)
	}
}

func TestRunGoesOnWhileTheStoreIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{clock: time.Now}
		var log bytes.Buffer
		r := NewRing(m, sealerOf(t, keyLine(1)), Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		must(t, r.Load(t.Context()))
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		synctest.Wait()
		next := inState(r, accessES, StateNext)
		if len(next) != 1 {
			t.Fatalf("next keys are %v", next)
		}
		m.fail(errors.New("away"))
		<-time.After(DefaultRotateEvery)
		if _, err := r.Signer(UseAccess, jose.ES256); err != nil {
			t.Error(err)
		}
		m.fail(nil)
		<-time.After(time.Minute)
		if s, _ := r.Signer(UseAccess, jose.ES256); s.ID() != next[0] {
			t.Error("did not rotate when the store was back")
		}
		if a, b := strings.Count(log.String(), "cannot keep the key ring"), strings.Count(log.String(), "up to date again"); a != 1 || b != 1 {
			t.Errorf("said %d times that the store is away and %d times that it is back", a, b)
		}
		stop()
		if err := <-done; err != nil {
			t.Errorf("Run ended with %v", err)
		}
	})
}

func TestRunMakesTheNextKeyAfterARotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{clock: time.Now}
		r := NewRing(m, sealerOf(t, keyLine(1)), Options{})
		must(t, r.Load(t.Context()))
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		synctest.Wait()
		_, err := r.Revoke(ctx, operator, inState(r, accessES, StateActive)[0])
		must(t, err)
		synctest.Wait() // no time passes
		if got := inState(r, accessES, StateNext); len(got) != 1 {
			t.Errorf("next keys are %v, want one at once", got)
		}
		stop()
		<-done
	})
}

func TestWaiterGivesUpWithItsContext(t *testing.T) {
	now := start
	m := at(&now)
	r := loaded(t, m, Options{})
	must(t, r.take(t.Context()))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Reload(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Reload: %v", err)
	}
	if _, err := r.Revoke(ctx, operator, "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("Revoke: %v", err)
	}
	r.release()
}

func TestPublishedKeysAreWellFormed(t *testing.T) {
	now := start
	r := loaded(t, at(&now), Options{})
	body, _, _ := r.JWKS()
	var set struct {
		Keys []map[string]any `json:"keys"`
	}
	must(t, json.Unmarshal(body, &set))
	if len(set.Keys) != 2 {
		t.Fatalf("%d keys published, want the active and the next one", len(set.Keys))
	}
	for _, k := range set.Keys {
		if k["kid"] == "" || k["alg"] != "ES256" || k["use"] != "sig" || k["d"] != nil {
			t.Errorf("key is %v", k)
		}
	}
}
