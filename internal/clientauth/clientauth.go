// Package clientauth proves which service is asking, from what it presented. It does not
// know what is asked for, and says why a proof failed only to the audit log.
//
// One file a method. A new method is a file here, a field of Presented and a line in Methods.
package clientauth

import (
	"net/netip"
	"time"

	"github.com/watchword-dev/watchword/internal/directory"
	"github.com/watchword-dev/watchword/internal/jose"
)

// Presented is what a request carried to prove who sent it. The fields are secrets.
type Presented struct {
	// Bearer is the token of an Authorization: Bearer header.
	Bearer string
	// Address the request came from.
	Address netip.Addr
}

// Identity is the service that asks, and the credential that proved it.
type Identity struct {
	Service      *directory.Service
	CredentialID string
}

// Failure is a proof that failed. Nothing in it is for the caller.
type Failure struct {
	// Reason is for the audit log: "expired", "audience_mismatch", ...
	Reason string
	// Claimed is the name the proof bore, when its signature was good.
	Claimed string
	// CredentialID is the credential's id, when its signature was good.
	CredentialID string
}

func (f *Failure) Error() string { return "authentication failed: " + f.Reason }

// Method proves an identity in one way.
type Method interface {
	// Presents says whether p carries a proof of this method.
	Presents(p *Presented) bool
	// Authenticate checks the proof against the directory as it stands.
	Authenticate(p *Presented, s *directory.Snapshot, now time.Time) (Identity, *Failure)
}

// Options of an Authenticator.
type Options struct {
	// PlainIssuer is both issuer and audience of bootstrap credentials, as in "auth-server".
	PlainIssuer string
	// Credentials are the keys that sign bootstrap credentials.
	Credentials func() *jose.KeySet
	// Access are the keys that sign access tokens. None of them proves anything here: they are
	// asked for so that the audit log can say that a callee replayed its caller's token.
	Access func() *jose.KeySet
	// Foreign are keys of others whose bootstrap credentials are honoured too: those of the
	// SuperTokens door while the operator trusts it for that. Nil: nobody's.
	Foreign func() *jose.KeySet
}

// Methods are the ways in which a service can prove itself.
func Methods(o Options) []Method {
	return []Method{
		newBootstrap(o),
	}
}

// Authenticator tries the one method whose proof is presented.
type Authenticator struct{ methods []Method }

// New makes an authenticator of all methods.
func New(o Options) *Authenticator { return &Authenticator{Methods(o)} }

// Authenticate says which service presented p.
func (a *Authenticator) Authenticate(p *Presented, s *directory.Snapshot, now time.Time) (Identity, *Failure) {
	for _, m := range a.methods {
		if m.Presents(p) {
			return m.Authenticate(p, s, now)
		}
	}
	return Identity{}, &Failure{Reason: "no_credential"}
}
