package policy

import (
	"net/netip"
	"slices"
	"time"
)

// When is under which conditions a rule counts. All that are set must hold. It is immutable.
type When struct {
	// Methods are the ways in which the caller may have proved itself. None: any.
	Methods []string
	// Bound: only for tokens that are bound to a key of the caller.
	Bound bool
	// Networks the caller may ask from. None: any.
	Networks []netip.Prefix
	// Hours in which it may ask. The zero value: any.
	Hours Hours
	// Direct: not on behalf of another.
	Direct bool
}

// Hours is a part of each week, in UTC.
type Hours struct {
	// Days are bits, that of time.Sunday the lowest.
	Days uint8
	// From and To are minutes of the day, From included, To excluded. To at or before From: into
	// the next day, which then counts as the day it began on.
	From, To int16
}

// Circumstances are how a question is asked.
type Circumstances struct {
	Method  string
	Bound   bool
	Address netip.Addr
	// Actors is how many services act on behalf of another.
	Actors int
}

// fails is the first condition that does not hold, or "".
func (w *When) fails(q *Query) Reason {
	switch {
	case w == nil:
		return ""
	case len(w.Methods) > 0 && !slices.Contains(w.Methods, q.With.Method):
		return MethodNotAllowed
	case w.Bound && !q.With.Bound:
		return NotBound
	case len(w.Networks) > 0 && !contains(w.Networks, q.With.Address):
		return NetworkNotAllowed
	case w.Direct && (q.With.Actors > 0 || q.Exchange != NoExchange):
		return NotDirect
	case !w.Hours.Contain(q.At):
		return OutsideHours
	}
	return ""
}

func contains(networks []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(a) })
}

// Contain reports whether the moment, in microseconds since 1970, is within h.
func (h Hours) Contain(at int64) bool {
	if h == (Hours{}) {
		return true
	}
	t := time.UnixMicro(at).UTC()
	minute, weekday := int16(t.Hour()*60+t.Minute()), t.Weekday()
	if h.From < h.To {
		return h.has(weekday) && h.From <= minute && minute < h.To
	}
	return h.has(weekday) && minute >= h.From || h.has((weekday+6)%7) && minute < h.To
}

func (h Hours) has(d time.Weekday) bool { return h.Days>>d&1 == 1 }
