package app

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
)

// openClientCAs makes ready the authorities whose certificates prove clients, when the
// configuration names some.
func (s *Server) openClientCAs() (func() *x509.CertPool, error) {
	file := s.cfg.ClientCAFile
	if file == "" {
		return nil, nil
	}
	r, err := reload("list of client authorities", []string{file}, s.logger, func() (*x509.CertPool, error) { return clientCAs(file) })
	if err != nil {
		return nil, err
	}
	s.reloading = append(s.reloading, r)
	return r.current, nil
}

// clientCAs reads a file of authorities. MTL-013: that there are none where some were named is no
// way to serve without, and one that cannot be read is not passed over, as
// x509.CertPool.AppendCertsFromPEM would.
func clientCAs(file string) (*x509.CertPool, error) {
	rest, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read tls.client_ca_file: %w", err)
	}
	refuse := func(n int, err error) (*x509.CertPool, error) {
		return nil, fmt.Errorf("read tls.client_ca_file %s: certificate %d: %w", file, n, err)
	}
	pool := x509.NewCertPool()
	for n := 1; ; n++ {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		switch {
		case block == nil && bytes.Contains(rest, []byte("-----BEGIN")):
			return refuse(n, errors.New("not PEM, or cut short"))
		case block == nil && n == 1:
			return nil, fmt.Errorf("read tls.client_ca_file %s: has no certificate: write those of your authorities there as PEM, or leave the setting out", file)
		case block == nil:
			return pool, nil
		case block.Type != "CERTIFICATE":
			return refuse(n, fmt.Errorf("is a %s; only certificates belong there", block.Type))
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return refuse(n, err)
		}
		if !c.IsCA {
			return refuse(n, errors.New("is not one of an authority; register a service's own certificate as its credential"))
		}
		pool.AddCert(c)
	}
}
