package keys

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/directory"
)

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

func TestStartWithTheWrongSealingKeyChangesNothing(t *testing.T) {
	now := start
	m := at(&now)
	loaded(t, m, Options{})
	version := m.version
	now = now.Add(2 * DefaultRotateEvery)
	err := NewRing(m, sealerOf(t, keyLine(2)), Options{Algorithm: jose.EdDSA}).Load(t.Context())
	if !errors.Is(err, ErrUnknownKEK) || m.version != version {
		t.Errorf("got %v, and %d changes", err, m.version-version)
	}
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
