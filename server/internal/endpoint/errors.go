package endpoint

import (
	"errors"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/internal/dpop"
	"github.com/watchword-dev/watchword/server/internal/issuer"
	"github.com/watchword-dev/watchword/server/internal/web"
)

// problem is what is wrong with a request that is no proposal.
type problem struct {
	kind   issuer.RefusalKind
	reason string // for the audit log
	status int    // zero: that of the kind
	code   string // empty: that of the kind
	text   string // for the caller; empty: that of the kind
	header http.Header
}

func (p *problem) Error() string { return p.reason }

func malformed(reason, text string) *problem {
	return &problem{kind: issuer.Malformed, reason: reason, text: text}
}

// reply is the answer to a kind of refusal. Its text is for where the refusal has none of its own.
type reply struct {
	status     int
	code, text string
}

// replies are those of the OAuth endpoints (RFC 6749, section 5.2; RFC 8707, section 2; RFC 9449, sections
// 5 and 8).
var replies = map[issuer.RefusalKind]reply{
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

// plainReplies are those of POST /accesstoken that differ: it answers like a resource server (RFC 6750, section
// 3.1).
var plainReplies = map[issuer.RefusalKind]reply{
	issuer.Unauthenticated: {401, "unauthorized", "send the service's bootstrap credential as Authorization: Bearer"},
	issuer.InvalidToken:    {401, "invalid_token", "the credential is not valid here: it is malformed, expired, revoked or for somebody else; ask an operator for a new one"},
	issuer.Denied:          {401, "access_denied", "no rule allows this call; ask an operator, with the id in the " + web.DecisionHeader + " header"},
}

// answer turns what the issuer said of a request into what the caller may know. bad is what the endpoint
// itself found wrong, if anything.
func (e *endpoints) answer(q *request, err error, bad *problem) error {
	var (
		refusal *issuer.Refusal
		known   *web.Error
	)
	switch {
	case errors.As(err, &refusal):
	case errors.As(err, &known):
		return known
	case errors.Is(err, issuer.ErrUnavailable):
		return web.Unavailable("the server cannot decide now", err)
	default:
		return err
	}
	plain := q.from.Endpoint == issuer.AccessTokenEndpoint
	c, ok := plainReplies[refusal.Kind]
	if !plain || !ok {
		c = replies[refusal.Kind]
	}
	out := &web.Error{Status: c.status, Code: c.code, Description: c.text, Header: http.Header{}, Cause: refusal}
	if refusal.Text != "" {
		out.Description = refusal.Text
	}
	if bad != nil {
		bad.overrule(out)
	}
	switch refusal.Kind {
	case issuer.NonceNeeded: // RFC 9449, section 8
		if e.o.Nonce != nil {
			out.Header.Set(dpop.NonceHeader, e.o.Nonce())
		}
	case issuer.Throttled:
		out.Header.Set("Retry-After", strconv.Itoa(max(1, int((refusal.RetryAfter+time.Second-1)/time.Second))))
	}
	if plain {
		plainChallenge(out)
		return out
	}
	if q.wantsChallenge(refusal.Kind) {
		out.Header.Set("WWW-Authenticate", `Basic realm="watchword", charset="UTF-8"`)
	}
	out.Description = safe(out.Description)
	return out
}

func (p *problem) overrule(e *web.Error) {
	if p.status != 0 {
		e.Status = p.status
	}
	if p.code != "" {
		e.Code = p.code
	}
	if p.text != "" {
		e.Description = p.text
	}
	maps.Copy(e.Header, p.header)
}

// plainChallenge says which scheme POST /accesstoken takes, and has an error code only where a credential was
// sent and is not good (RFC 6750, section 3.1).
func plainChallenge(e *web.Error) {
	if e.Status != http.StatusUnauthorized {
		return
	}
	challenge := `Bearer realm="watchword"`
	if e.Code == "invalid_token" {
		challenge += `, error="invalid_token", error_description="the credential is not valid here"`
	}
	e.Header.Set("WWW-Authenticate", challenge)
}

// wantsChallenge reports whether a refusal comes with a challenge: for the scheme that was used (RFC 6749,
// section 5.2), and where none was (RFC 9110, section 15.5.2). A client that proved itself in the body is not
// asked for a password: some give up on a challenge before they read the error. Those of the introspection
// endpoint are resource servers, and are told in any case (RFC 7662, section 2.3).
func (q *request) wantsChallenge(kind issuer.RefusalKind) bool {
	return kind == issuer.Unauthenticated ||
		kind == issuer.InvalidToken && (len(q.r.Header["Authorization"]) > 0 || q.from.Endpoint == issuer.IntrospectEndpoint)
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
