package revocation_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/policy"
)

// BenchmarkUpdate is what one change costs, as docs/revocation.md states: of something else, and of
// what is denied.
func BenchmarkUpdate(b *testing.B) {
	for _, n := range []int{0, 10_000, 100_000} {
		s := newState(b)
		var all []directory.Revocation
		for range n {
			all = append(all, directory.Revocation{ID: directory.RandomID(), Until: time.Now().Add(day)})
		}
		s.deny(all...)
		p := publish(b, s, s, options())
		b.Run(fmt.Sprintf("denied=%d/other", n), func(b *testing.B) {
			for b.Loop() {
				if err := p.Load(); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("denied=%d/denied", n), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				s.deny(all...) // another edition
				b.StartTimer()
				if err := p.Load(); err != nil {
					b.Fatal(err)
				}
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
