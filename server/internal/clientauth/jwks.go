package clientauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/internal/netaddr"
	"github.com/watchword-dev/watchword/server/internal/outbound"
)

const (
	keySetTimeout = 2 * time.Second
	KeySetLimit   = 64 << 10 // bytes
	// keySetFresh is how long a key goes on being good here after the service withdrew it.
	keySetFresh = 5 * time.Minute
	// keySetRefetch: an unknown key, and a failure, have the keys fetched anew, but no more often.
	keySetRefetch = 30 * time.Second
	// KeySetRetry is the same where there are no keys at all yet.
	KeySetRetry = 5 * time.Second
	// keySetStale is how long old keys are used while new ones cannot be had: a night. A key that was
	// stolen is not waited for, its credential is revoked.
	keySetStale = 24 * time.Hour
)

// CheckKeySetURL reports whether keys may be fetched from a jwks_uri: over TLS, or from this machine.
// Where the name leads is checked with each connection.
func CheckKeySetURL(s string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Hostname() == "" || u.Opaque != "" || len(s) > 2048:
		return errors.New("must be an absolute URL of at most 2048 characters")
	case u.User != nil || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '#' }):
		return errors.New("must have no user name, password, blank or fragment")
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && netaddr.IsLoopback(u.Hostname()):
		return nil
	}
	return errors.New("must begin with https://, or with http:// and a loopback address")
}

// keySets are the keys that services publish. Only addresses in the directory are asked, never one
// that an assertion names.
type keySets struct {
	client *http.Client
	cache  recent[string, *keySet]
	flight singleflight.Group

	mu      sync.Mutex
	waiting map[string]int // requests that wait, by address
	all     int            // the sum of them
}

// keySet is what is known of one address.
type keySet struct {
	keys    []jose.PublicKey
	fetched time.Time // when keys is from; zero: never
	tried   time.Time // when it was last asked
	err     error     // what came of that
}

func newKeySets(networks []netip.Prefix) *keySets {
	policy := outbound.Policy{Networks: networks, Setting: "oauth.jwks_networks"}
	return &keySets{client: policy.Client(keySetTimeout), waiting: map[string]int{}}
}

// At most so many requests wait for the keys of one address, and of all: the rest is refused at once. Anybody can send
// an assertion in the name of a service whose keys are slow to come, and each that waits is a request that is
// worked on.
const (
	MaxWaitingForOne = 64
	MaxWaitingForAll = 256
)

var errCrowded = errors.New("as many requests as may are waiting for the keys already")

// wait notes that one more request waits for the keys of address, if it may.
func (k *keySets) wait(address string) (end func(), ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.waiting[address] >= MaxWaitingForOne || k.all >= MaxWaitingForAll {
		return nil, false
	}
	k.waiting[address]++
	k.all++
	return func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.all--
		if k.waiting[address]--; k.waiting[address] == 0 {
			delete(k.waiting, address)
		}
	}, true
}

// WaitingForKeys is how many requests wait for keys that services publish.
func (a *Authenticator) WaitingForKeys() (n int) {
	for _, m := range a.methods {
		if m, ok := m.(*privateKey); ok {
			m.sets.mu.Lock()
			n += m.sets.all
			m.sets.mu.Unlock()
		}
	}
	return n
}

// signed reports whether a key published at address signed what find is about. An error says that
// there are no keys to try.
func (k *keySets) signed(ctx context.Context, address string, find *search, now time.Time) (bool, error) {
	set, err := k.at(ctx, address, now, false)
	if err != nil {
		return false, err
	}
	if set.signed(find) {
		return true, nil
	}
	// Perhaps it is new.
	if newer, err := k.at(ctx, address, now, true); err == nil && !newer.fetched.Equal(set.fetched) {
		return newer.signed(find), nil
	}
	return false, nil
}

func (s *keySet) signed(find *search) bool {
	for i := range s.keys {
		if find.signedBy(&s.keys[i]) {
			return true
		}
	}
	return false
}

// at returns the keys at address, as they are or were lately; anew: as they are now, if it was not
// asked lately. However many ask, one fetches.
func (k *keySets) at(ctx context.Context, address string, now time.Time, anew bool) (*keySet, error) {
	if set, ok := k.cache.find(address); ok && set.serves(now, anew) {
		return set.checked(now)
	}
	end, ok := k.wait(address)
	if !ok {
		if old, known := k.cache.find(address); known {
			return old.checked(now)
		}
		return nil, errCrowded
	}
	defer end()
	// What is fetched is for all who wait, so it does not end with the first of them.
	detached := context.WithoutCancel(ctx)
	fetched := k.flight.DoChan(address, func() (any, error) {
		old, ok := k.cache.find(address)
		if ok && old.serves(now, anew) {
			return old, nil
		}
		set := &keySet{tried: now}
		if set.keys, set.err = k.fetch(detached, address); set.err == nil {
			set.fetched = now
		} else if ok {
			set.keys, set.fetched = old.keys, old.fetched
		}
		k.cache.add(address, set)
		return set, nil
	})
	select {
	case r := <-fetched:
		return r.Val.(*keySet).checked(now)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// serves reports whether s answers a question, so that nothing is fetched.
func (s *keySet) serves(now time.Time, anew bool) bool {
	asked := now.Sub(s.tried)
	switch {
	case s.fetched.IsZero():
		return asked < KeySetRetry
	case !anew && now.Sub(s.fetched) < keySetFresh:
		return true
	default:
		return asked < keySetRefetch
	}
}

func (s *keySet) checked(now time.Time) (*keySet, error) {
	if s.fetched.IsZero() || s.err != nil && now.Sub(s.fetched) > keySetStale {
		return nil, s.err
	}
	return s, nil
}

func (k *keySets) fetch(ctx context.Context, address string) ([]jose.PublicKey, error) {
	if err := CheckKeySetURL(address); err != nil {
		return nil, fmt.Errorf("jwks_uri %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("fetch keys: %w", err)
	}
	r.Header.Set("Accept", "application/jwk-set+json, application/json")
	resp, err := k.client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("fetch keys: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetch keys from %s: answered %s; redirects are not followed", address, resp.Status)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, KeySetLimit+1))
	if err != nil {
		return nil, fmt.Errorf("fetch keys from %s: %w", address, err)
	}
	if len(b) > KeySetLimit {
		return nil, fmt.Errorf("fetch keys from %s: longer than %d bytes", address, KeySetLimit)
	}
	keys, err := jose.ParseClientKeys(b)
	if err != nil {
		return nil, fmt.Errorf("fetch keys from %s: %w", address, err)
	}
	return keys, nil
}
