package issuer

import (
	"strings"
	"sync"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/directory"
)

// minting is one token, signed by whoever asks for it first.
type minting struct {
	id        string // jti
	issuedAt  time.Time
	expiresAt time.Time
	payload   []byte
	sign      func() (string, error)
	once      sync.Once
	value     string
	err       error
}

func (m *minting) token() (string, error) {
	m.once.Do(func() { m.value, m.err = m.sign() })
	return m.value, m.err
}

// fits says whether the token is not too long for the headers of a request. It is measured
// before anything is signed or recorded.
func (m *minting) fits(signer *jose.Signer) bool {
	return signer.Size(AccessTokenType, len(m.payload)) <= MaxTokenSize
}

// mint prepares a token for g; nothing is signed until token is called.
func (i *Issuer) mint(g *grant, signer *jose.Signer) *minting {
	m := &minting{id: directory.RandomID(), issuedAt: g.now.Truncate(time.Second)}
	m.expiresAt = m.issuedAt.Add(g.ttl)
	c := claims{
		oauth: g.oauth, subject: g.caller.Service.Name, audiences: g.audiences, id: m.id, scope: strings.Join(g.scopes, " "),
		issuedAt: m.issuedAt, expiry: m.expiresAt, key: g.binding.key, certificate: g.binding.certificate,
		deps: []string{directory.FormatUID(g.caller.Service.UID), g.caller.CredentialID},
	}
	if g.subject != nil {
		c.subject, c.actors, c.deps = g.subject.name, g.subject.actors, g.subject.deps
	}
	if g.mayAct != (directory.UID{}) {
		c.mayAct = directory.FormatUID(g.mayAct) // of a service that is gone: nobody has that name
		if svc, ok := g.snapshot.ServiceByUID(g.mayAct); ok {
			c.mayAct = svc.Name
		}
	}
	if g.oauth {
		c.clientID = g.caller.Service.Name
		if i.o.Status != nil {
			c.statusURI, c.statusIndex = i.o.Status(c.deps)
		}
	}
	m.payload = i.claims.payload(&c)
	m.sign = func() (string, error) { return signer.Sign(AccessTokenType, m.payload) }
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
	credential   string
	caller       directory.UID
	targets      string
	oauth        bool
	scope, keyID string
	revision     int64
}

// find returns the token to hand out for g: a new one, unless an equal one was made within
// the window.
func (r *reuse) find(i *Issuer, g *grant, signer *jose.Signer) *minting {
	// A token that is bound or exchanged is one request's own.
	if r.window <= 0 || g.binding != (binding{}) || g.subject != nil {
		return i.mint(g, signer)
	}
	key := reuseKey{
		g.caller.CredentialID, g.caller.Service.UID, strings.Join(g.audiences, " "), g.oauth,
		strings.Join(g.scopes, " "), signer.ID(), g.snapshot.Revision(),
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
