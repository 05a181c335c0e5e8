package clientauth

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/directory"
)

// overTLS is both methods of RFC 8705: the certificate of the connection, with a client_id (section
// 2). The handshake has shown that the client has its key; what the certificate says is looked at
// here, with each request, so that it makes no difference whether a session was resumed or which
// name was asked for. Only the verdict on a chain is kept for a moment.
//
// A certificate beside another proof is no second one: the token is bound to it, no more.
type overTLS struct {
	name string
	kind directory.Kind
	// ours reports whether the certificate is one of this method. It names itself as its issuer, or it
	// does not: so no request is one of both.
	ours func(*x509.Certificate) bool
	// fault is "" when the certificates are good at the moment now, else why not.
	fault func(chain []*x509.Certificate, from netip.Addr, now time.Time) string
	// of reports whether a credential with this material is for the certificate.
	of func(material string, c *x509.Certificate) bool
}

// newTLSClient is tls_client_auth: a certificate of an authority the operator trusts, for the name
// in the directory (RFC 8705, section 2.1).
func newTLSClient(o Options) *overTLS {
	chains := newChains()
	return &overTLS{
		api.TLSClientAuth, directory.KindTLSSubject,
		func(c *x509.Certificate) bool { return !isSelfIssued(c) },
		func(chain []*x509.Certificate, from netip.Addr, now time.Time) string {
			return chains.fault(chain, o.ClientCAs(), from, now)
		},
		isSubject,
	}
}

// newSelfSignedTLSClient is self_signed_tls_client_auth: the certificate whose hash is in the
// directory (RFC 8705, section 2.2).
func newSelfSignedTLSClient() *overTLS {
	return &overTLS{
		api.SelfSignedTLSClientAuth, directory.KindCertificate,
		isSelfIssued,
		func(chain []*x509.Certificate, _ netip.Addr, now time.Time) string {
			return certificateFault(chain[0], now)
		},
		func(material string, c *x509.Certificate) bool { return material == CertificateThumbprint(c) },
	}
}

func (m *overTLS) Name() string { return m.name }

func (m *overTLS) Presents(p *Presented) bool {
	return p.ClientID != "" && !strings.HasPrefix(p.ClientID, spiffeScheme) && p.onlyCertificate() && m.ours(p.Certificates[0])
}

// onlyCertificate reports whether p carries a certificate and no other proof.
func (p *Presented) onlyCertificate() bool {
	return len(p.Certificates) > 0 && p.Bearer == "" && p.Basic == nil && p.Post == "" && p.Assertion == ""
}

func (m *overTLS) Authenticate(_ context.Context, p *Presented, s *directory.Snapshot, now time.Time) (Identity, *Failure) {
	// First, and for every name: the time that this takes would tell which services there are.
	why := m.fault(p.Certificates, p.Address, now)
	svc, ok := s.Service(p.ClientID)
	if !ok {
		return Identity{}, &Failure{Reason: "unknown_service", Claimed: p.ClientID}
	}
	f := &Failure{Reason: why, Claimed: svc.Name}
	if f.Reason != "" {
		return Identity{}, f
	}
	f.Reason = "wrong_certificate"
	for _, c := range s.CredentialsOf(svc.UID) {
		if c.Kind != m.kind || !m.of(c.Material, p.Certificates[0]) {
			continue
		}
		f.CredentialID = c.ID
		if f.Reason = usable(c, p, now); f.Reason == "" {
			return Identity{Service: svc, CredentialID: c.ID}, nil
		}
	}
	return Identity{}, f
}

// CheckSelfSigned reports whether c can be registered for self_signed_tls_client_auth. The error is for
// the operator.
func CheckSelfSigned(c *x509.Certificate) error {
	switch {
	case !isSelfIssued(c):
		return errors.New("is issued by an authority: register its subject, as a tls_subject")
	case isWeak(c):
		return errors.New("has a key that is too short, too long, or of another algorithm: use a P-256 key, or RSA of 2048 to 4096 bits")
	}
	return nil
}

func isSelfIssued(c *x509.Certificate) bool { return slices.Equal(c.RawIssuer, c.RawSubject) }

// certificateFault is "" when c is good by itself, regardless of its issuer.
func certificateFault(c *x509.Certificate, now time.Time) string {
	switch {
	case now.After(c.NotAfter):
		return "certificate_expired"
	case now.Before(c.NotBefore):
		return "certificate_not_yet_valid"
	case isWeak(c):
		return "certificate_key_weak"
	}
	return ""
}

// isWeak: FAPI 2.0 Security Profile, section 5.4.1. RSA keys are those that are accepted in JWKs.
func isWeak(c *x509.Certificate) bool {
	switch k := c.PublicKey.(type) {
	case *rsa.PublicKey:
		return jose.CheckRSA(k) != nil
	case *ecdsa.PublicKey:
		return k.Params().BitSize < 224
	case ed25519.PublicKey:
		return false
	}
	return true // DSA, and what crypto/x509 does not know
}
