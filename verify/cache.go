package verify

import (
	"crypto/sha256"
	"sync"

	"github.com/watchword-dev/watchword/internal/jose"
)

// maxSeen is the number of verified tokens that are remembered: 4 MB, with a kilobyte for each.
const maxSeen = 4096

// tokenCache remembers tokens that passed all checks except those of time. It belongs to one Verifier, and so to
// one issuer, audience and list of algorithms. An entry is valid only with the key set that verified it. Tokens are
// identified by a hash of all their bytes, so tokens that differ only in the signature are different tokens.
//
// It consists of two maps. When the young one is full, it becomes the old one, and the old one is dropped. An entry
// that is used moves to the young map, so the entries that are dropped have not been used for some time.
type tokenCache struct {
	mu         sync.RWMutex
	young, old map[tokenID]seenToken
}

type tokenID [sha256.Size]byte

// identify returns the hash of a token. Most tokens fit into the buffer on the stack, which saves an allocation.
func identify(token string) tokenID {
	var buffer [1 << 10]byte
	return sha256.Sum256(append(buffer[:0], token...))
}

type seenToken struct {
	claims *Claims
	keys   *jose.KeySet
}

// find returns the claims of a token that was verified with keys, or nil.
func (c *tokenCache) find(id tokenID, keys *jose.KeySet) *Claims {
	c.mu.RLock()
	entry, young := c.young[id]
	if !young {
		entry = c.old[id]
	}
	c.mu.RUnlock()
	if entry.keys != keys {
		return nil
	}
	if !young && entry.claims != nil {
		c.add(id, entry.keys, entry.claims)
	}
	return entry.claims
}

func (c *tokenCache) add(id tokenID, keys *jose.KeySet, claims *Claims) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.young == nil || len(c.young) >= maxSeen/2 {
		c.old, c.young = c.young, make(map[tokenID]seenToken)
	}
	c.young[id] = seenToken{claims, keys}
}
