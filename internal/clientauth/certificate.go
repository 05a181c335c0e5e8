package clientauth

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
)

// CertificateThumbprint names a certificate as cnf.x5t#S256 does (RFC 8705, section 3.1).
func CertificateThumbprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
