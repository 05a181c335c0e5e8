package clientauth

import (
	"crypto/sha256"
	"sync"
)

// seen remembers tokens whose signature was good, by the hash of all their bytes, because
// checking an ES256 signature costs more than making one. It forgets in generations: full,
// the younger becomes the older and the older goes. Forgetting costs a check, nothing else.
type seen struct {
	mu           sync.RWMutex
	young, older map[[sha256.Size]byte]*signedToken
}

const seenMost = 8192 // tokens a generation; each is at most jose.MaxTokenSize

func (s *seen) find(sum [sha256.Size]byte) (*signedToken, bool) {
	s.mu.RLock()
	t, ok := s.young[sum]
	if ok {
		s.mu.RUnlock()
		return t, true
	}
	t, ok = s.older[sum]
	s.mu.RUnlock()
	if ok {
		s.add(sum, t)
	}
	return t, ok
}

func (s *seen) add(sum [sha256.Size]byte, t *signedToken) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.young == nil || len(s.young) >= seenMost {
		s.young, s.older = make(map[[sha256.Size]byte]*signedToken), s.young
	}
	s.young[sum] = t
}
