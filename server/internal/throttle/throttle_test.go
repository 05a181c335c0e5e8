package throttle_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/server/internal/throttle"
)

const (
	burst  = 20
	refill = time.Second
	most   = 1000
)

func TestFailuresAreLimitedAndForgiven(t *testing.T) {
	now := time.Now()
	c := throttle.New[string](burst, refill, most)
	for i := range burst {
		if wait := c.Charge("a", now); wait != 0 {
			t.Fatalf("failure %d: has to wait %s", i+1, wait)
		}
	}
	if wait := c.Wait("a", now); wait <= 0 || wait > refill {
		t.Errorf("after %d failures: wait %s, want up to %s", burst, wait, refill)
	}
	if wait := c.Charge("a", now); wait <= 0 || wait > refill {
		t.Errorf("one more: wait %s, want up to %s", wait, refill)
	}
	if c.Wait("b", now) != 0 || c.Charge("b", now) != 0 {
		t.Error("another has to wait too")
	}
	now = now.Add(refill)
	if c.Wait("a", now) != 0 || c.Charge("a", now) != 0 {
		t.Error("after a while there is still a wait")
	}
	if c.Wait("a", now) == 0 {
		t.Error("all is forgiven at once")
	}
}

// CAU-020: nobody is refused for the failures of others before it has failed itself.
func TestMemoryIsBounded(t *testing.T) {
	now := time.Now()
	c := throttle.New[int](burst, refill, most)
	limited := 0
	for i := range 10 * most {
		if c.Charge(i, now) > 0 {
			limited++
		}
	}
	if want := 9*most - burst; limited != want {
		t.Errorf("got %d limited, want %d: those beyond memory share one count", limited, want)
	}
	if c.Wait(10*most, now) != 0 {
		t.Error("one who never failed has to wait")
	}
	now = now.Add(time.Minute)
	if wait := c.Charge(10*most, now); wait > 0 {
		t.Errorf("got %s to wait after a minute, want room again", wait)
	}
	for range burst {
		c.Charge(10*most, now)
	}
	if c.Wait(10*most, now) == 0 {
		t.Error("after a minute a new one is not counted by itself")
	}
}

func TestNeighboursInOneIPv6NetworkAreCountedAsOne(t *testing.T) {
	a, b := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::ffff")
	if throttle.Network(a) != throttle.Network(b) {
		t.Error("they are counted apart")
	}
	if throttle.Network(a) == throttle.Network(netip.MustParseAddr("2001:db8:0:1::1")) {
		t.Error("two networks are counted as one")
	}
	if throttle.Network(netip.MustParseAddr("192.0.2.1")) == throttle.Network(netip.MustParseAddr("192.0.2.2")) {
		t.Error("two IPv4 addresses are counted as one")
	}
	if throttle.Network(netip.Addr{}) == throttle.Network(a) {
		t.Error("a connection without an address is counted with others")
	}
}
