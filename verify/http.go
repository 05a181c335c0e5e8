package verify

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/watchword-dev/watchword/internal/incoming"
)

type contextKey struct{}

// passed is the value that Middleware puts into the context.
type passed struct {
	claims *Claims
	v      *Verifier
}

// ClaimsFrom returns the claims of the token of a request. They are never nil behind Middleware, and nil elsewhere.
func ClaimsFrom(ctx context.Context) *Claims {
	p, _ := ctx.Value(contextKey{}).(passed)
	return p.claims
}

// Middleware passes requests to next if they have a valid access token in the Authorization header, and a proof of
// the key if the token is bound to one. It answers other requests as in RFC 6750, section 3, and RFC 9449, section
// 7.1. Tokens elsewhere in the request are ignored.
func (v *Verifier) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims, token, err := v.verifyRequest(r)
		if err != nil {
			v.Refuse(w, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(v.NewContext(r.Context(), claims, token)))
	})
}

// NewContext returns ctx with the claims of a verified token, for ClaimsFrom and RequireScope, and with the token
// itself, for a client that exchanges it. It is for other protocols than HTTP, for which Middleware does this.
func (v *Verifier) NewContext(ctx context.Context, claims *Claims, token string) context.Context {
	return incoming.With(context.WithValue(ctx, contextKey{}, passed{claims, v}), token)
}

// RequireScope passes requests to next if their token has all of scopes. It must be behind Verifier.Middleware. It
// panics if there are no scopes, or if one of them is not a scope of RFC 6749, section 3.3.
func RequireScope(scopes ...string) func(next http.Handler) http.Handler {
	for _, s := range scopes {
		if s == "" || !isQuotable(s) || strings.Contains(s, " ") {
			panic(fmt.Sprintf("verify.RequireScope: %q is not a scope", s))
		}
	}
	if len(scopes) == 0 {
		panic("verify.RequireScope: no scope")
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			p, _ := r.Context().Value(contextKey{}).(passed)
			switch {
			case p.claims == nil: // it is not behind Middleware, so it refuses
				Refusal{Status: http.StatusUnauthorized, Challenges: []string{"Bearer"}, Code: "unauthorized", Description: "no verified token"}.write(w)
			case !p.claims.HasScope(scopes...):
				p.v.lacksScope(p.claims, strings.Join(scopes, " ")).write(w)
			default:
				next.ServeHTTP(w, r)
			}
		})
	}
}

// Schemes of the Authorization header.
const (
	schemeBearer = "Bearer"
	schemeDPoP   = "DPoP"
)

// credentials returns the token in the Authorization header. Tokens in the query or the body are ignored, because
// URLs are logged (RFC 6750, section 2.3; OAuth 2.1).
func credentials(h http.Header) (scheme, token string, err error) {
	values := h["Authorization"]
	if len(values) > 1 {
		return "", "", ErrTwoCredentials
	}
	if len(values) == 0 {
		return "", "", ErrNoCredentials
	}
	scheme, token, _ = strings.Cut(values[0], " ")
	switch { // RFC 9110, section 11.1: not case-sensitive
	case strings.EqualFold(scheme, schemeBearer):
		scheme = schemeBearer
	case strings.EqualFold(scheme, schemeDPoP):
		scheme = schemeDPoP
	default:
		return "", "", ErrNoCredentials
	}
	token = strings.TrimLeft(token, " ")
	if token == "" || !isToken68(token) {
		err := fmt.Errorf("%w: the scheme is not followed by one token", ErrMalformed)
		if scheme == schemeDPoP {
			err = underDPoP{err}
		}
		return "", "", err
	}
	return scheme, token, nil
}

// isToken68 reports whether s is a token68 of RFC 9110, section 11.2.
func isToken68(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._~+/=", c) >= 0:
		default:
			return false
		}
	}
	return true
}

// isQuotable reports whether s can be between quotes in a header without escaping.
func isQuotable(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
