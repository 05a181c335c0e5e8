package issuer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/dpop"
	"github.com/watchword-dev/watchword/server/internal/clientauth"
	"github.com/watchword-dev/watchword/server/internal/once"
)

// presented are the proofs that a request carries.
type presented struct{ i *Issuer }

func (p presented) identify(ctx context.Context, a *attempt) (clientauth.Identity, error) {
	if err := p.i.directory.Fresh(); err != nil {
		return clientauth.Identity{}, err
	}
	if a.Grant == api.GrantJWTBearer {
		return p.identifyByGrant(ctx, a)
	}
	id, failure := p.i.auth.Authenticate(ctx, &a.Presented, a.snapshot, a.now)
	switch {
	case failure == nil:
		return id, nil
	case failure.Kind == clientauth.Missing && a.Endpoint == TokenEndpoint && !isGrant(a.Grant):
		// No client could have it. Who tried to prove itself is told first whether it did (RFC 6749, section 5.2).
		a.event.Caller = failure.Claimed
		return id, unsupportedGrant()
	}
	return id, a.failed(failure)
}

// identifyByGrant: the assertion that is the grant says who asks. It is checked as one that
// authenticates a client, so that a service that does not accept those cannot be spoken for by
// one. Client authentication beside it is not needed (RFC 7521, section 4.1), but must not
// be another's.
func (p presented) identifyByGrant(ctx context.Context, a *attempt) (clientauth.Identity, error) {
	assertion := clientauth.Presented{Assertion: a.GrantAssertion, ClientID: a.Presented.ClientID, Address: a.Presented.Address}
	id, failure := p.i.auth.Authenticate(ctx, &assertion, a.snapshot, a.now)
	if failure != nil {
		return id, a.failed(failure, InvalidGrant)
	}
	if id.Method == api.Bootstrap { // which is signed by this server
		return id, a.failed(&clientauth.Failure{Reason: "wrong_type", Claimed: id.Service.Name, CredentialID: id.CredentialID}, InvalidGrant)
	}
	beside := a.Presented
	beside.Certificates = nil // they bind the token; what proves is the assertion
	client, failure := p.i.auth.Authenticate(ctx, &beside, a.snapshot, a.now)
	switch {
	case failure != nil && failure.Kind == clientauth.Missing:
	case failure != nil:
		return id, a.failed(failure)
	case client.Service.UID != id.Service.UID:
		return id, a.failed(&clientauth.Failure{Reason: "grant_of_another", Claimed: client.Service.Name, CredentialID: client.CredentialID}, InvalidGrant)
	default:
		id.Once = append(id.Once, client.Once...)
	}
	return id, nil
}

// failed is the refusal for a failure of authentication; kind is what the caller is told when
// the proof itself was not good, InvalidToken unless said otherwise.
func (a *attempt) failed(f *clientauth.Failure, kind ...RefusalKind) error {
	a.event.Caller, a.event.Credential = f.Claimed, f.CredentialID
	a.event.Claims = clientauth.Unmet(f.Findings)
	r := &Refusal{Kind: InvalidToken, Reason: f.Reason, RetryAfter: f.RetryAfter}
	for _, k := range kind {
		r.Kind = k
	}
	switch f.Kind {
	case clientauth.Missing:
		r.Kind = Unauthenticated
	case clientauth.Malformed:
		r.Kind, r.Text = Malformed, "authenticate with one method only"
	case clientauth.Throttled:
		r.Kind = Throttled
	case clientauth.Away:
		return fmt.Errorf("authenticate %q: %w", f.Claimed, f)
	}
	return r
}

// binding is the key a token is bound to. The zero value: none.
type binding struct {
	key         string // RFC 7638 thumbprint of a DPoP key, as cnf.jkt
	certificate string // SHA-256 of a certificate, as cnf.x5t#S256
}

// members of cnf, for the audit log.
func (b binding) members() string {
	switch {
	case b.key != "" && b.certificate != "":
		return boundToKey + " " + boundToCertificate
	case b.key != "":
		return boundToKey
	case b.certificate != "":
		return boundToCertificate
	}
	return ""
}

// The members of cnf (RFC 9449, section 6.1; RFC 8705, section 3.1).
const (
	boundToKey         = "jkt"
	boundToCertificate = "x5t#S256"
)

func (b binding) tokenType() string {
	if b.key != "" {
		return DPoP
	}
	return Bearer
}

// shown are the keys of which a caller has shown that it has them.
type shown struct {
	key         string      // RFC 7638 thumbprint, of a DPoP proof
	certificate string      // SHA-256, of the certificate of the connection
	once        *once.Entry // what the DPoP proof uses up
}

func (p presented) keys(a *attempt) (s shown, err error) {
	if len(a.Presented.Certificates) > 0 {
		s.certificate = clientauth.CertificateThumbprint(a.Presented.Certificates[0])
	}
	if len(a.Proof.Headers) == 0 {
		return s, nil
	}
	proof, err := dpop.Check(a.Proof.Headers, dpop.Expect{
		Method: a.Proof.Method, URL: a.Proof.URL, Now: a.now, Nonces: p.i.o.Nonces, RequireNonce: p.i.o.RequireNonce,
	})
	switch {
	case errors.Is(err, dpop.ErrNonce):
		return s, &Refusal{Kind: NonceNeeded, Reason: "dpop_nonce_needed", Text: err.Error()}
	case err != nil:
		return s, &Refusal{Kind: InvalidProof, Reason: "invalid_dpop_proof", Text: err.Error()}
	}
	s.key, s.once = proof.Key, &once.Entry{Key: proof.ReplayKey, Until: proof.ReplayUntil}
	return s, nil
}

func (p presented) read(token string, now time.Time) (*Inspected, string) {
	return p.i.read(token, now)
}

func (p presented) spend(ctx context.Context, a *attempt) error {
	entries := a.caller.Once
	if a.shown.once != nil {
		entries = append(entries[:len(entries):len(entries)], *a.shown.once)
	}
	if len(entries) == 0 {
		return nil
	}
	fresh, err := p.i.once.Use(ctx, entries...)
	if err != nil {
		return fmt.Errorf("see whether the proof was used before: %w", err)
	}
	if len(fresh) != len(entries) {
		return errors.New("the once-only store answered about something else")
	}
	for n, ok := range fresh {
		switch {
		case ok:
		case n < len(a.caller.Once) && a.Grant == api.GrantJWTBearer:
			return &Refusal{Kind: InvalidGrant, Reason: "replayed_assertion"}
		case n < len(a.caller.Once):
			return &Refusal{Kind: InvalidToken, Reason: "replayed_assertion"}
		default:
			return &Refusal{Kind: InvalidProof, Reason: "replayed_dpop_proof", Text: "the DPoP proof was used before"}
		}
	}
	return nil
}
