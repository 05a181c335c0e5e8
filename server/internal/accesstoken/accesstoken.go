// Package accesstoken is the plain JSON door: POST /accesstoken. It reads a request, has the
// issuer decide, and writes the answer; it decides nothing.
package accesstoken

import (
	"context"
	"crypto/x509"
	"errors"
	"mime"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/internal/dpop"
	"github.com/watchword-dev/watchword/internal/strictjson"
	"github.com/watchword-dev/watchword/server/internal/clientauth"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/issuer"
	"github.com/watchword-dev/watchword/server/internal/web"
)

// Issuer decides.
type Issuer interface {
	AccessToken(ctx context.Context, p *issuer.Proposal) (t issuer.Token, decisionID string, err error)
	Refuse(ctx context.Context, r issuer.Request, kind issuer.RefusalKind, reason string) (decisionID string, err error)
	Fail(ctx context.Context, r issuer.Request, cause error) (decisionID string, err error)
}

// Handler is the door. url is where clients find it, for proofs of a key (RFC 9449, section 4.3);
// nonce is the nonce for the next proof. front says whose word counts about certificates.
func Handler(i Issuer, front clientauth.Front, url string, nonce func() string) web.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		if r.Method != http.MethodPost {
			return web.Method(http.MethodPost)
		}
		from := issuer.Request{Endpoint: issuer.AccessTokenEndpoint, RequestID: web.RequestID(w), Address: web.Address(r)}
		defer func() {
			if p := recover(); p != nil {
				// A panic is recorded like any other outcome, and then is web's to answer.
				_, _ = i.Fail(r.Context(), from, errors.New("panic"))
				panic(p)
			}
		}()
		p, problem := parse(r)
		p.Request = from
		if problem == nil {
			p.Presented.Certificates, problem = certificates(r, front, p.Address)
		}
		if problem != nil {
			id, err := i.Refuse(r.Context(), p.Request, problem.kind, problem.reason)
			w.Header()[web.DecisionHeader] = []string{id}
			return answer(err, problem, nonce)
		}
		p.Presented.Address = p.Address
		p.Proof = issuer.Proof{Headers: r.Header["Dpop"], Method: r.Method, URL: url}
		t, id, err := i.AccessToken(r.Context(), p)
		w.Header()[web.DecisionHeader] = []string{id}
		if err != nil {
			return answer(err, nil, nonce)
		}
		web.WriteJSON(w, http.StatusOK, encode(t))
		return nil
	}
}

// encode writes a token answer. A compact JWS has nothing that JSON escapes.
func encode(t issuer.Token) []byte {
	b := make([]byte, 0, len(t.Value)+48)
	b = append(b, `{"accessToken":"`...)
	b = append(b, t.Value...)
	b = append(b, `","expiresIn":`...)
	b = strconv.AppendInt(b, int64(t.ExpiresIn/time.Second), 10)
	if t.Type == issuer.DPoP {
		b = append(b, `,"tokenType":"DPoP"`...)
	}
	return append(b, "}\n"...)
}

// problem is a request that is no proposal.
type problem struct {
	kind   issuer.RefusalKind
	reason string // for the audit log
	status int
	text   string // for the caller
	header http.Header
}

func malformed(status int, reason, text string) *problem {
	return &problem{kind: issuer.Malformed, reason: reason, status: status, text: text}
}

// parse reads the request. The query is never read: a credential there would be in the logs
// of every proxy (RFC 6750, section 2.3).
func parse(r *http.Request) (*issuer.Proposal, *problem) {
	p := new(issuer.Proposal)
	var bad *problem
	if p.Presented, bad = credential(r.Header); bad != nil {
		return p, bad
	}
	if bad := mediaType(r.Header); bad != nil {
		return p, bad
	}
	var body struct {
		Target string         `json:"target"`
		Scope  string         `json:"scope"`
		Others map[string]any `json:",embed"`
	}
	switch err := strictjson.Read(r.Body, web.BodyLimit, &body); {
	case errors.Is(err, strictjson.ErrTooLarge):
		return p, malformed(http.StatusRequestEntityTooLarge, "body_too_large", "the body is larger than 64 KiB")
	case err != nil:
		return p, malformed(http.StatusBadRequest, "malformed_body", `the body must be one JSON object such as {"target":"m2"}, without repeated members`)
	case nearlyNamed(body.Others, "target", "scope"):
		return p, malformed(http.StatusBadRequest, "malformed_body", "the members of the body are target and scope, in lower case")
	case body.Target == "":
		return p, malformed(http.StatusBadRequest, "no_target", `the body must name the service to call: {"target":"m2"}`)
	}
	scopes, err := directory.ParseScopes(body.Scope)
	if err != nil {
		return p, malformed(http.StatusBadRequest, "malformed_scope", err.Error())
	}
	p.Targets, p.Scopes = []string{body.Target}, scopes
	return p, nil
}

// nearlyNamed says whether a member has one of names in another case. What is unknown is
// ignored, but what some readers would take for a known member is refused.
func nearlyNamed(members map[string]any, names ...string) bool {
	for member := range members {
		for _, name := range names {
			if strings.EqualFold(member, name) {
				return true
			}
		}
	}
	return false
}

// certificates are those to which a token may be bound here: they prove nothing at this door.
func certificates(r *http.Request, front clientauth.Front, from netip.Addr) ([]*x509.Certificate, *problem) {
	all, err := front.Certificates(r.TLS, r.Header, from)
	if err != nil {
		return nil, malformed(http.StatusBadRequest, "malformed_certificate_header", err.Error())
	}
	return all, nil
}

// credential reads the Authorization header (RFC 6750, section 2.1).
func credential(h http.Header) (clientauth.Presented, *problem) {
	switch values := h["Authorization"]; len(values) {
	case 0:
		return clientauth.Presented{}, &problem{kind: issuer.Unauthenticated, reason: "no_credential"}
	case 1:
		scheme, token, _ := strings.Cut(values[0], " ")
		token = strings.Trim(token, " ")
		switch {
		// RFC 9110, section 11.1: the scheme is case-insensitive.
		case !strings.EqualFold(scheme, "Bearer"):
			return clientauth.Presented{}, &problem{kind: issuer.Unauthenticated, reason: "not_bearer"}
		case token == "" || strings.ContainsAny(token, " \t,"):
			return clientauth.Presented{}, &problem{kind: issuer.InvalidToken, reason: "malformed"}
		}
		return clientauth.Presented{Bearer: token}, nil
	default:
		return clientauth.Presented{}, malformed(http.StatusBadRequest, "two_credentials", "send exactly one Authorization header")
	}
}

func mediaType(h http.Header) *problem {
	unsupported := malformed(http.StatusUnsupportedMediaType, "unsupported_media_type", "send the body as Content-Type: application/json, in UTF-8 and not compressed")
	if e := h.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") || len(h["Content-Encoding"]) > 1 || len(h["Content-Type"]) > 1 {
		return unsupported
	}
	v := h.Get("Content-Type")
	if v == "" || v == "application/json" {
		return nil
	}
	t, params, err := mime.ParseMediaType(v)
	if charset := params["charset"]; err != nil || t != "application/json" || charset != "" && !strings.EqualFold(charset, "utf-8") {
		return unsupported
	}
	return nil
}

const realm = `Bearer realm="watchword"`

// answer turns what the issuer said of a request into what the caller may know. bad is what
// the door itself found wrong, if anything.
func answer(err error, bad *problem, nonce func() string) error {
	var refusal *issuer.Refusal
	if !errors.As(err, &refusal) {
		if errors.Is(err, issuer.ErrUnavailable) {
			return web.Unavailable("the server cannot decide now", err)
		}
		return err
	}
	e := &web.Error{Status: http.StatusUnauthorized, Header: http.Header{}, Cause: refusal}
	switch refusal.Kind {
	case issuer.Malformed:
		e.Status, e.Code, e.Description = http.StatusBadRequest, "invalid_request", refusal.Text
		if bad != nil {
			e.Status, e.Description = bad.status, bad.text
		}
	case issuer.InvalidScope: // of a rule whose scopes do not fit into a token
		e.Status, e.Code, e.Description = http.StatusBadRequest, "invalid_scope", refusal.Text
	case issuer.InvalidProof:
		e.Status, e.Code, e.Description = http.StatusBadRequest, "invalid_dpop_proof", refusal.Text
	case issuer.NonceNeeded: // RFC 9449, section 8
		e.Status, e.Code, e.Description = http.StatusBadRequest, "use_dpop_nonce", refusal.Text
		e.Header.Set(dpop.NonceHeader, nonce())
	case issuer.Throttled:
		e.Status, e.Code, e.Description = http.StatusTooManyRequests, "temporarily_unavailable", "too many failures; try again later"
		e.Header.Set("Retry-After", strconv.Itoa(max(1, int(refusal.RetryAfter/time.Second))))
	case issuer.Unauthenticated:
		// RFC 6750, section 3.1: no error code where no credential was sent.
		e.Header.Set("WWW-Authenticate", realm)
		e.Code, e.Description = "unauthorized", "send the service's bootstrap credential as Authorization: Bearer"
	case issuer.InvalidToken:
		e.Header.Set("WWW-Authenticate", realm+`, error="invalid_token", error_description="the credential is not valid here"`)
		e.Code, e.Description = "invalid_token", "the credential is not valid here: it is malformed, expired, revoked or for somebody else; ask an operator for a new one"
	case issuer.Denied:
		// One answer, to the byte, whether the target exists or not: nobody learns names here.
		e.Header.Set("WWW-Authenticate", realm)
		e.Code, e.Description = "access_denied", "no rule allows this call; ask an operator, with the id in the "+web.DecisionHeader+" header"
	}
	return e
}
