// Package client is for services that call other services. It obtains access tokens from Watchword, caches them,
// renews them in time and adds them to HTTP requests. It does not verify tokens; package verify does that in the
// service that is called.
//
// Create one [Client] in each process and share it. It returns an [http.Client] for each target:
//
//	c, err := client.New(client.Config{
//		Server:     "http://localhost:8000",
//		Credential: client.File("m1.jwt"),
//	})
//	...
//	m2 := c.HTTPClient("m2")
//	resp, err := m2.Get("http://localhost:8002/hello")
//
// This uses a bootstrap credential at POST /accesstoken. [Config].Auth selects the OAuth token endpoint and one of
// its [Methods] instead. A service for which the platform vouches that runs it, such as Kubernetes, needs no secret:
// see [FromEnvironment] and [PlatformTokenSource]. [Config].DPoP and [Config].Certificate bind tokens to a key of this process.
// [Client.Exchange] obtains a token for a call on behalf of the service that called this one.
//
// A token is cached for each target and set of scopes, and renewed in the background when 50 to 80 % of its lifetime
// remains. If the server cannot be reached, calls to targets that are in use therefore continue for at least half of
// the lifetime of tokens. After that, calls fail at once with an [UnavailableError]. Meanwhile the client sends one
// request at a time to the server, at most one a second and with growing pauses, until the server answers.
package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/watchword-dev/watchword/internal/netaddr"
)

// Config configures a Client. Server is required, and one of Credential, Platform and Auth.
type Config struct {
	// Server is the address of the authorization server, such as http://localhost:8000. For the OAuth endpoints it
	// is the server's issuer identifier, character by character.
	Server string
	// Credential is a bootstrap credential, with which this service authenticates at POST /accesstoken.
	Credential CredentialSource
	// Platform returns tokens of the platform that runs this process, with which this service authenticates at POST
	// /accesstoken without a secret. Server is then the server's issuer identifier, character by character, unless
	// the source is TokenFile or ForAudience.
	Platform PlatformTokenSource
	// Auth is how this service authenticates at the OAuth token endpoint, which is found with the metadata of RFC
	// 8414.
	Auth *Auth

	// DPoP requests tokens that are bound to a key (RFC 9449), and sends a new proof of the key with every request.
	// If nil, tokens are bearer tokens. The client never falls back from one to the other.
	DPoP *DPoP
	// Certificate is presented to the server and, with tokens that were obtained with it, to the services that are
	// called (RFC 8705). If nil, there is none.
	Certificate CertificateSource

	// HTTPClient sends the requests to the server. If nil, the Client creates one. Its redirect policy and cookie jar
	// are not used. With a Certificate, its Transport must be nil or an *http.Transport, or present the certificate
	// itself.
	HTTPClient *http.Client
	// Timeout limits one request to the server. Zero means 10 s.
	Timeout time.Duration
	// AllowHTTP permits plain http to a server on another host. Everybody on the network path can then read the
	// credential.
	AllowHTTP bool
	// Logger logs failures and recoveries, and never a token. Nil means slog.Default().
	Logger *slog.Logger
	// Now is the clock. Nil means time.Now. The age of a token is measured with the monotonic clock reading, so a
	// change of the wall clock does not matter.
	Now func() time.Time

	random func() float64 // for tests; nil means math/rand/v2
}

// ErrClosed is returned by a Client after Close.
var ErrClosed = errors.New("watchword client is closed")

// Client obtains and caches access tokens. It is safe for concurrent use.
type Client struct {
	server      string // for messages
	accessToken *jsonEndpoint
	oauth       *oauthEndpoint
	prover      *prover       // nil without DPoP
	certs       *certificates // nil without a certificate
	http        *http.Client
	timeout     time.Duration
	log         *slog.Logger
	now         func() time.Time
	random      func() float64

	ctx    context.Context // of all requests to the server; ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup // flights

	mu      sync.Mutex
	closed  bool
	entries map[question]*entry
	gate    gate

	own, exchanged int // number of entries of each kind
}

// New checks the configuration and returns a Client. It sends no request, so it succeeds even if the server cannot
// be reached.
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
		c.accessToken = &jsonEndpoint{server.JoinPath("accesstoken").String(), cfg.Credential, cfg.Platform}
		// What proves the identity there can be used for token exchange too.
		if cfg.Auth = WorkloadJWT("", cfg.Platform); cfg.Platform == nil {
			cfg.Auth = BootstrapAssertion(cfg.Credential)
		}
	}
	c.oauth = newOAuthEndpoint(cfg)
	if c.prover, err = newProver(cfg.DPoP); err != nil {
		return nil, fmt.Errorf("watchword client: %w", err)
	}
	if cfg.Certificate != nil {
		c.certs = &certificates{source: cfg.Certificate}
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c, nil
}

// String returns the address of the server, how this client authenticates there and, if it sends platform tokens,
// where they come from.
func (c *Client) String() string { return c.server + " by " + c.oauth.auth.String() }

// check returns an error if the configuration is contradictory or incomplete.
func (cfg *Config) check() error {
	var set []string
	if cfg.Credential != nil {
		set = append(set, "Config.Credential")
	}
	if cfg.Platform != nil {
		set = append(set, "Config.Platform")
	}
	if cfg.Auth != nil {
		set = append(set, "Config.Auth")
	}
	switch {
	case len(set) == 0:
		return errors.New("no credential; set Config.Credential, for instance to client.File(path), or Config.Platform or Config.Auth")
	case len(set) > 1:
		return fmt.Errorf("%s are both set; set one of them", strings.Join(set[:2], " and "))
	case cfg.Auth == nil:
		return nil
	case cfg.Auth.certificate && cfg.Certificate == nil:
		return fmt.Errorf("%s needs Config.Certificate, for instance client.CertificateFiles(cert, key)", cfg.Auth.name)
	}
	return cfg.Auth.err
}

// Close stops background renewal, cancels the current requests and waits for them. After that, every call returns
// ErrClosed.
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
		// The error of url.Parse contains its input, which may have a password.
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

// withoutRedirects returns a copy of h, or a new client, that follows no redirects, so that the credential is sent
// only to the configured address (RFC 9700, section 4.12).
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
