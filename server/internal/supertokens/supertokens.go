// Package supertokens answers as the core of SuperTokens does, as far as its clients' JWT
// recipe goes: it signs what a holder of an API key asks it to sign, and publishes the keys
// that verify it. It has key rings of its own, one an app. It does not know services, rules
// or the call map, and nothing it signs passes for a token of the server, but for the
// credentials that BootstrapKeys is about.
//
// The behaviour follows the core's version 12.1 and its clients supertokens-node 16.7 and 24
// and supertokens-golang 0.25. On purpose it differs in four points: what the core
// answers with 500 because of what was sent is 400 here; JSON is read strictly, where the core
// takes repeated members, comments and numbers in quotes; an API key is mandatory; and a
// request is at most 64 KiB.
package supertokens

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/audit"
)

// Auditor records an event. It returns nil only when the record is on disk.
type Auditor interface {
	Append(ctx context.Context, e audit.Event) error
}

// Options of an Interface. The zero value works.
type Options struct {
	// Apps that exist, besides "public". Nil: "m2m-auth".
	Apps []string
	// BasePath is where the core's paths begin. Empty: at the root.
	BasePath string
	// Server is the issuer and audience of the tokens that BootstrapKeys is for.
	Server string
	Now    func() time.Time
	Logger *slog.Logger
}

const (
	publicApp = "public"
	// updateInterval is how long a dynamic key signs, as in the core's default of
	// access_token_dynamic_signing_key_update_interval.
	updateInterval = 168 * time.Hour
)

// ErrNoAPIKey: the interface is not opened to everybody. Nothing was stored.
var ErrNoAPIKey = errors.New("no API key is configured for the SuperTokens interface")

// Interface is an http.Handler for a listener of its own. New opens it; Load makes or reads its
// keys; Run keeps house.
type Interface struct {
	store   Store
	sealer  Sealer
	auditor Auditor
	keys    apiKeys
	rings   map[string]*ring
	base    []string
	server  string
	now     func() time.Time
	logger  *slog.Logger

	bootstrap   atomic.Pointer[jose.KeySet]
	bootstrapMu sync.Mutex
}

var appName = regexp.MustCompile(`^[a-z0-9-]+$`)

// New makes an Interface. It makes no key material: Load does, or the first request.
func New(store Store, sealer Sealer, auditor Auditor, keys []string, o Options) (*Interface, error) {
	d := &Interface{
		store: store, sealer: sealer, auditor: auditor,
		rings:  map[string]*ring{},
		base:   segments(o.BasePath),
		server: o.Server,
		now:    o.Now,
		logger: o.Logger,
	}
	if d.now == nil {
		d.now = time.Now
	}
	if d.logger == nil {
		d.logger = slog.New(slog.DiscardHandler)
	}
	if o.Apps == nil {
		o.Apps = []string{"m2m-auth"}
	}
	for _, app := range append([]string{publicApp}, o.Apps...) {
		if !appName.MatchString(app) {
			return nil, fmt.Errorf("app %q: a name has only a-z, 0-9 and '-'", app)
		}
		d.rings[app] = newRing(d, app)
	}
	var err error
	if d.keys, err = newAPIKeys(keys); err != nil {
		return nil, err
	}
	d.bootstrap.Store(jose.NewKeySet())
	return d, nil
}

// Handler is the interface itself, to be mounted at the root of its listener.
func (d *Interface) Handler() http.Handler { return http.HandlerFunc(d.serve) }

// Load reads the keys of all apps and makes those that are missing.
func (d *Interface) Load(ctx context.Context) error {
	for _, r := range d.rings {
		if _, err := r.keys(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Run deletes dynamic keys that are published no longer, at once and then daily, until ctx
// ends.
func (d *Interface) Run(ctx context.Context) error {
	tick := time.NewTicker(24 * time.Hour)
	defer tick.Stop()
	for {
		if err := d.prune(ctx); err != nil && ctx.Err() == nil {
			// Keys that stay longer than they must do no harm: they are not published.
			d.logger.Error("cannot delete old keys of the SuperTokens interface; trying again in a day", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (d *Interface) prune(ctx context.Context) error {
	now := d.now()
	for app := range d.rings {
		stored, err := d.store.SigningKeys(ctx, app)
		if err != nil {
			return fmt.Errorf("read keys of app %q: %w", app, err)
		}
		var old []string
		for _, k := range stored {
			if !k.Static && expired(k.CreatedAt, now) {
				old = append(old, k.ID)
			}
		}
		if len(old) == 0 {
			continue
		}
		if err := d.store.DeleteSigningKeys(ctx, old); err != nil {
			return fmt.Errorf("delete keys of app %q: %w", app, err)
		}
		d.logger.Info("old dynamic keys deleted", "app", app, "kids", old)
	}
	return nil
}

// BootstrapKeys are the static keys of all apps: they verify the long-lived credentials that
// an auth server had this interface sign, {"iss":"auth-server","sub":"m1","aud":"auth-server"}.
// It reads no store and never waits; before Load the set is empty.
//
// The set proves only that a holder of an API key had these bytes signed. Such holders choose
// every claim, exp and jti included, and the same keys sign the access tokens of their auth
// server, whose iss is "auth-server" too. Code that accepts a credential verified with this set must
// therefore check that
//
//   - the operator has the interface trusted for it,
//   - typ is "JWT" and alg RS256, as for no token of the server itself,
//   - iss and aud, both, are exactly the server's name, aud as a string,
//   - exp is there and ahead, and iat not: nothing is signed here for that issuer and audience with a later iat, and
//     a service that was made after iat is another one, and
//   - sub names a service that exists and is enabled. It is bound to the name, not to the uid: there
//     is no record of the credential to find by jti, and no way to revoke one alone.
//
// Dynamic keys are left out: they leave the key set days after they signed, credentials
// live for years.
func (d *Interface) BootstrapKeys() *jose.KeySet { return d.bootstrap.Load() }

// staticKeysChanged makes the set of BootstrapKeys anew.
func (d *Interface) staticKeysChanged() {
	d.bootstrapMu.Lock()
	defer d.bootstrapMu.Unlock()
	var keys []jose.PublicKey
	for _, r := range d.rings {
		s := r.state.Load()
		if s == nil {
			continue
		}
		for _, k := range s.static {
			keys = append(keys, jose.PublicKey{ID: k.id, Algorithm: jose.RS256, Key: k.private.Public()})
		}
	}
	slices.SortFunc(keys, func(a, b jose.PublicKey) int { return strings.Compare(a.ID, b.ID) })
	d.bootstrap.Store(jose.NewKeySet(keys...))
}
