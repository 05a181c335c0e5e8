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
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/server/internal/config"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/web"
)

// over is the server as a client sees it that presents cert, if any.
func (w *sdkWorld) over(t *testing.T, cert *tls.Certificate) *server {
	t.Helper()
	c := &tls.Config{RootCAs: w.roots, ServerName: sdkHost, MinVersion: tls.VersionTLS12}
	if cert != nil {
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	}
	transport := &http.Transport{TLSClientConfig: c}
	t.Cleanup(transport.CloseIdleConnections)
	there := *w.srv
	there.t, there.client = t, &http.Client{Transport: transport}
	return &there
}

func byCertificate(name string) string { return credentialsFor("m2", "client_id", name) }

// MTL-003, MTL-006: a certificate proves the one service it is of, and a header is none.
func TestCertificateIsForOneServiceAndNoHeader(t *testing.T) {
	w := newSDKWorld(t, nil)
	w.srv.service("m5")
	w.allow("m5", "m2", directory.NewRule{})
	for _, cert := range w.certs {
		refused(t, "as m5", w.over(t, &cert).tokenRequest(byCertificate("m5")), 401, "invalid_client")
		refused(t, "as nobody", w.over(t, &cert).tokenRequest(byCertificate("zz")), 401, "invalid_client")
		refused(t, "without a name", w.over(t, &cert).tokenRequest(credentialsFor("m2")), 401, "invalid_client")
		for _, name := range []string{"Client-Cert", "X-Forwarded-Client-Cert", "X-SSL-Client-Cert"} {
			a := w.over(t, nil).tokenRequest(byCertificate("m1"), header(name, ":"+encoded(string(cert.Certificate[0]))+":"))
			refused(t, name, a, 401, "invalid_client")
		}
	}
}

// MTL-006. A proxy that passes TLS on sees no headers, so it removes none: those that its clients send prove nothing, also
// when the PROXY protocol names the client. The certificate of the connection is that of the client.
func TestCertificateThroughAProxyThatPassesTLSOn(t *testing.T) {
	w := newSDKWorld(t, func(cfg *config.Config) {
		cfg.Proxy.Networks = []netip.Prefix{netip.MustParsePrefix(proxyAddress + "/32")}
		cfg.Proxy.Protocol = true
	})
	through := func(cert *tls.Certificate) *server {
		there := w.over(t, cert)
		there.client.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(proxyAddress)}}
			c, err := d.DialContext(ctx, network, address)
			if err == nil {
				_, err = io.WriteString(c, "PROXY TCP4 192.0.2.7 127.0.0.1 4660 443\r\n")
			}
			return c, err
		}
		return there
	}
	for what, cert := range w.certs {
		forged := header("Client-Cert", ":"+encoded(string(cert.Certificate[0]))+":")
		given(t, through(&cert).tokenRequest(byCertificate("m1")))
		refused(t, what+", only in a header", through(nil).tokenRequest(byCertificate("m1"), forged), 401, "invalid_client")
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
		a := w.over(t, &cert).tokenRequest(byCertificate("m1"))
		if what == "good" {
			if a.status != 200 {
				t.Errorf("good: got %d %s: %v", a.status, a.body, w.srv.record(a.header.Get(web.DecisionHeader)))
			}
			continue
		}
		refused(t, what, a, 401, "invalid_client")
	}
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
