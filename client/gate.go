package client

import "time"

// How often a server that does not answer is tried again. With the longest pause, the longest Retry-After and its
// jitter (45 s), 500 clients that wait for a server all have their tokens within a minute after it is back
// (FLT-026).
const (
	minPause      = time.Second // SCL-005: at most one attempt a second
	firstPause    = 2 * time.Second
	maxPause      = 20 * time.Second
	maxRetryAfter = 30 * time.Second
)

// gate admits requests while the server answers. After a failure it admits one attempt at a time, after growing pauses.
// It reads no clock and is not safe for concurrent use.
type gate struct {
	failures int // in a row
	trying   bool
	next     time.Time
	last     error
}

// admit reports whether a request may be sent now, and whether it is an attempt after a failure.
func (g *gate) admit(now time.Time) (try, ok bool) {
	if g.failures == 0 {
		return false, true
	}
	if g.trying || now.Before(g.next) {
		return false, false
	}
	g.trying = true
	return true, true
}

// success opens the gate and reports whether it was closed.
func (g *gate) success() (recovered bool) {
	recovered = g.failures > 0
	*g = gate{}
	return recovered
}

// failure closes the gate for a pause and reports whether it was open. A request that was sent before the gate closed
// does not lengthen the pause.
func (g *gate) failure(now time.Time, f failure, try bool, random float64) (first bool) {
	g.last = f.err
	first = g.failures == 0
	if !first && !try {
		return false
	}
	g.trying = false
	if first || !f.local {
		g.failures++
	}
	g.next = now.Add(pause(g.failures, f.retryAfter, random))
	return first
}

// pause returns the time until the next attempt. It doubles, and half of it is random, so that the clients of one
// server do not try at the same time.
func pause(failures int, retryAfter time.Duration, random float64) time.Duration {
	d := maxPause
	if failures < 5 {
		d = min(firstPause<<(failures-1), maxPause)
	}
	d = d/2 + time.Duration(random*float64(d/2))
	if retryAfter > 0 {
		retryAfter = min(retryAfter, maxRetryAfter)
		d = max(d, retryAfter+time.Duration(random*float64(retryAfter/2)))
	}
	return max(d, minPause)
}
