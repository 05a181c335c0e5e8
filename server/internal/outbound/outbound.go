// Package outbound makes the HTTP clients with which the server connects to addresses because an operator wrote a URL:
// the keys of services and of platforms, and callees that are probed. It decides which addresses those may be; it does not know what
// is fetched.
package outbound

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"syscall"
	"time"
)

// Policy defines which addresses may be connected to. Those at which clouds answer with the machine's own credentials, and
// link-local, multicast and unspecified addresses, never may. The zero value allows public addresses only.
type Policy struct {
	// Private allows addresses that are not public too: this machine, and private networks.
	Private bool
	// Networks are allowed besides public addresses.
	Networks []netip.Prefix
	// Setting is the name of the setting that Networks come from, for the error. Empty: there is none.
	Setting string
}

// Client makes a client for one answer per connection, each within timeout. An address is looked at when it is connected
// to, after the name was resolved, so that a name which leads elsewhere the second time gains nothing (RFC 8725bis,
// server-side request forgery). It uses no proxy, which would resolve the name itself, keeps no connection, and
// follows no redirect.
func (p Policy) Client(timeout time.Duration) *http.Client {
	dialer := net.Dialer{Timeout: timeout, Control: p.control}
	return &http.Client{
		Timeout: timeout,
		Transport: &http.Transport{
			DialContext: dialer.DialContext, DisableKeepAlives: true, DisableCompression: true,
			TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, MaxResponseHeaderBytes: 16 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// control is a net.Dialer's.
func (p Policy) control(_, address string, _ syscall.RawConn) error {
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", address, err)
	}
	if p.Allows(a.Addr()) {
		return nil
	}
	switch {
	case p.Private:
		return fmt.Errorf("connect to %s: no service has such an address", a.Addr())
	case p.Setting != "":
		return fmt.Errorf("connect to %s: it is not a public address, nor in a network of %s", a.Addr(), p.Setting)
	}
	return fmt.Errorf("connect to %s: it is not a public address", a.Addr())
}

// Allows reports whether a may be connected to. An IPv6 address that a translator or a tunnel turns into an IPv4 address
// is allowed if both are.
func (p Policy) Allows(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if !p.allows(a) {
		return false
	}
	for _, inner := range translated(a) {
		if !p.allows(inner) {
			return false
		}
	}
	return true
}

func (p Policy) allows(a netip.Addr) bool {
	switch {
	case a.IsLinkLocalUnicast() || a.IsUnspecified() || a.IsMulticast() || slices.Contains(never, a):
		return false
	case p.Private || contains(p.Networks, a):
		return true
	case a.IsLoopback() || a.IsPrivate() || !a.IsGlobalUnicast():
		return false
	}
	return !contains(notPublic, a)
}

func contains(networks []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(a) })
}

// never are addresses at which clouds answer with the machine's own credentials, besides link-local ones: Amazon's over
// IPv6, Google's over IPv6, Scaleway's over IPv6, Alibaba's, Azure's and Oracle's; and the broadcast address.
var never = []netip.Addr{
	netip.MustParseAddr("fd00:ec2::254"), netip.MustParseAddr("fd20:ce::254"), netip.MustParseAddr("fd00:42::42"),
	netip.MustParseAddr("100.100.100.200"), netip.MustParseAddr("168.63.129.16"), netip.MustParseAddr("192.0.0.192"),
	netip.MustParseAddr("255.255.255.255"),
}

// notPublic are the networks of the IANA special-purpose address registries (RFC 6890) that net/netip does not know:
// not globally reachable, or a way to write other addresses.
var notPublic = prefixes(
	"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24",
	"203.0.113.0/24", "240.0.0.0/4",
	"::/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16",
	"3fff::/20", "5f00::/16", "fec0::/10",
)

func prefixes(all ...string) (p []netip.Prefix) {
	for _, s := range all {
		p = append(p, netip.MustParsePrefix(s))
	}
	return p
}

// forms are the ways to write an IPv4 address within an IPv6 address: where it is, and what its bits are xored with.
var forms = []struct {
	prefix netip.Prefix
	at     int
	xor    byte
}{
	{netip.MustParsePrefix("::/96"), 12, 0},           // IPv4-compatible (RFC 4291, section 2.5.5.1)
	{netip.MustParsePrefix("::ffff:0:0:0/96"), 12, 0}, // IPv4-translated (RFC 2765, section 2.1)
	{netip.MustParsePrefix("64:ff9b::/96"), 12, 0},    // NAT64 (RFC 6052)
	{netip.MustParsePrefix("64:ff9b:1::/48"), 12, 0},  // NAT64 of a local network (RFC 8215)
	{netip.MustParsePrefix("2002::/16"), 2, 0},        // 6to4 (RFC 3056)
	{netip.MustParsePrefix("2001::/32"), 4, 0},        // Teredo's server (RFC 4380)
	{netip.MustParsePrefix("2001::/32"), 12, 0xff},    // Teredo's client
}

// translated are the IPv4 addresses that an IPv6 address may lead to.
func translated(a netip.Addr) (all []netip.Addr) {
	if !a.Is6() {
		return nil
	}
	b := a.As16()
	inner := func(at int, xor byte) {
		all = append(all, netip.AddrFrom4([4]byte{b[at] ^ xor, b[at+1] ^ xor, b[at+2] ^ xor, b[at+3] ^ xor}))
	}
	for _, f := range forms {
		if f.prefix.Contains(a) && !a.IsLoopback() && !a.IsUnspecified() {
			inner(f.at, f.xor)
		}
	}
	// ISATAP (RFC 5214, section 6.1), below any prefix.
	if b[8]&^2 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe {
		inner(12, 0)
	}
	return all
}
