package interop

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// authority is a certificate authority in a folder. Everything in it is PEM.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir(), key: newKey(t)}
	template := certificate("interop authority")
	template.IsCA, template.KeyUsage = true, x509.KeyUsageCertSign
	a.cert = a.sign(t, "authority", template, template, a.key, a.key)
	return a
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name+".pem") }

// server makes the certificate of a server on loopback: server.pem and server-key.pem.
func (a *authority) server(t *testing.T) {
	t.Helper()
	template := certificate("127.0.0.1")
	template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	a.issue(t, "server", template)
}

// client makes one of a client: client.pem and client-key.pem.
func (a *authority) client(t *testing.T, dnsName string) {
	t.Helper()
	template := certificate(dnsName)
	template.DNSNames = []string{dnsName}
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	a.issue(t, "client", template)
}

func (a *authority) issue(t *testing.T, name string, template *x509.Certificate) {
	t.Helper()
	key := newKey(t)
	a.keep(t, name+"-key", key)
	a.sign(t, name, template, a.cert, key, a.key)
}

func (a *authority) sign(t *testing.T, name string, template, parent *x509.Certificate, key, by *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
	must(t, err)
	a.write(t, name, "CERTIFICATE", der)
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	return cert
}

// keep writes a private key as PKCS #8.
func (a *authority) keep(t *testing.T, name string, key *ecdsa.PrivateKey) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	a.write(t, name, "PRIVATE KEY", der)
}

func (a *authority) write(t *testing.T, name, kind string, der []byte) {
	t.Helper()
	must(t, os.WriteFile(a.file(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return key
}

func certificate(name string) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62)) // never fails
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		BasicConstraintsValid: true,
	}
}
