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

// TokenSource returns a source of tokens for target with the scopes. All sources of a Client for the same target and
// scopes share one token. A target is the name of a service or, with Config.Auth, an absolute URI that is one of the
// service's audiences.
func (c *Client) TokenSource(target string, scopes ...string) *TokenSource {
	s := &TokenSource{client: c, err: checkRequest(target, scopes)}
	sorted := slices.Clone(scopes)
	slices.Sort(sorted)
	s.q = ask{question: question{target: target, scope: strings.Join(slices.Compact(sorted), " ")}}
	return s
}

// TokenSource returns tokens for one target.
type TokenSource struct {
	client   *Client
	q        ask
	incoming bool // the context has the token to exchange
	err      error
}

// Token returns a valid token: the cached one, or a new one from the server. If several goroutines need a token at
// the same time, one request is sent. When the ctx of one of them ends, only that one stops waiting. The error is a
// *DeniedError if the server refused, and an *UnavailableError if it could not be reached.
func (s *TokenSource) Token(ctx context.Context) (Token, error) {
	q, err := s.ask(ctx)
	if err != nil {
		return Token{}, err
	}
	return s.client.token(ctx, q)
}

// Renewed returns a token other than rejected, which the called service has not accepted. ok reports whether there
// is one. The server is asked at most once in ten seconds, so that a service that rejects every token does not
// cause a token request for each call. Transport does this by itself; Renewed is for other protocols than HTTP.
func (s *TokenSource) Renewed(ctx context.Context, rejected Token) (token Token, ok bool) {
	q, err := s.ask(ctx)
	if err != nil {
		return Token{}, false
	}
	return s.client.renew(ctx, q, rejected)
}

// Token is an access token. Printing it shows "[redacted]"; see Reveal.
type Token struct {
	secret
	expires time.Time
	prover  *prover
	cert    *certificate
}

// Expires returns the time from which the token is no longer returned, by the clock of this process.
func (t Token) Expires() time.Time { return t.expires }

// Type returns "Bearer", or "DPoP" for a token that needs a proof in each request (RFC 9449).
func (t Token) Type() string {
	if t.prover != nil {
		return "DPoP"
	}
	return "Bearer"
}

// Certificate returns the certificate with which the token was obtained, and with which it must be presented, or
// nil. Do not modify it.
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
			return fmt.Errorf("watchword client: %q is not a scope; pass each scope as a separate argument", s)
		}
	}
	return nil
}

// isURI reports whether target is a URI. Names of services contain no colon.
func isURI(target string) bool {
	u, err := url.Parse(target)
	return err == nil && u.IsAbs()
}

// isScope reports whether s is a scope-token of RFC 6749, section 3.3: 1*( %x21 / %x23-5B / %x5D-7E ).
func isScope(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r > '~' || r == '"' || r == '\\'
	})
}
