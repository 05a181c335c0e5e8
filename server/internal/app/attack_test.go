package app

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/config"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/limits"
	"github.com/watchword-dev/watchword/server/internal/logs"
	"github.com/watchword-dev/watchword/server/internal/store"
	"github.com/watchword-dev/watchword/server/internal/store/storetest"
	"github.com/watchword-dev/watchword/server/internal/web"
)

// victim is what an attacker knows of a server. It can be written as JSON for one in another process.
type victim struct {
	URL, Admin string
	From       string // the attacker's address
	Credential string // of a service that may call m1
	Token      string // of an operator
	Tag        string // of the deny-list
	Issuer     string
	Platform   string // an issuer that the server trusts
}

// attack is somebody who uses up one resource of package limits.
type attack struct {
	run func(ctx context.Context, v victim) // until ctx ends
	// full reports whether the attack is at its height, and bound whether the bound held meanwhile.
	full  func(s *attacked) bool
	bound func(t *testing.T, s *attacked)
}

var insecure = &tls.Config{InsecureSkipVerify: true}

// transport makes one HTTP/2 connection from the attacker's address.
func (v victim) transport() *http.Transport {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(v.From)}}
	return &http.Transport{TLSClientConfig: insecure.Clone(), ForceAttemptHTTP2: true, MaxConnsPerHost: 1, DialContext: dialer.DialContext}
}

// streams sends the requests that make makes over so many connections, each with all the streams it may have.
func (v victim) streams(ctx context.Context, connections int, make func() (*http.Request, error)) {
	var all sync.WaitGroup
	var transports []*http.Transport
	for range connections {
		transport := v.transport()
		transports = append(transports, transport)
		for range web.MaxStreams {
			all.Go(func() {
				for ctx.Err() == nil {
					r, err := make()
					if err != nil {
						return
					}
					if resp, err := transport.RoundTrip(r.WithContext(ctx)); err == nil {
						_, _ = io.Copy(io.Discard, resp.Body)
						_ = resp.Body.Close()
					}
				}
			})
		}
	}
	all.Wait()
	for _, transport := range transports {
		transport.CloseIdleConnections()
	}
}

func (v victim) post(path, contentType, body, authorization string) func() (*http.Request, error) {
	return func() (*http.Request, error) {
		r, err := http.NewRequest(http.MethodPost, v.URL+path, strings.NewReader(body))
		if err != nil {
			return nil, err
		}
		r.Header.Set("Content-Type", contentType)
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		return r, nil
	}
}

// raw opens a TCP connection.
func (v victim) raw(ctx context.Context) (net.Conn, error) {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(v.From)}}
	return dialer.DialContext(ctx, "tcp", strings.TrimPrefix(v.URL, "https://"))
}

// slowBodies sends the first byte of as many bodies as it may.
func slowBodies(ctx context.Context, v victim) {
	var opened atomic.Int64
	v.streams(ctx, 20, func() (*http.Request, error) {
		r, err := v.post("/accesstoken", "application/json", "", "Bearer x")()
		if err == nil {
			r.Body, r.ContentLength, r.GetBody = io.NopCloser(io.MultiReader(bytes.NewReader([]byte("{")), blocked{ctx, &opened})), -1, nil
		}
		return r, err
	})
}

// attacks are those that tests of package limits name, by the rest of their name.
var attacks = map[string]attack{
	"idle connections": {
		run: func(ctx context.Context, v victim) {
			var held []net.Conn
			for ctx.Err() == nil && len(held) < 6000 {
				c, err := v.raw(ctx)
				if err != nil {
					break
				}
				held = append(held, c)
			}
			<-ctx.Done()
			for _, c := range held {
				_ = c.Close()
			}
		},
		full: func(s *attacked) bool {
			return s.risen(`watchword_connections_closed_total{listener="services"}`) > 100
		},
		bound: func(t *testing.T, s *attacked) {
			// The honest ones have a few.
			if n, most := s.metric(`watchword_connections{listener="services"}`), s.s.listeners[0].connections.mostFrom+20; n > most {
				t.Errorf("%d connections are open, want %d at most", n, most)
			}
		},
	},
	"TLS handshakes": {
		run: func(ctx context.Context, v victim) {
			var all sync.WaitGroup
			for range 32 {
				all.Go(func() {
					for ctx.Err() == nil {
						if c, err := v.raw(ctx); err == nil {
							_ = tls.Client(c, insecure).HandshakeContext(ctx)
							_ = c.Close()
						}
					}
				})
			}
			all.Wait()
		},
		full: func(s *attacked) bool { return true },
	},
	"token requests without a credential": {
		run: func(ctx context.Context, v victim) {
			v.streams(ctx, 4, v.post("/accesstoken", "application/json", `{"target":"m2"}`, ""))
		},
		full: busy,
		bound: func(t *testing.T, s *attacked) {
			worked(t, s)
			s.recordedFew(t)
			if s.risen("watchword_audit_counted_total") == 0 {
				t.Error("all refusals were recorded")
			}
		},
	},
	"token requests of a service": {
		run: func(ctx context.Context, v victim) {
			v.streams(ctx, 4, v.post("/accesstoken", "application/json", `{"target":"m1"}`, "Bearer "+v.Credential))
		},
		full:  queued,
		bound: worked,
	},
	"status lists that are made up": {
		run: func(ctx context.Context, v victim) {
			v.streams(ctx, 4, func() (*http.Request, error) {
				return http.NewRequest(http.MethodGet, v.URL+"/oauth2/status/"+strings.Repeat("ab", 16)+"/000000000.aaaaaaaaaaa", nil)
			})
		},
		full:  busy,
		bound: worked,
	},
	"assertions for a service whose keys are slow": {
		run: func(ctx context.Context, v victim) {
			assertion := b64(`{"alg":"ES256","kid":"x"}`) + "." + b64(fmt.Sprintf(`{"iss":"slow","sub":"slow","aud":%q,"exp":%d,"jti":"x"}`, v.Issuer, time.Now().Add(4*time.Minute).Unix())) + "." + b64(strings.Repeat("x", 64))
			v.streams(ctx, 4, v.post("/oauth2/token", "application/x-www-form-urlencoded",
				"grant_type=client_credentials&audience=m2&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion="+assertion, ""))
		},
		full: func(s *attacked) bool { return s.metric("watchword_client_keys_waiting") >= web.WorkedOnFrom()/2 },
	},
	// FED-013. Tokens in the name of an issuer that is trusted, signed with keys that nobody has.
	"tokens of a platform with random keys": {
		run: func(ctx context.Context, v victim) {
			now := time.Now()
			payload := b64(claims{"iss": v.Platform, "sub": "system", "aud": v.Issuer, "iat": now.Unix(), "exp": now.Add(10 * time.Minute).Unix(), "padding": strings.Repeat("x", 8<<10)}.String())
			v.streams(ctx, 4, func() (*http.Request, error) {
				token := b64(claims{"alg": "RS256", "kid": rand.Text()}.String()) + "." + payload + "." + b64(strings.Repeat("x", 256))
				return v.post("/oauth2/token", "application/x-www-form-urlencoded", withAssertion(token, "m2"), "")()
			})
		},
		full: busy,
		bound: func(t *testing.T, s *attacked) {
			s.recordedFew(t)
			if n := s.fetched.Load(); n > 2 {
				t.Errorf("the keys of the platform were fetched %d times", n)
			}
			if n := strings.Count(s.logged(), "keys of a trust"); n > 1 {
				t.Errorf("the server logged %d lines about them", n)
			}
		},
	},
	"followers that never end": {
		run: func(ctx context.Context, v victim) {
			v.streams(ctx, web.MaxWaitingFrom/web.MaxStreams+5, func() (*http.Request, error) {
				r, err := http.NewRequest(http.MethodGet, v.URL+"/oauth2/denylist?wait=25", nil)
				if err == nil {
					r.Header.Set("If-None-Match", v.Tag)
				}
				return r, err
			})
		},
		full: func(s *attacked) bool { return s.metric("watchword_http_requests_waiting") >= web.MaxWaitingFrom },
		bound: func(t *testing.T, s *attacked) {
			if n := s.metric("watchword_http_requests_waiting"); n > web.MaxWaitingFrom {
				t.Errorf("%d requests wait, want %d at most", n, web.MaxWaitingFrom)
			}
			heard := make(chan int)
			go func() {
				r := s.request("GET", s.url+"/oauth2/denylist?wait=25", "", "If-None-Match", s.victim.Tag)
				heard <- s.do(r).status
			}()
			eventually(t, "an honest follower waits", func() bool { return s.metric("watchword_http_requests_waiting") > web.MaxWaitingFrom })
			s.operate("POST", "/revocations", `{"token":"`+s.accessToken(s.m1, "m2")+`"}`)
			if got := <-heard; got != http.StatusOK {
				t.Errorf("an honest follower was told %d", got)
			}
		},
	},
	"whole deny-lists that nobody reads": {
		run: func(ctx context.Context, v victim) {
			var all sync.WaitGroup
			for range 300 {
				all.Go(func() {
					for ctx.Err() == nil {
						c, err := v.raw(ctx)
						if err != nil {
							continue
						}
						t := tls.Client(c, insecure)
						_, _ = io.WriteString(t, strings.Repeat("GET /oauth2/denylist HTTP/1.1\r\nHost: x\r\n\r\n", 50))
						select {
						case <-ctx.Done():
						case <-time.After(web.WriteTimeout):
						}
						_ = c.Close()
					}
				})
			}
			all.Wait()
		},
		full:  queued,
		bound: worked,
	},
	"requests beyond all bounds": {
		run:  slowBodies,
		full: func(s *attacked) bool { return s.risen("watchword_http_requests_shed_total") > 500 },
		bound: func(t *testing.T, s *attacked) {
			if n := s.metric("watchword_http_bodies_arriving"); n > web.MaxArrivingFrom+100 {
				t.Errorf("%d bodies are on their way", n)
			}
			if lines, most := strings.Count(s.logged(), "\n"), int(time.Since(s.began)/time.Second)+10; lines > most {
				t.Errorf("the server logged %d lines, want %d at most", lines, most)
			}
		},
	},
	"questions of an operator": {
		run: func(ctx context.Context, v victim) {
			var all sync.WaitGroup
			transport := v.transport()
			transport.MaxConnsPerHost = 50
			defer transport.CloseIdleConnections()
			for n := range 50 {
				all.Go(func() {
					for ctx.Err() == nil {
						r, err := http.NewRequestWithContext(ctx, http.MethodGet, v.Admin+[]string{"/callmap/graph", "/callmap/unused", "/callmap/suggestion?days=30"}[n%3], nil)
						if err != nil {
							return
						}
						r.Header.Set("Authorization", "Bearer "+v.Token)
						if resp, err := transport.RoundTrip(r); err == nil {
							_, _ = io.Copy(io.Discard, resp.Body)
							_ = resp.Body.Close()
						}
					}
				})
			}
			all.Wait()
		},
		full: func(s *attacked) bool { return true },
	},
	"wrong operator tokens": {
		run: func(ctx context.Context, v victim) {
			var all sync.WaitGroup
			transport := v.transport()
			transport.MaxConnsPerHost = 50
			defer transport.CloseIdleConnections()
			for range 50 {
				all.Go(func() {
					for ctx.Err() == nil {
						r, err := http.NewRequestWithContext(ctx, http.MethodGet, v.Admin+"/services", nil)
						if err != nil {
							return
						}
						r.Header.Set("Authorization", "Bearer "+strings.Repeat("x", 43))
						if resp, err := transport.RoundTrip(r); err == nil {
							_, _ = io.Copy(io.Discard, resp.Body)
							_ = resp.Body.Close()
						}
					}
				})
			}
			all.Wait()
		},
		full:  func(s *attacked) bool { return true },
		bound: func(t *testing.T, s *attacked) { s.recordedFew(t) },
	},
}

// queued reports whether requests wait for their turn.
func queued(s *attacked) bool { return s.metric("watchword_http_requests_queued") >= 100 }

// busy reports whether thousands of requests were answered.
func busy(s *attacked) bool { return s.risen("watchword_http_request_duration_seconds_count") >= 500 }

// risen is by how much a counter has risen since the attack began, the sum of its series.
func (s *attacked) risen(counter string) int { return s.sum(counter) - s.before[counter] }

// sum adds up the series of a counter, and remembers what it was first.
func (s *attacked) sum(counter string) (n int) {
	for line := range strings.Lines(s.exported()) {
		line = strings.TrimSpace(line)
		at := strings.LastIndexByte(line, ' ')
		if name, value := line[:max(at, 0)], line[at+1:]; name == counter || strings.HasPrefix(name, counter+"{") {
			f, err := strconv.ParseFloat(value, 64)
			if err != nil {
				s.t.Fatal(err)
			}
			n += int(f)
		}
	}
	if _, known := s.before[counter]; !known {
		s.before[counter] = n
	}
	return n
}

// recordedFew checks that the audit log took no more than some hundreds of records, but for those of tokens.
func (s *attacked) recordedFew(t *testing.T) {
	t.Helper()
	refused := strings.Count(auditText(t, s.cfg.Audit.Dir), `"outcome":"refused"`)
	if n, most := refused-s.refused, 500+5*int(time.Since(s.began)/time.Second); n > most {
		t.Errorf("%d refusals were recorded, want %d at most", n, most)
	}
}

// worked checks that the attacker is worked on no more than it may be.
func worked(t *testing.T, s *attacked) {
	// The honest ones are eight at most.
	if n := s.metric("watchword_http_requests_in_flight"); n > web.WorkedOnFrom()+8 {
		t.Errorf("%d requests are worked on", n)
	}
}

// attacked is a server under attack.
type attacked struct {
	*server
	victim victim
	m1     string // the credential of an honest service
	began  time.Time
	// fetched is how often the keys of the platform were.
	fetched *atomic.Int64
	// When the attack began: counters, as far as they were asked for, and refusals in the audit log.
	before  map[string]int
	refused int
}

// begin notes what was before an attack.
func (s *attacked) begin(t testing.TB) {
	eventually(t, "the attack before has ended", func() bool {
		return s.metric("watchword_http_requests_in_flight") == 0 && s.metric("watchword_http_requests_waiting") == 0 &&
			s.metric(`watchword_connections{listener="services"}`) < 50
	})
	s.t, s.victim.From, s.before = t, nextAddress(), map[string]int{}
	for _, counter := range []string{"watchword_http_requests_shed_total", "watchword_http_request_duration_seconds_count", "watchword_audit_counted_total", `watchword_connections_closed_total{listener="services"}`} {
		s.sum(counter)
	}
	s.refused = strings.Count(auditText(t, s.cfg.Audit.Dir), `"outcome":"refused"`)
	s.victim.Tag = s.do(s.request("HEAD", s.url+"/oauth2/denylist", "")).header.Get("ETag")
}

// underAttack starts a server with TLS, a long deny-list and a service whose keys are slow to come.
func underAttack(t testing.TB) *attacked {
	cfg := testConfig(t)
	cfg.TLS = config.TLS{CertFile: t.TempDir() + "/cert.pem", KeyFile: t.TempDir() + "/key.pem"}
	writeCertificate(t, cfg.TLS, "localhost")
	cfg.OAuth.JWKSNetworks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	db, err := store.Open(t.Context(), store.Options{DataDir: cfg.Data})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Close(), storetest.Revoke(t.Context(), cfg.Data, 20_000, time.Now())); err != nil {
		t.Fatal(err)
	}
	s := &attacked{server: start(t, cfg), began: time.Now()}
	s.client = &http.Client{Transport: &http.Transport{TLSClientConfig: insecure.Clone(), MaxIdleConnsPerHost: 16}}
	var m3 string
	s.m1, _, m3 = s.demo()
	s.service("slow")
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(slow.Close)
	if _, err := s.s.directory.AddCredential(t.Context(), operator, "slow", directory.NewCredential{Kind: directory.KindJWKS, Material: slow.URL}); err != nil {
		t.Fatal(err)
	}
	s.fetched = new(atomic.Int64)
	platform := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.fetched.Add(1)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"keys":[`+jwkOf(newKey(), "the only one")+`]}`)
	}))
	t.Cleanup(platform.Close)
	if _, err := s.s.directory.AddTrust(t.Context(), operator, "platform", api.TrustSettings{Preset: "oidc", Issuer: platform.URL, JWKSURI: platform.URL}); err != nil {
		t.Fatal(err)
	}
	s.victim = victim{URL: s.url, Admin: s.admin, Credential: m3, Token: s.token, Issuer: cfg.Issuer, Platform: platform.URL}
	return s
}

// asks are what honest callers ask for: a token, the keys, and what was revoked.
func (s *attacked) asks() []func() *http.Request {
	return []func() *http.Request{
		func() *http.Request {
			return s.request("POST", s.url+"/accesstoken", `{"target":"m2"}`, "Authorization", "Bearer "+s.m1)
		},
		func() *http.Request { return s.request("GET", s.url+"/.well-known/jwks.json", "") },
		func() *http.Request {
			return s.request("GET", s.url+"/oauth2/denylist?since="+strings.Trim(s.victim.Tag, `"`), "")
		},
	}
}

// ask sends what make makes and reports whether it was refused. A request that no record could be written for, since the
// disk of this machine did not answer, is sent again.
func (s *attacked) ask(make func() *http.Request) error {
	for {
		resp, err := s.client.Do(make())
		if err != nil {
			return err
		}
		body, err := io.ReadAll(resp.Body)
		if err := errors.Join(err, resp.Body.Close()); err != nil {
			return err
		}
		switch {
		case resp.StatusCode == http.StatusServiceUnavailable && bytes.Contains(body, []byte("cannot decide now")):
		case resp.StatusCode != http.StatusOK:
			return fmt.Errorf("%s: %d %s", resp.Request.URL.Path, resp.StatusCode, body)
		default:
			return nil
		}
	}
}

// F01, F02, F03, F06, F71. Whoever uses up one resource keeps no honest caller out: none of their requests is refused,
// and what the attacker has is bounded.
func TestAttacks(t *testing.T) {
	s := underAttack(t)
	for name, a := range attacks {
		t.Run(name, func(t *testing.T) {
			s.begin(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var running sync.WaitGroup
			running.Go(func() { a.run(ctx, s.victim) })
			defer running.Wait()
			defer cancel()
			eventually(t, "the attack is at its height", func() bool { return a.full(s) })
			var honest sync.WaitGroup
			for range 2 {
				honest.Go(func() {
					for range 10 {
						for _, make := range s.asks() {
							if err := s.ask(make); err != nil {
								t.Errorf("an honest request: %v", err)
							}
						}
					}
				})
			}
			honest.Wait()
			if a.bound != nil {
				a.bound(t, s)
			}
		})
	}
}

// Each row of package limits that names an attack has one.
func TestEveryAttackOfTheTableIsMade(t *testing.T) {
	for _, callers := range limits.Table() {
		for _, row := range callers.Rows {
			if name, ok := strings.CutPrefix(row.Test, "app.TestAttacks/"); ok && attacks[name].run == nil {
				t.Errorf("nobody attacks %q as %q", row.Resource, name)
			}
		}
	}
}

// Each metric of package limits is one that the server has.
func TestEveryLimitHasItsMetric(t *testing.T) {
	logger := logs.New(io.Discard, slog.LevelWarn, false)
	defer logger.Close()
	s := startWith(t, testConfig(t), func(s *Server) { s.countDroppedLines(logger) })
	s.do(s.request("GET", s.url+"/.well-known/jwks.json", ""))
	exported := s.exported()
	for _, callers := range limits.Table() {
		for _, row := range callers.Rows {
			if row.Metric != "" && !strings.Contains(exported, "\n"+row.Metric+" ") && !strings.Contains(exported, "\n"+row.Metric+"{") {
				t.Errorf("%s: there is no metric %q", row.Resource, row.Metric)
			}
		}
	}
}
