// Package usage counts decisions, so that somebody can say later what a rule, a scope or a
// credential was used for, and what another call map would have refused. It decides nothing.
package usage

import (
	"net/netip"

	"github.com/watchword-dev/watchword/internal/policy"
)

// Use is what decisions are counted by. Two that are equal are counted together.
type Use struct {
	policy.Edge
	Scopes string // as granted or, when refused, as asked: separated by spaces, sorted
	Method string // by which the caller proved itself
	Bound  bool
	Actors int // services acting for another
	// Network the caller asked from: a /24 or a /48.
	Network netip.Prefix
	// Why it was refused; empty when it was allowed.
	Why policy.Reason
	// Would is what an observing target, or the overlay, would have said, when it is something else.
	Would policy.Reason
}

// NetworkOf is the network of an address, as uses have it.
func NetworkOf(a netip.Addr) netip.Prefix {
	bits := 24
	if a.Is6() {
		bits = 48
	}
	p, _ := a.Prefix(bits) // of no address: no network
	return p
}
