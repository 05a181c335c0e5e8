package clientauth

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/netip"
)

// Front is what may stand in front of the server and tell it the certificates of its clients. The
// zero value: nothing does.
type Front struct {
	// Networks of the proxies. What they send in Header is believed, and what anyone else does is not:
	// anyone can write it (RFC 9440, section 4).
	Networks []netip.Prefix
	// Header that they set or remove in every request. If empty, they pass on no certificates.
	Header string
}

// ErrCertificateHeader: a proxy passed on a certificate that cannot be read.
var ErrCertificateHeader = errors.New("the proxy passed on a certificate that cannot be read")

// Certificates are those of which the client of a request showed that it has the key: on the connection or, if the
// request comes from a proxy, in its header. A certificate on a proxy's connection is the proxy's own.
func (f Front) Certificates(connection *tls.ConnectionState, h http.Header, from netip.Addr) ([]*x509.Certificate, error) {
	if !contains(f.Networks, from) {
		if connection == nil {
			return nil, nil
		}
		return connection.PeerCertificates, nil
	}
	if f.Header == "" {
		return nil, nil
	}
	values := h.Values(f.Header)
	if len(values) == 0 || len(values) == 1 && values[0] == "" {
		return nil, nil
	}
	if len(values) == 1 {
		if c, err := ParseCertificateHeader(values[0]); err == nil {
			return []*x509.Certificate{c}, nil
		}
	}
	return nil, ErrCertificateHeader
}

func contains(networks []netip.Prefix, a netip.Addr) bool {
	for _, n := range networks {
		if n.Contains(a) {
			return true
		}
	}
	return false
}
