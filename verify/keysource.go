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
	// minLifetime and maxLifetime limit the lifetime in the server's Cache-Control. The minimum prevents too many
	// requests, and the maximum limits how long a revoked key is accepted.
	minLifetime     = time.Minute
	maxLifetime     = time.Hour
	defaultLifetime = 5 * time.Minute
	// staleFor is how long after its lifetime the last good key set is used while no newer one can be fetched.
	staleFor = 24 * time.Hour

	// fetchEvery is the minimum time between two fetches while there are keys, so that tokens with made-up key ids
	// do not cause requests to the server.
	fetchEvery = 30 * time.Second
	// firstRetry is the minimum time before the second fetch while there are no keys. It doubles up to fetchEvery.
	firstRetry = time.Second
	// patience is how long a request waits for newer keys if the known keys can be used.
	patience = time.Second
)

// keyState is an immutable key set with its age.
type keyState struct {
	set *jose.KeySet
	// From refreshAt on, the set is renewed in the background. After expiresAt, a request waits for that if it may
	// help. From deadAt on, the set is not used.
	refreshAt, expiresAt, deadAt time.Time
}

func newKeyState(set *jose.KeySet, fetched time.Time, lifetime time.Duration) *keyState {
	lifetime = min(max(lifetime, minLifetime), maxLifetime)
	early := time.Duration(float64(lifetime) * (0.6 + 0.2*rand.Float64())) //nolint:gosec // keeps nothing secret // so that not all services fetch at the same time
	return &keyState{set: set, refreshAt: fetched.Add(early), expiresAt: fetched.Add(lifetime), deadAt: fetched.Add(lifetime + staleFor)}
}

// keySource has the current key set. It fetches keys when a request needs them and they are due, so there is no
// background loop, and a service that gets no requests sends none.
//
// Its clock is time.Now and not Config.Now, because it measures durations with the monotonic clock reading.
type keySource struct {
	fetch  func(context.Context) (fetched, error) // nil if the keys never change
	save   func(fetched) error
	logger *slog.Logger

	state atomic.Pointer[keyState]

	mu       sync.Mutex
	flight   chan struct{} // closed when the current fetch has ended; nil if there is none
	lastTry  time.Time
	failures int   // in a row
	lastErr  error // the error of the last fetch
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
	case flight == nil: // it is too early to try again
	case st == nil || !now.Before(st.deadAt):
		if err := wait(ctx, flight, fetchTimeout); err != nil {
			return nil, err
		}
	// The keys are older than the server allows, for example because there were no requests for hours, and one of
	// them may have been revoked. If the server does not answer, they are used nevertheless.
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

// newer returns a key set newer than known, if one can be fetched now, for a token whose key is not in known. every
// is the minimum time since the last fetch, if it is less than the usual one.
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

// refresh starts a fetch, unless there is one already or the last one started too recently. The channel is closed
// when the fetch has ended. It is nil if there is none.
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

// run fetches once. It has its own time limit, independent of the request that started it, because others wait for
// the same answer.
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
		s.logger.Warn("cannot fetch the key set; using the last one, if any", "error", err)
	}
	close(flight)
}

// use makes got the current key set. If the keys did not change, the set stays the same, so that tokens that were
// verified with it stay in the cache.
func (s *keySource) use(got fetched) {
	set := got.set
	if st := s.state.Load(); st != nil && bytes.Equal(st.set.JSON(), set.JSON()) {
		set = st.set
	}
	s.state.Store(newKeyState(set, got.at, got.lifetime))
	if s.save != nil {
		if err := s.save(got); err != nil {
			s.logger.Warn("cannot write the key set to the cache file", "error", err)
		}
	}
}

// warmUp fetches the keys before the first request needs them.
func (s *keySource) warmUp(ctx context.Context) {
	if s.fetch == nil {
		return
	}
	flight, _ := s.refresh(time.Now(), fetchEvery)
	if s.state.Load() == nil { // the cache file had none
		_ = wait(ctx, flight, fetchTimeout) // requests will try again if it failed
	}
}

func (s *keySource) unavailable() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lastErr == nil { // the fetch has not ended
		return ErrKeysUnavailable
	}
	return fmt.Errorf("%w: %w", ErrKeysUnavailable, s.lastErr)
}

// wait returns when flight has ended or after atMost. If ctx ends before, it returns an error.
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
