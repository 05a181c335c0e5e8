package keys

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/directory"
)

func TestFirstKeySignsAtOnceAndTheNextStandsBy(t *testing.T) {
	now := start
	m := at(&now)
	r := NewRing(m, sealerOf(t, keyLine(1)), Options{})
	if _, err := r.Signer(UseAccess, jose.ES256); err == nil || r.Healthy() == nil {
		t.Error("a ring that is not loaded signs")
	}
	must(t, r.Reload(t.Context())) // of a store without keys
	if _, err := r.Signer(UseAccess, jose.ES256); err == nil || r.Healthy() == nil {
		t.Error("a ring without keys is well")
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
		_, _ = r.Signer(UseAccess, jose.ES256)
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
		synctest.Wait() // until Run rests: it writes to the log
		if s, _ := r.Signer(UseAccess, jose.ES256); s.ID() != next[0] {
			t.Error("did not rotate when the store was back")
		}
		if a, b := strings.Count(log.String(), "cannot read the current keys"), strings.Count(log.String(), "up to date again"); a != 1 || b != 1 {
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
		must(t, <-done)
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
