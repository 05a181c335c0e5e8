package revocation_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/policy"
	"github.com/watchword-dev/watchword/server/internal/revocation"
	"github.com/watchword-dev/watchword/server/internal/store/storetest"
)

// BenchmarkUpdate is what docs/revocation.md states: what it takes to publish one revocation more, with so many before,
// to sign the update that followers get, and to make the whole list.
func BenchmarkUpdate(b *testing.B) {
	for _, n := range []int{0, 10_000, 100_000} {
		folder := b.TempDir()
		r := openIn(b, folder)
		if n > 0 {
			if err := storetest.Revoke(b.Context(), folder, n, time.Now()); err != nil {
				b.Fatal(err)
			}
		}
		if err := r.dir.Load(b.Context()); err != nil {
			b.Fatal(err)
		}
		p := publish(b, r.dir, r.ring, options())
		get := func(query string) int {
			w, err := ask(p, httptest.NewRequest(http.MethodGet, revocation.DenyListPath+query, nil), true)
			if err != nil || w.Code != http.StatusOK {
				b.Fatal(w.Code, err)
			}
			return w.Body.Len()
		}
		revoke := func() (before string) {
			before = revocation.State(p)
			if err := r.dir.RevokeToken(b.Context(), operator, directory.RandomID(), time.Time{}, ""); err != nil {
				b.Fatal(err)
			}
			return before
		}
		b.Run(fmt.Sprintf("denied=%d/publish", n), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				revoke()
				b.StartTimer()
				if err := p.Load(); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("denied=%d/update", n), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				before := revoke()
				if err := p.Load(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				b.ReportMetric(float64(get("?since="+before)), "bytes")
			}
		})
		b.Run(fmt.Sprintf("denied=%d/whole", n), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				revoke()
				if err := p.Load(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				b.ReportMetric(float64(get("")), "bytes")
			}
		})
	}
}

// BenchmarkPlace is what a place in a status list costs each token.
func BenchmarkPlace(b *testing.B) {
	s := newState(b)
	p := publish(b, s, s, options())
	deps := []string{directory.FormatUID(policy.ServiceID{1}), directory.RandomID()}
	b.ReportAllocs()
	for b.Loop() {
		p.Place(deps)
	}
}

// BenchmarkStatusList is a list that is in memory already, and one that no token names.
func BenchmarkStatusList(b *testing.B) {
	s := newState(b)
	p := publish(b, s, s, options())
	uri, _ := p.Place([]string{directory.RandomID()})
	for name, u := range map[string]string{"known": uri, "madeUp": uri[:len(uri)-1] + "!"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				askStatus(p, "GET", u)
			}
		})
	}
}
