// Package keys keeps the keys the server signs with: which sign now, which are next, which
// are still published, and how private halves are sealed at rest. It does not know what is
// signed.
package keys

import (
	"context"
	"errors"
	"time"

	"github.com/watchword-dev/watchword/server/internal/directory"
)

// Control-flow errors of this package and of every Store.
var (
	ErrNotFound = errors.New("no such key")
	// ErrTooMany: MaxPublished keys are published already.
	ErrTooMany = errors.New("too many keys are still published")
	// ErrConflict: the ring changed between reading and writing; read again.
	ErrConflict = errors.New("key ring changed in the meantime")
)

// MaxPublished is how many keys can be published when an operator rotates. It is below jose.MaxKeys, what verifiers
// read, by more than scheduled rotations can add: package config refuses settings by which they would add more.
const MaxPublished = 200

// Use is what a key is for. A signature made for one use never passes for another.
type Use string

// The uses. Only UseAccess is published.
const (
	UseAccess     Use = "access"     // access tokens
	UseCredential Use = "credential" // bootstrap credentials: only this server verifies them
	UseAudit      Use = "audit"      // checkpoints of the audit log
)

// State of a key in its ring.
type State string

// The states, in the order a key goes through them.
const (
	StateNext     State = "next"     // published, does not sign yet
	StateActive   State = "active"   // signs
	StateRetiring State = "retiring" // no longer signs, still published
	StateRevoked  State = "revoked"  // stolen: not published, verifies nothing
)

// Record is a key as stored. The private half is sealed.
type Record struct {
	ID        string // the kid: RFC 7638 thumbprint of the public key
	Use       Use
	Algorithm string // as jose.Algorithm
	State     State
	// Public is the public key as a JWK.
	Public []byte
	// Sealed is the private key, PKCS #8, as Sealer.Seal wrote it. Empty once the key has
	// signed its last: what is not kept cannot be stolen.
	Sealed []byte
	// CreatedAt is when it was made and, for UseAccess, published.
	CreatedAt time.Time
	// SignsFrom is when a next key has its turn, and since when an active one signs.
	SignsFrom time.Time
	// RetiredAt is when it stopped signing; zero before.
	RetiredAt time.Time
	// DropAt is when a retiring key leaves the ring; zero: never.
	DropAt    time.Time
	RevokedAt time.Time
}

// Store is what the key ring needs of storage.
type Store interface {
	// LoadKeys reads all keys and the ring's version, in one consistent read. A ring nobody
	// wrote yet has version 0.
	LoadKeys(ctx context.Context) ([]Record, int64, error)
	// SaveKeys inserts or replaces put and deletes the ids in drop, and makes the ring's version
	// version+1: all of it or, when the stored version is not version, nothing and ErrConflict.
	SaveKeys(ctx context.Context, version int64, put []Record, drop []string, c directory.Change) error
	// Now is the clock all replicas share: the database's on PostgreSQL, this machine's on SQLite.
	Now(ctx context.Context) (time.Time, error)
}
