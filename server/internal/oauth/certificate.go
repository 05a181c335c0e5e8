package oauth

import (
	"crypto/x509"
	"net/http"
	"net/netip"
)

// certificates are those the client showed that it has the key of.
func (d *Doors) certificates(r *http.Request, from netip.Addr) ([]*x509.Certificate, *problem) {
	all, err := d.o.Front.Certificates(r.TLS, r.Header, from)
	if err != nil {
		return nil, malformed("malformed_certificate_header", err.Error())
	}
	return all, nil
}
