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

// FromContext is used instead of an incoming token to take the token from the context of each call, where
// verify.Middleware or WithIncoming has put it.
const FromContext = ""

// Incoming returns the access token of r, a request that is being served, or "" if there is none. It is the token that
// verify.Middleware has verified, or else the one in the Authorization header.
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

// WithIncoming returns a context with the token of the request that is being served. It is for servers of other
// protocols than HTTP, for which verify.Middleware does this.
func WithIncoming(ctx context.Context, token string) context.Context {
	return incoming.With(ctx, token)
}

// IncomingFrom returns the token in ctx, or "".
func IncomingFrom(ctx context.Context) string { return incoming.From(ctx) }

// Exchange returns a token for target whose subject is the service that sent incoming, and whose actor is this service
// (RFC 8693). With it, a service that serves a request calls another service on behalf of its caller. incoming is the
// token of that request, or FromContext. The token is cached until it expires. For errors see TokenSource.Token.
//
// Exchange uses the OAuth token endpoint of the server, even if Config has only a bootstrap credential.
func (c *Client) Exchange(ctx context.Context, incoming, target string, scopes ...string) (Token, error) {
	return c.ExchangeSource(incoming, target, scopes...).Token(ctx)
}

// ExchangeSource returns a source of tokens like those of Exchange.
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

// ExchangeClient returns a client that sends an exchanged token for target with each request. With FromContext it
// can be created once and shared. Each request then needs the context of the request that is being served, or one
// derived from it.
//
//	m3 := c.ExchangeClient(client.FromContext, "m3")
//	...
//	req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, url, nil)
//	resp, err := m3.Do(req)
func (c *Client) ExchangeClient(incoming, target string, scopes ...string) *http.Client {
	return &http.Client{Transport: c.ExchangeSource(incoming, target, scopes...).Transport(nil)}
}

// Impersonate returns a source like s whose tokens do not name this service as the actor. A rule must allow this
// explicitly, because the service that is called cannot know which service calls it. The source must be one of
// ExchangeSource; otherwise its methods return an error.
func (s *TokenSource) Impersonate() *TokenSource {
	own := *s
	if own.q.impersonate = true; !own.incoming && own.q.incoming == "" && own.err == nil {
		own.err = errors.New("watchword client: only an exchanged token can impersonate; use ExchangeSource")
	}
	return &own
}

// ask returns the question of s, with the token in ctx if it needs one.
func (s *TokenSource) ask(ctx context.Context) (ask, error) {
	q := s.q
	if s.err != nil || !s.incoming {
		return q, s.err
	}
	return q, q.exchange(incoming.From(ctx))
}

// exchange makes q a question for the exchange of token.
func (q *ask) exchange(token string) error {
	switch {
	case token == "":
		return errors.New("watchword client: there is no token to exchange: none was passed, and the context has none")
	case len(token) > maxToken || !isB64Token(token):
		return fmt.Errorf("watchword client: the token to exchange is not a token of at most %d bytes", maxToken)
	}
	sum := sha256.Sum256([]byte(token))
	q.incoming, q.subject = string(sum[:]), newSecret(token)
	return nil
}
