// Package usage counts decisions, so that somebody can say later what a rule, a scope or a
// credential was used for, and what another call map would have refused. It decides nothing, and
// does not know where the counts are kept.
package usage

import (
	"errors"
	"net/netip"
	"time"

	"github.com/watchword-dev/watchword/server/internal/policy"
)

// Use is what decisions are counted by. Two that are equal are counted together.
type Use struct {
	policy.Edge
	Credential string // id of what the caller proved itself with
	Scopes     string // as granted or, when refused, as asked: separated by spaces, sorted
	Method     string // by which the caller proved itself
	Bound      bool
	// Exchange is set when the caller asked on behalf of another, or as another; Actors is how many
	// services act then, the caller included.
	Exchange policy.Exchange
	Actors   int
	// Network the caller asked from: a /24 or a /48.
	Network netip.Prefix
	// Why it was refused; empty when it was allowed.
	Why policy.Reason
	// Would is why a call was not allowed that its observing target let through.
	Would policy.Reason
	// Shadow is what the overlay would have said, when that is something else than what the rules in
	// force say.
	Shadow policy.Reason
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

// ErrRow reports that the store can never store a row, because of what the row contains.
var ErrRow = errors.New("the row cannot be stored")

// Day is a day of UTC: days since 1970.
type Day int32

// DayOf is the day of a moment.
func DayOf(t time.Time) Day {
	seconds := t.Unix()
	day := seconds / 86400
	if seconds%86400 < 0 {
		day--
	}
	return Day(day)
}

// Start of the day.
func (d Day) Start() time.Time { return time.Unix(int64(d)*86400, 0).UTC() }

func (d Day) String() string { return d.Start().Format(time.DateOnly) }

// Row is how often something was decided in a day.
type Row struct {
	Day Day
	Use
	N    int64
	Last time.Time // of these decisions, to the microsecond
}

// Filter chooses rows. The zero value is all of them.
type Filter struct {
	Since, Until   Day // both included. Until zero: without end
	Caller, Target policy.ServiceID
	Credential     string
	// Otherwise are only those that an observing target let through, or the overlay would have
	// decided otherwise.
	Otherwise bool
}
