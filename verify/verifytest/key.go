package verifytest

import (
	"net/http"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/internal/dpop"
	"github.com/watchword-dev/watchword/internal/jose"
)

// Key is a DPoP key of a caller.
type Key struct {
	t      testing.TB
	signer *jose.Signer
}

// NewKey returns a new ES256 key.
func NewKey(t testing.TB) *Key {
	t.Helper()
	signer, err := newSigner("ES256")
	if err != nil {
		t.Fatalf("verifytest: make a key: %v", err)
	}
	return &Key{t, signer}
}

// Thumbprint returns the cnf.jkt of a token that is bound to the key.
func (k *Key) Thumbprint() string { return k.signer.ID() }

// Proof returns a proof for one request with token. nonce may be empty.
func (k *Key) Proof(method, url, token, nonce string, at time.Time) string {
	k.t.Helper()
	proof, err := dpop.NewProof(k.signer, method, url, nonce, token, at)
	if err != nil {
		k.t.Fatalf("verifytest: %v", err)
	}
	return proof
}

// Attach adds the token and a proof for it to r. The proof is for url and the current time.
func (k *Key) Attach(r *http.Request, url, token string) {
	k.t.Helper()
	r.Header.Set("Authorization", "DPoP "+token)
	r.Header.Set(dpop.Header, k.Proof(r.Method, url, token, "", time.Now()))
}
