package client

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/watchword-dev/watchword/internal/incoming"
)

// FromContext, in place of an incoming token, takes the token from the context of each call: the
// one that verify.Middleware, or WithIncoming, has put there.
const FromContext = ""

// Incoming returns the access token that r, a request being served, came with, or "": the one
// that verify.Middleware has verified, else the one in the Authorization header.
func Incoming(r *http.Request) string {
	if token := incoming.From(r.Context()); token != "" {
		return token
	}
	values := r.Header["Authorization"]
	if len(values) != 1 {
		return ""
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	token = strings.TrimLeft(token, " ")
	if !isB64Token(token) || !strings.EqualFold(scheme, "Bearer") && !strings.EqualFold(scheme, "DPoP") {
		return ""
	}
	return token
}

// WithIncoming returns a context that carries the token of the request being served, for servers
// of other protocols than HTTP. verify.Middleware does the same.
func WithIncoming(ctx context.Context, token string) context.Context {
	return incoming.With(ctx, token)
}

// IncomingFrom returns the token that ctx carries, or "".
func IncomingFrom(ctx context.Context) string { return incoming.From(ctx) }

// Exchange returns a token for target that names the service whose token is incoming as its
// subject, and this one as the actor (RFC 8693): a service that serves a request calls on in its
// caller's name. incoming is the token of that request, or FromContext. The token is kept for the
// same question until it expires; see TokenSource.Token for errors.
//
// It needs the OAuth door of the server, also if Config has a bootstrap credential only.
func (c *Client) Exchange(ctx context.Context, incoming, target string, scopes ...string) (Token, error) {
	return c.ExchangeSource(incoming, target, scopes...).Token(ctx)
}

// ExchangeSource returns a source of tokens as Exchange has them.
func (c *Client) ExchangeSource(incoming, target string, scopes ...string) *TokenSource {
	s := c.TokenSource(target, scopes...)
	if incoming == FromContext {
		s.incoming = true
		return s
	}
	if err := s.q.exchange(incoming); err != nil && s.err == nil {
		s.err = err
	}
	return s
}

// ExchangeClient returns a client that sends an exchanged token for target with each request. With
// FromContext it can be made once and shared: each request then needs the context of the one
// being served, or one derived from it.
//
//	m3 := c.ExchangeClient(client.FromContext, "m3")
//	...
//	req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, url, nil)
//	resp, err := m3.Do(req)
func (c *Client) ExchangeClient(incoming, target string, scopes ...string) *http.Client {
	return &http.Client{Transport: c.ExchangeSource(incoming, target, scopes...).Transport(nil)}
}

// Impersonate returns a source like s whose tokens do not name this service as the actor. The
// server gives them only where a rule says so, since the service called then cannot tell who calls.
// It is for exchange; another source returns an error.
func (s *TokenSource) Impersonate() *TokenSource {
	own := *s
	if own.q.impersonate = true; !own.incoming && own.q.incoming == "" && own.err == nil {
		own.err = errors.New("watchword client: only an exchanged token can impersonate; use ExchangeSource")
	}
	return &own
}

// ask is the question of s, completed by ctx.
func (s *TokenSource) ask(ctx context.Context) (ask, error) {
	q := s.q
	if s.err != nil || !s.incoming {
		return q, s.err
	}
	return q, q.exchange(incoming.From(ctx))
}

// exchange makes q one about token.
func (q *ask) exchange(token string) error {
	switch {
	case token == "":
		return errors.New("watchword client: there is no token to exchange: neither was one given, nor has the context one of a request being served")
	case len(token) > maxToken || !isB64Token(token):
		return fmt.Errorf("watchword client: the token to exchange is not one token of at most %d bytes", maxToken)
	}
	sum := sha256.Sum256([]byte(token))
	q.incoming, q.subject = string(sum[:]), newSecret(token)
	return nil
}
