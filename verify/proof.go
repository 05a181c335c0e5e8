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

// Proof is what came with a token to show that its sender has the key it is bound to. The zero
// Proof is that of a bearer token.
type Proof struct {
	// DPoP has the values of all DPoP headers, for a token that came under the scheme DPoP.
	// Leave it empty for any other scheme: a DPoP-bound token is not good as a bearer token,
	// proof or no proof (RFC 9449, section 7.2).
	DPoP []string
	// Scheme is that of the Authorization header. Empty: DPoP if there are DPoP headers, or Bearer.
	Scheme string
	// Method and URL are what was called, for DPoP: the URL as callers know it.
	Method, URL string
	// Certificate is the client's of the TLS connection, with whose key the handshake was signed.
	Certificate *x509.Certificate
}

func (p *Proof) isDPoP() bool {
	if p.Scheme == "" {
		return len(p.DPoP) > 0
	}
	return strings.EqualFold(p.Scheme, schemeDPoP)
}

// VerifyRequest checks the access token of a request, and the proof of its key if it is bound to
// one: Middleware without the answer. With an error the claims are nil; Refuse makes an answer of it.
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

// VerifyWith checks an access token and the proof it came with, for callers that have no
// http.Request. With an error the claims are nil.
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

// underDPoP marks an error as to be answered with a challenge of that scheme.
type underDPoP struct{ error }

func (e underDPoP) Unwrap() error { return e.error }

func (v *Verifier) checkProof(ctx context.Context, token string, c *Claims, p *Proof) error {
	switch b := c.Binding; {
	case !c.bound && p.isDPoP():
		return fmt.Errorf("%w, and was sent as one that is", ErrNotBound) // RFC 9449, section 7.1
	case !c.bound && v.requireBound:
		return ErrNotBound
	case !c.bound:
		return nil
	case b.KeyThumbprint == "" && b.CertificateSHA256 == "":
		return fmt.Errorf("%w, in a way not known here", ErrBound)
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

// checkCertificate: RFC 8705, section 3.
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
	// Only a proof that holds is remembered: it cannot be used up by who did not make it.
	fresh, err := v.replays.Add(ctx, got.ReplayKey, got.ReplayUntil)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrReplaysUnavailable, err)
	}
	if !fresh {
		return dpop.ErrReplayed
	}
	return nil
}

const hostBelieved = "Config.ExternalURL is empty, so DPoP proofs are compared with the Host header of the request, which its sender chooses: a proof that was made for another service passes here if it is sent with that service's Host; set ExternalURL"

// warnOfHost warns once that the Host header is believed.
func (v *Verifier) warnOfHost(ctx context.Context) {
	v.hostWarning.Do(func() { v.logger.WarnContext(ctx, hostBelieved) })
}

// urlOf is the URL of a request as its caller knows it.
func (v *Verifier) urlOf(r *http.Request) string {
	base := v.externalURL
	if base == "" {
		scheme := "http://"
		if r.TLS != nil {
			scheme = "https://"
		}
		base = scheme + r.Host
	}
	// The target as it was sent: handlers in front may have taken a prefix off r.URL.
	path := r.RequestURI
	if !strings.HasPrefix(path, "/") {
		path = r.URL.EscapedPath()
	}
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return base + path
}
