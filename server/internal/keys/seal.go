package keys

import (
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
)

// Sealed is an envelope: the secret under a data key of its own, the data key under a key
// encryption key (KEK) of the sealing key file. Changing the KEK writes a new wrapping around
// the same secret.
//
//	1 byte   version of the format, 1
//	8 bytes  id of the KEK
//	12+48    nonce, and the data key (32 bytes) sealed by the KEK with AES-256-GCM
//	12+n+16  nonce, and the secret sealed by the data key with AES-256-GCM
//
// Both seals are bound to the format and to the id of what is sealed, so that a sealed key
// copied into another record does not open.
const (
	sealVersion = 1
	kekIDSize   = 8
	dataKeySize = 32
	sealExtra   = 12 + 16 // nonce and tag, as cipher.NewGCMWithRandomNonce writes them
	wrappedAt   = 1 + kekIDSize
	secretAt    = wrappedAt + dataKeySize + sealExtra
	minSealed   = secretAt + sealExtra
)

// Errors of opening.
var (
	// ErrUnknownKEK: sealed under a key that the sealing key file does not have.
	ErrUnknownKEK = errors.New("the sealing key file does not have the key this was sealed with; put its line back from a backup or from another replica")
	// ErrSealBroken: not what Seal wrote for this id.
	ErrSealBroken = errors.New("sealed bytes are damaged or belong to something else")
)

// Sealer seals secrets at rest with the keys of a file. Safe for concurrent use.
type Sealer struct {
	path string
	keks atomic.Pointer[[]kek] // never empty; the first one seals
}

type kekID [kekIDSize]byte

type kek struct {
	id   kekID
	aead cipher.AEAD
}

// Format keeps the key schedules out of logs, whatever the verb.
func (s *Sealer) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "sealer of "+s.path) }

// Seal seals plain for the record named id. It reads the sealing key file again: a line that
// was just put first on all replicas must be the one that seals, or the line it replaces
// could never be removed.
func (s *Sealer) Seal(id string, plain []byte) ([]byte, error) {
	if err := s.Reload(); err != nil {
		return nil, fmt.Errorf("seal %q: %w", id, err)
	}
	var dataKey [dataKeySize]byte
	rand.Read(dataKey[:])
	defer clear(dataKey[:])
	aead, err := newAEAD(dataKey[:])
	if err != nil {
		return nil, fmt.Errorf("seal %q: %w", id, err)
	}
	sealed := s.wrap(id, dataKey[:], len(plain)+sealExtra)
	return aead.Seal(sealed, nil, plain, bound("secret", id)), nil //nolint:gosec // the AEAD makes a random nonce itself
}

// Open returns what was sealed for id. A KEK it does not know makes it read the sealing key
// file again: another replica may have begun to use a new line of it.
func (s *Sealer) Open(id string, sealed []byte) ([]byte, error) {
	dataKey, err := s.unwrap(id, sealed)
	if err != nil {
		return nil, fmt.Errorf("open %q: %w", id, err)
	}
	defer clear(dataKey)
	aead, err := newAEAD(dataKey)
	if err != nil {
		return nil, fmt.Errorf("open %q: %w", id, err)
	}
	plain, err := aead.Open(nil, nil, sealed[secretAt:], bound("secret", id))
	if err != nil {
		return nil, fmt.Errorf("open %q: %w", id, ErrSealBroken)
	}
	return plain, nil
}

// Rewrap seals again, under the current KEK, what another one sealed. What is under the
// current one already comes back as it is, with changed false.
func (s *Sealer) Rewrap(id string, sealed []byte) (again []byte, changed bool, err error) {
	dataKey, err := s.unwrap(id, sealed)
	if err != nil {
		return nil, false, fmt.Errorf("rewrap %q: %w", id, err)
	}
	defer clear(dataKey)
	if kekID(sealed[1:wrappedAt]) == (*s.keks.Load())[0].id {
		return sealed, false, nil
	}
	secret := sealed[secretAt:]
	return append(s.wrap(id, dataKey, len(secret)), secret...), true, nil
}

// wrap writes all that comes before the secret, with room for it.
func (s *Sealer) wrap(id string, dataKey []byte, room int) []byte {
	current := (*s.keks.Load())[0]
	b := make([]byte, 0, secretAt+room)
	b = append(b, sealVersion)
	b = append(b, current.id[:]...)
	return current.aead.Seal(b, nil, dataKey, bound("data key", id)) //nolint:gosec // the AEAD makes a random nonce itself
}

func (s *Sealer) unwrap(id string, sealed []byte) ([]byte, error) {
	if len(sealed) < minSealed || sealed[0] != sealVersion {
		return nil, ErrSealBroken
	}
	k, err := s.find(kekID(sealed[1:wrappedAt]))
	if err != nil {
		return nil, err
	}
	dataKey, err := k.aead.Open(nil, nil, sealed[wrappedAt:secretAt], bound("data key", id))
	if err != nil {
		return nil, ErrSealBroken
	}
	return dataKey, nil
}

func (s *Sealer) find(id kekID) (kek, error) {
	if k, ok := lookUp(*s.keks.Load(), id); ok {
		return k, nil
	}
	if err := s.Reload(); err != nil {
		return kek{}, fmt.Errorf("sealed with key %x: %w (and %w)", id, ErrUnknownKEK, err)
	}
	if k, ok := lookUp(*s.keks.Load(), id); ok {
		return k, nil
	}
	return kek{}, fmt.Errorf("sealed with key %x: %w: %s", id, ErrUnknownKEK, s.path)
}

func lookUp(keks []kek, id kekID) (kek, bool) {
	for _, k := range keks {
		if k.id == id {
			return k, true
		}
	}
	return kek{}, false
}

// bound is the additional data of one seal: what it is, and whose.
func bound(what, id string) []byte { return []byte("watchword sealed v1\x00" + what + "\x00" + id) }
