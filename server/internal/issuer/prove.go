package issuer

import (
	"context"
	"errors"
	"fmt"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/dpop"
	"github.com/watchword-dev/watchword/server/internal/clientauth"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/once"
)

// authenticate finds out who asks.
func (i *Issuer) authenticate(ctx context.Context, a *attempt) error {
	if err := i.directory.Fresh(); err != nil {
		return err
	}
	if a.Grant == api.GrantJWTBearer {
		return i.authenticateByGrant(ctx, a)
	}
	id, failure := i.auth.Authenticate(ctx, &a.Presented, a.snapshot, a.now)
	if failure != nil {
		return a.failed(failure)
	}
	a.identified(id)
	return nil
}

// authenticateByGrant: the assertion that is the grant says who asks. It is checked as one that
// authenticates a client, so that a service that does not accept those cannot be spoken for by
// one. Client authentication beside it is not needed (RFC 7521, section 4.1), but must not
// be another's.
func (i *Issuer) authenticateByGrant(ctx context.Context, a *attempt) error {
	assertion := clientauth.Presented{Assertion: a.GrantAssertion, ClientID: a.Presented.ClientID, Address: a.Presented.Address}
	id, failure := i.auth.Authenticate(ctx, &assertion, a.snapshot, a.now)
	if failure != nil {
		return a.failed(failure, InvalidGrant)
	}
	if id.Method != api.PrivateKeyJWT { // a bootstrap credential is signed by this server
		return a.failed(&clientauth.Failure{Reason: "wrong_type", Claimed: id.Service.Name, CredentialID: id.CredentialID}, InvalidGrant)
	}
	beside := a.Presented
	beside.Certificates = nil // they bind the token; what proves is the assertion
	client, failure := i.auth.Authenticate(ctx, &beside, a.snapshot, a.now)
	switch {
	case failure != nil && failure.Kind == clientauth.Missing:
	case failure != nil:
		return a.failed(failure)
	case client.Service.UID != id.Service.UID:
		return a.failed(&clientauth.Failure{Reason: "grant_of_another", Claimed: client.Service.Name, CredentialID: client.CredentialID}, InvalidGrant)
	default:
		id.Once = append(id.Once, client.Once...)
	}
	a.identified(id)
	return nil
}

func (a *attempt) identified(id clientauth.Identity) {
	a.caller = id
	a.event.Caller, a.event.CallerUID = id.Service.Name, directory.FormatUID(id.Service.UID)
	a.event.Credential, a.event.Method = id.CredentialID, id.Method
}

// failed is the refusal for a failure of authentication; kind is what the caller is told when
// the proof itself was not good, InvalidToken unless said otherwise.
func (a *attempt) failed(f *clientauth.Failure, kind ...RefusalKind) error {
	a.event.Caller, a.event.Credential = f.Claimed, f.CredentialID
	r := &Refusal{Kind: InvalidToken, Reason: f.Reason, RetryAfter: f.RetryAfter}
	for _, k := range kind {
		r.Kind = k
	}
	switch f.Kind {
	case clientauth.Missing:
		r.Kind = Unauthenticated
	case clientauth.Malformed:
		r.Kind, r.Text = Malformed, "prove who you are in one way only"
	case clientauth.Throttled:
		r.Kind = Throttled
	case clientauth.Away:
		return fmt.Errorf("authenticate %q: %w", f.Claimed, f)
	}
	return r
}

// binding is the key a token is bound to. The zero value: none.
type binding struct {
	key         string      // RFC 7638 thumbprint of a DPoP key, as cnf.jkt
	certificate string      // SHA-256 of a certificate, as cnf.x5t#S256
	once        *once.Entry // what the proof of the key uses up
}

func (b binding) tokenType() string {
	if b.key != "" {
		return DPoP
	}
	return Bearer
}

// bind checks the proof of a key and says to what the token is bound. To the certificate it is
// bound only where it counted: a client whose TLS library happens to present one, and who proved
// itself otherwise, may not present it to the target.
func (i *Issuer) bind(_ context.Context, a *attempt) error {
	wants := a.caller.Service.Binding
	if len(a.Proof.Headers) > 0 {
		if err := i.checkProof(a); err != nil {
			return err
		}
	}
	byCertificate := a.caller.Method == api.TLSClientAuth || a.caller.Method == api.SelfSignedTLSClientAuth
	if len(a.Presented.Certificates) > 0 && (wants == api.BindingMTLS ||
		a.binding.key == "" && (byCertificate || wants == api.BindingRequired)) {
		a.binding.certificate = clientauth.CertificateThumbprint(a.Presented.Certificates[0])
	}
	if refusal := a.unbound(); refusal != nil {
		return refusal
	}
	return nil
}

// unbound refuses what is not bound in the way the service wants.
func (a *attempt) unbound() *Refusal {
	wants := a.caller.Service.Binding
	switch {
	case wants == api.BindingDPoP && a.binding.key == "", wants == api.BindingRequired && a.binding.key == "" && a.binding.certificate == "":
		return &Refusal{Kind: InvalidProof, Reason: "unbound", Text: "tokens of this client must be bound to a key: send a DPoP proof"}
	case wants == api.BindingMTLS && a.binding.certificate == "":
		return &Refusal{Kind: Malformed, Reason: "unbound", Text: "tokens of this client must be bound to its certificate: present it"}
	}
	return nil
}

func (i *Issuer) checkProof(a *attempt) error {
	proof, err := dpop.Check(a.Proof.Headers, dpop.Expect{
		Method: a.Proof.Method, URL: a.Proof.URL, Now: a.now, Nonces: i.o.Nonces, RequireNonce: i.o.RequireNonce,
	})
	switch {
	case errors.Is(err, dpop.ErrNonce):
		return &Refusal{Kind: NonceNeeded, Reason: "dpop_nonce_needed", Text: err.Error()}
	case err != nil:
		return &Refusal{Kind: InvalidProof, Reason: "invalid_dpop_proof", Text: err.Error()}
	}
	a.binding.key = proof.Key
	a.binding.once = &once.Entry{Key: proof.ReplayKey, Until: proof.ReplayUntil}
	return nil
}

// spend uses up what may be used once: the assertion and the proof. Only what is good in every
// other way gets here, so nobody can use up what is another's.
func (i *Issuer) spend(ctx context.Context, a *attempt) error {
	entries := a.caller.Once
	if a.binding.once != nil {
		entries = append(entries[:len(entries):len(entries)], *a.binding.once)
	}
	if len(entries) == 0 {
		return nil
	}
	fresh, err := i.once.Use(ctx, entries...)
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
