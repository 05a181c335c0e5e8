package main

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
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// authority makes ca.pem, a certificate of it for 127.0.0.1 in server.pem, one for the host name
// m1.example.com in m1-ca.pem, and the keys of both in server-key.pem and m1-ca-key.pem. Programs
// run afterwards trust it.
func authority(ts *testscript.TestScript, _ bool, _ []string) {
	key := newKey(ts)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	write(ts, "ca.pem", "CERTIFICATE", sign(ts, ca, ca, key, key))
	for name, leaf := range map[string]*x509.Certificate{
		"server": {IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}},
		"m1-ca":  {DNSNames: []string{"m1.example.com"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}},
	} {
		leaf.SerialNumber, leaf.Subject, leaf.NotBefore, leaf.NotAfter = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: name}, ca.NotBefore, ca.NotAfter
		own := newKey(ts)
		write(ts, name+".pem", "CERTIFICATE", sign(ts, leaf, ca, own, key))
		der, err := x509.MarshalPKCS8PrivateKey(own)
		ts.Check(err)
		write(ts, name+"-key.pem", "PRIVATE KEY", der)
	}
	ts.Setenv("SSL_CERT_FILE", ts.MkAbs("ca.pem"))
}

func newKey(ts *testscript.TestScript) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	return key
}

func sign(ts *testscript.TestScript, c, by *x509.Certificate, key, with *ecdsa.PrivateKey) []byte {
	der, err := x509.CreateCertificate(rand.Reader, c, by, &key.PublicKey, with)
	ts.Check(err)
	return der
}

func write(ts *testscript.TestScript, name, kind string, der []byte) {
	ts.Check(os.WriteFile(ts.MkAbs(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
}
