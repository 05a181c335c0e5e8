package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
)

// How long a fetched key set is used. The authorization server publishes a key at least five
// minutes before it signs with it.
const (
	// minLifetime and maxLifetime bound what the server's Cache-Control asks for: the one
	// against a herd, the other for how long a revoked key may go on verifying.
	minLifetime     = time.Minute
	maxLifetime     = time.Hour
	defaultLifetime = 5 * time.Minute
	// staleFor is how long, past its lifetime, the last good key set is used while no newer
	// one can be had.
	staleFor = 24 * time.Hour

	// fetchEvery is the least time between two fetches while there are keys, so that tokens with
	// made-up key ids do not become requests to the server.
	fetchEvery = 30 * time.Second
	// firstRetry is the least time before the second fetch while there are no keys. It doubles
	// up to fetchEvery.
	firstRetry = time.Second
	// patience is how long a request waits for newer keys when those at hand would do.
	patience = time.Second
)

// keyState is a key set and what is known of its age. It is immutable.
type keyState struct {
	set *jose.KeySet
	// From refreshAt on it is renewed in the background, past expiresAt a request waits for
	// that if it may help, from deadAt on it is not used.
	refreshAt, expiresAt, deadAt time.Time
}

func newKeyState(set *jose.KeySet, fetched time.Time, lifetime time.Duration) *keyState {
	lifetime = min(max(lifetime, minLifetime), maxLifetime)
	early := time.Duration(float64(lifetime) * (0.6 + 0.2*rand.Float64())) // not all services at once
	return &keyState{set: set, refreshAt: fetched.Add(early), expiresAt: fetched.Add(lifetime), deadAt: fetched.Add(lifetime + staleFor)}
}

// keySource has the current key set. It fetches when asked and due: there is no loop to stop,
// and a service that gets no requests makes none.
//
// Its clock is time.Now, not the Config's: whatever the wall clock does, that one goes on
// evenly.
type keySource struct {
	fetch  func(context.Context) (fetched, error) // nil: the keys never change
	save   func(fetched) error
	logger *slog.Logger

	state atomic.Pointer[keyState]

	mu       sync.Mutex
	flight   chan struct{} // closed when the fetch that is going on has ended; nil when none is
	lastTry  time.Time
	failures int   // in a row
	lastErr  error // of the last fetch
}

// current returns the key set to use now.
func (s *keySource) current(ctx context.Context) (*jose.KeySet, error) {
	st := s.state.Load()
	if st != nil && (s.fetch == nil || time.Now().Before(st.refreshAt)) {
		return st.set, nil
	}
	return s.renewed(ctx, st)
}

func (s *keySource) renewed(ctx context.Context, st *keyState) (*jose.KeySet, error) {
	now := time.Now()
	flight, failing := s.refresh(now, fetchEvery)
	switch {
	case flight == nil: // too soon to try again
	case st == nil || !now.Before(st.deadAt):
		if err := wait(ctx, flight, fetchTimeout); err != nil {
			return nil, err
		}
	// The keys are older than the server wants, as when nobody called for hours, and one of
	// them may have been revoked. If it does not answer, they are what there is.
	case now.After(st.expiresAt) && !failing:
		if err := wait(ctx, flight, patience); err != nil {
			return nil, err
		}
	}
	if st = s.state.Load(); st == nil || !time.Now().Before(st.deadAt) {
		return nil, s.unavailable()
	}
	return st.set, nil
}

// newer returns a key set newer than known, if one can be had now, for a token whose key known
// does not have. every is the least time since the last fetch, if that is less than otherwise.
func (s *keySource) newer(ctx context.Context, known *jose.KeySet, every time.Duration) (*jose.KeySet, error) {
	if s.fetch == nil {
		return known, nil
	}
	if flight, _ := s.refresh(time.Now(), every); flight != nil {
		if err := wait(ctx, flight, fetchTimeout); err != nil {
			return nil, err
		}
	}
	return s.state.Load().set, nil
}

// refresh starts a fetch unless one is going on or the last began too short a time ago. The
// channel, nil in that case, is closed at its end.
func (s *keySource) refresh(now time.Time, every time.Duration) (flight <-chan struct{}, failing bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flight == nil && (s.lastTry.IsZero() || now.Sub(s.lastTry) >= min(s.pause(), every)) {
		s.lastTry, s.flight = now, make(chan struct{})
		go s.run(s.flight)
	}
	if s.flight == nil {
		return nil, s.failures > 0
	}
	return s.flight, s.failures > 0
}

func (s *keySource) pause() time.Duration {
	if s.state.Load() != nil || s.failures > 5 {
		return fetchEvery
	}
	return min(firstRetry<<max(s.failures-1, 0), fetchEvery)
}

// run fetches once. It is bounded by itself, not by the request that happened to start it:
// others wait for the same answer.
func (s *keySource) run(flight chan<- struct{}) {
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	got, err := s.fetch(ctx)
	if err == nil {
		s.use(got)
	}
	s.mu.Lock()
	s.flight, s.lastErr = nil, err
	if err != nil {
		s.failures++
	} else {
		s.failures = 0
	}
	s.mu.Unlock()
	if err != nil {
		s.logger.Warn("cannot fetch the key set; going on with the last one, if any", "error", err)
	}
	close(flight)
}

// use makes what was fetched the current key set. Keys that did not change stay the same
// set, and tokens verified with it stay known.
func (s *keySource) use(got fetched) {
	set := got.set
	if st := s.state.Load(); st != nil && bytes.Equal(st.set.JSON(), set.JSON()) {
		set = st.set
	}
	s.state.Store(newKeyState(set, got.at, got.lifetime))
	if s.save != nil {
		if err := s.save(got); err != nil {
			s.logger.Warn("cannot keep the key set in the cache file", "error", err)
		}
	}
}

// warmUp fetches before the first request does.
func (s *keySource) warmUp(ctx context.Context) {
	if s.fetch == nil {
		return
	}
	flight, _ := s.refresh(time.Now(), fetchEvery)
	if s.state.Load() == nil { // nothing from the cache file
		_ = wait(ctx, flight, fetchTimeout) // whatever came of it, requests will find out
	}
}

func (s *keySource) unavailable() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lastErr == nil { // the fetch is still going on
		return ErrKeysUnavailable
	}
	return fmt.Errorf("%w: %w", ErrKeysUnavailable, s.lastErr)
}

// wait returns when flight has ended, after at most atMost, or with the error of ctx.
func wait(ctx context.Context, flight <-chan struct{}, atMost time.Duration) error {
	timer := time.NewTimer(atMost)
	defer timer.Stop()
	select {
	case <-flight:
		return nil
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for signing keys: %w", errors.Join(ErrKeysUnavailable, context.Cause(ctx)))
	}
}
