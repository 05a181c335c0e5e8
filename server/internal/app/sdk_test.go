package app

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/client"
	"github.com/watchword-dev/watchword/server/internal/clientauth"
	"github.com/watchword-dev/watchword/server/internal/config"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/policy"
	"github.com/watchword-dev/watchword/verify"
)

const sdkHost = "auth.watchword.test"

// sdkWorld is a server that speaks TLS and asks for certificates, with services m1 to m3, and
// resources that check tokens with package verify.
type sdkWorld struct {
	*world
	roots *x509.CertPool
	tls   tls.Certificate // the server's
	ca    tls.Certificate
	id    client.Identity // m1's
	certs map[string]tls.Certificate

	cluster, spiffe *signingPlatform // which vouch for m1
}

func newSDKWorld(t *testing.T, edit func(*config.Config)) *sdkWorld {
	w := &sdkWorld{roots: x509.NewCertPool(), ca: certificate(t, "ca", nil)}
	w.roots.AddCert(w.ca.Leaf)
	w.tls = certificate(t, sdkHost, &w.ca)
	w.certs = map[string]tls.Certificate{
		"of the authority": certificate(t, "m1.watchword.test", &w.ca), "self-signed": certificate(t, "m1", nil), "X.509-SVID": certificate(t, svidID, &w.ca),
	}
	cfg := testConfig(t)
	cfg.Issuer = "https://" + sdkHost
	cfg.TLS = certificateFiles(t, w.tls)
	cfg.ClientCAFile = filepath.Join(t.TempDir(), "ca.crt")
	write(t, cfg.ClientCAFile, inPEM("CERTIFICATE", w.ca.Certificate[0]))
	if edit != nil {
		edit(&cfg)
	}
	w.world = &world{server: start(t, cfg)}
	w.populate()
	return w
}

// certificate is signed by ca, or by itself.
func certificate(t testing.TB, name string, ca *tls.Certificate) tls.Certificate {
	t.Helper()
	key := newKey()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		IsCA: name == "ca", BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	if template.IsCA {
		template.KeyUsage |= x509.KeyUsageCertSign
	}
	parent, signer := template, any(key)
	if ca != nil {
		parent, signer = ca.Leaf, ca.PrivateKey
	}
	if id, err := url.Parse(name); err == nil && id.Scheme == "spiffe" {
		template.DNSNames, template.URIs = nil, []*url.URL{id}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	must(t, err)
	leaf, err := x509.ParseCertificate(der)
	must(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// populate makes the services, and credentials of every kind for m1.
func (w *sdkWorld) populate() {
	w.service("m1", "m2", "m3")
	w.change("m2", func(svc *directory.Service) { svc.Audiences = []string{"https://m2.watchword.test/api"} })
	w.rule("m1", "m2", directory.NewRule{Scopes: []string{"read"}})
	key := newKey()
	w.addCredential("m1", directory.KindKey, jwkOf(key, keyThumbprint(key)))
	w.addCredential("m1", directory.KindCertificate, clientauth.CertificateThumbprint(w.certs["self-signed"].Leaf))
	w.addCredential("m1", directory.KindTLSSubject, "dns:m1.watchword.test")
	for _, name := range []string{"m1", "m2"} {
		w.addSecret(name, secretOf(name))
	}
	bootstrap, _ := w.credential("m1")
	w.id = client.Identity{
		ClientID: "m1", Secret: client.Static(secretOf("m1")), Key: client.Key(key, ""), Credential: client.Static(bootstrap),
	}
	w.cluster = w.platform("kubernetes", "prod", nil)
	w.workload("m1", "prod", map[string]string{"sub": "system:serviceaccount:shop:m1", "uid": "a087d5a0-e1dd-43ec-93ac-f13d89cd13af"})
	w.spiffe = w.platform("spiffe", "spiffe", func(s *api.TrustSettings) { s.Authorities = inPEM("CERTIFICATE", w.ca.Certificate[0]) })
	w.workload("m1", "spiffe", map[string]string{"sub": svidID})
}

// identity is what m1 has for a method.
func (w *sdkWorld) identity(method string) client.Identity {
	id := w.id
	switch method {
	case api.WorkloadJWT:
		id.Platform = w.cluster
	case api.SPIFFEJWT:
		id.Platform = w.spiffe
	case api.SPIFFEX509:
		id.ClientID = svidID
	}
	return id
}

// transport reaches the server by the name in its issuer.
func (w *sdkWorld) transport() *http.Transport {
	tr := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: w.roots, MinVersion: tls.VersionTLS12},
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if strings.HasPrefix(address, sdkHost+":") {
				address = w.s.listeners[0].net.Addr().String()
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}
	w.t.Cleanup(tr.CloseIdleConnections)
	return tr
}

func (w *sdkWorld) sdk(edit func(*client.Config)) *client.Client {
	w.t.Helper()
	cfg := client.Config{Server: w.cfg.Issuer, HTTPClient: &http.Client{Transport: w.transport()}, Logger: slog.New(slog.DiscardHandler)}
	edit(&cfg)
	c, err := client.New(cfg)
	must(w.t, err)
	w.t.Cleanup(func() { _ = c.Close() })
	return c
}

// resource says who calls it and what the token is bound to, for callers by name and by URI.
func (w *sdkWorld) resource(name string, handler http.HandlerFunc, edit func(*verify.Config)) *httptest.Server {
	w.t.Helper()
	cfg := verify.Config{
		Server: w.cfg.Issuer, Issuer: "auth-server", Audience: name, Audiences: []string{"https://" + name + ".watchword.test/api"},
		HTTPClient: &http.Client{Transport: w.transport()}, Logger: slog.New(slog.DiscardHandler),
	}
	if edit != nil {
		edit(&cfg)
	}
	v, err := verify.New(w.t.Context(), cfg)
	must(w.t, err)
	w.t.Cleanup(func() { _ = v.Close() })
	s := httptest.NewUnstartedServer(v.Middleware(handler))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{w.tls}, ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS13}
	s.StartTLS()
	w.t.Cleanup(s.Close)
	return s
}

func whoCalls(rw http.ResponseWriter, r *http.Request) {
	c := verify.ClaimsFrom(r.Context())
	_, _ = fmt.Fprintf(rw, "%s%v dpop=%v mtls=%v", c.Subject, c.Actors, c.Binding.KeyThumbprint != "", c.Binding.CertificateSHA256 != "")
}

// call asks m2 who is calling.
func (w *sdkWorld) call(h *http.Client, url string) string {
	w.t.Helper()
	resp, err := h.Get(url)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Sprintf("%d %s %v %s", resp.StatusCode, body, err, resp.Header.Values("WWW-Authenticate"))
	}
	return string(body)
}

// resourceTransport connects to a resource whatever name its certificate has.
func (w *sdkWorld) resourceTransport() *http.Transport {
	tr := w.transport()
	tr.TLSClientConfig.ServerName = sdkHost
	return tr
}

// The SDK against the server and package verify: every method there is, with tokens that are bound
// in every way there is, at both endpoints, with nonces and without.
func TestSDKGetsAndUsesTokensByEveryMethod(t *testing.T) {
	for _, nonce := range []bool{false, true} {
		t.Run(fmt.Sprint("nonce=", nonce), func(t *testing.T) {
			w := newSDKWorld(t, func(cfg *config.Config) { cfg.OAuth.DPoPRequireNonce = nonce })
			m2 := w.resource("m2", whoCalls, func(cfg *verify.Config) {
				if nonce {
					cfg.NonceKey = make([]byte, 32)
				}
			})
			for _, name := range w.s.auth.Names() {
				if !slices.ContainsFunc(client.Methods(), func(m client.Method) bool { return m.Name == name }) {
					t.Errorf("the server offers %s, which the SDK does not have", name)
				}
			}
			none := func(client.Identity) *client.Auth { return nil }
			plain, platform := client.Method{Name: "/accesstoken", New: none}, client.Method{Name: platformAtAccessToken, New: none}
			for _, binding := range []string{"", api.BindingMTLS} {
				w.change("m1", func(svc *directory.Service) { svc.Binding = binding })
				for _, method := range append(client.Methods(), plain, platform) {
					w.everyBinding(method, binding, m2.URL)
				}
			}
		})
	}
}

func (w *sdkWorld) everyBinding(method client.Method, binding string, url string) {
	own, byCertificate := map[string]string{
		api.TLSClientAuth: "of the authority", api.SelfSignedTLSClientAuth: "self-signed", api.SPIFFEX509: "X.509-SVID",
	}[method.Name]
	for _, dpop := range []bool{false, true} {
		for _, cert := range []string{"", "of the authority", "self-signed", "X.509-SVID"} {
			switch {
			case cert == "" && binding == api.BindingMTLS:
				continue // refused, as tests of the server show
			case byCertificate && cert != own:
				continue // that certificate is for another method
			}
			c := w.sdk(func(cfg *client.Config) {
				if cfg.Auth = method.New(w.identity(method.Name)); cfg.Auth == nil {
					cfg.Credential = w.id.Credential
				}
				if method.Name == platformAtAccessToken {
					cfg.Credential, cfg.Platform = nil, w.cluster
				}
				if dpop {
					cfg.DPoP = &client.DPoP{}
				}
				if cert != "" {
					cfg.Certificate = client.Certificate(w.certs[cert])
				}
			})
			// Bound to the certificate if the service wants that, or has nothing else to be bound to.
			mtls := binding == api.BindingMTLS || byCertificate && !dpop
			for _, target := range []string{"m2", "https://m2.watchword.test/api"} {
				got := w.call(&http.Client{Transport: c.Transport(target, w.resourceTransport(), "read")}, url)
				if want := fmt.Sprintf("m1[] dpop=%v mtls=%v", dpop, mtls); got != want {
					w.t.Errorf("%s, binding %q, dpop %v, certificate %q, target %s: got %q, want %q", method.Name, binding, dpop, cert, target, got, want)
				}
			}
		}
	}
}

// m1 calls m2, which calls m3 in its name; where no rule allows it, nothing does.
func TestSDKCallsOnInTheCallersName(t *testing.T) {
	w := newSDKWorld(t, nil)
	w.rule("m2", "m3", directory.NewRule{Scopes: []string{"read"}, Exchange: policy.Delegate})
	m3 := w.resource("m3", whoCalls, nil)
	secret := client.Static(secretOf("m2"))
	for _, dpop := range []*client.DPoP{nil, {}} {
		c2 := w.sdk(func(cfg *client.Config) { cfg.Auth, cfg.DPoP = client.ClientSecretPost("m2", secret), dpop })
		source := c2.ExchangeSource(client.FromContext, "m3", "read")
		var impersonation error
		m2 := w.resource("m2", func(rw http.ResponseWriter, r *http.Request) {
			req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, m3.URL, http.NoBody)
			if err != nil {
				t.Error(err)
				return
			}
			resp, err := source.Transport(w.resourceTransport()).RoundTrip(req)
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = resp.Body.Close() }()
			_, _ = io.Copy(rw, resp.Body)
			_, impersonation = source.Impersonate().Token(r.Context())
		}, nil)
		c1 := w.sdk(func(cfg *client.Config) { cfg.Auth, cfg.DPoP = client.BootstrapAssertion(w.id.Credential), dpop })
		got := w.call(&http.Client{Transport: c1.Transport("m2", w.resourceTransport(), "read")}, m2.URL)
		if want := fmt.Sprintf("m1[m2] dpop=%v mtls=false", dpop != nil); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if impersonation == nil {
			t.Error("impersonation: allowed, although the rule says delegate")
		}
	}
}
