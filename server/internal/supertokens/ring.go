package supertokens

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/watchword-dev/watchword/server/internal/directory"
)

const (
	// overlap is how long before its turn a dynamic key is made and published, so that
	// verifiers have it when it signs.
	overlap = time.Minute
	// A dynamic key stays published for the update interval and twice the lifetime of the core's
	// own access tokens (access_token_validity, 3600 s) after it was made.
	retention = 2 * time.Hour
	// lookAgain is how long a replica goes without asking the store for keys that another one
	// made. Far below overlap.
	lookAgain = 5 * time.Second
	// storeTimeout bounds one reading of the store, the making of keys included; with keys at
	// hand that may sign, a request waits no longer than refreshTimeout for newer ones.
	storeTimeout   = 10 * time.Second
	refreshTimeout = 2 * time.Second
)

var errNoKey = errors.New("no key can sign now")

// expired reports whether a dynamic key made at createdAt is published no longer.
func expired(createdAt, now time.Time) bool {
	return createdAt.Before(now.Add(-updateInterval - retention))
}

// keySet is what a ring held when it was read. It is not changed.
type keySet struct {
	static  []*signingKey // oldest first; the first signs. More than one is never made.
	dynamic []*signingKey // newest first
	lookAt  time.Time     // when to ask the store again
}

// signer is the key that signs at now, or nil.
func (s *keySet) signer(static bool, now time.Time) *signingKey {
	if static {
		return first(s.static)
	}
	switch newest := first(s.dynamic); {
	case newest == nil || !signs(newest, now):
		return nil
	case len(s.dynamic) > 1 && newest.createdAt.Add(overlap).After(now) && signs(s.dynamic[1], now):
		return s.dynamic[1] // the newest is not known to all verifiers yet
	default:
		return newest
	}
}

func signs(k *signingKey, now time.Time) bool {
	return now.Before(k.createdAt.Add(updateInterval))
}

// complete reports whether every request can be answered from s.
func (s *keySet) complete(now time.Time) bool {
	return s != nil && s.signer(true, now) != nil && s.signer(false, now) != nil
}

// published lists the keys in the order of the JWKS.
func (s *keySet) published(now time.Time) []*signingKey {
	var keys []*signingKey
	for _, k := range s.dynamic {
		if !expired(k.createdAt, now) {
			keys = append(keys, k)
		}
	}
	return append(keys, s.static...)
}

// renewAt is when the next dynamic key is made.
func (s *keySet) renewAt() time.Time {
	if newest := first(s.dynamic); newest != nil {
		return newest.createdAt.Add(updateInterval - overlap)
	}
	return time.Time{}
}

func first(keys []*signingKey) *signingKey {
	if len(keys) == 0 {
		return nil
	}
	return keys[0]
}

// ring is the keys of one app, read through from the store.
type ring struct {
	owner *Interface
	app   string
	lock  chan struct{} // held while the store is read
	state atomic.Pointer[keySet]
}

func newRing(d *Interface, app string) *ring {
	return &ring{owner: d, app: app, lock: make(chan struct{}, 1)}
}

// keys returns the keys to answer a request from. While the store is away those at hand are
// used as long as they may sign: keys of this interface are never revoked, so an old set is not
// a wrong one.
func (r *ring) keys(ctx context.Context) (*keySet, error) {
	now := r.owner.now()
	s := r.state.Load()
	if s != nil && now.Before(s.lookAt) {
		return s, nil
	}
	complete := s.complete(now)
	if complete {
		select {
		case r.lock <- struct{}{}:
		default:
			return s, nil // somebody else is looking
		}
	} else {
		select {
		case r.lock <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	defer func() { <-r.lock }()
	if latest := r.state.Load(); latest != s {
		return latest, nil
	}
	timeout := storeTimeout
	if complete {
		timeout = refreshTimeout
	}
	// The work is not the client's alone: one that hangs up must not undo it for all.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	return r.refresh(ctx, s, now)
}

// refresh puts what the store has in the place of s. It is called with the lock held.
func (r *ring) refresh(ctx context.Context, s *keySet, now time.Time) (*keySet, error) {
	fresh, err := r.read(ctx, s, now)
	switch {
	case err != nil && s == nil:
		return nil, fmt.Errorf("keys of app %q: %w", r.app, err)
	case err != nil:
		r.owner.logger.Warn("cannot read the keys of the SuperTokens interface; going on with those at hand", "app", r.app, "error", err)
		fresh = &keySet{static: s.static, dynamic: s.dynamic, lookAt: now.Add(time.Second)}
	}
	r.state.Store(fresh)
	if s == nil || !slices.Equal(s.static, fresh.static) {
		r.owner.staticKeysChanged()
	}
	return fresh, nil
}

// read returns the keys as stored, after making those that are missing. What was opened
// before is not opened again.
func (r *ring) read(ctx context.Context, before *keySet, now time.Time) (*keySet, error) {
	stored, err := r.owner.store.SigningKeys(ctx, r.app)
	if err != nil {
		return nil, err
	}
	made, err := r.make(ctx, stored, now)
	if err != nil {
		return nil, err
	}
	if made {
		// Not what was just made: another replica may have been faster.
		if stored, err = r.owner.store.SigningKeys(ctx, r.app); err != nil {
			return nil, err
		}
	}
	return r.open(stored, before, now)
}

// make stores a static key when there is none, and a dynamic one when the newest is about
// to end. It reports whether anything may be new in the store.
func (r *ring) make(ctx context.Context, stored []SigningKey, now time.Time) (made bool, err error) {
	if !slices.ContainsFunc(stored, func(k SigningKey) bool { return k.Static }) {
		if err := r.insert(ctx, "s-"+uuid.NewString(), true, now, time.Time{}); err != nil {
			return false, err
		}
		made = true
	}
	young := now.Add(overlap - updateInterval)
	if !slices.ContainsFunc(stored, func(k SigningKey) bool { return !k.Static && !k.CreatedAt.Before(young) }) {
		if err := r.insert(ctx, "d-"+strconv.FormatInt(now.UnixMilli(), 10), false, now, young); err != nil {
			return false, err
		}
		made = true
	}
	return made, nil
}

func (r *ring) insert(ctx context.Context, id string, static bool, now, unless time.Time) error {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return fmt.Errorf("create an RSA key: %w", err)
	}
	plain, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return fmt.Errorf("encode key %s: %w", id, err)
	}
	sealed, err := r.owner.sealer.Seal(sealID(r.app, id), plain)
	if err != nil {
		return fmt.Errorf("seal key %s: %w", id, err)
	}
	now = time.UnixMilli(now.UnixMilli())
	_, err = r.owner.store.InsertSigningKey(ctx,
		SigningKey{ID: id, App: r.app, Static: static, Sealed: sealed, CreatedAt: now}, unless,
		directory.Change{
			At: now, Actor: "system", Action: "supertokens.key.create", Subject: "supertokens/" + r.app,
			Detail: map[string]string{"app": r.app, "kid": id},
		})
	if err != nil {
		return fmt.Errorf("store key %s: %w", id, err)
	}
	return nil
}

func (r *ring) open(stored []SigningKey, before *keySet, now time.Time) (*keySet, error) {
	opened := map[string]*signingKey{}
	if before != nil {
		for _, k := range append(slices.Clone(before.static), before.dynamic...) {
			opened[k.id] = k
		}
	}
	s := &keySet{}
	for _, k := range stored {
		if !k.Static && expired(k.CreatedAt, now) {
			continue
		}
		key, ok := opened[k.ID]
		if !ok {
			plain, err := r.owner.sealer.Open(sealID(r.app, k.ID), k.Sealed)
			if err != nil {
				return nil, fmt.Errorf("open key %s: %w", k.ID, err)
			}
			if key, err = newSigningKey(k, plain); err != nil {
				return nil, err
			}
		}
		if k.Static {
			s.static = append(s.static, key)
		} else {
			s.dynamic = append(s.dynamic, key)
		}
	}
	byAge := func(a, b *signingKey) int {
		return cmp.Or(a.createdAt.Compare(b.createdAt), cmp.Compare(a.id, b.id))
	}
	slices.SortFunc(s.static, byAge)
	slices.SortFunc(s.dynamic, byAge)
	slices.Reverse(s.dynamic)
	s.lookAt = now.Add(lookAgain)
	// The first moment at which make makes another dynamic key.
	if renew := s.renewAt().Add(time.Millisecond); renew.After(now) && renew.Before(s.lookAt) {
		s.lookAt = renew
	}
	return s, nil
}
