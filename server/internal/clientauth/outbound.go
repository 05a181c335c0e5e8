package clientauth

import (
	"fmt"
	"net/netip"
	"syscall"
)

// outbound says to which addresses this server connects because an operator wrote a URL: to public
// ones, and to those in networks the configuration names. The address is looked at when it is
// connected to, after the name was resolved, so that a name which leads elsewhere the second time
// gains nothing (RFC 8725bis, server-side request forgery).
type outbound struct{ networks []netip.Prefix }

// control is a net.Dialer's.
func (o outbound) control(_, address string, _ syscall.RawConn) error {
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", address, err)
	}
	if !o.allows(a.Addr().Unmap().WithZone("")) {
		return fmt.Errorf("connect to %s: not a public address, nor in a network of oauth.jwks_networks", a.Addr())
	}
	return nil
}

func (o outbound) allows(a netip.Addr) bool {
	// Where clouds answer with the machine's own credentials, whatever is configured.
	if a.IsLinkLocalUnicast() || a.IsUnspecified() || a.IsMulticast() || a == broadcast {
		return false
	}
	for _, n := range o.networks {
		if n.Contains(a) {
			return true
		}
	}
	if a.IsLoopback() || a.IsPrivate() || !a.IsGlobalUnicast() {
		return false
	}
	for _, n := range notPublic {
		if n.Contains(a) {
			return false
		}
	}
	return true
}

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// notPublic are the networks of the IANA special-purpose address registries (RFC 6890) that
// net/netip does not know: not globally reachable, or a way to write other addresses.
var notPublic = prefixes(
	"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24",
	"203.0.113.0/24", "240.0.0.0/4",
	"::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
	"5f00::/16", "fec0::/10",
)

func prefixes(all ...string) (p []netip.Prefix) {
	for _, s := range all {
		p = append(p, netip.MustParsePrefix(s))
	}
	return p
}
