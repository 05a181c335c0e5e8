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

// ADM-003, ADM-012, RFC 9700, section 4.12: a path that is not clean leads nowhere, and is
// never a redirect that a client follows with its credential.
func TestPathsAreTakenAsTheyAre(t *testing.T) {
	s := start(t, testConfig(t))
	m1, _, _ := s.demo()
	operators := strings.TrimSuffix(s.admin, "/admin/v1")
	s.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for _, url := range []string{
		s.url + "//accesstoken", s.url + "/%61ccesstoken", s.url + "/oauth2%2ftoken", s.url + "/./accesstoken", s.url + "/x/../accesstoken", s.url + "/accesstoken/",
		operators + "//admin/v1/services", operators + "/admin/v1/services/../keys", operators + "/admin/v1/services/%2e%2e/keys",
	} {
		r := s.request("POST", url, `{"target":"m2"}`, "Authorization", "Bearer "+m1)
		if a := s.do(r); a.status < 400 || a.status >= 500 {
			t.Errorf("%s: got %d %s", url, a.status, a.header.Get("Location"))
		}
	}
	if a := s.do(s.request("GET", s.url+"/.well-known/jwks.json?"+strings.Repeat("x", 9000), "")); a.status != 414 {
		t.Errorf("a URL of 9 KB: got %d, want 414", a.status)
	}
	// To an operator it is a problem like all others.
	if a := s.do(s.request("GET", s.admin+"/services?pageToken="+strings.Repeat("x", 9000), "")); a.status != 414 || a.json(t)["code"] != "url_too_long" {
		t.Errorf("a URL of 9 KB at the operators' listener: got %d %s", a.status, a.body)
	}
}

// F34: metrics and the operator's API answer the same Host headers; F79: health is told whatever the Host.
func TestHostDecidesAlikeForAllButHealth(t *testing.T) {
	s := start(t, testConfig(t))
	operators := strings.TrimSuffix(s.admin, "/admin/v1")
	for host, want := range map[string]int{"evil.test": 421, "8.8.8.8": 421, "localhost:8010": 200, "127.0.0.1:8010": 200, "[::1]:8010": 200} {
		for path, want := range map[string]int{"/livez": 200, "/readyz": 200, "/metrics": want, "/admin/v1/services": want} {
			r := s.request("GET", operators+path, "", "Authorization", "Bearer "+s.token)
			r.Host = host
			if a := s.do(r); a.status != want {
				t.Errorf("%s with Host %s: got %d, want %d", path, host, a.status, want)
			}
		}
	}
	// haproxy's httpchk sends no Host, which HTTP/1.0 allows.
	conn, err := net.Dial("tcp", strings.TrimPrefix(operators, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET /readyz HTTP/1.0\r\n\r\n")
	a, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || a.StatusCode != http.StatusOK {
		t.Errorf("without Host: got %v, %v", a, err)
	}
}

// A token pasted in the place of an id is in no log.
func TestTokenInAPathIsNotRecorded(t *testing.T) {
	s := start(t, testConfig(t))
	m1, _, _ := s.demo()
	a := s.do(s.request("GET", s.admin+"/credentials/"+m1, "", "Authorization", "Bearer "+s.token))
	if a.status != 404 && a.status != 400 {
		t.Errorf("got %d %s", a.status, a.body)
	}
	text := auditText(t, s.cfg.Audit.Dir)
	if strings.Contains(text, m1[len(m1)-80:]) || !strings.Contains(text, "too long for a name") {
		t.Error("the token is in the audit log, or the request is not")
	}
}

// RFC 9112, section 9.6: a client may close its half once it has sent all.
func TestHalfClosedRequestIsAnswered(t *testing.T) {
	s := start(t, testConfig(t))
	m1, _, _ := s.demo()
	for range 20 {
		c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "POST /accesstoken HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 15\r\n\r\n{\"target\":\"m2\"}", m1)
		c.(*net.TCPConn).CloseWrite()
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("got %v, %v", resp, err)
		}
		resp.Body.Close()
		c.Close()
	}
}
