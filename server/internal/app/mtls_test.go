package app

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/clientauth"
	"github.com/watchword-dev/watchword/server/internal/config"
	"github.com/watchword-dev/watchword/server/internal/directory"
)

// overTLS asks for a token as m1 with nothing but a certificate, or none, over connections made
// with cfg and dial.
type overTLS struct {
	w      *sdkWorld
	cfg    tls.Config
	dial   func(ctx context.Context, network, address string) (net.Conn, error)
	header http.Header
	as     string // the client_id; empty: m1
}

func (o *overTLS) client(cert *tls.Certificate) *http.Client {
	cfg := o.cfg.Clone()
	cfg.InsecureSkipVerify = true // names that are not the server's are the point of some tests
	if cert != nil {
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: cfg, DialContext: o.dial, DisableKeepAlives: true}}
}

// ask returns the token, or "" when there is none, and whether the TLS session was resumed.
func (o *overTLS) ask(c *http.Client) (token string, resumed bool) {
	t := o.w.t
	t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {cmp.Or(o.as, "m1")}, "resource": {"https://m2.watchword.test/api"}}
	r, err := http.NewRequest("POST", o.w.url+"/oauth2/token", strings.NewReader(form.Encode()))
	must(t, err)
	maps.Copy(r.Header, o.header)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := c.Do(r)
	must(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(t, err)
	if resp.StatusCode != http.StatusOK && (resp.StatusCode != http.StatusUnauthorized || !strings.Contains(string(body), `"invalid_client"`)) {
		t.Errorf("got %d %s", resp.StatusCode, body)
	}
	var answer struct {
		Token string `json:"access_token"`
	}
	must(t, json.Unmarshal(body, &answer))
	return answer.Token, resp.TLS.DidResume
}

// boundTo is the certificate a token is bound to.
func boundTo(t *testing.T, token string) string {
	t.Helper()
	cnf, _ := part(t, token, 1)["cnf"].(map[string]any)
	s, _ := cnf["x5t#S256"].(string)
	return s
}

// MTL-001, MTL-003, MTL-004, MTL-009, MTL-017, on the connection itself.
func TestCertificatesOfConnections(t *testing.T) {
	w := newSDKWorld(t, nil)
	o := &overTLS{w: w}
	ours, again, self := w.certs["of the authority"], certificate(t, "m1.watchword.test", &w.ca), w.certs["self-signed"]
	for name, cert := range map[string]tls.Certificate{"of the authority": ours, "another of the same name": again, "self-signed": self} {
		token, _ := o.ask(o.client(&cert))
		if token == "" {
			t.Errorf("%s: no token", name)
		} else if got := boundTo(t, token); got != clientauth.CertificateThumbprint(cert.Leaf) {
			t.Errorf("%s: bound to %q", name, got)
		}
	}
	twin := certificate(t, "ca", nil)
	for name, cert := range map[string]tls.Certificate{
		"m2's": certificate(t, "m2.watchword.test", &w.ca), "of an authority of the same name": certificate(t, "m1.watchword.test", &twin),
		"self-signed by another": certificate(t, "m1.watchword.test", nil),
	} {
		if token, _ := o.ask(o.client(&cert)); token != "" {
			t.Errorf("%s: got a token", name)
		}
	}
	if token, _ := o.ask(o.client(nil)); token != "" {
		t.Error("without a certificate: got a token")
	}
}

// MTL-016: which name is asked for, how the handshake is cut, and whether a session is resumed
// make no difference.
func TestHandshakesMakeNoDifferenceToCertificates(t *testing.T) {
	w := newSDKWorld(t, nil)
	cert := w.certs["of the authority"]
	stranger := certificate(t, "m2.watchword.test", &w.ca)
	for name, o := range map[string]*overTLS{
		"no name":        {w: w},
		"its name":       {w: w, cfg: tls.Config{ServerName: sdkHost}},
		"mixed case":     {w: w, cfg: tls.Config{ServerName: "AuTh.WatchWord.TEST"}},
		"another name":   {w: w, cfg: tls.Config{ServerName: "admin.example"}},
		"TLS 1.2":        {w: w, cfg: tls.Config{MaxVersion: tls.VersionTLS12}},
		"HTTP/1.1 only":  {w: w, cfg: tls.Config{NextProtos: []string{"http/1.1"}}},
		"1-byte records": {w: w, dial: dialInPieces},
	} {
		if token, _ := o.ask(o.client(&cert)); token == "" || boundTo(t, token) != clientauth.CertificateThumbprint(cert.Leaf) {
			t.Errorf("%s: no token for its certificate", name)
		}
		if token, _ := o.ask(o.client(&stranger)); token != "" {
			t.Errorf("%s: a token for another's certificate", name)
		}
		if token, _ := o.ask(o.client(nil)); token != "" {
			t.Errorf("%s: a token without a certificate", name)
		}
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		o := &overTLS{w: w, cfg: tls.Config{MaxVersion: version, ClientSessionCache: tls.NewLRUClientSessionCache(1)}}
		c := o.client(&cert)
		o.ask(c)
		token, resumed := o.ask(c)
		if !resumed || token == "" || boundTo(t, token) != clientauth.CertificateThumbprint(cert.Leaf) {
			t.Errorf("%s: resumed %v, token %q", tls.VersionName(version), resumed, token)
		}
		// What the session began with is held against the directory as it is now.
		w.change("m1", func(s *directory.Service) { s.AuthMethods = []string{api.PrivateKeyJWT} })
		if token, resumed := o.ask(c); !resumed || token != "" {
			t.Errorf("%s: resumed %v, and a token by a method the service accepts no longer", tls.VersionName(version), resumed)
		}
		w.change("m1", func(s *directory.Service) { s.AuthMethods = nil })
	}
}

// MTL-006, F95. A proxy that passes TLS on sees no headers, so it removes none: those that its clients send prove nothing, also
// when the PROXY protocol names the client. The certificate of the connection is that of the client.
func TestCertificateThroughAProxyThatPassesTLSOn(t *testing.T) {
	w := newSDKWorld(t, func(cfg *config.Config) {
		cfg.Proxy.Networks = []netip.Prefix{netip.MustParsePrefix(proxyAddress + "/32")}
		cfg.Proxy.Protocol = true
	})
	o := &overTLS{w: w, dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(proxyAddress)}}
		c, err := d.DialContext(ctx, network, address)
		if err == nil {
			_, err = io.WriteString(c, "PROXY TCP4 192.0.2.7 127.0.0.1 4660 443\r\n")
		}
		return c, err
	}}
	for what, cert := range w.certs {
		if o.as = ""; len(cert.Leaf.URIs) > 0 {
			o.as = svidID
		}
		if token, _ := o.ask(o.client(&cert)); token == "" {
			t.Errorf("%s: no token", what)
		}
		o.header = http.Header{"Client-Cert": {":" + encoded(string(cert.Certificate[0])) + ":"}}
		if token, _ := o.ask(o.client(nil)); token != "" {
			t.Errorf("%s, only in a header: got a token", what)
		}
	}
}

// dialInPieces sends the ClientHello in TLS records of one byte each.
func dialInPieces(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	return &inPieces{Conn: c}, err
}

type inPieces struct {
	net.Conn
	done bool
}

func (c *inPieces) Write(b []byte) (int, error) {
	const header = 5
	if c.done || len(b) < header {
		return c.Conn.Write(b)
	}
	c.done = true
	n := header + int(binary.BigEndian.Uint16(b[3:]))
	if n != len(b) {
		return 0, errors.New("the ClientHello is not one record")
	}
	for _, each := range b[header:] {
		if _, err := c.Conn.Write([]byte{b[0], b[1], b[2], 0, 1, each}); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// MTL-013: a list of authorities that cannot be read whole is no list.
func TestStartRefusesAuthoritiesItCannotRead(t *testing.T) {
	dir, files := t.TempDir(), certificateFiles(t, certificate(t, "localhost", nil))
	ca := inPEM("CERTIFICATE", certificate(t, "ca", nil).Certificate[0])
	for name, content := range map[string]string{
		"empty": "", "no PEM": "authority", "cut short": ca[:len(ca)-30], "a good one and one cut short": ca + ca[:200], "garbage in PEM": inPEM("CERTIFICATE", []byte("x")),
		"a good one and garbage": ca + inPEM("CERTIFICATE", []byte("x")), "a key": ca + inPEM("PRIVATE KEY", []byte("x")),
		"no authority": inPEM("CERTIFICATE", certificate(t, "m1", nil).Certificate[0]), "missing": "",
	} {
		cfg := testConfig(t)
		cfg.TLS, cfg.ClientCAFile = files, filepath.Join(dir, name)
		if name != "missing" {
			write(t, cfg.ClientCAFile, content)
		}
		s, err := New(t.Context(), cfg, slog.New(slog.DiscardHandler))
		if err == nil {
			s.close()
			t.Errorf("%s: starts", name)
		} else if !strings.Contains(err.Error(), "tls.client_ca_file") {
			t.Errorf("%s: refused with %v, which does not name the setting", name, err)
		}
	}
}

func TestAuthoritiesAreReloadedAndABadFileIsNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := certificate(t, "ca", nil), certificate(t, "ca", nil)
		file := filepath.Join(t.TempDir(), "ca.pem")
		put := func(content string) {
			write(t, file, content)
			time.Sleep(time.Minute) // of the bubble
		}
		put(inPEM("CERTIFICATE", first.Certificate[0]))
		s := &Server{logger: slog.New(slog.DiscardHandler)}
		s.cfg.ClientCAFile = file
		pool, err := s.openClientCAs()
		must(t, err)
		only := func(c tls.Certificate) *x509.CertPool {
			p := x509.NewCertPool()
			p.AddCert(c.Leaf)
			return p
		}
		if !pool().Equal(only(first)) {
			t.Error("the first is not there")
		}
		put(inPEM("CERTIFICATE", second.Certificate[0]))
		if !pool().Equal(only(second)) {
			t.Error("after the file changed: the second is not there alone")
		}
		put("garbage")
		if !pool().Equal(only(second)) {
			t.Error("after a bad file: the second is not there")
		}
	})
}

// TLS-004: what a client writes into its ClientHello is in no log as it came.
func TestClientHelloIsNotLoggedAsItCame(t *testing.T) {
	var cfg config.Config
	w := newSDKWorld(t, func(c *config.Config) { cfg = *c })
	var log bytes.Buffer
	s, err := New(t.Context(), inFolder(cfg, t.TempDir()), slog.New(slog.NewTextHandler(&lockedWriter{w: &log}, &slog.HandlerOptions{Level: slog.LevelDebug})))
	must(t, err)
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
