package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/watchword-dev/watchword/internal/incoming"
)

type contextKey struct{}

// passed is what Middleware leaves in the context.
type passed struct {
	claims *Claims
	realm  string
}

// ClaimsFrom returns the claims of the request's token. Behind Middleware they are never nil;
// elsewhere they are.
func ClaimsFrom(ctx context.Context) *Claims {
	p, _ := ctx.Value(contextKey{}).(passed)
	return p.claims
}

// Middleware lets through requests that carry a valid access token in the Authorization
// header, and nowhere else, and answers the others as RFC 6750, section 3 says.
func (v *Verifier) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, err := bearerToken(r.Header)
		if err != nil {
			v.refuse(w, err)
			return
		}
		claims, err := v.Verify(r.Context(), token)
		if err != nil {
			v.refuse(w, err)
			return
		}
		ctx := context.WithValue(r.Context(), contextKey{}, passed{claims, v.realm})
		ctx = incoming.With(ctx, token) // for a client that calls on in the caller's name
		next.ServeHTTP(w, r.WithContext(ctx))
	})
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
				answer(w, http.StatusUnauthorized, "Bearer", "unauthorized", "no verified token")
			case !p.claims.HasScope(scopes...):
				challenge := fmt.Sprintf(`Bearer realm=%q, error="insufficient_scope", error_description="the token lacks a scope", scope=%q`, p.realm, strings.Join(scopes, " "))
				answer(w, http.StatusForbidden, challenge, "insufficient_scope", "the token lacks a scope")
			default:
				next.ServeHTTP(w, r)
			}
		})
	}
}

var (
	errNoCredentials  = errors.New("no bearer token in the Authorization header")
	errTwoCredentials = errors.New("more than one Authorization header")
)

// bearerToken takes the token from the Authorization header. The query and the body are never
// looked at: URLs end up in logs (RFC 6750, section 2.3; OAuth 2.1).
func bearerToken(h http.Header) (string, error) {
	values := h["Authorization"]
	if len(values) > 1 {
		return "", errTwoCredentials
	}
	if len(values) == 0 {
		return "", errNoCredentials
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") { // RFC 9110, section 11.1: no case
		return "", errNoCredentials
	}
	token = strings.TrimLeft(token, " ")
	if token == "" || !isToken68(token) {
		return "", fmt.Errorf("%w: not one token after the scheme", ErrMalformed)
	}
	return token, nil
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

func (v *Verifier) refuse(w http.ResponseWriter, err error) {
	challenge := `Bearer realm="` + v.realm + `"`
	switch {
	case errors.Is(err, ErrKeysUnavailable):
		w.Header().Set("Retry-After", "5")
		answer(w, http.StatusServiceUnavailable, "", "temporarily_unavailable", "no keys to check tokens with; try again")
	case errors.Is(err, errNoCredentials): // RFC 6750, section 3.1: no error code
		answer(w, http.StatusUnauthorized, challenge, "unauthorized", "send Authorization: Bearer and an access token")
	case errors.Is(err, errTwoCredentials):
		const text = "more than one Authorization header"
		answer(w, http.StatusBadRequest, challenge+`, error="invalid_request", error_description="`+text+`"`, "invalid_request", text)
	default:
		text := describe(err)
		answer(w, http.StatusUnauthorized, challenge+`, error="invalid_token", error_description="`+text+`"`, "invalid_token", text)
	}
}

func answer(w http.ResponseWriter, status int, challenge, code, description string) {
	body, err := json.Marshal(struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}{code, description})
	if err != nil { // two strings of our own
		panic(err)
	}
	h := w.Header()
	if challenge != "" {
		h.Set("WWW-Authenticate", challenge)
	}
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the client is gone: nobody to tell
}
