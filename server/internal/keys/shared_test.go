//go:build unix

package keys_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/watchword-dev/watchword/server/internal/keys"
)

// Replicas that start at once have one secret, and so has every one that starts later.
func TestReplicasShareOneSecret(t *testing.T) {
	onEachEngine(t, func(t *testing.T, p place) {
		path := filepath.Join(t.TempDir(), "sealing-key")
		_, err := keys.NewSealer(path, true)
		must(t, err)
		first := p.open(t)
		stores := []*later{first, first}
		if p.options.DatabaseURL != "" {
			stores[1] = p.open(t)
		}
		derived := make([]string, 20)
		var wg sync.WaitGroup
		for i := range derived {
			wg.Go(func() {
				sealer, err := keys.NewSealer(path, false)
				if err != nil {
					t.Error(err)
					return
				}
				s, err := keys.Shared(t.Context(), stores[i%2], sealer)
				if err != nil {
					t.Error(err)
					return
				}
				derived[i] = hex.EncodeToString(s.Derive(keys.ClientSecretPepper))
			})
		}
		wg.Wait()
		for i, d := range derived {
			if d != derived[0] || len(d) != 64 {
				t.Errorf("start %d has another secret", i)
			}
		}
		sealed, err := first.Secret(t.Context(), "oauth")
		if err != nil || bytes.Contains(sealed, []byte(derived[0])) {
			t.Errorf("stored %d bytes, %v", len(sealed), err)
		}
		if revision, err := first.ChangesAfter(t.Context(), 0, 1); err != nil || len(revision) != 0 {
			t.Errorf("got changes %v, %v", revision, err)
		}
	})
}

func TestDerivedKeysAreApartAndNeverPrinted(t *testing.T) {
	onEachEngine(t, func(t *testing.T, p place) {
		sealer, err := keys.NewSealer(filepath.Join(t.TempDir(), "sealing-key"), true)
		must(t, err)
		db := p.open(t)
		s, err := keys.Shared(t.Context(), db, sealer)
		must(t, err)
		if bytes.Equal(s.Derive(keys.ClientSecretPepper), s.Derive(keys.DPoPNonceKey)) {
			t.Error("two labels derive one key")
		}
		for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%s", "%d"} {
			if got := fmt.Sprintf(verb, s); got != "shared secret" {
				t.Errorf("%s prints %s", verb, got)
			}
			if got := fmt.Sprintf(verb, &s); got != "shared secret" {
				t.Errorf("%s of a pointer prints %s", verb, got)
			}
		}
	})
}

// ROT-010: after a reseal the secret opens with the new sealing key alone, and is the same.
func TestSharedSecretOpensAfterAReseal(t *testing.T) {
	onEachEngine(t, func(t *testing.T, p place) {
		old, fresh := filepath.Join(t.TempDir(), "sealing-key"), filepath.Join(t.TempDir(), "sealing-key")
		db := p.open(t)
		sealer, err := keys.NewSealer(old, true)
		must(t, err)
		before, err := keys.Shared(t.Context(), db, sealer)
		must(t, err)
		ring := keys.NewRing(db, sealer, keys.Options{Resealers: []keys.Resealer{keys.SecretResealer{Store: db}}})
		must(t, ring.Load(t.Context()))
		_, err = keys.NewSealer(fresh, true)
		must(t, err)
		alone, err := keys.NewSealer(fresh, false)
		must(t, err)
		if _, err := keys.Shared(t.Context(), db, alone); !errors.Is(err, keys.ErrUnknownKEK) || !strings.Contains(err.Error(), "shared secret") {
			t.Errorf("with another sealing key: got %v", err)
		}
		prepend(t, old, fresh)
		for _, want := range []int{4, 0} { // three active keys, and the secret
			if n, err := ring.Reseal(t.Context(), operator); err != nil || n != want {
				t.Errorf("resealed %d, %v; want %d", n, err, want)
			}
		}
		after, err := keys.Shared(t.Context(), db, alone)
		if err != nil || !bytes.Equal(after.Derive(keys.DPoPNonceKey), before.Derive(keys.DPoPNonceKey)) {
			t.Errorf("after the reseal: another secret, %v", err)
		}
	})
}

// What is sealed for something else is not taken for the secret.
func TestSomethingElseIsNotTheSharedSecret(t *testing.T) {
	onEachEngine(t, func(t *testing.T, p place) {
		sealer, err := keys.NewSealer(filepath.Join(t.TempDir(), "sealing-key"), true)
		must(t, err)
		db := p.open(t)
		key, err := sealer.Seal("kid", make([]byte, 32))
		must(t, err)
		_, err = db.PutSecret(t.Context(), "oauth", key)
		must(t, err)
		if _, err := keys.Shared(t.Context(), db, sealer); !errors.Is(err, keys.ErrSealBroken) {
			t.Errorf("a sealed key: got %v", err)
		}
		other := p.another(t).open(t)
		short, err := sealer.Seal("secret/oauth", make([]byte, 16))
		must(t, err)
		_, err = other.PutSecret(t.Context(), "oauth", short)
		must(t, err)
		if _, err := keys.Shared(t.Context(), other, sealer); err == nil {
			t.Error("16 bytes count as the secret")
		}
	})
}
