package verify

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"

	"github.com/watchword-dev/watchword/internal/dpop"
)

// Proof is what was sent with a token to prove possession of the key to which it is bound. The zero Proof is for a
// bearer token.
type Proof struct {
	// DPoP has the values of all DPoP headers, for a token with the scheme DPoP. Leave it empty for any other
	// scheme, because a DPoP-bound token is not valid as a bearer token even with a proof (RFC 9449, section 7.2).
	DPoP []string
	// Scheme is the scheme of the Authorization header. If empty, it is DPoP if there are DPoP headers, and
	// otherwise Bearer.
	Scheme string
	// Method and URL are those of the request, for DPoP. The URL is the one that callers use.
	Method, URL string
	// Certificate is the client certificate of the TLS connection, whose key has signed the handshake.
	Certificate *x509.Certificate
}

func (p *Proof) isDPoP() bool {
	if p.Scheme == "" {
		return len(p.DPoP) > 0
	}
	return strings.EqualFold(p.Scheme, schemeDPoP)
}

// VerifyRequest checks the access token of a request, and the proof of its key if it is bound to one. It is like
// Middleware, but does not answer. If there is an error, the claims are nil; Refuse answers the request.
func (v *Verifier) VerifyRequest(r *http.Request) (*Claims, error) {
	claims, _, err := v.verifyRequest(r)
	return claims, err
}

func (v *Verifier) verifyRequest(r *http.Request) (claims *Claims, token string, err error) {
	scheme, token, err := credentials(r.Header)
	if err != nil {
		return nil, "", err
	}
	p := Proof{Scheme: scheme}
	if p.isDPoP() {
		if v.externalURL == "" {
			v.warnOfHost(r.Context())
		}
		p.DPoP, p.Method, p.URL = r.Header.Values(dpop.Header), r.Method, v.urlOf(r)
	}
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		p.Certificate = r.TLS.PeerCertificates[0]
	}
	claims, err = v.VerifyWith(r.Context(), token, p)
	return claims, token, err
}

// VerifyWith checks an access token and the proof that was sent with it, for callers without an http.Request. If
// there is an error, the claims are nil.
func (v *Verifier) VerifyWith(ctx context.Context, token string, p Proof) (*Claims, error) {
	claims, err := v.token(ctx, token)
	if err == nil {
		err = v.checkProof(ctx, token, claims, &p)
	}
	if err != nil {
		if p.isDPoP() {
			err = underDPoP{err}
		}
		return nil, err
	}
	return claims.clone(), nil
}

// underDPoP marks an error that is answered with a challenge for DPoP.
type underDPoP struct{ error }

func (e underDPoP) Unwrap() error { return e.error }

func (v *Verifier) checkProof(ctx context.Context, token string, c *Claims, p *Proof) error {
	switch b := c.Binding; {
	case !c.bound && p.isDPoP():
		return fmt.Errorf("%w, but was sent with the scheme DPoP", ErrNotBound) // RFC 9449, section 7.1
	case !c.bound && v.requireBound:
		return ErrNotBound
	case !c.bound:
		return nil
	case b.KeyThumbprint == "" && b.CertificateSHA256 == "":
		return fmt.Errorf("%w, in a way that is not supported", ErrBound)
	case b.KeyThumbprint != "" && !p.isDPoP():
		return underDPoP{ErrBound}
	case b.KeyThumbprint == "" && p.isDPoP():
		return fmt.Errorf("%w for DPoP", ErrNotBound)
	}
	if err := checkCertificate(c.Binding.CertificateSHA256, p.Certificate); err != nil {
		return err
	}
	if c.Binding.KeyThumbprint == "" {
		return nil
	}
	return v.checkDPoP(ctx, token, c.Binding.KeyThumbprint, p)
}

// checkCertificate compares the certificate with cnf (RFC 8705, section 3).
func checkCertificate(want string, cert *x509.Certificate) error {
	if want == "" {
		return nil
	}
	if cert == nil {
		return fmt.Errorf("%w: there is none", ErrCertificate)
	}
	sum := sha256.Sum256(cert.Raw)
	if subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(want)) == 0 {
		return ErrCertificate
	}
	return nil
}

func (v *Verifier) checkDPoP(ctx context.Context, token, jkt string, p *Proof) error {
	got, err := dpop.Check(p.DPoP, dpop.Expect{
		Method: p.Method, URL: p.URL, Now: v.now(), AccessToken: token, Key: jkt,
		Nonces: v.nonces, RequireNonce: v.nonces != nil,
	})
	if err != nil {
		return err
	}
	// Only valid proofs are remembered, so nobody else can use up the jti of a proof.
	fresh, err := v.replays.Add(ctx, got.ReplayKey, got.ReplayUntil)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrReplaysUnavailable, err)
	}
	if !fresh {
		return dpop.ErrReplayed
	}
	return nil
}

const hostBelieved = "Config.ExternalURL is empty, so DPoP proofs are compared with the Host header of the request, which its sender chooses: a proof that was made for another service is accepted here if it is sent with the Host of that service; set ExternalURL"

// warnOfHost logs once that the Host header is used.
func (v *Verifier) warnOfHost(ctx context.Context) {
	v.hostWarning.Do(func() { v.logger.WarnContext(ctx, hostBelieved) })
}

// urlOf returns the URL of a request as its caller knows it.
func (v *Verifier) urlOf(r *http.Request) string {
	base := v.externalURL
	if base == "" {
		scheme := "http://"
		if r.TLS != nil {
			scheme = "https://"
		}
		base = scheme + r.Host
	}
	// RequestURI is the target as it was sent. Handlers may have removed a prefix from r.URL.
	path := r.RequestURI
	if !strings.HasPrefix(path, "/") {
		path = r.URL.EscapedPath()
	}
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return base + path
}
