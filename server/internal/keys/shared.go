package keys

import (
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/watchword-dev/watchword/server/internal/directory"
)

// Labels of what is derived from the shared secret. Another label is another key: stored hashes
// of client secrets would match no more, and nonces of one replica would be unknown to others.
const (
	// ClientSecretPepper is the key under which client secrets are hashed.
	ClientSecretPepper = "watchword client secret pepper v1"
	// DPoPNonceKey makes the nonces of RFC 9449, section 8.
	DPoPNonceKey = "watchword dpop nonce key v1"
	// StatusListKey makes the names of status lists.
	StatusListKey = "watchword status list key v1"
	// PageTokenKey authenticates the page tokens of the operator API.
	PageTokenKey = "watchword page token key v1"
	// AnswerKey is part of the keys that encrypt answers to operators that may be asked for again.
	AnswerKey = "watchword operator answer key v1"
)

const (
	sharedName = "oauth"
	sharedSize = 32
)

// SecretStore keeps sealed secrets by name.
type SecretStore interface {
	// Secret is nil when there is none of that name.
	Secret(ctx context.Context, name string) (sealed []byte, err error)
	// PutSecret stores a secret unless there is one of that name, and returns the one that is
	// stored then.
	PutSecret(ctx context.Context, name string, sealed []byte) (stored []byte, err error)
	// ResealSecrets puts what rewrap answers in the place of all secrets, and says how many
	// changed. With none changed there is no change to record.
	ResealSecrets(ctx context.Context, rewrap func(name string, sealed []byte) (again []byte, changed bool, err error), c directory.Change) (n int, err error)
}

// Secret is a secret all replicas share, from which keys are derived. It signs nothing.
type Secret struct{ root [sharedSize]byte }

// Format keeps the secret out of logs, whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "shared secret") }

// Shared reads the secret all replicas share, or makes it. Of several that start at once, all get
// the same.
func Shared(ctx context.Context, store SecretStore, sealer *Sealer) (Secret, error) {
	sealed, err := store.Secret(ctx, sharedName)
	if err == nil && sealed == nil {
		sealed, err = makeShared(ctx, store, sealer)
	}
	if err != nil {
		return Secret{}, fmt.Errorf("shared secret: %w", err)
	}
	plain, err := sealer.Open(secretID(sharedName), sealed)
	if err != nil {
		return Secret{}, fmt.Errorf("shared secret: %w", err)
	}
	defer clear(plain)
	if len(plain) != sharedSize {
		return Secret{}, errors.New("shared secret: what is stored is not one")
	}
	return Secret{[sharedSize]byte(plain)}, nil
}

func makeShared(ctx context.Context, store SecretStore, sealer *Sealer) (stored []byte, err error) {
	var root [sharedSize]byte
	rand.Read(root[:])
	defer clear(root[:])
	sealed, err := sealer.Seal(secretID(sharedName), root[:])
	if err != nil {
		return nil, err
	}
	return store.PutSecret(ctx, sharedName, sealed)
}

// secretID keeps a secret from being put in the place of another, or of a key.
func secretID(name string) string { return "secret/" + name }

// Derive makes 32 bytes for one purpose, named by a label of this package (RFC 5869).
func (s Secret) Derive(label string) []byte {
	// The secret is uniformly random already (RFC 5869, section 3.3), so the extract step is left
	// out. It fails only for more than 8160 bytes.
	key, err := hkdf.Expand(sha256.New, s.root[:], label, sharedSize)
	if err != nil {
		panic(err)
	}
	return key
}

// SecretResealer is the Resealer for what Shared has stored.
type SecretResealer struct{ Store SecretStore }

// Reseal seals all shared secrets again under the current sealing key.
func (r SecretResealer) Reseal(ctx context.Context, by directory.Author, s *Sealer) (changed int, err error) {
	rewrap := func(name string, sealed []byte) ([]byte, bool, error) { return s.Rewrap(secretID(name), sealed) }
	return r.Store.ResealSecrets(ctx, rewrap, directory.Change{
		At: time.Now(), Actor: by.Actor, RequestID: by.RequestID, Action: "secret.reseal", Subject: "secrets",
	})
}
