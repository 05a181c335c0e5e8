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
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Config says how to reach the server. Server and Credential are required.
type Config struct {
	// Server is the address of the authorization server, such as http://localhost:8000.
	Server string
	// Credential proves to the server which service this is.
	Credential CredentialSource

	// HTTPClient sends the requests to the server; nil means one of the client's own.
	// Its redirect policy and cookie jar are not used.
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
	server     string // for messages
	endpoint   string
	credential CredentialSource
	http       *http.Client
	timeout    time.Duration
	log        *slog.Logger
	now        func() time.Time
	random     func() float64

	ctx    context.Context // of all requests to the server; ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup // flights

	mu      sync.Mutex
	closed  bool
	entries map[question]*entry
	gate    gate
}

// New checks the configuration. It sends nothing: a server that is away now may be
// back when the first token is needed.
func New(cfg Config) (*Client, error) {
	server, err := parseServer(cfg.Server, cfg.AllowHTTP)
	if err != nil {
		return nil, fmt.Errorf("watchword client: server %w", err)
	}
	if cfg.Credential == nil {
		return nil, errors.New("watchword client: no credential; set Config.Credential, for instance to client.File(path)")
	}
	c := &Client{
		server:     server.String(),
		endpoint:   server.JoinPath("accesstoken").String(),
		credential: cfg.Credential,
		http:       withoutRedirects(cfg.HTTPClient),
		timeout:    cfg.Timeout,
		log:        cfg.Logger,
		now:        cfg.Now,
		random:     cfg.random,
		entries:    make(map[question]*entry),
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
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c, nil
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
	return nil
}

// TokenSource returns a source of tokens for target, with the scopes. All sources of one
// Client for the same target and scopes share one token.
func (c *Client) TokenSource(target string, scopes ...string) *TokenSource {
	s := &TokenSource{client: c, err: checkRequest(target, scopes)}
	sorted := slices.Clone(scopes)
	slices.Sort(sorted)
	s.q = question{target: target, scope: strings.Join(slices.Compact(sorted), " ")}
	return s
}

// TokenSource hands out tokens for one target.
type TokenSource struct {
	client *Client
	q      question
	err    error
}

// Token returns a valid token: the one at hand, or a new one from the server. When many
// ask at once, one request is sent; the end of one caller's ctx ends only its own wait.
// The error is a *DeniedError when the server refused, an *UnavailableError when it could
// not be asked.
func (s *TokenSource) Token(ctx context.Context) (Token, error) {
	if s.err != nil {
		return Token{}, s.err
	}
	return s.client.token(ctx, s.q)
}

// Token is an access token. It does not print; see Reveal.
type Token struct {
	secret
	expires time.Time
}

// Expires is when the token is no longer handed out, by this process's clock.
func (t Token) Expires() time.Time { return t.expires }

func checkRequest(target string, scopes []string) error {
	if target == "" {
		return errors.New("watchword client: the target's name is empty")
	}
	for _, s := range scopes {
		if !isScope(s) {
			return fmt.Errorf("watchword client: %q is not a scope; give each scope as an argument of its own", s)
		}
	}
	return nil
}

// isScope holds to RFC 6749, section 3.3: scope-token = 1*( %x21 / %x23-5B / %x5D-7E ).
func isScope(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r > '~' || r == '"' || r == '\\'
	})
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
	case u.Scheme == "http" && !insecure && !isLoopback(u.Hostname()):
		return nil, fmt.Errorf("address %q would send the credential in the clear; use https, or set AllowHTTP", u)
	}
	return u, nil
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
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
