package app

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/internal/needs"
	"github.com/watchword-dev/watchword/server/internal/audit"
	"github.com/watchword-dev/watchword/server/internal/web"
)

// haproxy starts a haproxy whose connections to the server at backend come from proxyAddress, and returns its URL.
func haproxy(t *testing.T, mode, backend string) string {
	t.Helper()
	program := ""
	for _, at := range []string{"haproxy", "/usr/sbin/haproxy"} {
		if path, err := exec.LookPath(at); err == nil {
			program = path
		}
	}
	if program == "" {
		needs.Missing(t, "haproxy is not installed: apt-get install haproxy")
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	_ = free.Close()
	to := map[string]string{
		"http": "\toption forwardfor\n\tserver s " + backend + " source " + proxyAddress + "\n",
		"tcp":  "\tserver s " + backend + " send-proxy-v2 source " + proxyAddress + "\n",
	}[mode]
	config := filepath.Join(t.TempDir(), "haproxy.cfg")
	write(t, config, "global\n\tmaxconn 4000\ndefaults\n\tmode "+mode+"\n\ttimeout connect 30s\n\ttimeout client 60s\n\ttimeout server 60s\nfrontend f\n\tbind "+address+"\n\tdefault_backend b\nbackend b\n"+to)
	cmd := exec.Command(program, "-db", "-f", config)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	eventually(t, "haproxy listens", func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	return "http://" + address
}

// F63. Behind a real haproxy, by a header and by the PROXY protocol, each client has its own bounds, and what a client
// itself says about its address changes nothing.
func TestBoundsBehindHAProxyAreThoseOfEachClient(t *testing.T) {
	for _, mode := range []string{"http", "tcp"} {
		t.Run(mode, func(t *testing.T) {
			cfg := testConfig(t)
			cfg.Proxy.Networks = []netip.Prefix{netip.MustParsePrefix(proxyAddress + "/32")}
			cfg.Proxy.Protocol = mode == "tcp"
			if mode == "http" {
				cfg.Proxy.AddressHeader = "X-Forwarded-For"
			}
			const mostFrom = 50
			s := startWith(t, cfg, func(s *Server) { s.listeners[0].connections.mostFrom = mostFrom })
			m1, _, _ := s.demo()
			direct := s.url
			s.url = haproxy(t, mode, strings.TrimPrefix(direct, "http://"))
			one, other, hostile := nextAddress(), nextAddress(), nextAddress()
			a, b, h := s.from(t, one), s.from(t, other), s.from(t, hostile)

			// The hostile client asks over more connections than it may have, and says that it is an honest one.
			ctx, cancel := context.WithCancel(t.Context())
			var attack sync.WaitGroup
			defer attack.Wait()
			defer cancel()
			for range 4 * web.WorkedOnFrom() {
				attack.Go(func() {
					for ctx.Err() == nil {
						r := h.request("POST", h.url+"/accesstoken", `{"target":"m2"}`, "X-Forwarded-For", one)
						if resp, err := h.client.Do(r.WithContext(ctx)); err == nil {
							_, _ = io.Copy(io.Discard, resp.Body)
							_ = resp.Body.Close()
						}
					}
				})
			}
			eventually(t, "the hostile client is held back", func() bool {
				return s.metric("watchword_audit_counted_total") > 500 && (mode == "http" || s.metric(`watchword_connections_closed_total{listener="services"}`) > 50)
			})
			for range 20 {
				for _, honest := range []*server{a, b} {
					if got := honest.ask(m1, `{"target":"m2"}`); got.status != http.StatusOK {
						t.Errorf("an honest client: got %d %s", got.status, got.body)
					}
				}
			}
			if n := s.metric("watchword_http_requests_in_flight"); n > web.WorkedOnFrom()+4 {
				t.Errorf("%d requests are worked on", n)
			}
			// A refusal of an honest client has a record of its own, while those of the hostile one are counted.
			for address, honest := range map[string]*server{one: a, other: b} {
				got := honest.ask("garbage", `{"target":"m2"}`)
				id := got.header.Get(web.DecisionHeader)
				if got.status != http.StatusUnauthorized || id == "" {
					t.Errorf("a refusal of an honest client: got %d, recorded as %q", got.status, id)
				} else if recorded := s.record(id)["address"]; recorded != address {
					t.Errorf("it is recorded from %v, want %s", recorded, address)
				}
			}
			cancel()
			attack.Wait()
			records := strings.Count(auditText(t, cfg.Audit.Dir), fmt.Sprintf(`"address":%q`, hostile))
			if most := audit.NetworkBurst + int(time.Minute/audit.NetworkRefill); records < audit.NetworkBurst || records > most {
				t.Errorf("the hostile client has %d records, want %d to %d", records, audit.NetworkBurst, most)
			}

			// Who is no proxy is not believed: by a header it is itself, and by the PROXY protocol it is not understood.
			stranger := s.from(t, nextAddress())
			stranger.url = direct
			got := stranger.ask("garbage", `{"target":"m2"}`, "X-Forwarded-For", one)
			if recorded := s.record(got.header.Get(web.DecisionHeader))["address"]; recorded == one {
				t.Error("a client that is no proxy is believed")
			}
		})
	}
}
