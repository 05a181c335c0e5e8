package issuer

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/clientauth"
	"github.com/watchword-dev/watchword/server/internal/directory"
)

// minting is one token, signed for the first request that asks for it.
type minting struct {
	id        string // jti
	issuedAt  time.Time
	expiresAt time.Time
	payload   []byte
	longest   int // bytes that the payload may have
	signer    *jose.Signer
	once      sync.Once
	value     string
	err       error
}

func (m *minting) token() (string, error) {
	m.once.Do(func() { m.value, m.err = m.signer.Sign(AccessTokenType, m.payload) })
	return m.value, m.err
}

// fits reports whether the token is short enough for the headers of a request. It is measured before anything is
// signed or recorded.
func (m *minting) fits() bool { return m.signer.Size(AccessTokenType, m.longest) <= MaxTokenSize }

// mint prepares a token for g; nothing is signed until token is called.
func (i *Issuer) mint(g *grant, signer *jose.Signer) *minting {
	m := &minting{id: directory.RandomID(), issuedAt: g.now.Truncate(time.Second), signer: signer}
	m.expiresAt = m.issuedAt.Add(g.ttl)
	c := claims{
		oauth: g.oauth, subject: g.caller.Service.Name, audiences: g.audiences, id: m.id, scope: strings.Join(g.scopes, " "),
		issuedAt: m.issuedAt, expiry: m.expiresAt, clientID: g.caller.Service.Name, key: g.binding.key, certificate: g.binding.certificate,
		deps: dependsOn(g.caller),
	}
	if g.subject != nil {
		c.subject, c.actors, c.deps = g.subject.name, g.subject.actors, g.subject.deps
		for _, kid := range g.subject.keys {
			if kid != signer.ID() && !slices.Contains(c.depKeys, kid) {
				c.depKeys = append(c.depKeys, kid)
			}
		}
	}
	for _, svc := range g.targets {
		c.targets = append(c.targets, directory.FormatUID(svc.UID))
	}
	if g.mayAct != (directory.UID{}) {
		c.mayActUID = directory.FormatUID(g.mayAct)
		c.mayAct = c.mayActUID // of a service that is gone: nobody has that name
		if svc, ok := g.snapshot.ServiceByUID(g.mayAct); ok {
			c.mayAct = svc.Name
		}
	}
	if g.oauth && i.o.Status != nil {
		c.statusURI, c.statusIndex = i.o.Status(c.deps)
	}
	m.payload = i.claims.payload(&c)
	m.longest = len(m.payload)
	if c.statusURI != "" {
		// Tokens that differ in their places alone are all too long, or none is.
		m.longest += longestIndex - len(strconv.FormatInt(c.statusIndex, 10))
	}
	return m
}

// dependsOn are the ids by which a token ends when its caller may no longer prove itself as it did.
func dependsOn(caller clientauth.Identity) []string {
	deps := []string{directory.FormatUID(caller.Service.UID), caller.CredentialID}
	if caller.Depends != "" {
		deps = append(deps, caller.Depends)
	}
	return deps
}

// longestIndex is how many digits a place in a status list has at most.
const longestIndex = 5

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

// find returns the token to hand out for g: its own, unless an equal one was made within the window.
func (r *reuse) find(g *grant) *minting {
	// A token that is bound or exchanged is one request's own.
	if r.window <= 0 || g.binding != (binding{}) || g.subject != nil {
		return g.minting
	}
	key := reuseKey{
		g.caller.CredentialID, g.caller.Service.UID, strings.Join(g.audiences, " "), g.oauth,
		strings.Join(g.scopes, " "), g.minting.signer.ID(), g.snapshot.Revision(),
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	// A map is kept for one window, so what it holds is no older.
	if r.recent == nil || g.now.Sub(r.opened) >= r.window || g.now.Before(r.opened) {
		r.recent, r.opened = map[reuseKey]*minting{}, g.now
	}
	// A token in the second half of its life is left to those who have it, and so is one that lives longer than the proof
	// of this request.
	if m, ok := r.recent[key]; ok && !m.expiresAt.After(g.minting.expiresAt) && m.expiresAt.Sub(g.now) > g.now.Sub(m.issuedAt) {
		return m
	}
	r.recent[key] = g.minting
	return g.minting
}
