package clientauth

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net/url"
	"strings"
)

// CertificateThumbprint names a certificate as cnf.x5t#S256 does (RFC 8705, section 3.1).
func CertificateThumbprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// maxCertificateHeader is the longest header read, in bytes: all headers of a request together may
// have no more.
const maxCertificateHeader = 16 << 10

var errCertificateHeader = errors.New("not one certificate, as RFC 9440, PEM or base64 would have it")

// ParseCertificateHeader reads the certificate of a client from the header in which a proxy that
// terminated its TLS connection passes it on. Who sent the header is for the caller to know. Read
// are the form of RFC 9440, section 2.1, ":base64:"; PEM whose line ends are gone, or blanks, or
// percent-encoded with all the rest, as nginx and Apache write it; and the base64 alone, as
// haproxy and Traefik do.
func ParseCertificateHeader(value string) (*x509.Certificate, error) {
	if len(value) > maxCertificateHeader {
		return nil, errCertificateHeader
	}
	v := strings.TrimSpace(value)
	if len(v) >= 2 && v[0] == ':' && v[len(v)-1] == ':' {
		return parseBase64Certificate(v[1 : len(v)-1])
	}
	if strings.IndexByte(v, '%') >= 0 {
		var err error
		if v, err = url.PathUnescape(v); err != nil { // in which a plus is a plus
			return nil, errCertificateHeader
		}
		v = strings.TrimSpace(v)
	}
	v, begins := strings.CutPrefix(v, "-----BEGIN CERTIFICATE-----")
	v, ends := strings.CutSuffix(v, "-----END CERTIFICATE-----")
	if begins != ends {
		return nil, errCertificateHeader
	}
	if begins {
		v = strings.Join(strings.Fields(v), "")
	}
	return parseBase64Certificate(v)
}

func parseBase64Certificate(s string) (*x509.Certificate, error) {
	// Go's base64 passes over line breaks, even when strict.
	der, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || strings.ContainsAny(s, "\r\n") {
		return nil, errCertificateHeader
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, errCertificateHeader
	}
	return c, nil
}
