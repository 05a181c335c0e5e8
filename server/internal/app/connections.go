package app

import (
	"container/list"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"

	"github.com/pires/go-proxyproto"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/watchword-dev/watchword/server/internal/throttle"
	"github.com/watchword-dev/watchword/server/internal/web"
)

const unknownOpenFiles = 1 << 20

// mostConnections is how many connections a listener may have when the process may have so many files open.
func mostConnections(listener string, files int) int {
	if listener == services {
		return max(min(web.MaxConnections, files*3/4-32), 1)
	}
	return max(min(web.MaxOtherConnections, files/16), 1)
}

// connections bounds the connections of a listener: of each network, and in all. Where there are as many as may be, the
// one that has done nothing for longest gives way to the newest. Connections on which a request is answered never do.
type connections struct {
	most, mostFrom int
	proxies        []netip.Prefix // many clients share their addresses
	closed         prometheus.Counter

	mu   sync.Mutex
	open map[net.Conn]*connection
	idle list.List // of *connection, the one that has done nothing for longest first
	from map[netip.Prefix]*connectionsFrom
}

type connectionsFrom struct {
	n    int
	idle list.List
}

type connection struct {
	net.Conn
	network        netip.Prefix
	inIdle, inFrom *list.Element // nil: a request is answered
}

func newConnections(most int, proxies []netip.Prefix, closed prometheus.Counter) *connections {
	return &connections{
		most: most, mostFrom: max(most/web.ConnectionsPart, web.LeastConnectionsFrom), proxies: proxies, closed: closed,
		open: map[net.Conn]*connection{}, from: map[netip.Prefix]*connectionsFrom{},
	}
}

// state is the ConnState of an http.Server.
func (c *connections) state(conn net.Conn, s http.ConnState) {
	if oldest := c.note(conn, s); oldest != nil {
		c.closed.Inc()
		_ = raw(oldest.Conn).Close() // at once: TLS would write something first
	}
}

func (c *connections) note(conn net.Conn, s http.ConnState) (oldest *connection) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := c.open[conn]
	switch s {
	case http.StateNew:
		known = &connection{Conn: conn, network: c.peer(conn)}
		c.open[conn] = known
		c.join(known)
		c.rest(known)
		return c.excess(known)
	case http.StateActive:
		if known == nil {
			return nil
		}
		c.wake(known)
		// By the PROXY protocol, the address of the client has come meanwhile.
		if from := c.client(conn); from != known.network {
			c.leave(known)
			known.network = from
			c.join(known)
			return c.excess(known)
		}
	case http.StateIdle:
		if known != nil {
			c.wake(known)
			c.rest(known)
		}
	case http.StateClosed, http.StateHijacked:
		if known != nil {
			c.wake(known)
			c.leave(known)
			delete(c.open, conn)
		}
	}
	return nil
}

// closeIdle closes all connections on which no request is answered.
func (c *connections) closeIdle() {
	c.mu.Lock()
	var idle []net.Conn
	for e := c.idle.Front(); e != nil; e = e.Next() {
		idle = append(idle, e.Value.(*connection).Conn)
	}
	c.mu.Unlock()
	for _, conn := range idle {
		_ = raw(conn).Close()
	}
}

// excess is the connection that has to give way to one more, if one has to.
func (c *connections) excess(newest *connection) *connection {
	var idle *list.List
	switch own := c.from[newest.network]; {
	case newest.network.IsValid() && own.n > c.mostFrom:
		idle = &own.idle
	case len(c.open) > c.most:
		idle = &c.idle
	default:
		return nil
	}
	oldest := newest // all others are busy
	if front := idle.Front(); front != nil {
		oldest = front.Value.(*connection)
	}
	c.wake(oldest)
	c.leave(oldest)
	delete(c.open, oldest.Conn)
	return oldest
}

func (c *connections) join(n *connection) {
	own := c.from[n.network]
	if own == nil {
		own = &connectionsFrom{}
		c.from[n.network] = own
	}
	own.n++
}

func (c *connections) leave(n *connection) {
	own := c.from[n.network]
	if own.n--; own.n == 0 {
		delete(c.from, n.network)
	}
}

func (c *connections) rest(n *connection) {
	n.inIdle, n.inFrom = c.idle.PushBack(n), c.from[n.network].idle.PushBack(n)
}

func (c *connections) wake(n *connection) {
	if n.inIdle != nil {
		c.idle.Remove(n.inIdle)
		c.from[n.network].idle.Remove(n.inFrom)
		n.inIdle, n.inFrom = nil, nil
	}
}

func (c *connections) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.open)
}

// peer is the network that a connection comes from, and client is that of the client for which a proxy made it. Both
// are the zero value for a proxy.
func (c *connections) peer(conn net.Conn) netip.Prefix { return c.network(raw(conn).RemoteAddr()) }

func (c *connections) client(conn net.Conn) netip.Prefix { return c.network(conn.RemoteAddr()) }

func (c *connections) network(a net.Addr) netip.Prefix {
	from, err := netip.ParseAddrPort(a.String())
	if err != nil || slices.ContainsFunc(c.proxies, func(p netip.Prefix) bool { return p.Contains(from.Addr().Unmap()) }) {
		return netip.Prefix{}
	}
	return throttle.Network(from.Addr().Unmap())
}

// raw is the connection below TLS and the PROXY protocol.
func raw(c net.Conn) net.Conn {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if p, ok := c.(*proxyproto.Conn); ok {
		c = p.Raw()
	}
	return c
}
