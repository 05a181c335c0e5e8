package app

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/internal/config"
	"github.com/watchword-dev/watchword/internal/directory"
	"github.com/watchword-dev/watchword/internal/web"
)

// over is the server as a client sees it that presents cert, if any.
func (w *sdkWorld) over(t *testing.T, cert *tls.Certificate, edit func(*tls.Config), wrap func(net.Conn) net.Conn) *server {
	t.Helper()
	c := &tls.Config{RootCAs: w.roots, ServerName: sdkHost, MinVersion: tls.VersionTLS12}
	if cert != nil {
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	}
	if edit != nil {
		edit(c)
	}
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(nextAddress())}}
	transport := &http.Transport{TLSClientConfig: c, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, address)
		if err == nil && wrap != nil {
			conn = wrap(conn)
		}
		return conn, err
	}}
	t.Cleanup(transport.CloseIdleConnections)
	there := *w.srv
	there.t, there.client = t, &http.Client{Transport: transport}
	return &there
}

func byCertificate(name string) string { return credentialsFor("m2", "client_id", name) }

// MTL-001, MTL-003, MTL-004, MTL-017, on the connection itself.
func TestCertificatesOfConnections(t *testing.T) {
	w := newSDKWorld(t, nil)
	w.srv.service("m5")
	w.allow("m5", "m2", directory.NewRule{})
	for name, cert := range w.certs {
		a := w.over(t, &cert, nil, nil).tokenRequest(byCertificate("m1"))
		if cnf, _ := part(t, given(t, a), 1)["cnf"].(map[string]any); cnf["x5t#S256"] != thumbprint(cert.Certificate[0]) || len(cnf) != 1 {
			t.Errorf("%s: bound to %v", name, cnf)
		}
		refused(t, "as m5", w.over(t, &cert, nil, nil).tokenRequest(byCertificate("m5")), 401, "invalid_client")
		refused(t, "as nobody", w.over(t, &cert, nil, nil).tokenRequest(byCertificate("zz")), 401, "invalid_client")
		refused(t, "without a name", w.over(t, &cert, nil, nil).tokenRequest(credentialsFor("m2")), 401, "invalid_client")
	}
	otherCA := w.certificate("ca", nil)
	for what, cert := range map[string]tls.Certificate{
		"another authority": w.certificate("m1.watchword.test", &otherCA),
		"self-signed":       w.certificate("m1.watchword.test", nil),
		"another name":      w.certificate("m2.watchword.test", &w.ca),
	} {
		a := w.over(t, &cert, nil, nil).tokenRequest(byCertificate("m1"))
		refused(t, what, a, 401, "invalid_client")
	}
	refused(t, "none", w.over(t, nil, nil, nil).tokenRequest(byCertificate("m1")), 401, "invalid_client")
	// MTL-006: no header makes up for it.
	good := w.certs["of the authority"]
	for _, name := range []string{"Client-Cert", "X-Forwarded-Client-Cert", "X-SSL-Client-Cert"} {
		a := w.over(t, nil, nil, nil).tokenRequest(byCertificate("m1"), header(name, ":"+encoded(string(good.Certificate[0]))+":"))
		refused(t, name, a, 401, "invalid_client")
	}
}

// MTL-009.
func TestCertificatesThatMayNotProve(t *testing.T) {
	w := newSDKWorld(t, nil)
	now := time.Now()
	for what, edit := range map[string]func(*x509.Certificate){
		"good":            func(*x509.Certificate) {},
		"expired":         func(c *x509.Certificate) { c.NotBefore, c.NotAfter = now.Add(-2*time.Hour), now.Add(-time.Hour) },
		"not yet valid":   func(c *x509.Certificate) { c.NotBefore = now.Add(time.Hour) },
		"for servers":     func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} },
		"of an authority": func(c *x509.Certificate) { c.IsCA = true },
	} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{
			SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "m1"}, DNSNames: []string{"m1.watchword.test"},
			NotBefore: now.Add(-time.Minute), NotAfter: now.Add(2 * time.Hour), BasicConstraintsValid: true,
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		}
		edit(template)
		der, err := x509.CreateCertificate(rand.Reader, template, w.ca.Leaf, key.Public(), w.ca.PrivateKey)
		if err != nil {
			t.Fatal(err)
		}
		cert := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
		a := w.over(t, &cert, nil, nil).tokenRequest(byCertificate("m1"))
		if what == "good" {
			if a.status != 200 {
				t.Errorf("good: got %d %s: %v", a.status, a.body, w.srv.record(a.header.Get(web.DecisionHeader)))
			}
			continue
		}
		refused(t, what, a, 401, "invalid_client")
	}
}

// MTL-016: however the ClientHello comes, the same is asked and checked.
func TestClientHelloChangesNothing(t *testing.T) {
	w := newSDKWorld(t, nil)
	good := w.certs["of the authority"]
	stranger := w.certificate("m2.watchword.test", &w.ca)
	anyServer := func(name string) func(*tls.Config) {
		return func(c *tls.Config) {
			c.ServerName, c.InsecureSkipVerify = name, true // whose certificate comes back is not the question
		}
	}
	for what, how := range map[string]struct {
		edit func(*tls.Config)
		wrap func(net.Conn) net.Conn
	}{
		"as usual":        {},
		"TLS 1.2":         {edit: func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }},
		"1-byte records":  {wrap: func(c net.Conn) net.Conn { return &splitHello{Conn: c} }},
		"no SNI":          {edit: anyServer("")},
		"wrong SNI":       {edit: anyServer("other.test")},
		"mixed-case SNI":  {edit: anyServer("AuTh.WatchWord.TEST")},
		"an address":      {edit: anyServer("127.0.0.1")},
		"resumed session": {edit: func(c *tls.Config) { c.ClientSessionCache = tls.NewLRUClientSessionCache(1) }},
	} {
		s := w.over(t, &good, how.edit, how.wrap)
		for range 2 { // the second one resumes the session where there is a cache
			if cnf, _ := part(t, given(t, s.tokenRequest(byCertificate("m1"))), 1)["cnf"].(map[string]any); cnf["x5t#S256"] != thumbprint(good.Certificate[0]) {
				t.Errorf("%s: bound to %v", what, cnf)
			}
			s.client.CloseIdleConnections()
		}
		refused(t, what, w.over(t, &stranger, how.edit, how.wrap).tokenRequest(byCertificate("m1")), 401, "invalid_client")
		refused(t, what, w.over(t, nil, how.edit, how.wrap).tokenRequest(byCertificate("m1")), 401, "invalid_client")
	}
}

// splitHello sends the first record one byte a record.
type splitHello struct {
	net.Conn
	sent bool
}

func (c *splitHello) Write(b []byte) (int, error) {
	if c.sent || len(b) < 5 {
		return c.Conn.Write(b)
	}
	c.sent = true
	length := int(binary.BigEndian.Uint16(b[3:5]))
	var split []byte
	for _, one := range b[5 : 5+length] {
		split = append(split, b[0], b[1], b[2], 0, 1, one)
	}
	if _, err := c.Conn.Write(append(split, b[5+length:]...)); err != nil {
		return 0, err
	}
	return len(b), nil
}

// TLS-004: what a client writes into its ClientHello is in no log as it came.
func TestClientHelloIsNotLoggedAsItCame(t *testing.T) {
	var cfg config.Config
	w := newSDKWorld(t, func(c *config.Config) { cfg = *c })
	var log bytes.Buffer
	s, err := New(t.Context(), inFolder(cfg, t.TempDir()), slog.New(slog.NewTextHandler(&lockedWriter{w: &log}, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	conn, err := tls.Dial("tcp", s.listeners[0].net.Addr().String(), &tls.Config{
		RootCAs: w.roots, ServerName: sdkHost, NextProtos: []string{"\x1b[31m\r\nlevel=ERROR msg=forged"},
	})
	if err == nil {
		_ = conn.Close()
		t.Error("a protocol nobody knows was agreed on")
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if strings.ContainsRune(log.String(), '\x1b') || strings.Contains(log.String(), "\nlevel=ERROR") || !strings.Contains(log.String(), "forged") {
		t.Errorf("the log:\n%s", log.String())
	}
}
