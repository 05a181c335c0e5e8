// Package oauth has the doors of OAuth 2 for machines: token, introspection, revocation and
// metadata. It reads a request strictly, has the issuer decide, and writes the answer; it decides
// nothing and signs nothing.
package oauth

import (
	"context"
	"errors"
	"net/http"

	"github.com/watchword-dev/watchword/server/internal/clientauth"
	"github.com/watchword-dev/watchword/server/internal/issuer"
	"github.com/watchword-dev/watchword/server/internal/web"
)

// Paths of the doors, below the issuer's own.
const (
	TokenPath      = "/oauth2/token"
	IntrospectPath = "/oauth2/introspect"
	RevokePath     = "/oauth2/revoke"
)

// Issuer decides.
type Issuer interface {
	AccessToken(ctx context.Context, p *issuer.Proposal) (t issuer.Token, decisionID string, err error)
	Authenticate(ctx context.Context, r issuer.Request, p clientauth.Presented) (id clientauth.Identity, decisionID string, err error)
	Introspect(by clientauth.Identity, token string) *issuer.Inspected
	SignIntrospection(by clientauth.Identity, answer []byte) (string, error)
	Revoke(ctx context.Context, r issuer.Request, by clientauth.Identity, token string) (decisionID string, err error)
	Refuse(ctx context.Context, r issuer.Request, kind issuer.RefusalKind, reason string) (decisionID string, err error)
	Fail(ctx context.Context, r issuer.Request, cause error) (decisionID string, err error)
}

// Options of the doors.
type Options struct {
	// Issuer is the URL by which clients know the server. Nothing of a request changes it.
	Issuer string
	// Front says whose word counts about the certificates of clients.
	Front clientauth.Front
	// Nonce is what clients may put into their next proof of a key (RFC 9449, section 8). Nil: there are none.
	Nonce func() string
	// NonceNeeded says that they must: they get the next one with each token.
	NonceNeeded bool
}

// Doors are the handlers.
type Doors struct {
	issuer Issuer
	o      Options
}

// New makes the doors.
func New(i Issuer, o Options) *Doors { return &Doors{i, o} }

// request is one at a door.
type request struct {
	w    http.ResponseWriter
	r    *http.Request
	from issuer.Request
	form form
}

// door is what all POSTs have in common: the method, the form, what may not be stored, and that a
// request no proposal can be made of, and a panic, are recorded.
func (d *Doors) door(name issuer.Endpoint, serve func(*request) error) web.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		if r.Method != http.MethodPost {
			return web.Method(http.MethodPost)
		}
		w.Header()["Pragma"] = noCache // RFC 6749, section 5.1
		q := &request{w: w, r: r, from: issuer.Request{Endpoint: name, RequestID: web.RequestID(w), Address: web.Address(r)}}
		defer func() {
			if p := recover(); p != nil {
				_, _ = d.issuer.Fail(r.Context(), q.from, errors.New("panic"))
				panic(p) // web's to answer
			}
		}()
		var bad *problem
		if q.form, bad = readForm(r); bad != nil {
			return d.refuse(q, bad)
		}
		return serve(q)
	}
}

var noCache = []string{"no-cache"}

// refuse records and answers a request that the door itself refuses.
func (d *Doors) refuse(q *request, bad *problem) error {
	id, err := d.issuer.Refuse(q.r.Context(), q.from, bad.kind, bad.reason)
	return d.answer(q, id, err, bad)
}
