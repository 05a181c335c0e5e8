package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// SCL-002. 500 processes start together, with tokens of 60 s, for ten minutes: after the
// first cycle no second sees more than twice the mean.
func TestClientsStartedTogetherDriftApart(t *testing.T) {
	for name, endpoint := range endpoints {
		t.Run(name, func(t *testing.T) { clientsDriftApart(t, endpoint) })
	}
}

func clientsDriftApart(t *testing.T, endpoint func(*Config)) {
	synctest.Test(t, func(t *testing.T) {
		const clients, ttl, span = 500, time.Minute, 10 * time.Minute
		s := &fakeServer{ttl: ttl}
		start := time.Now()
		herd(t, s, clients, endpoint, func(src *TokenSource) {
			for time.Since(start) < span {
				mustToken(t, src)
				<-time.After(10 * time.Second)
			}
		})
		perSecond := make(map[int]int)
		total := 0
		for _, at := range s.requests() {
			if second := int(at.Sub(start) / time.Second); at.Sub(start) >= ttl && at.Sub(start) < span {
				perSecond[second]++
				total++
			}
		}
		peak := 0
		for _, n := range perSecond {
			peak = max(peak, n)
		}
		mean := float64(total) / (span - ttl).Seconds()
		t.Logf("peak %d requests a second, mean %.1f, ratio %.2f", peak, mean, float64(peak)/mean)
		if float64(peak) > 2*mean {
			t.Errorf("peak %d > 2 x mean %.1f", peak, mean)
		}
	})
}

// herd runs body for n clients of s, each with its own randomness, and waits for all.
func herd(t *testing.T, s *fakeServer, n int, endpoint func(*Config), body func(*TokenSource)) {
	var wg sync.WaitGroup
	for i := range n {
		c := newClient(t, s, endpoint, func(cfg *Config) { cfg.random = seeded(uint64(i)) })
		wg.Go(func() { body(c.TokenSource("m2")) })
	}
	wg.Wait()
}

// FLT-025. Whenever the server goes away, pairs in use live on for half the lifetime.
func TestTokensOutliveTheServerByHalfTheirLife(t *testing.T) {
	for _, ttl := range []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			s := &fakeServer{ttl: ttl}
			var mu sync.Mutex
			survival := make(map[bool]time.Duration) // least, most
			start := time.Now()
			away := 3*ttl + 7*time.Second
			time.AfterFunc(away, func() { s.set(true, nil) })
			herd(t, s, 100, endpoints["plain"], func(src *TokenSource) {
				for {
					_, err := src.Token(t.Context())
					if err == nil {
						<-time.After(ttl / 120)
						continue
					}
					if _, ok := errors.AsType[*UnavailableError](err); !ok {
						t.Errorf("got %v, want an UnavailableError", err)
					}
					lived := time.Since(start) - away
					mu.Lock()
					defer mu.Unlock()
					if least, ok := survival[false]; !ok || lived < least {
						survival[false] = lived
					}
					survival[true] = max(survival[true], lived)
					return
				}
			})
			t.Logf("token lifetime %v: pairs survive %v to %v", ttl, survival[false], survival[true])
			if least := survival[false]; least < ttl/2 {
				t.Errorf("token lifetime %v: a pair failed %v after the server went away, want %v or more", ttl, least, ttl/2)
			}
		})
	}
}

// FLT-026. The server comes back after ten minutes and can sign for 20 clients a second;
// the others it sheds. All 500 have their tokens within a minute.
func TestAllClientsHaveTokensWithinAMinuteOfTheServersReturn(t *testing.T) {
	for name, capacity := range map[string]int{"ample": 1000, "sheds": 20} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &fakeServer{ttl: time.Minute}
				const outage = 10 * time.Minute
				var mu sync.Mutex
				served := make(map[time.Time]int)
				s.down = true
				start := time.Now()
				time.AfterFunc(outage, func() {
					s.set(false, func(w http.ResponseWriter, _ *http.Request) {
						mu.Lock()
						defer mu.Unlock()
						second := time.Now().Truncate(time.Second)
						if served[second]++; served[second] > capacity {
							w.Header().Set("Retry-After", "2")
							w.WriteHeader(http.StatusServiceUnavailable)
							return
						}
						_, _ = fmt.Fprint(w, `{"accessToken":"t","expiresIn":900}`)
					})
				})
				var last time.Duration
				herd(t, s, 500, endpoints["plain"], func(src *TokenSource) {
					for {
						if _, err := src.Token(t.Context()); err == nil {
							mu.Lock()
							defer mu.Unlock()
							last = max(last, time.Since(start)-outage)
							return
						}
						<-time.After(3 * time.Second)
					}
				})
				t.Logf("the last client had its token %v after the return", last)
				if last > time.Minute {
					t.Errorf("the last client waited %v, want at most a minute", last)
				}
			})
		})
	}
}

// SCL-005. While the server is away past expiry, callers fail at once and clearly, and
// the process asks at most once a second, whatever the number of targets and callers.
func TestOutageCausesNoStorm(t *testing.T) {
	for name, endpoint := range endpoints {
		t.Run(name, func(t *testing.T) { outageCausesNoStorm(t, endpoint) })
	}
}

func outageCausesNoStorm(t *testing.T, endpoint func(*Config)) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeServer{ttl: time.Minute}
		c := newClient(t, s, endpoint)
		sources := make([]*TokenSource, 10)
		for i := range sources {
			sources[i] = c.TokenSource(fmt.Sprint("m", i))
			mustToken(t, sources[i])
		}
		s.set(true, nil)
		<-time.After(2 * time.Minute)
		for _, src := range sources {
			_, _ = src.Token(t.Context()) // one of them learns that the server is away
		}
		before := len(s.requests())
		var wg sync.WaitGroup
		for _, src := range sources {
			for range 5 {
				wg.Go(func() {
					for range 10 * 60 * 5 {
						asked := time.Now()
						_, err := src.Token(t.Context())
						if u, ok := errors.AsType[*UnavailableError](err); !ok || u.RetryIn > maxPause {
							t.Errorf("got %v, want an UnavailableError", err)
							return
						}
						if waited := time.Since(asked); waited > 0 {
							t.Errorf("the caller waited %v for its error", waited)
						}
						<-time.After(200 * time.Millisecond)
					}
				})
			}
		}
		wg.Wait()
		seen := s.requests()[before:]
		for i := range seen[1:] {
			if gap := seen[i+1].Sub(seen[i]); gap < time.Second {
				t.Errorf("two tries %v apart", gap)
			}
		}
		if n := len(seen); n < 20 || n > 80 {
			t.Errorf("%d tries in ten minutes, want about one in 15 s", n)
		}
		s.set(false, nil)
		<-time.After(maxPause)
		mustToken(t, sources[0])
		mustToken(t, sources[9]) // one success reopens for all
	})
}

func TestFirstTokenIsSoughtWithoutAnotherCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeServer{ttl: time.Hour, down: true}
		src := newClient(t, s).TokenSource("m2")
		if _, err := src.Token(t.Context()); err == nil {
			t.Fatal("a token from a server that is away")
		}
		<-time.After(5 * time.Second)
		s.set(false, nil)
		<-time.After(maxPause)
		n := len(s.requests())
		mustToken(t, src)
		if after := len(s.requests()); after != n {
			t.Error("the token was not there yet")
		}
		// Nobody asks: after a minute the client does not either.
		s = &fakeServer{down: true}
		_, _ = newClient(t, s).TokenSource("m2").Token(t.Context())
		<-time.After(time.Hour)
		if n := len(s.requests()); n > 12 {
			t.Errorf("%d tries for one call an hour ago", n)
		}
	})
}

func TestPairInUseIsRenewedByItselfAfterAShortOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeServer{ttl: 15 * time.Minute}
		src := newClient(t, s).TokenSource("m2")
		old := mustToken(t, src)
		s.set(true, nil)
		<-time.After(10 * time.Minute)
		s.set(false, nil)
		<-time.After(30 * time.Second)
		if got := mustToken(t, src); got.Reveal() == old.Reveal() {
			t.Error("still the old token, half a minute after the server's return")
		}
	})
}

func TestRetryAfterIsHonouredUpToItsCap(t *testing.T) {
	for header, want := range map[string][2]time.Duration{
		"":                              {time.Second, 2 * time.Second},
		"8":                             {8 * time.Second, 12 * time.Second},
		"86400":                         {maxRetryAfter, maxRetryAfter * 3 / 2},
		"99999999999999999999":          {time.Second, 2 * time.Second},
		"-5":                            {time.Second, 2 * time.Second},
		"soon":                          {time.Second, 2 * time.Second},
		"Sat, 01 Jan 2000 00:00:10 GMT": {10 * time.Second, 15 * time.Second},
		"Sat, 01 Jan 1990 00:00:10 GMT": {time.Second, 2 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) { // starts at 2000-01-01 00:00:00 UTC
			for _, status := range []int{http.StatusTooManyRequests, http.StatusServiceUnavailable} {
				s := &fakeServer{}
				s.answer = func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Retry-After", header)
					w.WriteHeader(status)
				}
				_, err := newClient(t, s).TokenSource("m2").Token(t.Context())
				if u, ok := errors.AsType[*UnavailableError](err); !ok || u.RetryIn < want[0] || u.RetryIn > want[1] {
					t.Errorf("%q: got %v, want a next attempt in %v to %v", header, err, want[0], want[1])
				}
			}
		})
	}
}

func TestPausesGrowAndStayBetweenTheirBounds(t *testing.T) {
	for n, want := range map[int][2]time.Duration{
		1:    {time.Second, 2 * time.Second},
		2:    {2 * time.Second, 4 * time.Second},
		4:    {8 * time.Second, 16 * time.Second},
		5:    {10 * time.Second, 20 * time.Second},
		1000: {10 * time.Second, 20 * time.Second},
	} {
		if low, high := pause(n, 0, 0), pause(n, 0, 1); low != want[0] || high != want[1] {
			t.Errorf("after %d failures: %v to %v, want %v", n, low, high, want)
		}
	}
}

func TestHangingServerIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeServer{}
		s.answer = func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
		start := time.Now()
		_, err := newClient(t, hanging{s}).TokenSource("m2").Token(t.Context())
		if _, ok := errors.AsType[*UnavailableError](err); !ok || time.Since(start) != patience {
			t.Errorf("got %v after %v, want an UnavailableError after 3 s", err, time.Since(start))
		}
	})
}

// hanging ends a request with its context, as a real transport does.
type hanging struct{ http.RoundTripper }

func (h hanging) RoundTrip(r *http.Request) (*http.Response, error) {
	if _, err := h.RoundTripper.RoundTrip(r); err != nil {
		return nil, err
	}
	return nil, r.Context().Err()
}

func TestRequestsThatFailTogetherCountAsOneFailure(t *testing.T) {
	now := time.Now()
	var g gate
	for range 50 { // all sent while the gate was open
		g.failure(now, failure{err: errors.New("away")}, false, 1)
	}
	if wait := g.next.Sub(now); wait != firstPause {
		t.Errorf("got a pause of %v, want that of one failure, %v", wait, firstPause)
	}
}

// The last twentieth of a token's life, at most five seconds, may not outlast the way to
// the callee: a new token is waited for, and the old one is for want of a better.
func TestTokenAboutToExpireIsReplacedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeServer{ttl: 100 * time.Second}
		src := newClient(t, s).TokenSource("m2")
		e := src.client.entry(src.q)
		for _, c := range []struct {
			down bool
			want string
		}{{false, "token-1"}, {true, "old"}} {
			now := time.Now()
			e.token, e.lifetime = Token{secret: newSecret("old"), expires: now.Add(3 * time.Second)}, s.ttl
			e.renewAt = now.Add(-time.Minute)
			s.set(c.down, nil)
			if got := mustToken(t, src); got.Reveal() != c.want {
				t.Errorf("server away %v: got %s, want %s", c.down, got.Reveal(), c.want)
			}
		}
	})
}

func TestRefusalAfterAnOutageShowsThatTheServerIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeServer{ttl: time.Minute, down: true}
		c := newClient(t, s)
		_, _ = c.TokenSource("m2").Token(t.Context())
		s.set(false, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
		<-time.After(maxPause)
		var d *DeniedError
		if _, err := c.TokenSource("m2").Token(t.Context()); !errors.As(err, &d) {
			t.Fatalf("got %v, want a DeniedError", err)
		}
		s.set(false, nil)
		mustToken(t, c.TokenSource("m3"))
	})
}

// stuck is a server that takes requests and does not answer while it hangs.
type stuck struct {
	*fakeServer
	hangs atomic.Bool
}

func (h *stuck) RoundTrip(r *http.Request) (*http.Response, error) {
	if h.hangs.Load() {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	return h.fakeServer.RoundTrip(r)
}

// F84. A server that hangs delays nobody who has a token, to the token's last second; who has none is told within
// three seconds, or by the deadline of the call.
func TestServerThatHangsDelaysNobodyForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stuck{fakeServer: &fakeServer{ttl: time.Minute}}
		c := newClient(t, s)
		mustToken(t, c.TokenSource("m2"))
		start := time.Now()
		s.hangs.Store(true)
		for time.Since(start) < 59*time.Second {
			asked := time.Now()
			mustToken(t, c.TokenSource("m2"))
			if took := time.Since(asked); took > 250*time.Millisecond {
				t.Errorf("%v after the server began to hang a call waited %v", asked.Sub(start), took)
			}
			<-time.After(300 * time.Millisecond)
		}
		asked := time.Now()
		_, err := c.TokenSource("m3").Token(t.Context())
		if away := (*UnavailableError)(nil); !errors.As(err, &away) || time.Since(asked) > 3*time.Second {
			t.Errorf("without a token: got %v after %v", err, time.Since(asked))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		asked = time.Now()
		if _, err := c.TokenSource("m4").Token(ctx); err == nil || time.Since(asked) > time.Second {
			t.Errorf("with a deadline: got %v after %v", err, time.Since(asked))
		}
	})
}
