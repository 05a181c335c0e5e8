package oauth

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/internal/dpop"
	"github.com/watchword-dev/watchword/server/internal/issuer"
	"github.com/watchword-dev/watchword/server/internal/web"
)

// codes are the answers to refusals (RFC 6749, section 5.2; RFC 8707, section 2; RFC 9449, sections
// 5 and 8). text is for where the refusal has none of its own.
var codes = map[issuer.RefusalKind]struct {
	status     int
	code, text string
}{
	issuer.Malformed:       {400, "invalid_request", ""},
	issuer.Unauthenticated: {401, "invalid_client", "say which client asks, by one of the token_endpoint_auth_methods_supported of the metadata"},
	// One answer whether the client exists or not.
	issuer.InvalidToken: {401, "invalid_client", "the client is unknown, or its proof is not good here"},
	// One answer, to the byte, whether the target exists or not: nobody learns names here.
	issuer.Denied:             {400, "invalid_target", "no rule allows this client a token for that target; ask an operator, with the id in the " + web.DecisionHeader + " header"},
	issuer.InvalidScope:       {400, "invalid_scope", "the target does not grant this scope to this client"},
	issuer.UnauthorizedClient: {400, "unauthorized_client", "the client may not use this grant type"},
	issuer.InvalidGrant:       {400, "invalid_grant", "the assertion is not good here"},
	issuer.InvalidProof:       {400, "invalid_dpop_proof", ""},
	issuer.NonceNeeded:        {400, "use_dpop_nonce", ""},
	issuer.Throttled:          {429, "temporarily_unavailable", "too many failures; try again later"},
}

// answer turns what the issuer said of a request into what the caller may know. bad is what the
// door itself found wrong, if anything.
func (d *Doors) answer(q *request, decisionID string, err error, bad *problem) error {
	if decisionID != "" {
		q.w.Header()[web.DecisionHeader] = []string{decisionID}
	}
	var refusal *issuer.Refusal
	switch {
	case errors.As(err, &refusal):
	case errors.Is(err, issuer.ErrUnavailable):
		return web.Unavailable("the server cannot decide now", err)
	default:
		return err
	}
	c := codes[refusal.Kind]
	e := &web.Error{Status: c.status, Code: c.code, Description: c.text, Header: http.Header{}, Cause: refusal}
	if refusal.Text != "" {
		e.Description = refusal.Text
	}
	if bad != nil {
		d.overrule(e, bad)
	}
	switch refusal.Kind {
	case issuer.NonceNeeded:
		if d.o.Nonce != nil {
			e.Header.Set(dpop.NonceHeader, d.o.Nonce())
		}
	case issuer.Throttled:
		e.Header.Set("Retry-After", strconv.Itoa(max(1, int((refusal.RetryAfter+time.Second-1)/time.Second))))
	case issuer.Unauthenticated, issuer.InvalidToken:
		// RFC 6749, section 5.2: a challenge for the scheme that was used; RFC 9110, section 15.5.2:
		// and where none was. Who proved itself in the body is not asked for a password: some clients
		// give up on a challenge before they read the error.
		// Those of the introspection door are resource servers, and are told (RFC 7662, section 2.3).
		if len(q.r.Header["Authorization"]) > 0 || refusal.Kind == issuer.Unauthenticated || q.from.Endpoint == issuer.IntrospectEndpoint {
			e.Header.Set("WWW-Authenticate", `Basic realm="watchword", charset="UTF-8"`)
		}
	}
	e.Description = safe(e.Description)
	return e
}

func (d *Doors) overrule(e *web.Error, bad *problem) {
	if bad.status != 0 {
		e.Status = bad.status
	}
	if bad.code != "" {
		e.Code = bad.code
	}
	if bad.text != "" {
		e.Description = bad.text
	}
	for k, v := range bad.header {
		e.Header[k] = v
	}
}

// safe keeps a description to the characters of RFC 6749, section 5.2.
func safe(s string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c == '"':
			return '\''
		case c < ' ' || c > '~' || c == '\\':
			return '?'
		}
		return c
	}, s)
}
