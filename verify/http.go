package verify

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/watchword-dev/watchword/internal/incoming"
)

type contextKey struct{}

// passed is what Middleware leaves in the context.
type passed struct {
	claims *Claims
	v      *Verifier
}

// ClaimsFrom returns the claims of the request's token. Behind Middleware they are never nil;
// elsewhere they are.
func ClaimsFrom(ctx context.Context) *Claims {
	p, _ := ctx.Value(contextKey{}).(passed)
	return p.claims
}

// Middleware lets through requests that carry a valid access token in the Authorization
// header, and nowhere else, with proof of its key if it is bound to one, and answers the others as
// RFC 6750, section 3, and RFC 9449, section 7.1, say.
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

// NewContext returns ctx with the claims of a verified token, which ClaimsFrom and RequireScope
// find, and with the token itself, which a client finds that calls on in the caller's
// name. It is for other protocols: Middleware has done so for its handler.
func (v *Verifier) NewContext(ctx context.Context, claims *Claims, token string) context.Context {
	return incoming.With(context.WithValue(ctx, contextKey{}, passed{claims, v}), token)
}

// RequireScope lets through requests whose token has all of scopes. It goes behind
// Verifier.Middleware. A scope that RFC 6749, section 3.3 does not allow, or none at all, is a
// programmer's error: it panics.
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
			case p.claims == nil: // not behind Middleware: closed, not open
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

// credentials takes the token from the Authorization header. The query and the body are never
// looked at: URLs end up in logs (RFC 6750, section 2.3; OAuth 2.1).
func credentials(h http.Header) (scheme, token string, err error) {
	values := h["Authorization"]
	if len(values) > 1 {
		return "", "", ErrTwoCredentials
	}
	if len(values) == 0 {
		return "", "", ErrNoCredentials
	}
	scheme, token, _ = strings.Cut(values[0], " ")
	switch { // RFC 9110, section 11.1: no case
	case strings.EqualFold(scheme, schemeBearer):
		scheme = schemeBearer
	case strings.EqualFold(scheme, schemeDPoP):
		scheme = schemeDPoP
	default:
		return "", "", ErrNoCredentials
	}
	token = strings.TrimLeft(token, " ")
	if token == "" || !isToken68(token) {
		err := fmt.Errorf("%w: not one token after the scheme", ErrMalformed)
		if scheme == schemeDPoP {
			err = underDPoP{err}
		}
		return "", "", err
	}
	return scheme, token, nil
}

// isToken68: RFC 9110, section 11.2.
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

// isQuotable says whether s can stand between quotes in a header as it is.
func isQuotable(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
