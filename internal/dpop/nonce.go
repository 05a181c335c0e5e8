package dpop

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"time"
)

// How long one nonce is handed out.
const (
	MinNonceLife     = 10 * time.Second
	DefaultNonceLife = 2 * time.Minute
	MaxNonceLife     = 5 * time.Minute
)

// NonceKeySize is the length of a key for Nonces, in bytes.
const NonceKeySize = 32

// Nonces makes and recognises nonces (RFC 9449, section 8). It keeps none: a nonce is a slot of time
// and its MAC, so that all who share the key know each other's nonces. A nonce is handed out for
// one slot and accepted for the next one too. It is safe for concurrent use.
type Nonces struct {
	key  [NonceKeySize]byte
	life time.Duration
}

// NewNonces takes a key of NonceKeySize random bytes and how long a slot is. Zero is
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

// nonceMAC is 128 bits: more than can be guessed while a nonce lives.
const nonceMAC = 16

// Next is the nonce to hand out now.
func (n *Nonces) Next(now time.Time) string { return n.of(n.slot(now)) }

// Valid says whether nonce is of this slot or the last one, or of the next, from a machine
// whose clock is ahead.
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
