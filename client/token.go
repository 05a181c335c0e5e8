package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// TokenSource returns a source of tokens for target, with the scopes. All sources of one
// Client for the same target and scopes share one token. A target is the name of a service or, at
// the OAuth door, an absolute URI that the service has for an audience.
func (c *Client) TokenSource(target string, scopes ...string) *TokenSource {
	s := &TokenSource{client: c, err: checkRequest(target, scopes)}
	sorted := slices.Clone(scopes)
	slices.Sort(sorted)
	s.q = ask{question: question{target: target, scope: strings.Join(slices.Compact(sorted), " ")}}
	return s
}

// TokenSource hands out tokens for one target.
type TokenSource struct {
	client   *Client
	q        ask
	incoming bool // q is completed by the context
	err      error
}

// Token returns a valid token: the one at hand, or a new one from the server. When many
// ask at once, one request is sent; the end of one caller's ctx ends only its own wait.
// The error is a *DeniedError when the server refused, an *UnavailableError when it could
// not be asked.
func (s *TokenSource) Token(ctx context.Context) (Token, error) {
	q, err := s.ask(ctx)
	if err != nil {
		return Token{}, err
	}
	return s.client.token(ctx, q)
}

// Renewed returns another token than rejected, which the service called has not accepted; ok is
// false when there is no better one. The server is asked at most once in ten seconds, so that a callee
// that rejects every token does not turn each call into a new one. Transport does it by itself; this
// is for other protocols than HTTP.
func (s *TokenSource) Renewed(ctx context.Context, rejected Token) (token Token, ok bool) {
	q, err := s.ask(ctx)
	if err != nil {
		return Token{}, false
	}
	return s.client.renew(ctx, q, rejected)
}

// Token is an access token. It does not print; see Reveal.
type Token struct {
	secret
	expires time.Time
	prover  *prover
	cert    *certificate
}

// Expires is when the token is no longer handed out, by this process's clock.
func (t Token) Expires() time.Time { return t.expires }

// Type is "Bearer", or "DPoP" for a token that goes with a proof in each request (RFC 9449).
func (t Token) Type() string {
	if t.prover != nil {
		return "DPoP"
	}
	return "Bearer"
}

// Certificate is the one the token was obtained with, and is to be presented with it; nil when
// there was none. Do not change it.
func (t Token) Certificate() *tls.Certificate {
	if t.cert == nil {
		return nil
	}
	return t.cert.tls
}

func checkRequest(target string, scopes []string) error {
	if target == "" {
		return errors.New("watchword client: the target's name is empty")
	}
	// RFC 8707, section 2: a resource has no fragment.
	if isURI(target) && strings.Contains(target, "#") {
		return fmt.Errorf("watchword client: target %q must have no fragment", target)
	}
	for _, s := range scopes {
		if !isScope(s) {
			return fmt.Errorf("watchword client: %q is not a scope; give each scope as an argument of its own", s)
		}
	}
	return nil
}

// isURI: names of services have no colon.
func isURI(target string) bool {
	u, err := url.Parse(target)
	return err == nil && u.IsAbs()
}

// isScope holds to RFC 6749, section 3.3: scope-token = 1*( %x21 / %x23-5B / %x5D-7E ).
func isScope(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r > '~' || r == '"' || r == '\\'
	})
}
