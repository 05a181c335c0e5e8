//go:build unix

package store

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/server/internal/store/pgtest"
)

// beyond is a host that leads to this machine, and that is no loopback address.
const beyond = "0.0.0.0"

// authority issues certificates for servers of tests.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	a := &authority{&x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}, key}
	der, err := x509.CreateCertificate(rand.Reader, a.certificate, a.certificate, key.Public(), key)
	must(t, err)
	a.certificate.Raw = der
	return a
}

// file returns the name of a PEM file with the authority's certificate.
func (a *authority) file(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw}), 0o600))
	return name
}

// server returns options for a PostgreSQL with a certificate for a host.
func (a *authority) server(t *testing.T, host string) pgtest.Options {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{host}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if ip := net.ParseIP(host); ip != nil {
		c.DNSNames, c.IPAddresses = nil, []net.IP{ip}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, a.certificate, key.Public(), a.key)
	must(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	return pgtest.Options{
		Certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		Key:         pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
	}
}

// at returns the URL of a new database of the server with another host and other parameters.
func at(t *testing.T, server *pgtest.Server, host string, parameters ...string) string {
	t.Helper()
	u, err := url.Parse(server.Database(t))
	must(t, err)
	u.Host, u.RawQuery = net.JoinHostPort(host, u.Port()), strings.Join(parameters, "&")
	return u.String()
}

// F60: a server beyond this machine proves who it is, unless the operator named another mode. The servers here are real.
func TestServerBeyondThisMachineProvesWhoItIs(t *testing.T) {
	t.Setenv("PGSSLMODE", "")
	ours, foreign := newAuthority(t), newAuthority(t)
	right := pgtest.New(t, ours.server(t, beyond))
	otherName := pgtest.New(t, ours.server(t, "db.example.com"))
	otherAuthority := pgtest.New(t, foreign.server(t, beyond))
	without := pgtest.New(t, pgtest.Options{})
	root := "sslrootcert=" + url.QueryEscape(ours.file(t))
	const (
		ok     = ""
		advice = "add sslrootcert=FILE, with the authority that issued the certificate, or sslmode=disable for a connection without TLS"
		weak   = "write sslmode=verify-full, or sslmode=disable"
	)
	socket := "host=" + url.QueryEscape(without.Socket())
	for _, tc := range []struct {
		what string
		url  string
		want string // in the error
		tls  bool
	}{
		{"its authority is named", at(t, right, beyond, root), ok, true},
		{"its authority is not known", at(t, right, beyond), advice, false},
		{"the certificate is for another name", at(t, otherName, beyond, root), advice, false},
		{"the certificate is from another authority", at(t, otherAuthority, beyond, root), advice, false},
		{"no TLS", at(t, without, beyond, root), advice, false},
		{"no TLS, as asked for", at(t, without, beyond, "sslmode=disable"), ok, false},
		{"TLS, not wanted", at(t, right, beyond, "sslmode=disable"), ok, false},
		{"verify-full, another name", at(t, otherName, beyond, "sslmode=verify-full", root), "cannot validate certificate for 0.0.0.0", false},
		{"verify-ca, another name", at(t, otherName, beyond, "sslmode=verify-ca", root), ok, true},
		{"require, another authority", at(t, otherAuthority, beyond, "sslmode=require"), ok, true},
		{"require, no TLS", at(t, without, beyond, "sslmode=require"), "server refused TLS connection", false},
		{"prefer", at(t, right, beyond, "sslmode=prefer", root), weak, false},
		{"allow", at(t, right, beyond, "sslmode=allow", root), weak, false},
		{"loopback", at(t, without, "127.0.0.1"), ok, false},
		{"loopback, prefer", at(t, without, "localhost", "sslmode=prefer"), ok, false},
		{"a socket", strings.Replace(at(t, without, "x", socket), "@x:", "@:", 1), ok, false},
	} {
		db, err := Open(t.Context(), Options{DatabaseURL: tc.url})
		if err != nil {
			if tc.want == ok || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s: got %v, want %q", tc.what, err, tc.want)
			}
			continue
		}
		if tc.want != ok {
			t.Errorf("%s: connected, want %q", tc.what, tc.want)
		}
		var encrypted bool
		if err := db.writer.QueryRowContext(t.Context(), `SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()`).Scan(&encrypted); err != nil {
			t.Error(err)
		}
		if encrypted != tc.tls {
			t.Errorf("%s: encrypted: %v, want %v", tc.what, encrypted, tc.tls)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
	// PostgreSQL 17 begins with TLS if asked to, which says nothing about certificates.
	if c, err := parseURL("postgres://h:1,g:2/x?sslnegotiation=direct"); err != nil || c.TLSConfig.InsecureSkipVerify || c.Fallbacks[0].TLSConfig.ServerName != "g" {
		t.Errorf("sslnegotiation=direct: got %+v, %v", c, err)
	}
	// The environment that libpq reads names a mode too.
	t.Setenv("PGSSLMODE", "prefer")
	if _, err := Open(t.Context(), Options{DatabaseURL: at(t, right, beyond, root)}); err == nil || !strings.Contains(err.Error(), weak) {
		t.Errorf("PGSSLMODE=prefer: got %v, want %q", err, weak)
	}
}
