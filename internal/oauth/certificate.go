package oauth

import (
	"crypto/x509"
	"encoding/base64"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
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
		if c, err := x509.ParseCertificate(headerDER(values[0])); err == nil {
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

const (
	pemBegin = "-----BEGIN CERTIFICATE-----"
	pemEnd   = "-----END CERTIFICATE-----"
)

// headerDER undoes the ways in which proxies write a certificate: as RFC 9440 has it, :base64:, or
// PEM, whose line ends are gone, or blanks, or percent-encoded with all the rest. What is none of
// these is nil.
func headerDER(v string) []byte {
	v = strings.TrimSpace(v)
	if strings.HasPrefix(v, ":") && strings.HasSuffix(v, ":") && len(v) > 1 {
		return fromBase64(v[1 : len(v)-1])
	}
	if strings.IndexByte(v, '%') >= 0 {
		var err error
		if v, err = url.PathUnescape(v); err != nil { // a + is a +
			return nil
		}
	}
	v = strings.TrimSpace(v)
	v, begins := strings.CutPrefix(v, pemBegin)
	v, ends := strings.CutSuffix(v, pemEnd)
	if !begins || !ends {
		return nil
	}
	return fromBase64(strings.Map(func(c rune) rune {
		if strings.ContainsRune(" \t\r\n", c) {
			return -1
		}
		return c
	}, v))
}

func fromBase64(s string) []byte {
	der, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil
	}
	return der
}
