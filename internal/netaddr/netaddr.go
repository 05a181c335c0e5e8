// Package netaddr reports which hosts are this machine, and by which names a listener may be called. It does not
// resolve names.
package netaddr

import (
	"net"
	"net/netip"
	"strings"
)

// IsLoopback reports whether host, without port and brackets, is reached without leaving this machine: an
// address in 127.0.0.0/8, ::1, localhost or a name below it (RFC 6761, section 6.3), in any case. It returns
// false for every other name.
func IsLoopback(host string) bool {
	name := strings.ToLower(host)
	if name == "localhost" || len(name) > len(".localhost") && strings.HasSuffix(name, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// Hosts are the names of a listener, in addition to its addresses.
type Hosts map[string]bool

// NewHosts returns localhost and names, each of which may have a port.
func NewHosts(names ...string) Hosts {
	h := Hosts{"localhost": true}
	for _, n := range names {
		if name := hostOf(n); name != "" {
			h[name] = true
		}
	}
	return h
}

// Match reports whether header, the Host header of a request, names the listener: by one of h, by a loopback
// address, or by the address at which the connection arrived, which is arrived (it may be nil). A web page whose
// name resolves to this listener (DNS rebinding) sends its own name, which is none of these.
func (h Hosts) Match(header string, arrived net.Addr) bool {
	name := hostOf(header)
	if h[name] {
		return true
	}
	address, err := netip.ParseAddr(name)
	if err != nil {
		return false
	}
	address = address.Unmap()
	if address.IsLoopback() {
		return true
	}
	if arrived == nil {
		return false
	}
	own, err := netip.ParseAddrPort(arrived.String())
	return err == nil && own.Addr().Unmap() == address
}

// hostOf returns s without port and brackets, in lower case.
func hostOf(s string) string {
	if host, _, err := net.SplitHostPort(s); err == nil {
		s = host
	}
	return strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
}
