package keysets

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
)

func TestUploadedKeysAreNeverFetched(t *testing.T) {
	es, rs, other := signer(t, "es", jose.ES256), signer(t, "rs", jose.RS256), signer(t, "other", jose.ES256)
	s := New(ForPlatforms(nil))
	src := &Source{ID: "trust_1", Kind: Platform, Issuer: "https://issuer.test", JWKS: keySet(es, rs), Algorithms: []jose.Algorithm{jose.RS256, jose.ES256}}
	must(t, Check(src))
	for range 2 {
		must(t, s.Verify(t.Context(), src, signed(t, es), start))
		must(t, s.Verify(t.Context(), src, signed(t, rs), start.Add(1000*time.Hour)))
		if err := s.Verify(t.Context(), src, signed(t, other), start); !errors.Is(err, jose.ErrUnknownKey) {
			t.Errorf("an unknown key: got %v", err)
		}
	}
	src = &Source{ID: "trust_1", Kind: Platform, JWKS: keySet(other), Algorithms: src.Algorithms}
	must(t, s.Verify(t.Context(), src, signed(t, other), start))
	if err := s.Verify(t.Context(), src, signed(t, es), start); !errors.Is(err, jose.ErrUnknownKey) {
		t.Errorf("a key that was replaced: got %v", err)
	}
}

func TestKeysAreDiscovered(t *testing.T) {
	p, es := newServer(t), signer(t, "es", jose.ES256)
	p.discoverable(p.URL, p.URL+"/keys")
	p.publish("/keys", keySet(es))
	s := New(ForPlatforms(loopback))
	src := &Source{ID: "trust_1", Kind: Platform, Issuer: p.URL, Algorithms: []jose.Algorithm{jose.ES256}}
	must(t, s.Verify(t.Context(), src, signed(t, es), start))
	must(t, s.Verify(t.Context(), src, signed(t, es), start))
	if n := p.asked.Load(); n != 2 {
		t.Errorf("asked %d times, want once for each document", n)
	}
}

// FED-013. However many tokens name random keys, the keys are fetched once in 30 seconds, and known keys go on working.
func TestRandomKeyIDsFetchOnceIn30Seconds(t *testing.T) {
	p, es := newServer(t), signer(t, "es", jose.ES256)
	p.publish("/keys", keySet(es))
	s, src := New(ForPlatforms(loopback)), platform(p.URL+"/keys")
	flood := func(now time.Time, want int32) {
		t.Helper()
		var wg sync.WaitGroup
		for worker := range 10 {
			wg.Go(func() {
				for i := range 100 {
					token := signed(t, es)
					token.KeyID = fmt.Sprint("random ", worker, i)
					if err := s.Verify(context.Background(), src, token, now); !errors.Is(err, jose.ErrUnknownKey) {
						t.Errorf("a random kid: got %v", err)
					}
				}
			})
		}
		wg.Wait()
		must(t, s.Verify(t.Context(), src, signed(t, es), now))
		if got := p.asked.Load(); got != want {
			t.Errorf("fetched %d times, want %d", got, want)
		}
	}
	flood(start, 1)
	flood(start.Add(Refetch-1), 1)
	flood(start.Add(Refetch), 2)
	p.page("/keys", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	flood(start.Add(2*Refetch), 3) // fails, and the keys at hand serve on
	flood(start.Add(3*Refetch-1), 3)
	flood(start.Add(3*Refetch), 4)
}

// FED-013. The first failure starts the cooldown, too.
func TestAFailedFirstFetchIsNotRepeatedFor30Seconds(t *testing.T) {
	p, es := newServer(t), signer(t, "es", jose.ES256)
	s, src := New(ForPlatforms(loopback)), platform(p.URL+"/keys")
	for _, now := range []time.Time{start, start, start.Add(Refetch - 1)} {
		if err := s.Verify(t.Context(), src, signed(t, es), now); !errors.Is(err, ErrUnavailable) {
			t.Errorf("got %v", err)
		}
	}
	if n := p.asked.Load(); n != 1 {
		t.Errorf("asked %d times, want once", n)
	}
	p.publish("/keys", keySet(es))
	must(t, s.Verify(t.Context(), src, signed(t, es), start.Add(Refetch)))
}

func TestCheckURL(t *testing.T) {
	for _, s := range []string{"https://m5.example/keys", "https://10.0.0.1:8443/a?b=c", "http://127.0.0.1:8000/keys", "http://[::1]/", "http://localhost/keys"} {
		if err := CheckURL(s); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	for _, s := range []string{
		"", "/keys", "m5.example", "http://m5.example/keys", "http://10.0.0.1/keys", "https://user:pw@m5.example/", "https://m5.example/#x",
		"file:///etc/passwd", "https:m5.example", "https://", "ftp://m5.example/", "http://localhost.evil.example/", "https://m5.example/" + strings.Repeat("x", 3000),
	} {
		if CheckURL(s) == nil {
			t.Errorf("%s is taken", s)
		}
	}
}

func TestWaitingForKeysIsBoundedInAll(t *testing.T) {
	s := New(ForPlatforms(nil))
	var ends []func()
	for i := range 2 * MaxWaitingForAll {
		if end, ok := s.wait(fmt.Sprint(i)); ok {
			ends = append(ends, end)
		}
	}
	if len(ends) != MaxWaitingForAll || s.Waiting() != MaxWaitingForAll {
		t.Errorf("%d and %d wait, want %d", len(ends), s.Waiting(), MaxWaitingForAll)
	}
	for _, end := range ends {
		end()
	}
	if _, ok := s.wait("again"); !ok || len(s.waiting) != 1 {
		t.Errorf("afterwards: %v, %d sources", ok, len(s.waiting))
	}
}
