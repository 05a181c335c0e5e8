// Package admin is the operator's JSON API, the only one: services, credentials, rules,
// signing keys, changes. The command line uses it too. It checks who asks and what they may send. The directory and
// the key ring check what a change means and whether it is allowed.
package admin

import (
	"context"
	"net/http"
	"net/netip"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/internal/netaddr"
	"github.com/watchword-dev/watchword/server/internal/audit"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/issuer"
	"github.com/watchword-dev/watchword/server/internal/keys"
	"github.com/watchword-dev/watchword/server/internal/policy"
	"github.com/watchword-dev/watchword/server/internal/throttle"
	"github.com/watchword-dev/watchword/server/internal/web"
)

// Lists is what the API reads from the store. Lists are in the order of what after is one
// of, begin behind it, and have at most limit rows; a zero UID filters nothing.
type Lists interface {
	ListServices(ctx context.Context, after string, limit int) ([]directory.Service, error)
	ListCredentials(ctx context.Context, f directory.CredentialFilter, after string, limit int) ([]directory.Credential, error)
	ListRules(ctx context.Context, caller, target directory.UID, after policy.Edge, limit int) ([]directory.Rule, error)
	ChangesAfter(ctx context.Context, revision int64, limit int) ([]directory.Change, error)

	ReadService(ctx context.Context, uid directory.UID) (directory.Service, error)
	ReadCredential(ctx context.Context, id string) (directory.Credential, error)
	ReadRule(ctx context.Context, e policy.Edge) (directory.Rule, error)

	// Load reads all there is, at one revision.
	Load(ctx context.Context) (*directory.State, error)
	ListApplied(ctx context.Context, before int64, limit int) ([]directory.Applied, error)
	ReadApplied(ctx context.Context, revision int64) (directory.Applied, error)
	Shadow(ctx context.Context) ([]directory.ShadowRule, error)

	ListRevocations(ctx context.Context, after string, limit int) ([]directory.Revocation, error)
	ReadRevocation(ctx context.Context, id string) (directory.Revocation, error)

	// TrustUses counts the credentials of each trust that have not ended at a moment, and those neither used nor made
	// since another.
	TrustUses(ctx context.Context, at, since time.Time) (map[string]directory.TrustUses, error)

	ListProbes(ctx context.Context, after directory.UID, limit int) ([]directory.Probe, error)
}

// Keys is the key ring.
type Keys interface {
	List() []keys.Record
	Rotate(ctx context.Context, by directory.Author, use keys.Use, alg jose.Algorithm, now bool) (keys.Record, error)
	Revoke(ctx context.Context, by directory.Author, kid string) (keys.Record, error)
	Reseal(ctx context.Context, by directory.Author) (int, error)
}

// Issuer makes credentials and their secrets, and knows its tokens.
type Issuer interface {
	Credential(ctx context.Context, by directory.Author, service string, n directory.NewCredential) (c directory.Credential, secret string, err error)
	RotateCredential(ctx context.Context, by directory.Author, id string, overlap time.Duration) (fresh, old directory.Credential, secret string, err error)
	Identify(token string) (jti string, expiry time.Time, status, why string)
	Rehearse(r issuer.Rehearsal) issuer.Rehearsed
	On(s *directory.Snapshot) *issuer.Rehearser
}

// Audit is the audit log.
type Audit interface {
	Append(ctx context.Context, e audit.Event) error
	Healthy() error
	Find(ctx context.Context, id string, limit int64) (*audit.Record, error)
	End() audit.Position
}

// Options of New. All above the blank line are required.
type Options struct {
	Directory *directory.Directory
	Lists     Lists
	Usage     Usage
	Keys      Keys
	Issuer    Issuer
	Audit     Audit
	Probes    Probes
	Repeats   Repeats
	Trusts    Trusts
	// LargePatience is how long a request that reads or computes much waits for its turn. Zero: the constant.
	LargePatience time.Duration
	// Stack, which answers errors with WriteProblem.
	Stack *web.Stack
	// Token reports, in constant time, whether a token is the operator's.
	Token func(token string) bool
	// TrustToken does so for the trust operator's, who then is the only one to change trusts and the credentials that
	// name them. Nil: there is none, and the operator may.
	TrustToken func(token string) bool
	Info       func() api.Info

	// Hosts are the names by which the listener may be called.
	Hosts netaddr.Hosts
	// PageKey authenticates page tokens, and is the same for all replicas: a list may be continued on another one.
	// Zero: random, so that they end with the process.
	PageKey []byte
	// AnswerKey is part of the keys that encrypt answers which may be asked for again, and is the same for all replicas.
	// Zero: random, as PageKey.
	AnswerKey []byte
	// MaxActors is that of the issuer. Zero: 5.
	MaxActors int
	// Algorithm signs tokens for targets that have none of their own. Empty: ES256.
	Algorithm string
	// MaxTokenTTL is the longest life of a token.
	MaxTokenTTL time.Duration
	// FlushUsage writes down what was counted so far. Nil: it is found when it was.
	FlushUsage func(ctx context.Context)
	Now        func() time.Time
}

// handlers is the state of the handlers: what New was given, and what it made of it.
type handlers struct {
	Options
	huma    huma.API
	mux     *http.ServeMux
	known   *http.ServeMux // the operations alone: it knows which methods a path has
	others  http.Handler   // what is for no operation
	guesses *throttle.Counter[netip.Prefix]
	running running
	turns   chan struct{} // of requests that read or compute much
	pages   pager
	openAPI []byte
	// openAPITag names it.
	openAPITag string
}

// New makes the handler of everything under /admin/v1 and of /openapi.json. Whatever else it
// is asked is not found.
func New(o Options) http.Handler {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MaxActors == 0 {
		o.MaxActors = 5
	}
	if o.Algorithm == "" {
		o.Algorithm = string(jose.ES256)
	}
	if len(o.PageKey) == 0 {
		o.PageKey = randomKey()
	}
	if len(o.AnswerKey) == 0 {
		o.AnswerKey = randomKey()
	}
	if o.LargePatience == 0 {
		o.LargePatience = LargePatience
	}
	a := &handlers{
		turns:   make(chan struct{}, MaxLargeAtOnce),
		Options: o,
		mux:     http.NewServeMux(),
		known:   http.NewServeMux(),
		guesses: throttle.New[netip.Prefix](GuessBurst, GuessRefill, MaxGuessers),
		pages:   pager{o.PageKey},
		running: running{ids: map[string]bool{}},
	}
	a.others = a.handler("/", a.other)
	a.mux.Handle("/", a.others)
	a.mux.Handle(openAPIPath, a.handler(openAPIPath, a.serveOpenAPI))
	a.huma = newHuma(a)
	a.services()
	a.trusts()
	a.credentials()
	a.rules()
	a.keys()
	a.revocations()
	a.changes()
	a.callMap()
	a.decisions()
	a.probes()
	a.questions()
	a.usageQuestions()
	fillSchemas(a.huma.OpenAPI().Components.Schemas)
	a.openAPI = describe(a.huma.OpenAPI())
	a.openAPITag = web.ETag(a.openAPI)
	return a
}

// author is who makes the changes of the request ctx belongs to.
func author(ctx context.Context) directory.Author {
	req := requestOf(ctx)
	return directory.Author{Actor: req.actor, RequestID: req.id, Once: req.once}
}

// found resolves a service by name and reads with it from the store. A name this replica
// does not know, or knows for a service that is gone, is looked for once more after
// catching up: another replica may have just made it.
func found[T any](ctx context.Context, a *handlers, name string, read func(*directory.Service) (T, error)) (T, error) {
	var none T
	if _, err := directory.ParseName(name); err != nil { // not worth asking the store
		return none, errNoService
	}
	for fresh := false; ; fresh = true {
		if s, ok := a.Directory.Snapshot().Service(name); ok {
			v, err := read(s)
			if fresh || !isNotFound(err) {
				return v, err
			}
		} else if fresh {
			return none, errNoService
		}
		if err := a.Directory.CatchUp(ctx); err != nil {
			return none, err
		}
	}
}

// resolve is the identity of the service of that name.
func (a *handlers) resolve(ctx context.Context, name string) (directory.UID, error) {
	return found(ctx, a, name, func(s *directory.Service) (directory.UID, error) { return s.UID, nil })
}

// named renders rows that name services by identity: those of services deleted meanwhile
// are left out.
func named[Row, View any](ctx context.Context, a *handlers, rows []Row, view func(*directory.Snapshot, Row) (View, bool)) ([]View, error) {
	views := make([]View, 0, len(rows))
	snapshot := a.Directory.Snapshot()
	caughtUp := false
	for _, row := range rows {
		v, ok := view(snapshot, row)
		if !ok && !caughtUp {
			caughtUp = true
			if err := a.Directory.CatchUp(ctx); err != nil {
				return nil, err
			}
			snapshot = a.Directory.Snapshot()
			v, ok = view(snapshot, row)
		}
		if ok {
			views = append(views, v)
		}
	}
	return views, nil
}
