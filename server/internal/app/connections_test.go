package app

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/server/internal/web"
)

// dialFrom connects to a server from one of the addresses of this machine. The connection ends with the test.
func dialFrom(t *testing.T, from, address string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: time.Minute}
	c, err := d.Dial("tcp", address)
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	must(t, c.SetDeadline(time.Now().Add(time.Minute)))
	return c
}

// F03. However many connections one network opens, those of others stay, and so do those on which a request is answered.
func TestConnectionsThatDoNothingGiveWay(t *testing.T) {
	const most, mostFrom = 20, 5
	s := startWith(t, testConfig(t), func(s *Server) {
		s.listeners[0].connections.most, s.listeners[0].connections.mostFrom = most, mostFrom
	})
	m1, _, _ := s.demo()
	address := strings.TrimPrefix(s.url, "http://")
	dial := func(from string) net.Conn { return dialFrom(t, from, address) }
	ask := func(c net.Conn) (int, error) {
		body := `{"target":"m2"}`
		if _, err := fmt.Fprintf(c, "POST /accesstoken HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", m1, len(body), body); err != nil {
			return 0, err
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return 0, err
		}
		defer resp.Body.Close()
		_, err = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode, err
	}
	closed := func(c net.Conn) bool {
		_, err := c.Read(make([]byte, 1))
		return err != nil
	}
	honest := dial(nextAddress())
	if got, err := ask(honest); got != 200 {
		t.Fatalf("before: got %d, %v", got, err)
	}
	hostile := nextAddress()
	var idle []net.Conn
	for range 10 * mostFrom {
		idle = append(idle, dial(hostile))
	}
	for i, c := range idle[:len(idle)-mostFrom] {
		if !closed(c) {
			t.Errorf("connection %d was not closed", i)
		}
	}
	if got, err := ask(honest); got != 200 {
		t.Errorf("on a connection that was open before: got %d, %v", got, err)
	}
	if got, err := ask(idle[len(idle)-1]); got != 200 {
		t.Errorf("on the newest of the network itself: got %d, %v", got, err)
	}

	// All that are answered stay, and the newest is closed.
	list := s.do(s.request("GET", s.url+"/oauth2/denylist", "")).header.Get("ETag")
	waiter := nextAddress()
	var busy []net.Conn
	for range mostFrom {
		c := dial(waiter)
		fmt.Fprintf(c, "GET /oauth2/denylist?wait=25 HTTP/1.1\r\nHost: x\r\nIf-None-Match: %s\r\n\r\n", list)
		busy = append(busy, c)
	}
	for s.metric("watchword_http_requests_waiting") < mostFrom {
		runtime.Gosched()
	}
	if !closed(dial(waiter)) {
		t.Error("one more than may be was not closed")
	}
	s.operate("POST", "/revocations", `{"token":"`+s.accessToken(m1, "m2")+`"}`)
	for i, c := range busy {
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || resp.StatusCode != 200 {
			t.Errorf("waiting request %d: got %v, %v", i, resp, err)
		}
	}

	// In all, whoever has them: the one that has done nothing for longest.
	var all []net.Conn
	for range most {
		all = append(all, dial(nextAddress()))
	}
	if got, err := ask(all[most-1]); got != 200 {
		t.Errorf("the newest of all: got %d, %v", got, err)
	}
	if n := s.metric(`watchword_connections{listener="services"}`); n > most {
		t.Errorf("%d connections are open, want %d at most", n, most)
	}
	if got := s.metric(`watchword_connections_closed_total{listener="services"}`); got < 9*mostFrom {
		t.Errorf("%d connections count as closed", got)
	}
}

// F03, F63. Connections that a proxy makes are those of its clients: with the PROXY protocol each has its own bound, and
// without it the proxy has none.
func TestConnectionsThroughAProxyAreThoseOfItsClients(t *testing.T) {
	const mostFrom = 4
	for name, protocol := range map[string]bool{"PROXY protocol": true, "header": false} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(t)
			cfg.Proxy.Networks = []netip.Prefix{netip.MustParsePrefix(proxyAddress + "/32")}
			cfg.Proxy.Protocol = protocol
			if !protocol {
				cfg.Proxy.AddressHeader = "X-Forwarded-For"
			}
			s := startWith(t, cfg, func(s *Server) { s.listeners[0].connections.mostFrom = mostFrom })
			address := strings.TrimPrefix(s.url, "http://")
			open := func(client string) net.Conn {
				c := dialFrom(t, proxyAddress, address)
				head := ""
				if protocol {
					head = "PROXY TCP4 " + client + " 127.0.0.1 4660 8000\r\n"
				}
				fmt.Fprintf(c, "%sGET /.well-known/jwks.json HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: %s\r\n\r\n", head, client)
				return c
			}
			answered := func(c net.Conn) bool {
				resp, err := http.ReadResponse(bufio.NewReader(c), nil)
				if err != nil {
					return false
				}
				_, err = io.Copy(io.Discard, resp.Body)
				return err == nil && resp.StatusCode == 200
			}
			honest := open("192.0.2.1")
			if !answered(honest) {
				t.Fatal("an honest client got no answer")
			}
			var hostile []net.Conn
			for range 5 * mostFrom {
				c := open("192.0.2.66")
				if !answered(c) {
					t.Fatal("no answer")
				}
				hostile = append(hostile, c)
			}
			again := func(c net.Conn) bool {
				fmt.Fprint(c, "GET /.well-known/jwks.json HTTP/1.1\r\nHost: x\r\n\r\n")
				return answered(c)
			}
			kept := 0
			for _, c := range hostile {
				if again(c) {
					kept++
				}
			}
			if want := map[bool]int{true: mostFrom, false: 5 * mostFrom}[protocol]; kept != want {
				t.Errorf("the hostile client kept %d connections, want %d", kept, want)
			}
			if !again(honest) {
				t.Error("the honest client lost its connection")
			}
		})
	}
}

// What the process may have open in files is divided so that the database and the audit log have theirs.
func TestConnectionsLeaveFilesForTheRest(t *testing.T) {
	for files, want := range map[int][2]int{1: {1, 1}, 128: {64, 8}, 1024: {736, 64}, 16_000: {11_968, 1000}, 1 << 20: {web.MaxConnections, web.MaxOtherConnections}} {
		if got := [2]int{mostConnections(services, files), mostConnections("operators", files)}; got != want {
			t.Errorf("%d files: got %v, want %v", files, got, want)
		}
	}
}

// exported is what is at /metrics.
func (s *server) exported() string {
	s.t.Helper()
	return s.do(s.request("GET", strings.TrimSuffix(s.admin, "/admin/v1")+"/metrics", "")).body
}

// metric is the value of a series at /metrics. It is 0 when there is none.
func (s *server) metric(series string) int {
	s.t.Helper()
	for line := range strings.Lines(s.exported()) {
		if text, ok := strings.CutPrefix(line, series+" "); ok {
			f, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
			if err != nil {
				s.t.Fatal(err)
			}
			return int(f)
		}
	}
	return 0
}
