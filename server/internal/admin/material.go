package admin

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/clientauth"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/keysets"
)

var (
	errKeyRefused = problem("bad_key")
	errKeyTaken   = problem("key_exists")
)

// material is what is stored of what a body brings, by kind, and what is questionable about it.
func (a *handlers) material(n *api.NewCredential, owner directory.UID) (material, warning string, err error) {
	kind := directory.Kind(n.Kind)
	for member, m := range map[string]struct {
		kind  directory.Kind
		given bool
	}{
		"jwk": {directory.KindKey, n.JWK != nil}, "jwksUri": {directory.KindJWKS, n.JWKSURI != ""},
		"certificate": {directory.KindCertificate, n.Certificate != ""}, "tlsSubject": {directory.KindTLSSubject, n.TLSSubject != nil},
		"trust": {directory.KindWorkload, n.Trust != ""}, "claims": {directory.KindWorkload, n.Claims != nil},
	} {
		switch {
		case m.given && m.kind != kind:
			return "", "", &directory.InvalidError{Field: member, Problem: fmt.Sprintf("is for credentials of kind %s", m.kind)}
		case !m.given && m.kind == kind:
			return "", "", &directory.InvalidError{Field: member, Problem: fmt.Sprintf("is required for a credential of kind %s", kind)}
		}
	}
	switch kind {
	case directory.KindKey:
		material, err = a.key(n.JWK, owner)
	case directory.KindJWKS:
		material, err = jwksURI(n.JWKSURI)
	case directory.KindCertificate:
		material, warning, err = a.certificate(n)
	case directory.KindTLSSubject:
		material, err = tlsSubject(n.TLSSubject)
	}
	return material, warning, err
}

// key is the JWK in the one form in which it is stored, which has public members only. PKJ-042.
func (a *handlers) key(sent api.JWK, owner directory.UID) (string, error) {
	b, err := json.Marshal(sent)
	if err != nil {
		return "", errKeyRefused
	}
	k, canonical, err := jose.ParseClientJWK(b)
	if err != nil {
		return "", errKeyRefused.At("body.jwk", whyNoKey(err))
	}
	// An assertion names its key by kid: of two with one name, which was meant?
	for _, c := range a.Directory.Snapshot().CredentialsOf(owner) {
		if c.Kind != directory.KindKey || !c.RevokedAt.IsZero() || !a.Now().Before(c.ExpiresAt) {
			continue
		}
		if other, err := jose.ParseJWK([]byte(c.Material)); err == nil && other.ID == k.ID {
			return "", errKeyTaken.At("body.jwk.kid", "is that of credential "+c.ID)
		}
	}
	return string(canonical), nil
}

// whyNoKey returns what is wrong with a key, without any part of the key.
func whyNoKey(err error) string {
	switch {
	case errors.Is(err, jose.ErrWeakKey):
		return "is not accepted: " + err.Error()
	case errors.Is(err, jose.ErrAlgorithm):
		return "is not of a type and an algorithm that go together and are accepted"
	}
	return "is not one well-formed public key for signatures"
}

// jwksURI: anyone who can change the document there, or the answer in transit, can act as the service.
func jwksURI(s string) (string, error) {
	if err := keysets.CheckURL(s); err != nil {
		return "", &directory.InvalidError{Field: "jwksUri", Problem: err.Error()}
	}
	return s, nil
}

// certificate is the thumbprint of the certificate sent, by which it is known (RFC 8705, section 2.2).
func (a *handlers) certificate(n *api.NewCredential) (material, warning string, err error) {
	invalid := func(problem string) (string, string, error) {
		return "", "", &directory.InvalidError{Field: "certificate", Problem: problem}
	}
	block, rest := pem.Decode([]byte(n.Certificate))
	if block == nil || block.Type != "CERTIFICATE" || strings.TrimSpace(string(rest)) != "" {
		return invalid("must be one certificate in PEM, and nothing else; the private key must not be sent")
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return invalid("cannot be read as an X.509 certificate")
	}
	if !a.Now().Before(c.NotAfter) {
		return invalid("has expired")
	}
	if err := clientauth.CheckSelfSigned(c); err != nil {
		return invalid(err.Error())
	}
	ttl := time.Duration(n.TTLSeconds) * time.Second
	if ttl == 0 {
		ttl = directory.DefaultCredentialTTL
	}
	if c.NotAfter.Before(a.Now().Add(ttl)) {
		warning = "The certificate ends on " + c.NotAfter.UTC().Format(time.RFC3339) + ", before the credential does. Make the next one in time."
	}
	return clientauth.CertificateThumbprint(c), warning, nil
}

// tlsSubject is the material of a name in certificates: RFC 8705, section 2.1.2, has exactly one.
func tlsSubject(t *api.TLSSubject) (string, error) {
	var names []string
	for _, n := range []struct{ kind, value string }{{"dn", t.DN}, {"dns", t.DNS}, {"uri", t.URI}, {"ip", t.IP}, {"email", t.Email}} {
		if n.value == "" {
			continue
		}
		m, err := clientauth.ParseTLSSubject(n.kind + ":" + n.value)
		if err != nil {
			return "", &directory.InvalidError{Field: "tlsSubject." + n.kind, Problem: err.Error()}
		}
		names = append(names, m)
	}
	if len(names) != 1 {
		return "", &directory.InvalidError{Field: "tlsSubject", Problem: "must have exactly one of dn, dns, uri, ip and email"}
	}
	return names[0], nil
}
