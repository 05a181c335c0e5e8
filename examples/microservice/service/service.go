// Package service is the service of Watchword's demo, and an example for your own. It verifies the tokens with
// which it is called, and obtains tokens to call other services. It uses only packages client and verify.
//
// GET /hello is for services. It requires a token whose audience is this service.
//
// POST /query is for the person who tries the demo. It calls /hello of another service and returns the answer. It
// does not authenticate, so everybody who can reach it can use the identity of this service. That is why the demo
// listens on loopback addresses only. Do not have /query in a real service.
package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/watchword-dev/watchword/client"
	"github.com/watchword-dev/watchword/verify"
)

const (
	maxBody     = 4 << 10  // size of a query
	maxAnswer   = 64 << 10 // size of an answer of another service
	callTimeout = 15 * time.Second
	warmUp      = 2 * time.Second // for fetching keys at the start; later they are fetched when needed
)

// Config describes one service. Name is required, and one of Credential and Platform.
type Config struct {
	Name       string                     // the name of this service in the call map
	Server     string                     // the authorization server; empty means http://localhost:8000
	Credential client.CredentialSource    // the credential of Name
	Platform   client.PlatformTokenSource // tokens with which the platform vouches for Name
	Peers      map[string]string          // service name -> base URL; nil means DefaultPeers()
	Issuer     string                     // the issuer of tokens that are accepted; empty means auth-server
	Logger     *slog.Logger               // nil means slog.Default()

	// ExternalURL is the URL by which callers know this service. DPoP proofs must be for it: the Host header of a
	// request is chosen by its sender.
	ExternalURL string

	// AllowHTTP permits plain http to an authorization server on another host.
	AllowHTTP bool

	now func() time.Time // the clock of the client, for tests
}

// DefaultPeers returns the URLs of m1, m2 and m3 of the demo.
func DefaultPeers() map[string]string {
	return map[string]string{
		"m1": "http://127.0.0.1:8001",
		"m2": "http://127.0.0.1:8002",
		"m3": "http://127.0.0.1:8003",
	}
}

// Service is a running service. It is an http.Handler.
type Service struct {
	name   string
	client *client.Client
	verify *verify.Verifier
	peers  map[string]string
	log    *slog.Logger
	mux    *http.ServeMux
}

// New returns a service. The authorization server need not run yet.
func New(cfg Config) (*Service, error) {
	if cfg.Server == "" {
		cfg.Server = "http://localhost:8000"
	}
	if cfg.Peers == nil {
		cfg.Peers = DefaultPeers()
	}
	if cfg.Issuer == "" {
		cfg.Issuer = "auth-server"
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	for name, peer := range cfg.Peers {
		if u, err := url.Parse(peer); err != nil || u.Host == "" {
			return nil, fmt.Errorf("peer %s: %q is not a URL; want something like http://127.0.0.1:8002", name, peer)
		}
	}
	c, err := client.New(client.Config{
		Server:     cfg.Server,
		Credential: cfg.Credential,
		Platform:   cfg.Platform,
		Logger:     cfg.Logger,
		AllowHTTP:  cfg.AllowHTTP,
		Now:        cfg.now,
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), warmUp)
	defer cancel()
	v, err := verify.New(ctx, verify.Config{
		Server:      strings.TrimSuffix(cfg.Server, "/"), // for its key set and deny-list
		Issuer:      cfg.Issuer,
		Audience:    cfg.Name, // tokens for other services are refused
		ExternalURL: cfg.ExternalURL,
		AllowHTTP:   cfg.AllowHTTP,
		Logger:      cfg.Logger,
	})
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	s := &Service{name: cfg.Name, client: c, verify: v, peers: cfg.Peers, log: cfg.Logger, mux: http.NewServeMux()}
	s.mux.Handle("GET /hello", v.Middleware(http.HandlerFunc(s.hello)))
	// Web pages that the person visits must not reach /query through the browser.
	s.mux.Handle("POST /query", http.NewCrossOriginProtection().Handler(http.HandlerFunc(s.query)))
	return s, nil
}

// Close stops the background work. Call it after the last request.
func (s *Service) Close() error { return errors.Join(s.client.Close(), s.verify.Close()) }

func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

func (s *Service) hello(w http.ResponseWriter, r *http.Request) {
	claims := verify.ClaimsFrom(r.Context()) // not nil, because this is behind Middleware
	text(w, http.StatusOK, fmt.Sprintf("Hello to %s from %s!", claims.Subject, s.name))
}

func (s *Service) query(w http.ResponseWriter, r *http.Request) {
	target, err := parseQuery(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		text(w, http.StatusBadRequest, "Bad request: "+err.Error())
		return
	}
	base, known := s.peers[target]
	if !known {
		text(w, http.StatusUnauthorized, fmt.Sprintf("Unauthorized: %s knows no service %q", s.name, target))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), callTimeout)
	defer cancel()
	answer, err := s.call(ctx, target, base)
	var denied *client.DeniedError
	switch {
	case errors.As(err, &denied):
		s.log.Info("query refused", "service", s.name, "target", target, "reason", denied)
		text(w, http.StatusUnauthorized, "Unauthorized: "+denied.Error())
	case err != nil:
		s.log.Warn("query failed", "service", s.name, "target", target, "error", err)
		text(w, http.StatusBadGateway, "Bad gateway: "+err.Error())
	default:
		text(w, http.StatusOK, answer)
	}
}

// call returns the greeting of target, which it calls with a token.
func (s *Service) call(ctx context.Context, target, base string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(base, "/")+"/hello", nil)
	if err != nil {
		return "", fmt.Errorf("call %s: %w", target, err)
	}
	resp, err := s.client.HTTPClient(target).Do(req)
	if err != nil {
		return "", fmt.Errorf("call %s: %w", target, err)
	}
	defer func() { _ = resp.Body.Close() }() // the part that is needed is read below
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return "", fmt.Errorf("read the answer of %s: %w", target, err)
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s answered %s: %.200q", target, resp.Status, strings.TrimSpace(string(body)))
	}
	return string(body), nil
}

var errQuery = errors.New(`the body must be one JSON object like {"target":"m2"}`)

// parseQuery reads {"target":"m2"} and nothing else. json.Unmarshal would accept a repeated member and "TARGET".
func parseQuery(r io.Reader) (target string, err error) {
	body, err := io.ReadAll(r)
	if err != nil || !utf8.Valid(body) {
		return "", errQuery
	}
	dec := json.NewDecoder(strings.NewReader(string(body)))
	want := []any{json.Delim('{'), "target", nil, json.Delim('}')}
	for i := range want {
		token, err := dec.Token()
		if err != nil {
			return "", errQuery
		}
		if i == 2 {
			target, _ = token.(string)
		} else if token != want[i] {
			return "", errQuery
		}
	}
	if _, err := dec.Token(); err != io.EOF || target == "" {
		return "", errQuery
	}
	return target, nil
}

func text(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, message) // the client may have gone
}
