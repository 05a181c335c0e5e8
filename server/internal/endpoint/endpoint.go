// Package endpoint is what services and their verifiers call: POST /accesstoken, the OAuth 2 endpoints, and
// the documents that say what there is and how tokens are checked. Each reads a request strictly and writes the
// answer; it is package issuer that decides. It knows how a client proves itself, and not which one it is.
package endpoint

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/server/internal/clientauth"
	"github.com/watchword-dev/watchword/server/internal/issuer"
	"github.com/watchword-dev/watchword/server/internal/web"
)

// Issuer decides. It records each decision before it returns, and the ids name them in the audit log.
type Issuer interface {
	AccessToken(ctx context.Context, p *issuer.Proposal) (t issuer.Token, decisionID string, err error)
	Authenticate(ctx context.Context, r issuer.Request, p clientauth.Presented) (id clientauth.Identity, decisionID string, err error)
	Introspect(by clientauth.Identity, token string) *issuer.Inspected
	SignIntrospection(by clientauth.Identity, answer []byte) (string, error)
	Revoke(ctx context.Context, r issuer.Request, by clientauth.Identity, token string) (decisionID string, err error)
	Refuse(ctx context.Context, r issuer.Request, kind issuer.RefusalKind, reason string) (decisionID string, err error)
	Fail(ctx context.Context, r issuer.Request, cause error) (decisionID string, err error)
}

// Keys are the keys with which tokens are checked.
type Keys interface {
	// JWKS is the key set with its entity tag, empty while there is none, and how long it may be kept.
	JWKS() (body []byte, etag string, maxAge time.Duration)
}

// Options of Table.
type Options struct {
	// Issuer is the URL by which clients know the server. Nothing of a request changes it.
	Issuer string
	// Front says whose word counts about the certificates of clients.
	Front clientauth.Front
	// Nonce is what clients may put into their next proof of a key (RFC 9449, section 8). Nil: there are none.
	Nonce func() string
	// NonceNeeded says that they must: they get the next one with each token.
	NonceNeeded bool
	// Facts are what the metadata says besides.
	Facts Facts
}

// Endpoint is a path and what answers there.
type Endpoint struct {
	Path    string
	Methods []string
	Handler web.HandlerFunc
	// Member of the metadata that names the endpoint (RFC 8414, section 2). Empty: none does.
	Member string
	// WellKnown is a path to which that of the issuer is also appended (RFC 8414, section 3.1).
	WellKnown bool
}

// The paths that others name, too.
const (
	AccessTokenPath = "/accesstoken"
	TokenPath       = "/oauth2/token"
	JWKSPath        = "/.well-known/jwks.json"
)

var (
	post = []string{http.MethodPost}
	get  = []string{http.MethodGet, http.MethodHead}
)

// Table is the endpoints there are.
func Table(i Issuer, k Keys, o Options) []Endpoint {
	e := &endpoints{i, k, o}
	all := []Endpoint{
		{Path: AccessTokenPath, Methods: post, Handler: e.decided(issuer.AccessTokenEndpoint, e.accessToken)},
		{Path: TokenPath, Methods: post, Handler: e.oauth(issuer.TokenEndpoint, e.token), Member: "token_endpoint"},
		{Path: "/oauth2/introspect", Methods: post, Handler: e.oauth(issuer.IntrospectEndpoint, e.introspect), Member: "introspection_endpoint"},
		{Path: "/oauth2/revoke", Methods: post, Handler: e.oauth(issuer.RevokeEndpoint, e.revoke), Member: "revocation_endpoint"},
		{Path: JWKSPath, Methods: get, Handler: e.jwks, Member: "jwks_uri"},
		{Path: "/auth/jwt/jwks.json", Methods: get, Handler: e.jwks}, // where the public demo has it
	}
	metadata := e.metadata(all)
	return append(all,
		Endpoint{Path: "/.well-known/oauth-authorization-server", Methods: get, Handler: metadata, WellKnown: true},
		Endpoint{Path: "/.well-known/openid-configuration", Methods: get, Handler: metadata, WellKnown: true},
	)
}

// Serve answers a request if the endpoint has its method.
func (e Endpoint) Serve(w http.ResponseWriter, r *http.Request) error {
	if !slices.Contains(e.Methods, r.Method) {
		return web.Method(strings.Join(e.Methods, ", "))
	}
	return e.Handler(w, r)
}

// Paths at which the endpoint answers when the issuer has the path base. All answers below base too, for there
// are proxies that take it away and such that leave it.
func (e Endpoint) Paths(base string) []string {
	switch {
	case base == "":
		return []string{e.Path}
	case e.WellKnown:
		return []string{e.Path, base + e.Path, e.Path + base}
	}
	return []string{e.Path, base + e.Path}
}

// BasePath is the path of an issuer's URL, as a base of paths: empty for none.
func BasePath(issuer string) string {
	u, err := url.Parse(issuer)
	if err != nil {
		return ""
	}
	return u.Path
}

// endpoints is what the handlers share.
type endpoints struct {
	issuer Issuer
	keys   Keys
	o      Options
}

// request is one request on its way.
type request struct {
	w    http.ResponseWriter
	r    *http.Request
	from issuer.Request
	form form // of the OAuth endpoints
}

// decision names in the answer the decision that the audit log has.
func (q *request) decision(id string) {
	if id != "" {
		q.w.Header()[web.DecisionHeader] = []string{id}
	}
}

// decided makes the handler of an endpoint at which the issuer decides. What serve found wrong itself is
// recorded like a refusal, and so is a panic.
func (e *endpoints) decided(at issuer.Endpoint, serve func(*request) error) web.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		q := &request{w: w, r: r, from: issuer.Request{Endpoint: at, RequestID: web.RequestID(w), Address: web.Address(r)}}
		defer func() {
			if p := recover(); p != nil {
				_, _ = e.issuer.Fail(r.Context(), q.from, errors.New("panic"))
				panic(p) // the stack's to answer
			}
		}()
		err := serve(q)
		bad, ok := errors.AsType[*problem](err)
		if ok && web.TurnedAway(r) {
			return web.Overloaded // its body did not come, so nothing was decided
		}
		if ok {
			var id string
			id, err = e.issuer.Refuse(r.Context(), q.from, bad.kind, bad.reason)
			q.decision(id)
		}
		if err != nil {
			return e.answer(q, err, bad)
		}
		return nil
	}
}

// oauth makes the handler of an endpoint that takes a form and answers errors as RFC 6749 has them.
func (e *endpoints) oauth(at issuer.Endpoint, serve func(*request) error) web.HandlerFunc {
	return e.decided(at, func(q *request) error {
		q.w.Header()["Pragma"] = noCache // RFC 6749, section 5.1
		bad := queryFault(q.r.URL)
		if bad != nil {
			return bad
		}
		if q.form, bad = readForm(q.r); bad != nil {
			return bad
		}
		return serve(q)
	})
}

var noCache = []string{"no-cache"}
