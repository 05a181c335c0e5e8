package verify

import (
	"crypto/sha256"
	"sync"

	"github.com/watchword-dev/watchword/internal/jose"
)

// maxSeen is how many verified tokens are remembered. With a kilobyte each that is 4 MB.
const maxSeen = 4096

// tokenCache remembers which tokens passed every check but the clock's. It belongs to one
// Verifier, so one issuer, audience and list of algorithms, and an entry counts only under the
// key set that verified it. Its name for a token is a hash of all its bytes: two
// tokens that differ in the signature alone are two tokens.
//
// It is two maps: when the young one is full it becomes the old one, and the old one goes. What
// is used moves to the young one, so what goes is what was not used for a while.
type tokenCache struct {
	mu         sync.RWMutex
	young, old map[tokenID]seenToken
}

type tokenID [sha256.Size]byte

// identify hashes a token. Most fit the buffer on the stack, which saves their copy on the heap.
func identify(token string) tokenID {
	var buffer [1 << 10]byte
	return sha256.Sum256(append(buffer[:0], token...))
}

type seenToken struct {
	claims *Claims
	keys   *jose.KeySet
}

// find returns the claims of a token that keys verified, or nil.
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
