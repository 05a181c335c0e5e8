package app

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/server/internal/config"
)

// F63. Behind a proxy the address of the client counts: in records, and for the networks of credentials. Who is no proxy
// cannot say another.
func TestAddressesBehindAProxyAreThoseOfTheClients(t *testing.T) {
	cfg := testConfig(t)
	cfg.Proxy.Networks = []netip.Prefix{netip.MustParsePrefix(proxyAddress + "/32")}
	cfg.Proxy.AddressHeader = "X-Forwarded-For"
	s := start(t, cfg)
	_, _, _ = s.demo()
	limited := s.operate("POST", "/services/m1/credentials", `{"cidr":"192.0.2.0/24"}`)["token"].(string)
	proxy, elsewhere := s.from(t, proxyAddress), s.from(t, nextAddress())
	for _, c := range []struct {
		what, forwarded string
		by              *server
		want            int
		recorded        string
	}{
		{"from its network", "192.0.2.7", proxy, 200, "192.0.2.7"},
		{"from its network, with something made up before", "203.0.113.5, 192.0.2.7", proxy, 200, "192.0.2.7"},
		{"from another network", "198.51.100.7", proxy, 401, "198.51.100.7"},
		{"from another network, which claims to be of its own", "192.0.2.7, 198.51.100.7", proxy, 401, "198.51.100.7"},
		{"not through the proxy", "192.0.2.7", elsewhere, 401, ""},
	} {
		a := c.by.ask(limited, `{"target":"m2"}`, "X-Forwarded-For", c.forwarded)
		if a.status != c.want {
			t.Errorf("%s: got %d %s, want %d", c.what, a.status, a.body, c.want)
		}
		if got, _ := s.record(a.header.Get("Watchword-Decision"))["address"].(string); c.recorded != "" && got != c.recorded {
			t.Errorf("%s: recorded from %q, want %q", c.what, got, c.recorded)
		}
	}
}

// F63, by the PROXY protocol.
func TestPROXYProtocolNamesTheClient(t *testing.T) {
	cfg := testConfig(t)
	cfg.Proxy.Networks = []netip.Prefix{netip.MustParsePrefix(proxyAddress + "/32")}
	cfg.Proxy.Protocol = true
	s := start(t, cfg)
	_, _, _ = s.demo()
	limited := s.operate("POST", "/services/m1/credentials", `{"cidr":"192.0.2.0/24"}`)["token"].(string)
	ask := func(from, head string) (int, error) {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 10 * time.Second}
		c, err := d.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		body := `{"target":"m2"}`
		if _, err := fmt.Fprintf(c, "%sPOST /accesstoken HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", head, limited, len(body), body); err != nil {
			return 0, err
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return 0, err
		}
		return resp.StatusCode, resp.Body.Close()
	}
	v2 := func(a, b, c, d byte) string {
		return "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + string([]byte{a, b, c, d, 127, 0, 0, 1, 0x12, 0x34, 0x1f, 0x40})
	}
	for _, c := range []struct {
		what, from, head string
		want             int // 0: the connection is closed, or its bytes are no request
	}{
		{"from its network", proxyAddress, v2(192, 0, 2, 7), 200},
		{"from another", proxyAddress, v2(198, 51, 100, 7), 401},
		{"version 1", proxyAddress, "PROXY TCP4 192.0.2.7 127.0.0.1 4660 8000\r\n", 200},
		{"from the proxy without a header", proxyAddress, "", 0},
		{"with a header from elsewhere", nextAddress(), v2(192, 0, 2, 7), 0},
	} {
		got, err := ask(c.from, c.head)
		if got != c.want && !(c.want == 0 && got == 400) || (err != nil) && c.want != 0 {
			t.Errorf("%s: got %d, %v, want %d", c.what, got, err, c.want)
		}
	}
}

// F50. The answer to a body that is far too long can be read.
func TestRefusalOfALongBodyCanBeRead(t *testing.T) {
	s := start(t, testConfig(t))
	m1, _, _ := s.demo()
	for range 5 {
		a := s.ask(m1, `{"target":"`+strings.Repeat("x", 10<<20)+`"}`)
		if a.status != http.StatusRequestEntityTooLarge || !strings.Contains(a.body, "64 KiB") {
			t.Errorf("got %d %s", a.status, a.body)
		}
	}
}

// F81. A client that waits before it sends its body is refused at once when its body is not needed for that (RFC 9110,
// section 10.1.1), and is told to send it otherwise.
func TestExpectContinue(t *testing.T) {
	s := start(t, testConfig(t))
	m1, _, _ := s.demo()
	for name, c := range map[string]struct {
		head string
		want int
	}{
		"no credential":        {"POST /accesstoken HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 15\r\n", 401},
		"another media type":   {"POST /accesstoken HTTP/1.1\r\nAuthorization: Bearer " + m1 + "\r\nContent-Type: text/plain\r\nContent-Length: 15\r\n", 415},
		"too long":             {"POST /accesstoken HTTP/1.1\r\nAuthorization: Bearer " + m1 + "\r\nContent-Type: application/json\r\nContent-Length: 100000000\r\n", 413},
		"a form that is none":  {"POST /oauth2/token HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 15\r\n", 400},
		"a form too long":      {"POST /oauth2/token HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100000000\r\n", 413},
		"another method":       {"PUT /accesstoken HTTP/1.1\r\nContent-Length: 15\r\n", 405},
		"nothing there":        {"POST /nothing HTTP/1.1\r\nContent-Length: 15\r\n", 404},
		"what is asked for":    {"POST /accesstoken HTTP/1.1\r\nAuthorization: Bearer " + m1 + "\r\nContent-Type: application/json\r\nContent-Length: 15\r\n", 100},
		"what is asked for, 2": {"POST /oauth2/token HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 15\r\n", 100},
	} {
		c2, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c2, c.head+"Host: x\r\nExpect: 100-continue\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		// The body never comes, so an answer that waited for it would come after the server's ten seconds.
		if err := c2.SetReadDeadline(time.Now().Add(8 * time.Second)); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(c2), nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if resp.StatusCode != c.want {
			t.Errorf("%s: got %d, want %d", name, resp.StatusCode, c.want)
		}
		_ = c2.Close()
	}
}

// honest asks for tokens, one after the other, until stop is closed, and counts the answers.
func (s *server) honest(credential string, stop <-chan struct{}) (wait func() (good, bad int64)) {
	var good, bad atomic.Int64
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				resp, err := s.client.Do(s.request("POST", s.url+"/accesstoken", `{"target":"m2"}`, "Authorization", "Bearer "+credential))
				if err != nil {
					bad.Add(1)
					continue
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				if resp.StatusCode == 200 {
					good.Add(1)
				} else {
					s.t.Logf("an honest request: %d", resp.StatusCode)
					bad.Add(1)
				}
			}
		})
	}
	return func() (int64, int64) { all.Wait(); return good.Load(), bad.Load() }
}

// F03. Whoever opens HTTP/2 connections and sends the first byte of as many bodies as they take keeps nobody out.
func TestHTTP2BodiesThatNeverEndKeepNobodyOut(t *testing.T) {
	cfg := testConfig(t)
	cfg.TLS = config.TLS{CertFile: t.TempDir() + "/cert.pem", KeyFile: t.TempDir() + "/key.pem"}
	writeCertificate(t, cfg.TLS, "localhost")
	s := start(t, cfg)
	insecure := &tls.Config{InsecureSkipVerify: true}
	s.client = &http.Client{Transport: &http.Transport{TLSClientConfig: insecure, MaxIdleConnsPerHost: 16}}
	m1, _, _ := s.demo()
	stop := make(chan struct{})
	wait := s.honest(m1, stop)

	ctx, cancel := context.WithCancel(t.Context())
	var attack sync.WaitGroup
	var opened atomic.Int64
	attacker := nextAddress()
	for range 40 {
		// An HTTP/2 connection each, with as many streams as the server allows.
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(attacker)}}
		transport := &http.Transport{TLSClientConfig: insecure.Clone(), ForceAttemptHTTP2: true, MaxConnsPerHost: 1, DialContext: dialer.DialContext}
		for range 250 {
			attack.Go(func() {
				body := io.MultiReader(bytes.NewReader([]byte("{")), blocked{ctx, &opened})
				r, err := http.NewRequestWithContext(ctx, "POST", s.url+"/accesstoken", body)
				if err != nil {
					return
				}
				r.Header.Set("Content-Type", "application/json")
				r.Header.Set("Authorization", "Bearer x")
				if resp, err := transport.RoundTrip(r); err == nil {
					_ = resp.Body.Close()
				}
			})
		}
		defer transport.CloseIdleConnections()
	}
	eventually(t, "bodies arrive", func() bool { return opened.Load() > 2000 })
	for range 50 {
		if a := s.ask(m1, `{"target":"m2"}`); a.status != 200 {
			t.Errorf("meanwhile: got %d %s", a.status, a.body)
		}
	}
	cancel()
	attack.Wait()
	close(stop)
	if good, bad := wait(); bad != 0 || good == 0 {
		t.Errorf("of the honest requests %d were granted and %d were not", good, bad)
	}
}

// blocked is a body of which nothing comes until ctx ends.
type blocked struct {
	ctx    context.Context
	opened *atomic.Int64
}

func (b blocked) Read([]byte) (int, error) {
	b.opened.Add(1)
	<-b.ctx.Done()
	return 0, errors.New("given up")
}

// F71. Connections that ask for hundreds of documents and never read the answers keep nobody out.
func TestAnswersThatNobodyReadsKeepNobodyOut(t *testing.T) {
	s := start(t, testConfig(t))
	m1, _, _ := s.demo()
	stop := make(chan struct{})
	wait := s.honest(m1, stop)
	request := "GET /.well-known/jwks.json HTTP/1.1\r\nHost: x\r\n\r\n"
	var held []net.Conn
	for range 500 {
		c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
		if _, err := io.WriteString(c, strings.Repeat(request, 200)); err != nil {
			t.Fatal(err)
		}
	}
	for range 50 {
		if a := s.ask(m1, `{"target":"m2"}`); a.status != 200 {
			t.Errorf("meanwhile: got %d %s", a.status, a.body)
		}
	}
	for _, c := range held {
		_ = c.Close()
	}
	close(stop)
	if good, bad := wait(); bad != 0 || good == 0 {
		t.Errorf("of the honest requests %d were granted and %d were not", good, bad)
	}
}
