package verify_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/watchword-dev/watchword/verify"
	"github.com/watchword-dev/watchword/verify/verifytest"
)

// network is the way to an issuer without sockets, so that tests can let days pass. hang
// makes it hold requests until they are given up; delay makes it slow.
type network struct {
	issuer *verifytest.Issuer

	mu    sync.Mutex
	hang  bool
	delay time.Duration
}

func (n *network) set(hang bool, delay time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hang, n.delay = hang, delay
}

func (n *network) RoundTrip(r *http.Request) (*http.Response, error) {
	n.mu.Lock()
	hang, delay := n.hang, n.delay
	n.mu.Unlock()
	if hang {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	if delay > 0 {
		<-time.After(delay)
	}
	w := httptest.NewRecorder()
	n.issuer.ServeHTTP(w, r)
	return w.Result(), nil
}

func (n *network) config() verify.Config {
	c := n.issuer.Config("m2")
	c.HTTPClient = &http.Client{Transport: n}
	c.Logger = quiet
	return c
}

func (n *network) verifier(t *testing.T) *verify.Verifier {
	t.Helper()
	v, err := verify.New(t.Context(), n.config())
	must(t, err)
	return v
}

// pass lets time go by, in a bubble.
func pass(d time.Duration) { <-time.After(d) }

// inBubble runs f with a clock of its own. The issuer's server stays outside: a socket would
// stop that clock.
func inBubble(t *testing.T, f func(t *testing.T, i *verifytest.Issuer, n *network)) {
	t.Helper()
	i := verifytest.NewIssuer(t)
	synctest.Test(t, func(t *testing.T) {
		defer pass(time.Minute) // lets the last fetch end
		f(t, i, &network{issuer: i})
	})
}

func accepted(t *testing.T, v *verify.Verifier, what, token string) {
	t.Helper()
	if _, err := v.Verify(t.Context(), token); err != nil {
		t.Errorf("%s: %v", what, err)
	}
}

func fetches(t *testing.T, i *verifytest.Issuer, want int) {
	t.Helper()
	synctest.Wait()
	if got := i.Fetches(); got != want {
		t.Errorf("got %d fetches, want %d", got, want)
	}
}

// VER-008.
func TestUnknownKeysCauseOneFetchInThirtySeconds(t *testing.T) {
	stranger := verifytest.NewIssuer(t)
	inBubble(t, func(t *testing.T, i *verifytest.Issuer, n *network) {
		v := n.verifier(t)
		for range 1000 {
			refused(t, v, "just started", stranger.Token("m1", "m2"), verify.ErrUnknownKey)
		}
		fetches(t, i, 1)
		for round := range 3 {
			pass(30 * time.Second)
			for range 1000 {
				refused(t, v, "later", stranger.Token("m1", "m2"), verify.ErrUnknownKey)
			}
			fetches(t, i, 2+round)
		}
	})
}

func TestNewKeyIsFetchedWhenATokenNamesIt(t *testing.T) {
	inBubble(t, func(t *testing.T, i *verifytest.Issuer, n *network) {
		v := n.verifier(t)
		accepted(t, v, "first key", i.Token("m1", "m2"))
		pass(30 * time.Second)
		i.Rotate("EdDSA")
		token := i.Token("m1", "m2")
		n.set(false, time.Second)
		var wg sync.WaitGroup
		for range 50 { // all wait for the same fetch
			wg.Go(func() { accepted(t, v, "new key", token) })
		}
		wg.Wait()
		fetches(t, i, 2)
	})
}

// A withdrawn key stops verifying at the next fetch, which comes before max-age ends; tokens
// seen before are no exception.
func TestWithdrawnKeyStopsVerifying(t *testing.T) {
	inBubble(t, func(t *testing.T, i *verifytest.Issuer, n *network) {
		i.SetCacheControl("public, max-age=600, must-revalidate")
		v := n.verifier(t)
		old := i.Token("m1", "m2")
		accepted(t, v, "while published", old)
		i.Rotate("ES256")
		i.Withdraw()
		pass(5 * time.Minute)
		accepted(t, v, "before the key set is due", old)
		fetches(t, i, 1)
		pass(3*time.Minute + time.Second) // 0.8 of ten minutes
		n.set(false, time.Second)
		accepted(t, v, "this request starts the fetch and does not wait", old)
		pass(2 * time.Second)
		fetches(t, i, 2)
		refused(t, v, "after the fetch", old, verify.ErrUnknownKey)
		accepted(t, v, "the new key", i.Token("m1", "m2"))
		fetches(t, i, 2)
	})
}

// Nobody called for hours. The key set is older than the server wants, so this once a request waits.
func TestFirstRequestAfterALongPauseWaitsForKeys(t *testing.T) {
	inBubble(t, func(t *testing.T, i *verifytest.Issuer, n *network) {
		v := n.verifier(t)
		i.Rotate("ES256")
		i.Withdraw()
		stolen := i.Token("m1", "m2")
		pass(30 * time.Second)
		accepted(t, v, "the key is published", stolen)
		i.Rotate("ES256")
		i.Withdraw()
		pass(10 * time.Minute)
		n.set(false, time.Second/2)
		refused(t, v, "key revoked meanwhile", stolen, verify.ErrUnknownKey)
		fetches(t, i, 3)
	})
}

func TestLifetimeHasBounds(t *testing.T) {
	for _, c := range []struct {
		cacheControl string
		quiet, due   time.Duration // no fetch before, a fetch after
	}{
		{"", 179 * time.Second, 241 * time.Second}, // 5 minutes
		{"max-age=600", 359 * time.Second, 481 * time.Second},
		{"Max-Age=\"600\" , public", 359 * time.Second, 481 * time.Second},
		{"max-age=0", 35 * time.Second, 49 * time.Second},
		{"no-store", 35 * time.Second, 49 * time.Second},
		{"max-age=31536000, immutable", 35 * time.Minute, 49 * time.Minute},
		{"max-age=99999999999999999999", 179 * time.Second, 241 * time.Second},
		{"max-age=-1", 179 * time.Second, 241 * time.Second},
	} {
		inBubble(t, func(t *testing.T, i *verifytest.Issuer, n *network) {
			i.SetCacheControl(c.cacheControl)
			v := n.verifier(t)
			pass(c.quiet)
			accepted(t, v, c.cacheControl, i.Token("m1", "m2"))
			fetches(t, i, 1)
			pass(c.due - c.quiet)
			accepted(t, v, c.cacheControl, i.Token("m1", "m2"))
			fetches(t, i, 2)
		})
	}
}

// FLT-024: the last good keys go on for 24 h and no longer. FLT-025 follows: what is issued
// before the server went away verifies for as long as it lives.
func TestLastGoodKeysLastADayWithoutTheServer(t *testing.T) {
	inBubble(t, func(t *testing.T, i *verifytest.Issuer, n *network) {
		v := n.verifier(t)
		i.SetDown(true)
		for hour := range 24 {
			pass(time.Hour)
			accepted(t, v, fmt.Sprintf("hour %d", hour+1), i.Token("m1", "m2"))
		}
		pass(10 * time.Minute)
		refused(t, v, "after 24 h and the five minutes of the key set", i.Token("m1", "m2"), verify.ErrKeysUnavailable)
		i.SetDown(false)
		pass(30 * time.Second)
		accepted(t, v, "the server is back", i.Token("m1", "m2"))
	})
}

// A server that hangs delays one request by a second, once; after that nobody waits.
func TestHangingServerDelaysNobodyWhoHasKeys(t *testing.T) {
	inBubble(t, func(t *testing.T, i *verifytest.Issuer, n *network) {
		v := n.verifier(t)
		n.set(true, 0)
		pass(time.Hour)
		start := time.Now()
		accepted(t, v, "first", i.Token("m1", "m2"))
		if took := time.Since(start); took != time.Second {
			t.Errorf("the first request took %v, want 1s", took)
		}
		for range 10 {
			pass(time.Minute)
			start := time.Now()
			accepted(t, v, "later", i.Token("m1", "m2"))
			if took := time.Since(start); took != 0 {
				t.Errorf("a later request took %v", took)
			}
		}
	})
}

// VER-029.
func TestHangingServerKeepsNobodyPastTheDeadline(t *testing.T) {
	inBubble(t, func(t *testing.T, i *verifytest.Issuer, n *network) {
		n.set(true, 0)
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		v, err := verify.New(ctx, n.config())
		if err != nil {
			t.Fatalf("New: %v, want none: the server may come up later", err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		_, err = v.Verify(ctx, i.Token("m1", "m2"))
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, verify.ErrKeysUnavailable) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(start); took != 300*time.Millisecond {
			t.Errorf("took %v, want 300ms", took)
		}
		// Without a deadline of its own a request is held for no longer than a fetch may last.
		start = time.Now()
		refused(t, v, "no deadline", i.Token("m1", "m2"), verify.ErrKeysUnavailable)
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("took %v, want at most 5s", took)
		}
		// The server wakes up.
		n.set(false, 0)
		pass(time.Minute)
		accepted(t, v, "awake", i.Token("m1", "m2"))
	})
}

func TestServerThatStartsLaterIsFound(t *testing.T) {
	inBubble(t, func(t *testing.T, i *verifytest.Issuer, n *network) {
		i.SetDown(true)
		v := n.verifier(t)
		for range 5 {
			refused(t, v, "down", i.Token("m1", "m2"), verify.ErrKeysUnavailable)
		}
		fetches(t, i, 1)
		pass(time.Second)
		refused(t, v, "still down", i.Token("m1", "m2"), verify.ErrKeysUnavailable)
		fetches(t, i, 2)
		i.SetDown(false)
		pass(time.Second)
		refused(t, v, "too soon to try again", i.Token("m1", "m2"), verify.ErrKeysUnavailable)
		pass(time.Second)
		accepted(t, v, "up", i.Token("m1", "m2"))
		fetches(t, i, 3)
	})
}

// VER-031: keys rotate while requests come in; none with a valid token is refused. Run with -race.
func TestRotationRefusesNobody(t *testing.T) {
	inBubble(t, func(t *testing.T, i *verifytest.Issuer, n *network) {
		i.SetCacheControl("max-age=60")
		v := n.verifier(t)
		n.set(false, 100*time.Millisecond)
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					case <-time.After(10 * time.Second):
						accepted(t, v, "during rotation", i.Token("m1", "m2"))
					}
				}
			})
		}
		for round := range 5 {
			pass(time.Minute)
			i.Publish("ES256")
			pass(5 * time.Minute)
			i.Activate()
			if round > 2 {
				i.Withdraw()
			}
		}
		close(stop)
		wg.Wait()
	})
}

// FLT-024: a service that restarts while the server is away.
func TestCacheFileOutlivesARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	inBubble(t, func(t *testing.T, i *verifytest.Issuer, n *network) {
		c := n.config()
		c.CacheFile = path
		if _, err := verify.New(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		i.SetDown(true)
		pass(23 * time.Hour)
		restarted, err := verify.New(t.Context(), c)
		must(t, err)
		accepted(t, restarted, "restarted, with the file", i.Token("m1", "m2"))
		refused(t, n.verifier(t), "restarted, without the file", i.Token("m1", "m2"), verify.ErrKeysUnavailable)
		pass(2 * time.Hour)
		refused(t, restarted, "the file's keys are a day old", i.Token("m1", "m2"), verify.ErrKeysUnavailable)
		if restarted, err = verify.New(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		refused(t, restarted, "restarted with a file too old", i.Token("m1", "m2"), verify.ErrKeysUnavailable)
		i.SetDown(false)
		pass(time.Minute)
		accepted(t, restarted, "the server is back", i.Token("m1", "m2"))
	})
}
