package once_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/watchword-dev/watchword/server/internal/once"
	"github.com/watchword-dev/watchword/server/internal/store"
	"github.com/watchword-dev/watchword/server/internal/store/pgtest"
)

// PKJ-019: replicas of two versions share what they remember. A change of these constants lets
// what was used before an upgrade be used again after it.
func TestKeysNeverChange(t *testing.T) {
	for _, c := range []struct {
		kind  string
		parts []string
		want  string
	}{
		{"private_key_jwt", []string{"svc_0123456789abcdef0123456789abcdef", "jti-1"}, "CcqqWqucU9dzQEVukhiHPQ"},
		{"private_key_jwt", nil, "c_eO9sp19YNKsRGhVGDiGw"},
		{"dpop", []string{"", "\x00ä"}, "a1s89wFENUUF5xbgrgOVqw"},
	} {
		if got := once.Key(c.kind, c.parts...); got != c.want {
			t.Errorf("%s %q: got %s, want %s", c.kind, c.parts, got, c.want)
		}
	}
}

func TestPartsOfAKeyAreKeptApart(t *testing.T) {
	seen := map[string][]string{}
	for _, parts := range [][]string{{"k"}, {"k", ""}, {"k", "", ""}, {"k", "ab", "c"}, {"k", "a", "bc"}, {"k", "abc"}, {"ka", "bc"}, {"", "k"}} {
		key := once.Key(parts[0], parts[1:]...)
		if other, taken := seen[key]; taken || len(key) != 22 {
			t.Errorf("%q and %q have the key %s", parts, other, key)
		}
		seen[key] = parts
	}
}

// onBoth makes one claim about each database. connect opens it as another replica would, where
// there can be another.
func onBoth(t *testing.T, claim func(t *testing.T, connect func() *store.DB)) {
	t.Helper()
	opener := func(t *testing.T, o store.Options) func() *store.DB {
		o.Timeout = time.Minute // these tests share a machine with others
		return func() *store.DB {
			db, err := store.Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { db.Close() })
			return db
		}
	}
	t.Run("SQLite", func(t *testing.T) {
		db := opener(t, store.Options{DataDir: t.TempDir()})()
		claim(t, func() *store.DB { return db })
	})
	t.Run("PostgreSQL", func(t *testing.T) { claim(t, opener(t, store.Options{DatabaseURL: pgtest.Start(t)})) })
}

// running is a register that runs until the test ends.
func running(t testing.TB, s once.Store, o once.Options) *once.Register {
	t.Helper()
	r := once.New(s, o)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return r
}

func entry(name string) once.Entry {
	return once.Entry{Key: once.Key("test", name), Until: time.Now().Add(time.Minute)}
}

// DPO-015, PKJ-015, PKJ-016, PKJ-017: of 50 that use the same two names at once, on two replicas,
// each name has one first user.
func TestOfManyUsersOneIsFirst(t *testing.T) {
	onBoth(t, func(t *testing.T, connect func() *store.DB) {
		replicas := []*once.Register{running(t, connect(), once.Options{}), running(t, connect(), once.Options{})}
		for round := range 10 {
			var wg sync.WaitGroup
			var first [2]atomic.Int64
			for i := range 50 {
				// Crosswise, which must not become a deadlock.
				a, b := i%2, 1-i%2
				wg.Go(func() {
					fresh, err := replicas[i%3%2].Use(t.Context(), entry(fmt.Sprint(round, "-", a)), entry(fmt.Sprint(round, "-", b)))
					if err != nil || len(fresh) != 2 {
						t.Error(len(fresh), err)
						return
					}
					for n, name := range []int{a, b} {
						if fresh[n] {
							first[name].Add(1)
						}
					}
				})
			}
			wg.Wait()
			if a, b := first[0].Load(), first[1].Load(); a != 1 || b != 1 {
				t.Fatalf("got %d and %d first users, want 1 and 1", a, b)
			}
		}
	})
}

func TestNameTwiceInOneCallIsUsedOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, connect func() *store.DB) {
		r := running(t, connect(), once.Options{})
		for _, want := range []string{"[true false true]", "[false false false]"} {
			fresh, err := r.Use(t.Context(), entry("a"), entry("a"), entry("b"))
			if got := fmt.Sprint(fresh); err != nil || got != want {
				t.Errorf("got %s, %v, want %s", got, err, want)
			}
		}
		if fresh, err := r.Use(t.Context()); len(fresh) != 0 || err != nil {
			t.Errorf("of nothing: got %v, %v", fresh, err)
		}
	})
}

// One caller's bad key must not fail the others of its batch.
func TestKeyThatNoStoreCouldHoldIsRefusedAlone(t *testing.T) {
	r := once.New(nil, once.Options{})
	later := time.Now().Add(time.Minute)
	for _, e := range []once.Entry{
		{},
		{Key: "a"},
		{Until: later},
		{Key: strings.Repeat("a", once.MaxKey+1), Until: later},
		{Key: "a b", Until: later},
		{Key: "a\x00", Until: later},
		{Key: "\xff", Until: later},
		{Key: "a\n", Until: later},
	} {
		if fresh, err := r.Use(t.Context(), e); err == nil || fresh != nil {
			t.Errorf("%q: got %v, %v", e.Key, fresh, err)
		}
	}
}

// held is a store whose transactions the test lets begin and sees.
type held struct {
	once.Store
	begun  chan int // entries of a transaction
	let    chan error
	purged chan time.Time
}

func (h *held) UseOnce(ctx context.Context, entries []once.Entry) ([]bool, error) {
	h.begun <- len(entries)
	if err := <-h.let; err != nil {
		return nil, err
	}
	return h.Store.UseOnce(ctx, entries)
}

func (h *held) PurgeOnce(ctx context.Context, now time.Time) error {
	if h.purged != nil {
		h.purged <- now
	}
	return h.Store.PurgeOnce(ctx, now)
}

func sqlite(t testing.TB) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), store.Options{DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestWhoComesDuringACommitIsInTheNext(t *testing.T) {
	db := sqlite(t)
	synctest.Test(t, func(t *testing.T) {
		h := &held{Store: db, begun: make(chan int), let: make(chan error)}
		r := running(t, h, once.Options{MaxWaiting: 20})
		var wg sync.WaitGroup
		var fresh atomic.Int64
		use := func(name string) {
			wg.Go(func() {
				got, err := r.Use(t.Context(), entry(name))
				if err != nil {
					t.Error(err)
				} else if got[0] {
					fresh.Add(1)
				}
			})
		}
		use("0")
		if n := <-h.begun; n != 1 {
			t.Errorf("the first transaction has %d entries", n)
		}
		for i := range 20 {
			use(fmt.Sprint(i % 10)) // each twice, and the first one a third time
		}
		synctest.Wait()
		// The queue is bounded, and says so at once.
		if _, err := r.Use(t.Context(), entry("x")); !errors.Is(err, once.ErrUnavailable) {
			t.Errorf("a full queue: got %v", err)
		}
		h.let <- nil
		if n := <-h.begun; n != 20 {
			t.Errorf("the next transaction has %d entries, want 20", n)
		}
		h.let <- nil
		wg.Wait()
		if fresh.Load() != 10 {
			t.Errorf("%d were fresh, want 10", fresh.Load())
		}
	})
}

// A failure is never an answer, and only those of the failed transaction see it.
func TestFailureIsNotFresh(t *testing.T) {
	db := sqlite(t)
	synctest.Test(t, func(t *testing.T) {
		h := &held{Store: db, begun: make(chan int, 9), let: make(chan error, 9)}
		r := running(t, h, once.Options{})
		broken := errors.New("disk full")
		h.let <- broken
		if fresh, err := r.Use(t.Context(), entry("a")); !errors.Is(err, once.ErrUnavailable) || !errors.Is(err, broken) || fresh != nil {
			t.Errorf("got %v, %v", fresh, err)
		}
		h.let <- nil
		if fresh, err := r.Use(t.Context(), entry("a")); err != nil || !fresh[0] {
			t.Errorf("afterwards: got %v, %v", fresh, err)
		}
	})
}

// A caller who leaves is gone at once; the others of the batch are answered.
func TestCallerWhoLeavesHoldsNobodyUp(t *testing.T) {
	db := sqlite(t)
	synctest.Test(t, func(t *testing.T) {
		h := &held{Store: db, begun: make(chan int, 9), let: make(chan error)}
		r := running(t, h, once.Options{})
		ctx, cancel := context.WithCancel(t.Context())
		left, stayed := make(chan error, 1), make(chan error, 1)
		go func() { _, err := r.Use(ctx, entry("a")); left <- err }()
		go func() { _, err := r.Use(t.Context(), entry("b")); stayed <- err }()
		<-h.begun
		cancel()
		if err := <-left; !errors.Is(err, context.Canceled) || !errors.Is(err, once.ErrUnavailable) {
			t.Errorf("who left got %v", err)
		}
		close(h.let)
		if err := <-stayed; err != nil {
			t.Errorf("who stayed got %v", err)
		}
		// Who is gone before uses nothing up.
		if _, err := r.Use(ctx, entry("c")); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if fresh, err := r.Use(t.Context(), entry("c")); err != nil || !fresh[0] {
			t.Errorf("got %v, %v", fresh, err)
		}
	})
}

// FLT: a store that hangs is an error within 2 s, for those who come later at once, until it is
// back.
func TestStoreThatHangsIsAnErrorInTime(t *testing.T) {
	db := sqlite(t)
	synctest.Test(t, func(t *testing.T) {
		h := &held{Store: db, begun: make(chan int, 9), let: make(chan error)}
		r := running(t, h, once.Options{})
		begun := time.Now()
		if _, err := r.Use(t.Context(), entry("a")); !errors.Is(err, once.ErrUnavailable) || time.Since(begun) > 2*time.Second {
			t.Errorf("got %v after %s", err, time.Since(begun))
		}
		again := time.Now()
		if _, err := r.Use(t.Context(), entry("b")); !errors.Is(err, once.ErrUnavailable) || time.Since(again) > 0 {
			t.Errorf("got %v after %s", err, time.Since(again))
		}
		close(h.let)
		synctest.Wait()
		// It was used up after all: who was told nothing may not use it, and nobody else.
		for name, want := range map[string]bool{"a": false, "b": true} {
			if fresh, err := r.Use(t.Context(), entry(name)); err != nil || fresh[0] != want {
				t.Errorf("%s: got %v, %v, want %v", name, fresh, err, want)
			}
		}
	})
}

func TestWhatWaitsAtTheEndIsCommitted(t *testing.T) {
	db := sqlite(t)
	synctest.Test(t, func(t *testing.T) {
		h := &held{Store: db, begun: make(chan int, 9), let: make(chan error)}
		r := once.New(h, once.Options{})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx) }()
		answers := make(chan error, 2)
		for _, name := range []string{"a", "b"} {
			go func() {
				fresh, err := r.Use(t.Context(), entry(name))
				if err == nil && !fresh[0] {
					err = errors.New("not fresh")
				}
				answers <- err
			}()
			synctest.Wait()
		}
		cancel()
		synctest.Wait()
		close(h.let)
		for range 2 {
			if err := <-answers; err != nil {
				t.Error(err)
			}
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if _, err := r.Use(t.Context(), entry("c")); !errors.Is(err, once.ErrUnavailable) {
			t.Errorf("after the end: got %v", err)
		}
	})
}

// What has ended is forgotten a minute later, for the clocks of replicas differ, at the start and
// ever again.
func TestWhatHasEndedIsForgotten(t *testing.T) {
	db := sqlite(t)
	synctest.Test(t, func(t *testing.T) {
		h := &held{Store: db, purged: make(chan time.Time)}
		r := once.New(h, once.Options{PurgeEvery: 10 * time.Second})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx) }()
		begun := time.Now()
		for i := range 3 {
			if got, want := <-h.purged, begun.Add(time.Duration(i)*10*time.Second-time.Minute); !got.Equal(want) {
				t.Errorf("purged what ended before %s, want %s", got, want)
			}
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
