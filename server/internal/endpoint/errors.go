package endpoint

import (
	"errors"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/internal/dpop"
	"github.com/watchword-dev/watchword/internal/reason"
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

// reply is the answer to a kind of refusal.
type reply struct {
	code string
	// text is the description, where the refusal has none of its own, of what package reason says of the code.
	text func(reason.Entry) string
	// status is that of package reason if it is zero.
	status int
}

func means(e reason.Entry) string        { return reason.Clause(e.Means) }
func whatToDo(e reason.Entry) string     { return reason.Clause(e.Do) }
func meansAndToDo(e reason.Entry) string { return reason.Clause(e.Means, e.Do) }
func itsOwn(reason.Entry) string         { return "" }

// replies are those of the OAuth endpoints (RFC 6749, section 5.2; RFC 8707, section 2; RFC 9449, sections
// 5 and 8).
var replies = map[issuer.RefusalKind]reply{
	issuer.Malformed:       {code: "invalid_request", text: itsOwn},
	issuer.Unauthenticated: {code: "invalid_client", text: whatToDo},
	// One answer whether the client exists or not.
	issuer.InvalidToken: {code: "invalid_client", text: means},
	// One answer, to the byte, whether the target exists or not: nobody learns names here.
	issuer.Denied:             {code: "invalid_target", text: meansAndToDo},
	issuer.InvalidScope:       {code: "invalid_scope", text: means},
	issuer.UnauthorizedClient: {code: "unauthorized_client", text: means},
	issuer.UnsupportedGrant:   {code: "unsupported_grant_type", text: whatToDo},
	issuer.InvalidGrant:       {code: "invalid_grant", text: means},
	issuer.InvalidProof:       {code: "invalid_dpop_proof", text: itsOwn},
	issuer.NonceNeeded:        {code: "use_dpop_nonce", text: itsOwn},
	issuer.Throttled:          {code: "temporarily_unavailable", status: http.StatusTooManyRequests, text: func(reason.Entry) string { return "too many requests with a wrong secret; try again later" }},
}

// plainReplies are those of POST /accesstoken that differ: it answers like a resource server (RFC 6750, section
// 3.1).
var plainReplies = map[issuer.RefusalKind]reply{
	issuer.Unauthenticated: {code: "unauthorized", text: whatToDo},
	issuer.InvalidToken:    {code: "invalid_token", text: meansAndToDo},
	issuer.Denied:          {code: "access_denied", text: meansAndToDo},
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
	entry := reason.Of(c.code)
	out := &web.Error{Status: entry.OAuth, Code: c.code, Description: c.text(entry), Header: http.Header{}, Cause: refusal}
	if plain {
		out.Status = entry.AccessToken
	}
	if c.status != 0 {
		out.Status = c.status
	}
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

// plainChallenge names the scheme that POST /accesstoken takes, and has an error code only where a credential was
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
