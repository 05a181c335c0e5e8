package dpop_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/internal/dpop"
)

func newNonces(t testing.TB) *dpop.Nonces {
	t.Helper()
	n, err := dpop.NewNonces(bytes.Repeat([]byte{7}, dpop.NonceKeySize), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// DPO-026: who shares the key shares the nonces.
func TestNonceOfOneReplicaIsGoodAtAnother(t *testing.T) {
	a, b := newNonces(t), newNonces(t)
	nonce := a.Next(now)
	for _, c := range []struct {
		later time.Duration
		want  bool
	}{{0, true}, {time.Minute, true}, {119 * time.Second, true}, {2 * time.Minute, false}, {-time.Minute, true}, {-61 * time.Second, false}, {time.Hour, false}} {
		if got := b.Valid(nonce, now.Add(c.later)); got != c.want {
			t.Errorf("%v later: got %v, want %v", c.later, got, c.want)
		}
	}
	other, err := dpop.NewNonces(make([]byte, dpop.NonceKeySize), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"", other.Next(now), nonce + "A", nonce[1:], "A" + nonce[1:]} {
		if b.Valid(bad, now) && bad != nonce {
			t.Errorf("%q is valid", bad)
		}
	}
}

// RFC 9449, sections 8 and 9. Item 10.
func TestNonceIsAskedForAndChecked(t *testing.T) {
	e := expected
	e.Nonces = newNonces(t)
	good := []string{proof(t, map[string]any{"nonce": e.Nonces.Next(now)})}
	stale := []string{proof(t, map[string]any{"nonce": e.Nonces.Next(now.Add(-time.Hour))})}
	without := []string{proof(t, nil)}
	for _, required := range []bool{false, true} {
		e.RequireNonce = required
		if p, err := dpop.Check(good, e); err != nil || p.Nonce == "" {
			t.Errorf("good: got %+v, %v", p, err)
		}
		refused(t, "stale", stale, e, dpop.ErrNonce)
		refused(t, "empty", []string{proof(t, map[string]any{"nonce": ""})}, e, dpop.ErrNonce)
		if required {
			refused(t, "none", without, e, dpop.ErrNonce)
		} else if _, err := dpop.Check(without, e); err != nil {
			t.Errorf("none, and none required: %v", err)
		}
	}
	// A broken proof is not told what the nonce is.
	refused(t, "another method", []string{proof(t, map[string]any{"htm": "GET"})}, e, dpop.ErrProof)
}

func TestNoncesNeedAKey(t *testing.T) {
	for name, make := range map[string]func() (*dpop.Nonces, error){
		"no key":    func() (*dpop.Nonces, error) { return dpop.NewNonces(nil, 0) },
		"31 bytes":  func() (*dpop.Nonces, error) { return dpop.NewNonces(make([]byte, 31), 0) },
		"9 seconds": func() (*dpop.Nonces, error) { return dpop.NewNonces(make([]byte, 32), 9*time.Second) },
		"an hour":   func() (*dpop.Nonces, error) { return dpop.NewNonces(make([]byte, 32), time.Hour) },
	} {
		if n, err := make(); err == nil || n != nil {
			t.Errorf("%s: got %v, %v", name, n, err)
		}
	}
	if _, err := dpop.NewNonces(make([]byte, 32), 0); err != nil {
		t.Error(err)
	}
}
