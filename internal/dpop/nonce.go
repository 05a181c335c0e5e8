package dpop

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"time"
)

// How long a nonce is issued.
const (
	MinNonceLife     = 10 * time.Second
	DefaultNonceLife = 2 * time.Minute
	MaxNonceLife     = 5 * time.Minute
)

// NonceKeySize is the length of the key for Nonces, in bytes.
const NonceKeySize = 32

// Nonces issues and checks nonces (RFC 9449, section 8). It stores none: a nonce is the number of a time slot and
// its MAC, so all replicas with the same key accept each other's nonces. A nonce is issued in one slot, and is also
// accepted in the next one. Nonces is safe for concurrent use.
type Nonces struct {
	key  [NonceKeySize]byte
	life time.Duration
}

// NewNonces returns Nonces with a key of NonceKeySize random bytes and slots of length life. Zero means
// DefaultNonceLife.
func NewNonces(key []byte, life time.Duration) (*Nonces, error) {
	if life == 0 {
		life = DefaultNonceLife
	}
	if len(key) != NonceKeySize {
		return nil, fmt.Errorf("key of DPoP nonces has %d bytes, want %d", len(key), NonceKeySize)
	}
	if life < MinNonceLife || life > MaxNonceLife {
		return nil, fmt.Errorf("life of a DPoP nonce is %v, want %v to %v", life, MinNonceLife, MaxNonceLife)
	}
	n := &Nonces{life: life}
	copy(n.key[:], key)
	return n, nil
}

// nonceMAC is 128 bits, which cannot be guessed while a nonce is accepted.
const nonceMAC = 16

// Next returns the nonce to issue now.
func (n *Nonces) Next(now time.Time) string { return n.of(n.slot(now)) }

// Valid reports whether nonce is from the current slot, the previous one or, if the clock of another machine is
// fast, the next one.
func (n *Nonces) Valid(nonce string, now time.Time) bool {
	slot := n.slot(now)
	valid := false
	for _, s := range [...]int64{slot - 1, slot, slot + 1} {
		if hmac.Equal([]byte(nonce), []byte(n.of(s))) {
			valid = true
		}
	}
	return valid
}

func (n *Nonces) slot(now time.Time) int64 { return now.Unix() / int64(n.life/time.Second) }

func (n *Nonces) of(slot int64) string {
	var b [8 + sha256.Size]byte
	binary.BigEndian.PutUint64(b[:8], uint64(slot))
	mac := hmac.New(sha256.New, n.key[:])
	mac.Write([]byte("dpop nonce"))
	mac.Write(b[:8])
	mac.Sum(b[:8])
	return base64.RawURLEncoding.EncodeToString(b[:8+nonceMAC])
}
