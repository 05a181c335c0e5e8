package app

import (
	"bufio"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/server/internal/config"
)

func TestSecondStartFindsEverything(t *testing.T) {
	cfg := testConfig(t)
	s := start(t, cfg)
	m1, _, _ := s.demo()
	token := s.accessToken(m1, "m2")
	jwks := s.do(s.request("GET", s.url+"/.well-known/jwks.json", "")).body
	must(t, s.stop())
	again := start(t, cfg)
	if again.token != s.token {
		t.Error("the operator token changed")
	}
	if got := again.do(again.request("GET", again.url+"/.well-known/jwks.json", "")).body; got != jwks {
		t.Errorf("the key set changed from %s to %s", jwks, got)
	}
	if after := again.accessToken(m1, "m2"); part(t, after, 0)["kid"] != part(t, token, 0)["kid"] {
		t.Error("another key signs")
	}
	if a := again.ask(m1, `{"target":"m3"}`); a.status != 401 {
		t.Errorf("forbidden call after the restart: got %d", a.status)
	}
}

// F75: what no service may be called is checked again when the server is given another name.
func TestServerDoesNotStartUnderTheNameOfAService(t *testing.T) {
	cfg := testConfig(t)
	s := start(t, cfg)
	s.service("gate")
	s.operate("PATCH", "/services/gate", `{"audiences":["https://gate.test/api"]}`)
	must(t, s.stop())
	for setting, edit := range map[string]func(*config.Config){
		"plain_issuer": func(c *config.Config) { c.PlainIssuer = "gate" },
		"issuer":       func(c *config.Config) { c.Issuer = "https://gate.test" },
	} {
		other := cfg
		edit(&other)
		if _, err := New(t.Context(), other, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), setting) || !strings.Contains(err.Error(), `service "gate"`) {
			t.Errorf("%s: got %v", setting, err)
		}
	}
	start(t, cfg)
}

// ADM-016: nothing is made with a default secret, and what is secret only its owner reads.
func TestFirstStartMakesSecretsOnlyTheOwnerReads(t *testing.T) {
	one, other := testConfig(t), testConfig(t)
	a, b := start(t, one), start(t, other)
	if a.token == b.token || len(a.token) < 43 {
		t.Error("the operator token is not random")
	}
	for _, f := range []string{one.Keys.SealingKeyFile, one.Admin.TokenFile} {
		info, err := os.Stat(f)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: got mode %v, %v, want 0600", filepath.Base(f), info.Mode(), err)
		}
	}
	if info, err := os.Stat(one.Data); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("data folder: got mode %v, %v", info.Mode(), err)
	}
}

// A server must never start afresh over somebody's data.
func TestStartRefusesWhatItCannotTrust(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, cfg *config.Config)
		want  string // in the error
	}{
		{"sealing key gone", func(t *testing.T, cfg *config.Config) { remove(t, cfg.Keys.SealingKeyFile) }, "sealing"},
		{"database gone", func(t *testing.T, cfg *config.Config) {
			for _, f := range glob(t, filepath.Join(cfg.Data, "watchword.db*")) {
				remove(t, f)
			}
		}, "watchword.db"},
		{"database foreign", func(t *testing.T, cfg *config.Config) {
			write(t, filepath.Join(cfg.Data, "watchword.db"), strings.Repeat("not a database ", 500))
		}, "watchword.db"},
		{"operator token for all to read", func(t *testing.T, cfg *config.Config) {
			must(t, os.Chmod(cfg.Admin.TokenFile, 0o644))
		}, "chmod 600"},
		{"operator token a placeholder", func(t *testing.T, cfg *config.Config) { write(t, cfg.Admin.TokenFile, "changeme") }, "32 characters"},
		{"one token for both operators", func(t *testing.T, cfg *config.Config) { cfg.Admin.TrustTokenFile = cfg.Admin.TokenFile }, "contain the same token"},
		{"another sealing key", func(t *testing.T, cfg *config.Config) {
			other := start(t, testConfig(t))
			raw, err := os.ReadFile(other.cfg.Keys.SealingKeyFile)
			must(t, err)
			write(t, cfg.Keys.SealingKeyFile, string(raw))
		}, "seal"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := testConfig(t)
			s := start(t, cfg)
			s.demo()
			must(t, s.stop())
			c.spoil(t, &cfg)
			before := tree(t, cfg.Data)
			_, err := New(t.Context(), cfg, slog.New(slog.DiscardHandler))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got error %v, want one with %q", err, c.want)
			}
			t.Log(err)
			if after := tree(t, cfg.Data); after != before {
				t.Errorf("the refused start changed the folder from\n%s\nto\n%s", before, after)
			}
		})
	}
}

func TestSecondProcessOnTheSameDataIsRefused(t *testing.T) {
	cfg := testConfig(t)
	s := start(t, cfg)
	m1, _, _ := s.demo()
	if _, err := New(t.Context(), cfg, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "process") {
		t.Errorf("got error %v, want one about another process", err)
	}
	if a := s.ask(m1, `{"target":"m2"}`); a.status != 200 {
		t.Errorf("the first process after that: got %d", a.status)
	}
}

func TestPortTakenSaysWhichAndHowToChangeIt(t *testing.T) {
	s := start(t, testConfig(t))
	cfg := testConfig(t)
	cfg.Admin.Listen = strings.TrimPrefix(strings.TrimSuffix(s.admin, "/admin/v1"), "http://")
	_, err := New(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), cfg.Admin.Listen) || !strings.Contains(err.Error(), "--admin-listen") {
		t.Errorf("got error %v, want the address and the flag", err)
	}
}

// FLT-020: behind a balancer that honours readiness no request is lost, on connections that
// are kept alive.
func TestStoppingLosesNoRequest(t *testing.T) {
	cfg := testConfig(t)
	cfg.Shutdown.Drain = 500 * time.Millisecond
	s := start(t, cfg)
	m1, _, _ := s.demo()
	var answered, failed atomic.Int64
	var ready atomic.Bool // as the balancer last saw it
	ready.Store(true)
	stopped := make(chan error, 1)
	var wg sync.WaitGroup
	wg.Go(func() {
		readyz := strings.TrimSuffix(s.admin, "/admin/v1") + "/readyz"
		for ready.Load() {
			resp, err := http.Get(readyz)
			if err != nil {
				t.Errorf("readyz while draining: %v", err)
				break
			}
			resp.Body.Close()
			ready.Store(resp.StatusCode == http.StatusOK)
		}
		ready.Store(false)
	})
	for range 16 {
		wg.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for ready.Load() {
				r := s.request("POST", s.url+"/accesstoken", `{"target":"m2"}`, "Authorization", "Bearer "+m1)
				resp, err := client.Do(r)
				if err != nil {
					t.Errorf("request: %v", err)
					failed.Add(1)
					return
				}
				if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != 200 {
					failed.Add(1)
				}
				resp.Body.Close()
				if answered.Add(1) == 500 {
					go func() { stopped <- s.stop() }()
				}
			}
		})
	}
	wg.Wait()
	if err := <-stopped; err != nil {
		t.Errorf("stop: %v", err)
	}
	if failed.Load() > 0 || answered.Load() < 500 {
		t.Errorf("%d answered, %d failed", answered.Load(), failed.Load())
	}
}

// F103: who sends slowly, or nothing, neither keeps the server from stopping nor makes it fail.
func TestSlowSendersDoNotKeepTheServerFromStopping(t *testing.T) {
	s := start(t, testConfig(t))
	send := func(url, text string) net.Conn {
		c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
		return c
	}
	body := send(s.url, "POST /oauth2/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\na")
	header := send(s.url, "POST /oauth2/token HT")
	eventually(t, "the body arrives", func() bool {
		metrics := s.do(s.request("GET", strings.TrimSuffix(s.admin, "/admin/v1")+"/metrics", ""))
		return strings.Contains(metrics.body, "watchword_http_bodies_arriving 1\n")
	})
	if err := s.stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	if resp, err := http.ReadResponse(bufio.NewReader(body), nil); err != nil || resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("the slow body: got %v, %v, want 503", resp, err)
	}
	if n, err := header.Read(make([]byte, 1)); err == nil {
		t.Errorf("the slow header: got %d bytes", n)
	}
}

// F103: a request that takes too long is cut off when the server stops, which is not a failure.
func TestRequestsThatAreCutOffAreNoFailure(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	s := startWith(t, testConfig(t), func(s *Server) {
		s.shutdownTimeout = time.Millisecond
		s.listeners[0].server.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { close(begun); <-release })
	})
	defer close(release)
	cut := make(chan error, 1)
	go func() {
		resp, err := http.Get(s.url)
		if err == nil {
			resp.Body.Close()
		}
		cut <- err
	}()
	<-begun
	if err := s.stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	if err := <-cut; err == nil {
		t.Error("the request was answered")
	}
}

func TestReadinessIsTruthful(t *testing.T) {
	s := start(t, testConfig(t))
	if a := s.readyz(); a.status != 200 {
		t.Fatalf("got %d %s", a.status, a.body)
	}
	s.s.draining.Store(true)
	if a := s.readyz(); a.status != 503 || !strings.Contains(a.body, "stopping") {
		t.Errorf("draining: got %d %s", a.status, a.body)
	}
	resp, err := s.client.Do(s.request("GET", s.url+"/.well-known/jwks.json", ""))
	if err != nil || !resp.Close {
		t.Errorf("draining: a client is not told to come back on another connection: %v %v", resp.Header, err)
	}
	resp.Body.Close()
	s.s.draining.Store(false)
	if a := s.do(s.request("GET", strings.TrimSuffix(s.admin, "/admin/v1")+"/livez", "")); a.status != 200 {
		t.Errorf("livez: got %d", a.status)
	}
	metrics := s.do(s.request("GET", strings.TrimSuffix(s.admin, "/admin/v1")+"/metrics", ""))
	for _, name := range []string{"watchword_directory_revision", "watchword_ready 1", "watchword_store_healthy 1", "watchword_clock_ahead_seconds 0", "watchword_audit_healthy 1", "watchword_rules", "go_goroutines", `watchword_build_info{commit="",fips="false",goversion="go1.`} {
		if !strings.Contains(metrics.body, name) {
			t.Errorf("metrics lack %s", name)
		}
	}
}

// TLS-002.
func TestCertificateIsReloadedAndABadOneIsNot(t *testing.T) {
	cfg := testConfig(t)
	cfg.TLS = certificateFiles(t, certificate(t, "first", nil))
	s := start(t, cfg)
	if !strings.HasPrefix(s.url, "https://") {
		t.Fatalf("url is %s", s.url)
	}
	served := func() string {
		// As if a second had passed since the files were last looked at.
		l := s.s.listeners[0]
		l.certificate.mu.Lock()
		l.certificate.checked = l.certificate.checked.Add(-2e9)
		l.certificate.mu.Unlock()
		c, err := tls.Dial("tcp", strings.TrimPrefix(s.url, "https://"), &tls.Config{InsecureSkipVerify: true})
		must(t, err)
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	if got := served(); got != "first" {
		t.Errorf("got %s", got)
	}
	writeCertificate(t, cfg.TLS, "second")
	if got := served(); got != "second" {
		t.Errorf("after the files changed: got %s", got)
	}
	write(t, cfg.TLS.CertFile, "garbage")
	if got := served(); got != "second" {
		t.Errorf("after a bad file: got %s", got)
	}
}

// RFC 9325, section 4.2: of TLS 1.2, only the suites it recommends are taken.
func TestOnlyRecommendedSuitesOfTLS12AreTaken(t *testing.T) {
	cfg := testConfig(t)
	cfg.TLS = certificateFiles(t, certificate(t, "localhost", nil))
	address := strings.TrimPrefix(start(t, cfg).url, "https://")
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		if !slices.Contains(s.SupportedVersions, tls.VersionTLS12) {
			continue
		}
		c, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{s.ID}})
		if err == nil {
			c.Close()
		}
		// The server's key is an elliptic one.
		want := strings.HasPrefix(s.Name, "TLS_ECDHE_ECDSA_WITH_AES_") && strings.Contains(s.Name, "_GCM_")
		if (err == nil) != want {
			t.Errorf("%s: got %v, want it to be taken: %v", s.Name, err, want)
		}
	}
}

func TestPublicListenerHasNoOperatorsThings(t *testing.T) {
	s := start(t, testConfig(t))
	for _, path := range []string{"/admin/v1/services", "/metrics", "/openapi.json", "/recipe/jwt", "/readyz", "/debug/pprof/"} {
		if a := s.do(s.request("GET", s.url+path, "", "Authorization", "Bearer "+s.token)); a.status != 404 {
			t.Errorf("%s: got %d, want 404", path, a.status)
		}
	}
}

// FLT-007: a server on a database that was damaged says so.
func TestDamageFoundLaterMakesTheServerNotReady(t *testing.T) {
	s := start(t, testConfig(t))
	s.demo()
	raw, err := os.ReadFile(s.cfg.Data + "/watchword.db")
	must(t, err)
	for i := 4096; i < len(raw); i++ {
		raw[i] = 0xa5
	}
	f, err := os.OpenFile(s.cfg.Data+"/watchword.db", os.O_WRONLY, 0)
	must(t, err)
	defer f.Close()
	if _, err := f.WriteAt(raw, 0); err != nil {
		t.Fatal(err)
	}
	must(t, s.s.checkStore(t.Context()))
	if r := s.s.readiness(); r.Status != notReady || !strings.Contains(r.Problems["store"], "damaged") {
		t.Errorf("got %v, want the store damaged", r)
	}
}
