// Package throttle counts failures by who made them, in bounded memory. It does not know what
// failed.
package throttle

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Counter counts failures. Each K may make burst of them at once, and then one every refill. When
// there are more K than it remembers, the new ones share one count.
type Counter[K comparable] struct {
	burst  int
	refill time.Duration
	most   int

	mu     sync.Mutex
	by     map[K]*rate.Limiter
	shared *rate.Limiter
	swept  time.Time
}

// New makes a counter that remembers at most most K.
func New[K comparable](burst int, refill time.Duration, most int) *Counter[K] {
	c := &Counter[K]{burst: burst, refill: refill, most: most, by: map[K]*rate.Limiter{}}
	c.shared = c.newBucket()
	return c
}

func (c *Counter[K]) newBucket() *rate.Limiter { return rate.NewLimiter(rate.Every(c.refill), c.burst) }

// Charge counts a failure of who. It answers how long who has to wait when it had too many
// already, else zero.
func (c *Counter[K]) Charge(who K, now time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	bucket := c.bucket(who, now)
	if bucket.AllowN(now, 1) {
		return 0
	}
	return c.missing(bucket, now)
}

// Wait is how long who has to wait because of its own failures, and counts nothing. Of whom
// nothing is remembered, it is zero: nobody waits for the failures of others before it has failed.
func (c *Counter[K]) Wait(who K, now time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	bucket, ok := c.by[who]
	if !ok || bucket.TokensAt(now) >= 1 {
		return 0
	}
	return c.missing(bucket, now)
}

func (c *Counter[K]) missing(bucket *rate.Limiter, now time.Time) time.Duration {
	return max(time.Duration((1-bucket.TokensAt(now))*float64(c.refill)), 1)
}

func (c *Counter[K]) bucket(who K, now time.Time) *rate.Limiter {
	if b, ok := c.by[who]; ok {
		return b
	}
	if len(c.by) >= c.most {
		c.sweep(now)
	}
	if len(c.by) >= c.most {
		return c.shared
	}
	b := c.newBucket()
	c.by[who] = b
	return b
}

// sweep forgets those whose failures are forgiven, at most once a refill: it looks at all.
func (c *Counter[K]) sweep(now time.Time) {
	if now.Sub(c.swept) < c.refill {
		return
	}
	c.swept = now
	for who, b := range c.by {
		if b.TokensAt(now) >= float64(c.burst) {
			delete(c.by, who)
		}
	}
}

// Network is the network whose addresses are counted as one: the address itself, and for IPv6 its
// /64, since one customer has at least so many.
func Network(a netip.Addr) netip.Prefix {
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits)
	return p
}
