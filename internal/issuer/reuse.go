package issuer

import (
	"strings"
	"sync"
	"time"

	"github.com/watchword-dev/watchword/internal/directory"
	"github.com/watchword-dev/watchword/internal/jose"
)

// minting is one token, signed by whoever asks for it first.
type minting struct {
	id        string // jti
	issuedAt  time.Time
	expiresAt time.Time
	sign      func() (string, error)
	once      sync.Once
	value     string
	err       error
}

func (m *minting) token() (string, error) {
	m.once.Do(func() { m.value, m.err = m.sign() })
	return m.value, m.err
}

// mint prepares a token for g; nothing is signed until token is called.
func (i *Issuer) mint(g grant, signer *jose.Signer) *minting {
	ttl := i.o.TTL
	if g.target.TokenTTL != 0 {
		ttl = g.target.TokenTTL
	}
	m := &minting{id: directory.RandomID(), issuedAt: g.now.Truncate(time.Second)}
	m.expiresAt = m.issuedAt.Add(ttl)
	m.sign = func() (string, error) {
		return signer.Sign(AccessTokenType, i.claims.payload(claims{
			subject: g.caller.Service.Name, audience: g.target.Name, id: m.id,
			scope:    strings.Join(g.scopes, " "),
			issuedAt: m.issuedAt, expiry: m.expiresAt,
		}))
	}
	return m
}

// reuse hands one token to a burst of equal requests, within a window the operator sets.
type reuse struct {
	window time.Duration
	mu     sync.Mutex
	recent map[reuseKey]*minting
	opened time.Time // when recent was begun
}

// reuseKey is all that must be equal. The revision is that of the decision: after any change
// of services, credentials, rules or keys nothing from before is handed out.
type reuseKey struct {
	credential     string
	caller, target directory.UID
	scope, keyID   string
	revision       int64
}

// find returns the token to hand out for g: a new one, unless an equal one was made within
// the window.
func (r *reuse) find(i *Issuer, g grant, signer *jose.Signer) *minting {
	if r.window <= 0 {
		return i.mint(g, signer)
	}
	key := reuseKey{
		g.caller.CredentialID, g.caller.Service.UID, g.target.UID,
		strings.Join(g.scopes, " "), signer.ID(), g.revision,
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	// A map is kept for one window, so what it holds is no older.
	if r.recent == nil || g.now.Sub(r.opened) >= r.window || g.now.Before(r.opened) {
		r.recent, r.opened = map[reuseKey]*minting{}, g.now
	}
	// A token in the second half of its life is left to those who have it.
	if m, ok := r.recent[key]; ok && m.expiresAt.Sub(g.now) > g.now.Sub(m.issuedAt) {
		return m
	}
	m := i.mint(g, signer)
	r.recent[key] = m
	return m
}
