package supertokens

import (
	"context"
	"time"

	"github.com/watchword-dev/watchword/server/internal/directory"
)

// SigningKey is a key of one app as stored. The private half is sealed; the public half is
// inside it too, so that a key that cannot be opened is never published.
type SigningKey struct {
	// ID is the kid: "s-" and a version 4 UUID for a static key, "d-" and the creation time in
	// milliseconds since 1970 for a dynamic one.
	ID string
	// App is the name of the app the key belongs to: "public", "m2m-auth". No two apps share a key.
	App string
	// Static keys are made once and stay; the others rotate.
	Static bool
	// Sealed is the private key, PKCS #8 in DER, as the Sealer wrote it.
	Sealed []byte
	// CreatedAt is in whole milliseconds, as in the id of a dynamic key.
	CreatedAt time.Time
}

// Store is what the interface needs of storage. Several replicas share it.
type Store interface {
	// SigningKeys reads all keys of app, in no order.
	SigningKeys(ctx context.Context, app string) ([]SigningKey, error)
	// InsertSigningKey stores k and the Change that describes it, both or neither, unless a key of
	// the same app and kind made at or after unless is there already; zero unless: when any is
	// there. Looking and inserting are one step, so of two replicas that need a new key one makes it.
	// A key of another app with the same id is no obstacle: two apps may make a dynamic key in the
	// same millisecond.
	InsertSigningKey(ctx context.Context, k SigningKey, unless time.Time, c directory.Change) (inserted bool, err error)
	// DeleteSigningKeys removes the keys with these ids, whatever the app. Ids that are not there
	// are ignored.
	DeleteSigningKeys(ctx context.Context, ids []string) error
	// ResealSigningKeys puts what rewrap answers in the place of the sealed keys of all apps, and
	// stores c, all in one step. It returns how many changed; with none there is no change to store.
	ResealSigningKeys(ctx context.Context, rewrap func(SigningKey) (sealed []byte, changed bool, err error), c directory.Change) (n int, err error)
}
