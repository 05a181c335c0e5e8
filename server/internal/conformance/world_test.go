package conformance

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/watchword-dev/watchword/server/internal/app"
	"github.com/watchword-dev/watchword/server/internal/config"
	"github.com/watchword-dev/watchword/verify"
)

// Hosts by which clients know the server and the resource. They have no port, so that what
// RFC 9449 says of default ports can be tried; where they are is for world.dial to know.
const (
	issuer       = "https://as.example"
	resourceHost = "https://rs.example"
	resourceURL  = resourceHost + "/whoami"
	scope        = "whoami"
)

// world is an authorization server and a resource, both real, on loopback, with TLS.
type world struct {
	nonces bool // both ask for nonces in DPoP proofs
	ca     *authority
	roots  *x509.CertPool
	at     map[string]string // host:port by which clients know a server -> where it is

	adminURL, adminToken string
	anyone               *http.Client // without a certificate
	log                  lockedBuffer
	close                []func() error
}

// worlds are made once for all tests: they differ in whether nonces are asked for.
var worlds [2]*world

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) (code int) {
	for i := range worlds {
		w := &world{nonces: i == 1, at: map[string]string{}}
		worlds[i] = w
		defer func() {
			if err := w.stop(); err != nil {
				fmt.Fprintln(os.Stderr, "stop:", err)
				code = 1
			}
			if code != 0 {
				fmt.Fprintln(os.Stderr, w.log.String())
			}
		}()
		if err := w.start(); err != nil {
			fmt.Fprintln(os.Stderr, "start:", err)
			return 1
		}
	}
	return m.Run()
}

func (w *world) stop() (err error) {
	if w.anyone != nil {
		w.anyone.CloseIdleConnections()
	}
	http.DefaultClient.CloseIdleConnections()
	for i := len(w.close) - 1; i >= 0; i-- {
		if e := w.close[i](); err == nil {
			err = e
		}
	}
	return err
}

func (w *world) start() (err error) {
	dir, err := os.MkdirTemp("", "conformance")
	if err != nil {
		return err
	}
	w.close = append(w.close, func() error { return os.RemoveAll(dir) })
	if w.ca, err = newAuthority("Conformance CA"); err != nil {
		return err
	}
	w.roots = x509.NewCertPool()
	w.roots.AddCert(w.ca.certificate)
	w.anyone = w.client(nil)
	if err := w.startServer(dir); err != nil {
		return err
	}
	return w.startResource()
}

func (w *world) startServer(dir string) error {
	l, err := config.Load(config.Sources{})
	if err != nil {
		return err
	}
	cfg := l.Config
	cfg.Listen, cfg.Admin.Listen, cfg.SuperTokens.Listen = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	cfg.Shutdown.Drain = 0
	cfg.Issuer = issuer
	cfg.OAuth.DPoPRequireNonce = w.nonces
	cfg.Data = filepath.Join(dir, "data")
	cfg.Keys.SealingKeyFile = filepath.Join(cfg.Data, "sealing.key")
	cfg.Admin.TokenFile = filepath.Join(cfg.Data, "operator.token")
	cfg.Audit.Dir = filepath.Join(cfg.Data, "audit")
	cfg.TLS.CertFile, cfg.TLS.KeyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	cfg.ClientCAFile = filepath.Join(dir, "ca.pem")
	// The suites of TLS 1.2 go with the key of the server: one world has one of each kind.
	certificate, err := w.ca.issue(leaf{cn: "as", dns: "as.example", rsa: w.nonces})
	if err != nil {
		return err
	}
	if err := writePEM(certificate, w.ca.certificate, cfg.TLS.CertFile, cfg.TLS.KeyFile, cfg.ClientCAFile); err != nil {
		return err
	}
	logger := slog.New(slog.NewTextHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	s, err := app.New(context.Background(), cfg, logger)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	w.close = append(w.close, func() error { cancel(); return <-ended })
	token, err := os.ReadFile(cfg.Admin.TokenFile)
	if err != nil {
		return err
	}
	w.adminURL, w.adminToken = s.AdminURL()+"/admin/v1", strings.TrimSpace(string(token))
	w.at["as.example:443"] = strings.TrimPrefix(s.URL(), "https://")
	return nil
}

// startResource is a service that tells callers who they are, checked by package verify.
func (w *world) startResource() error {
	if _, err := w.operate("POST", "/services", map[string]any{"name": "resource", "audiences": []string{resourceURL}}); err != nil {
		return err
	}
	c := verify.Config{
		Server: issuer, Audience: resourceURL, RequireBound: true, ExternalURL: resourceHost,
		HTTPClient: w.anyone, Logger: slog.New(slog.NewTextHandler(&w.log, nil)),
		Resource: verify.Resource{URL: resourceURL},
	}
	if w.nonces {
		c.NonceKey = bytes.Repeat([]byte{7}, 32)
	}
	v, err := verify.New(context.Background(), c)
	if err != nil {
		return err
	}
	certificate, err := w.ca.issue(leaf{cn: "rs", dns: "rs.example", rsa: w.nonces})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /whoami", v.Middleware(verify.RequireScope(scope)(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(rw, "{%q:%q}\n", "caller", verify.ClaimsFrom(r.Context()).Subject)
	}))))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := &http.Server{Handler: mux, ErrorLog: slog.NewLogLogger(slog.NewTextHandler(io.Discard, nil), slog.LevelDebug), TLSConfig: &tls.Config{
		MinVersion: tls.VersionTLS12, CipherSuites: recommendedSuites, ClientAuth: tls.RequestClientCert,
		Certificates: []tls.Certificate{certificate},
	}}
	go s.ServeTLS(l, "", "")
	w.close = append(w.close, v.Close, s.Close)
	w.at["rs.example:443"] = l.Addr().String()
	return nil
}

func (w *world) dial(ctx context.Context, network, address string) (net.Conn, error) {
	to, ok := w.at[address]
	if !ok {
		return nil, fmt.Errorf("nothing here is at %s", address)
	}
	return (&net.Dialer{}).DialContext(ctx, network, to)
}

// client presents certificate, if there is one, to whoever asks for one.
func (w *world) client(certificate *tls.Certificate) *http.Client {
	t := &tls.Config{RootCAs: w.roots}
	if certificate != nil {
		// Whatever authorities the server names, as clients of a self-signed certificate do.
		t.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate, nil }
	}
	// HTTP/1.1, as the suite: HTTP/2 has no upper case in names of headers.
	return &http.Client{Transport: &http.Transport{TLSClientConfig: t, DialContext: w.dial}}
}

// operate calls the operator's API.
func (w *world) operate(method, path string, body any) (map[string]any, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequest(method, w.adminURL+path, bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+w.adminToken)
	a, err := send(http.DefaultClient, r)
	if err != nil {
		return nil, err
	}
	if a.status >= 300 {
		return nil, fmt.Errorf("%s %s: %d %s", method, path, a.status, a.body)
	}
	return a.object, nil
}

// answer is what came back. object is the body when that is a JSON object.
type answer struct {
	status int
	header http.Header
	body   string
	object map[string]any
}

func send(c *http.Client, r *http.Request) (answer, error) {
	resp, err := c.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	a := answer{status: resp.StatusCode, header: resp.Header, body: string(body)}
	if json.Unmarshal(body, &a.object) != nil {
		a.object = nil
	}
	return a, nil
}

func (a answer) text(member string) string {
	s, _ := a.object[member].(string)
	return s
}

// lockedBuffer is a log that several goroutines write.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
