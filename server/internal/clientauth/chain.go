package clientauth

import (
	"crypto/sha256"
	"crypto/x509"
	"hash/maphash"
	"net/netip"
	"slices"
	"time"

	"github.com/watchword-dev/watchword/server/internal/throttle"
)

// MaxIntermediates bounds the certificates between a client's and its authority. Path building tries them in any order
// if they have the same name.
const MaxIntermediates = 3

// chainKept is how long a verdict on a chain counts. It is about the keys and names in the chain, which do not change,
// and about the present, which does.
const chainKept = time.Minute

// chains judges the certificate chains of clients. Anybody may present one, before anything is known of the client, and
// nothing says that it leads anywhere. So each is judged once, for the authorities as they are then, whatever number of
// requests comes with it, and those of one network are judged one after the other.
type chains struct {
	judged recent[judgedChain, chainVerdict]
	seed   maphash.Seed
	turns  [64]chan struct{} // each of some of the networks: nobody can choose with whom to share one
}

type judgedChain struct {
	chain [sha256.Size]byte
	roots *x509.CertPool // another one when the file of the authorities has changed
}

type chainVerdict struct {
	why   string
	until time.Time
}

func newChains() *chains {
	c := &chains{seed: maphash.MakeSeed()}
	for i := range c.turns {
		c.turns[i] = make(chan struct{}, 1)
	}
	return c
}

// fault is "" when the first certificate of chain is one for clients, of one of the authorities in roots (RFC 5280,
// section 6). The same authorities must be the same pool.
func (c *chains) fault(chain []*x509.Certificate, roots *x509.CertPool, from netip.Addr, now time.Time) string {
	if why := cheapFault(chain, now); why != "" {
		return why
	}
	hash := sha256.New()
	for _, each := range chain {
		hash.Write(each.Raw) // whose length is in it
	}
	key := judgedChain{roots: roots}
	hash.Sum(key.chain[:0])
	verdict := func() (chainVerdict, bool) {
		v, ok := c.judged.find(key)
		return v, ok && now.Before(v.until)
	}
	v, ok := verdict()
	if ok {
		return v.why
	}
	turn := c.turn(from)
	turn <- struct{}{}
	defer func() { <-turn }()
	if v, ok = verdict(); !ok { // which a request that was judged meanwhile may have brought
		v.why, v.until = judge(chain, key.roots, now)
		c.judged.add(key, v)
	}
	return v.why
}

func (c *chains) turn(from netip.Addr) chan struct{} {
	return c.turns[maphash.Comparable(c.seed, throttle.Network(from))%uint64(len(c.turns))]
}

// cheapFault is what is wrong with a chain, so far as it can be seen without verifying a signature.
func cheapFault(chain []*x509.Certificate, now time.Time) string {
	leaf := chain[0]
	if why := certificateFault(leaf, now); why != "" {
		return why
	}
	switch {
	case leaf.IsCA:
		return "certificate_of_authority"
	// Without the extension a certificate is for every use, servers' among them (RFC 5280, section
	// 4.2.1.12): it must have been issued for clients.
	case !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageClientAuth):
		return "certificate_not_for_clients"
	// A client signs the handshake (RFC 8446, section 4.4.2.4). A proxy may have looked or not.
	case leaf.KeyUsage != 0 && leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return "certificate_not_for_clients"
	case len(chain) > 1+MaxIntermediates:
		return "certificate_chain_too_long"
	case slices.ContainsFunc(chain[1:], isWeak):
		return "certificate_key_weak"
	}
	return ""
}

// judge builds the paths from a chain to its authority. A verdict counts no longer than the certificates on the path.
func judge(chain []*x509.Certificate, roots *x509.CertPool, now time.Time) (why string, until time.Time) {
	until = now.Add(chainKept)
	if roots == nil { // which Verify takes for those of the system
		return "certificate_not_trusted", until
	}
	o := x509.VerifyOptions{
		Roots: roots, Intermediates: x509.NewCertPool(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, c := range chain[1:] {
		o.Intermediates.AddCert(c)
	}
	paths, err := chain[0].Verify(o)
	if err != nil {
		return "certificate_not_trusted", until
	}
	for _, c := range paths[0] {
		if c.NotAfter.Before(until) {
			until = c.NotAfter
		}
	}
	return "", until
}
