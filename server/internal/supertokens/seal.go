package supertokens

import (
	"context"
	"time"

	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/keys"
)

// Sealer keeps private keys unreadable at rest. The id is bound to what it seals.
type Sealer interface {
	Seal(id string, plain []byte) ([]byte, error)
	Open(id string, sealed []byte) ([]byte, error)
}

// sealID keeps the keys of one app from being put in the place of another's, or of the
// server's own.
func sealID(app, id string) string { return "supertokens/" + app + "/" + id }

// Resealer is the keys.Resealer for what the interface has stored. It is not the interface's, which may
// be shut while its keys are still there.
type Resealer struct{ Store Store }

// Reseal seals all keys of all apps again under the current sealing key.
func (r Resealer) Reseal(ctx context.Context, by directory.Author, s *keys.Sealer) (changed int, err error) {
	rewrap := func(k SigningKey) ([]byte, bool, error) { return s.Rewrap(sealID(k.App, k.ID), k.Sealed) }
	return r.Store.ResealSigningKeys(ctx, rewrap, directory.Change{
		At: time.Now(), Actor: by.Actor, RequestID: by.RequestID, Action: "supertokens.key.reseal", Subject: "supertokens",
	})
}
