package clientauth

import (
	"crypto/ed25519"
	"crypto/x509"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// F102: chains of one network are judged one after the other, those of others meanwhile, and one that was judged waits for
// nobody.
func TestNetworksTakeTurnsWithTheirChains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChains()
		now := time.Now()
		chain := func(raw string) []*x509.Certificate {
			return []*x509.Certificate{{
				Raw: []byte(raw), PublicKey: ed25519.PublicKey{}, NotAfter: now.Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
			}}
		}
		busy, same := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
		other := netip.MustParseAddr("192.0.2.1")
		for c.turn(other) == c.turn(busy) {
			other = other.Next()
		}
		first := chain("first")
		if got := c.fault(first, nil, busy, now); got != "certificate_not_trusted" {
			t.Fatalf("got %q", got)
		}
		c.turn(busy) <- struct{}{} // a chain of this network is judged
		done := make(chan string, 1)
		go func() { done <- c.fault(chain("second"), nil, same, now) }()
		synctest.Wait()
		select {
		case <-done:
			t.Error("two chains of one network are judged at once")
		default:
		}
		c.fault(chain("third"), nil, other, now)
		c.fault(first, nil, busy, now)
		<-c.turn(busy)
		if got := <-done; got != "certificate_not_trusted" {
			t.Errorf("after its turn came: got %q", got)
		}
	})
}
