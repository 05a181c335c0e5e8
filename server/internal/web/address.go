package web

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
)

// Proxies are what may stand in front of the server and tell it the addresses of its clients. The zero value: nothing.
type Proxies struct {
	// Networks of the proxies. What they send in Header is believed. What others send is not: anybody can write it.
	Networks []netip.Prefix
	// Header is X-Forwarded-For, Forwarded (RFC 7239) or another of the form of X-Forwarded-For. Each proxy adds the
	// address it was connected from to its end. Empty: none is believed.
	Header string
}

// Resolve makes a handler of h for which Address is that of the client, also when the request comes through proxies. It
// is the rightmost address in the header that is not a proxy's: what stands further left may have been made up. When
// there is none that can be read, it is the address of the last proxy that is known.
func (p Proxies) Resolve(h http.Handler) http.Handler {
	if len(p.Networks) == 0 {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer := Address(r)
		if p.trusted(peer) {
			client := peer
			if p.Header != "" {
				client = p.client(peer, r.Header.Values(p.Header))
			}
			r = r.WithContext(context.WithValue(r.Context(), hopKey{}, hop{peer, p.trusted(client)}))
			r.RemoteAddr = netip.AddrPortFrom(client, 0).String()
		}
		h.ServeHTTP(w, r)
	})
}

func (p Proxies) trusted(a netip.Addr) bool {
	for _, n := range p.Networks {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

func (p Proxies) client(peer netip.Addr, lines []string) netip.Addr {
	hops := strings.Split(strings.Join(lines, ","), ",")
	for i := len(hops) - 1; i >= 0 && p.trusted(peer); i-- {
		hop := hops[i]
		if strings.EqualFold(p.Header, "Forwarded") {
			hop = forwardedFor(hop)
		}
		next, ok := parseHop(hop)
		if !ok {
			break
		}
		peer = next
	}
	return peer
}

// forwardedFor is the value of for in an element of Forwarded (RFC 7239, section 4). An element in which a comma or a
// semicolon is quoted cannot be read, which ends the search.
func forwardedFor(element string) string {
	for pair := range strings.SplitSeq(element, ";") {
		name, value, _ := strings.Cut(pair, "=")
		if strings.EqualFold(strings.TrimSpace(name), "for") {
			return strings.Trim(strings.TrimSpace(value), `"`)
		}
	}
	return ""
}

// parseHop reads an address with or without port. Names such as "unknown" are none.
func parseHop(s string) (netip.Addr, bool) {
	s = strings.TrimSpace(s)
	if a, err := netip.ParseAddrPort(s); err == nil {
		return a.Addr().Unmap().WithZone(""), true
	}
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	return a.Unmap().WithZone(""), err == nil
}

// hop is what is known of a request that a proxy sent.
type hop struct {
	peer   netip.Addr
	shared bool // its address is that of a proxy: the clients behind it share it
}

type hopKey struct{}

// Peer is the address that the connection of a request comes from: that of the client, or of a proxy.
func Peer(r *http.Request) netip.Addr {
	if h, ok := r.Context().Value(hopKey{}).(hop); ok {
		return h.peer
	}
	return Address(r)
}

// WithPeer returns a context for requests of a connection that peer, a proxy, made for the client at its address.
func WithPeer(ctx context.Context, peer netip.Addr) context.Context {
	return context.WithValue(ctx, hopKey{}, hop{peer: peer})
}

// viaProxy reports whether the address of a request is that of a proxy, which many clients share.
func viaProxy(r *http.Request) bool {
	h, ok := r.Context().Value(hopKey{}).(hop)
	return ok && h.shared
}

// Address is the client's address without the port: that of the connection, or what Proxies.Resolve made of it.
func Address(r *http.Request) netip.Addr {
	a, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return a.Addr().Unmap()
}
