package oauth

import (
	"crypto/x509"
	"net/http"
	"net/netip"

	"github.com/watchword-dev/watchword/internal/clientauth"
)

// certificates are those the client showed that it has the key of. A header is believed only from
// the proxies the operator named, where what is on the connection is the proxy's own: anyone else
// can write it (RFC 9440, section 4).
func (d *Doors) certificates(r *http.Request, from netip.Addr) ([]*x509.Certificate, *problem) {
	if !d.isProxy(from) {
		if r.TLS == nil {
			return nil, nil
		}
		return r.TLS.PeerCertificates, nil
	}
	values := r.Header.Values(d.o.CertificateHeader)
	if len(values) == 0 || len(values) == 1 && values[0] == "" {
		return nil, nil
	}
	if len(values) == 1 {
		if c, err := clientauth.ParseCertificateHeader(values[0]); err == nil {
			return []*x509.Certificate{c}, nil
		}
	}
	return nil, malformed("malformed_certificate_header", "the proxy passed on a certificate that cannot be read")
}

func (d *Doors) isProxy(from netip.Addr) bool {
	for _, n := range d.o.Proxies {
		if n.Contains(from) {
			return true
		}
	}
	return false
}
