package interop

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// FLT-028: ten thousand connections, each of which is used again and again, and the server stays below 512 MiB
// and answers all.
func TestTenThousandConnectionsFitInMemory(t *testing.T) {
	const connections, rounds, ceiling = 10_000, 3, 512 << 10 // KiB
	// As for a container of 512 MiB: what is not Go's heap needs some too.
	s := startServer(t, "GOMEMLIMIT=400MiB")
	s.run(t, "service", "create", "m1")
	s.run(t, "service", "create", "m2")
	s.run(t, "allow", "m1", "m2")
	m1, err := command(t, s.env, program(t), "credential", "create", "m1")
	must(t, err)
	m1 = strings.TrimSpace(m1)
	address := strings.TrimPrefix(s.public, "http://")
	const body = `{"target":"m2"}`
	request := fmt.Sprintf("POST /accesstoken HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", m1, len(body), body)
	conns := make([]net.Conn, connections)
	defer func() {
		for _, c := range conns {
			if c != nil {
				c.Close()
			}
		}
	}()
	for i := range conns {
		var err error
		// From many networks: the connections of each are bounded.
		from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 1, byte(i%50), 1)}}
		if conns[i], err = from.Dial("tcp", address); err != nil {
			t.Fatalf("connection %d: %v (the limit on open files must be above %d: ulimit -n)", i, err, connections)
		}
	}
	var next, failed atomic.Int64
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for n := next.Add(1) - 1; n < rounds*connections; n = next.Add(1) - 1 {
				c := conns[n%connections]
				if _, err := io.WriteString(c, request); err != nil {
					failed.Add(1)
					continue
				}
				a, err := http.ReadResponse(bufio.NewReader(c), nil)
				if err != nil || a.StatusCode != http.StatusOK {
					failed.Add(1)
					continue
				}
				if _, err := io.Copy(io.Discard, a.Body); err != nil {
					failed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if n := failed.Load(); n > 0 {
		t.Errorf("%d of %d requests were not answered with a token", n, rounds*connections)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.pid))
	must(t, err)
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	if m == nil {
		t.Fatalf("no VmHWM in %s", status)
	}
	if peak, err := strconv.Atoi(string(m[1])); err != nil || peak > ceiling {
		t.Errorf("the server took %s KiB, want at most %d: %v", m[1], ceiling, err)
	} else {
		t.Logf("%d MiB at most", peak>>10)
	}
}
