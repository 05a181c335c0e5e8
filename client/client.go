// Package client is the calling side of Watchword: it obtains access tokens for the
// services this one calls, keeps them, renews them in time and attaches them to HTTP
// requests. It does not verify tokens; package verify does, on the called side.
//
// A [Client] is made once per process and shared. Ask it for an [http.Client] per target:
//
//	c, err := client.New(client.Config{
//		Server:     "http://localhost:8000",
//		Credential: client.File("m1.jwt"),
//	})
//	...
//	m2 := c.HTTPClient("m2")
//	resp, err := m2.Get("http://localhost:8002/hello")
//
// That is the plain door, with a bootstrap credential. [Config].Auth chooses the OAuth door and one of
// its [Methods] instead; [Config].DPoP and [Config].Certificate bind tokens to a key of this
// process; [Client.Exchange] calls on in the name of the service that called.
//
// A token is kept per target and scope, and renewed in the background while 50 to 80 % of
// its lifetime remain. So when the server goes away, every pair that is in use goes on for
// at least half of the token lifetime. After that calls fail at once with an
// [UnavailableError], while one request at a time, at most one a second and ever fewer,
// finds out whether the server is back.
package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/watchword-dev/watchword/internal/netaddr"
)

// Config says how to reach the server. Server and one of Credential and Auth are required.
type Config struct {
	// Server is the address of the authorization server, such as http://localhost:8000. For the
	// OAuth door it is the server's issuer identifier, character by character.
	Server string
	// Credential, a bootstrap credential, proves to the server which service this is at its plain
	// door, POST /accesstoken.
	Credential CredentialSource
	// Auth proves it at the OAuth door instead, whose endpoints are found by RFC 8414.
	Auth *Auth

	// DPoP asks for tokens that are bound to a key (RFC 9449), and sends a fresh proof of the key
	// with every request. Nil: bearer tokens. There is no falling back from one to the other.
	DPoP *DPoP
	// Certificate is presented to the server and, with the tokens that were obtained with it, to the
	// services called (RFC 8705). Nil: none.
	Certificate CertificateSource

	// HTTPClient sends the requests to the server; nil means one of the client's own.
	// Its redirect policy and cookie jar are not used. With a Certificate its Transport must be an
	// *http.Transport, nil, or present the certificate itself.
	HTTPClient *http.Client
	// Timeout bounds one request to the server; zero means 10 s.
	Timeout time.Duration
	// AllowHTTP permits plain http to a server on another host. Whoever is on the
	// way then reads the credential.
	AllowHTTP bool
	// Logger hears of failures and recoveries, never of a token; nil means slog.Default().
	Logger *slog.Logger
	// Now is the clock; nil means time.Now. A token's age is measured on its monotonic
	// reading, so that a change of the wall clock does not matter.
	Now func() time.Time

	random func() float64 // for tests; nil means math/rand/v2
}

// ErrClosed is returned by a Client after Close.
var ErrClosed = errors.New("watchword client is closed")

// Client obtains and keeps access tokens. It is safe for concurrent use.
type Client struct {
	server  string // for messages
	plain   *plainDoor
	oauth   *oauthDoor
	prover  *prover       // nil without DPoP
	certs   *certificates // nil without a certificate
	http    *http.Client
	timeout time.Duration
	log     *slog.Logger
	now     func() time.Time
	random  func() float64

	ctx    context.Context // of all requests to the server; ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup // flights

	mu      sync.Mutex
	closed  bool
	entries map[question]*entry
	gate    gate

	own, exchanged int // entries of either kind
}

// New checks the configuration. It sends nothing: a server that is away now may be
// back when the first token is needed.
func New(cfg Config) (*Client, error) {
	server, err := parseServer(cfg.Server, cfg.AllowHTTP)
	if err != nil {
		return nil, fmt.Errorf("watchword client: server %w", err)
	}
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("watchword client: %w", err)
	}
	c := &Client{
		server:  server.String(),
		http:    withoutRedirects(cfg.HTTPClient),
		timeout: cfg.Timeout,
		log:     cfg.Logger,
		now:     cfg.Now,
		random:  cfg.random,
		entries: make(map[question]*entry),
	}
	if c.timeout <= 0 {
		c.timeout = 10 * time.Second
	}
	if c.log == nil {
		c.log = slog.Default()
	}
	if c.now == nil {
		c.now = time.Now
	}
	if c.random == nil {
		c.random = rand.Float64
	}
	if cfg.Auth == nil {
		c.plain = &plainDoor{server.JoinPath("accesstoken").String(), cfg.Credential}
		// So that who has nothing but a bootstrap credential can exchange tokens too.
		cfg.Auth = BootstrapAssertion(cfg.Credential)
	}
	c.oauth = newOAuthDoor(cfg)
	if c.prover, err = newProver(cfg.DPoP); err != nil {
		return nil, fmt.Errorf("watchword client: %w", err)
	}
	if cfg.Certificate != nil {
		c.certs = &certificates{source: cfg.Certificate}
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c, nil
}

// check: what is asked for must be possible.
func (cfg *Config) check() error {
	switch {
	case cfg.Credential == nil && cfg.Auth == nil:
		return errors.New("no credential; set Config.Credential, for instance to client.File(path), or Config.Auth")
	case cfg.Credential != nil && cfg.Auth != nil:
		return errors.New("set one of Config.Credential and Config.Auth: two proofs of who this is may contradict each other")
	case cfg.Auth == nil:
		return nil
	case cfg.Auth.certificate && cfg.Certificate == nil:
		return fmt.Errorf("%s needs Config.Certificate, for instance client.CertificateFiles(cert, key)", cfg.Auth.name)
	}
	return cfg.Auth.err
}

// Close ends background renewal and requests under way, and waits for them. Afterwards
// every call returns ErrClosed.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closed = true
	for _, e := range c.entries {
		e.stop()
	}
	c.mu.Unlock()
	c.cancel()
	c.wg.Wait()
	c.http.CloseIdleConnections()
	c.certs.close()
	return nil
}

func parseServer(s string, insecure bool) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		// url.Parse repeats its input, which may hold a password.
		return nil, errors.New("address cannot be parsed; want something like http://localhost:8000")
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "", u.Opaque != "":
		return nil, fmt.Errorf("address %q is not an http or https URL; want something like http://localhost:8000", u.Redacted())
	case u.User != nil, u.RawQuery != "", u.Fragment != "":
		return nil, fmt.Errorf("address %q must have no user, query or fragment", u.Redacted())
	case u.Scheme == "http" && !insecure && !netaddr.IsLoopback(u.Hostname()):
		return nil, fmt.Errorf("address %q would send the credential in the clear; use https, or set AllowHTTP", u)
	}
	return u, nil
}

// withoutRedirects copies h, or makes a client, such that no redirect is followed: the
// credential goes to the configured address and nowhere else (RFC 9700, section 4.12).
func withoutRedirects(h *http.Client) *http.Client {
	own := http.Client{}
	if h != nil {
		own = *h
	} else if t, ok := http.DefaultTransport.(*http.Transport); ok {
		own.Transport = t.Clone()
	}
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	own.Jar = nil
	return &own
}
