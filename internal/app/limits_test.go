package app

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// DOS-006.
func TestHugeHeadersAreRefused(t *testing.T) {
	s := start(t, testConfig(t))
	m1, _, _ := s.demo()
	many := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "X-%d: 1\r\n", i)
		}
		return b.String()
	}
	for name, head := range map[string]string{
		"1 MiB header":   "POST /accesstoken HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\n",
		"10,000 headers": "POST /accesstoken HTTP/1.1\r\nHost: x\r\n" + many(10_000) + "\r\n",
		"long URL":       "POST /accesstoken?" + strings.Repeat("x", 64<<10) + " HTTP/1.1\r\nHost: x\r\n\r\n",
		"no host":        "POST /accesstoken HTTP/1.1\r\n\r\n",
		"two lengths":    "POST /accesstoken HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
		"not HTTP":       "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\r\n\r\n",
	} {
		c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		go c.Write([]byte(head)) // the server may stop reading before the end
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		resp.Body.Close()
		if resp.StatusCode != 400 && resp.StatusCode != 414 && resp.StatusCode != 431 {
			t.Errorf("%s: got %d", name, resp.StatusCode)
		}
	}
	if a := s.ask(m1, `{"target":"m2"}`); a.status != 200 {
		t.Errorf("after all of it: got %d", a.status)
	}
}

// DOS-002, FLT-029: with no file left to open the server goes on, and the database and the
// audit log have theirs.
func TestServerSurvivesRunningOutOfFiles(t *testing.T) {
	cfg := testConfig(t)
	s := start(t, cfg)
	m1, _, _ := s.demo()
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	t.Setenv(serveEnv+"_FILES", "128")
	s, cmd := child(t, cfg)
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	if a := s.ask(m1, `{"target":"m2"}`); a.status != 200 { // on a connection that is kept
		t.Fatalf("before: got %d %s", a.status, a.body)
	}
	var held []net.Conn
	for range 300 {
		c, err := net.DialTimeout("tcp", strings.TrimPrefix(s.url, "http://"), time.Second)
		if err != nil {
			break // the backlog is full too
		}
		held = append(held, c)
	}
	if len(held) < 128 {
		t.Fatalf("only %d connections could be opened", len(held))
	}
	for range 20 {
		if a := s.ask(m1, `{"target":"m2"}`); a.status != 200 {
			t.Fatalf("without a file left: got %d %s", a.status, a.body)
		}
	}
	for _, c := range held {
		c.Close()
	}
	s.client.CloseIdleConnections()
	s.until(m1, `{"target":"m2"}`, 200)
}

// DOS-002: an idle connection is closed after 60 to 120 s, and no phase of a request is
// without a limit.
func TestListenersHaveTimeLimits(t *testing.T) {
	s := start(t, testConfig(t))
	for _, l := range s.s.listeners {
		v := l.server
		if v.IdleTimeout < 60*time.Second || v.IdleTimeout > 120*time.Second || v.ReadHeaderTimeout == 0 || v.ReadTimeout == 0 || v.WriteTimeout == 0 {
			t.Errorf("%s: idle %v, header %v, read %v, write %v", l.name, v.IdleTimeout, v.ReadHeaderTimeout, v.ReadTimeout, v.WriteTimeout)
		}
	}
}
