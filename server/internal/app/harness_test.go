package app

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/server/internal/config"
	"github.com/watchword-dev/watchword/server/internal/store/pgtest"
)

// server is a real server in this process, on a database of its own.
type server struct {
	t      testing.TB
	s      *Server
	cfg    config.Config
	url    string
	admin  string
	token  string
	client *http.Client
	stop   func() error
	logged func() string
}

// defaults is the configuration of a server for which nothing is set.
func defaults() config.Config {
	l, err := config.Load(config.Sources{})
	if err != nil {
		panic(err)
	}
	return l.Config
}

// testConfig is the default one with free ports and a folder of its own.
func testConfig(t testing.TB) config.Config {
	cfg := defaults()
	cfg.Listen, cfg.Admin.Listen, cfg.SuperTokens.Listen = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	cfg.Shutdown.Drain = 0
	return inFolder(cfg, filepath.Join(t.TempDir(), "data"))
}

// inFolder is cfg with everything it keeps in dir.
func inFolder(cfg config.Config, dir string) config.Config {
	cfg.Data = dir
	cfg.Keys.SealingKeyFile = filepath.Join(dir, "sealing.key")
	cfg.Admin.TokenFile = filepath.Join(dir, "operator.token")
	cfg.Audit.Dir = filepath.Join(dir, "audit")
	return cfg
}

func start(t testing.TB, cfg config.Config) *server {
	t.Helper()
	return startWith(t, cfg, func(*Server) {})
}

// startWith changes the server before it runs.
func startWith(t testing.TB, cfg config.Config, change func(*Server)) *server {
	t.Helper()
	return startAt(t, cfg, clock{time.Now, time.Now}, change)
}

// startAt starts the server on a machine with that clock.
func startAt(t testing.TB, cfg config.Config, at clock, change func(*Server)) *server {
	t.Helper()
	var log bytes.Buffer
	locked := &lockedWriter{w: &log}
	logger := slog.New(slog.NewTextHandler(locked, &slog.HandlerOptions{Level: slog.LevelWarn}))
	s, err := newAt(t.Context(), cfg, logger, at)
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	change(s)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	token, err := os.ReadFile(cfg.Admin.TokenFile)
	must(t, err)
	srv := &server{
		t: t, s: s, cfg: cfg, url: s.listeners[0].URL(), admin: s.listeners[1].URL() + "/admin/v1",
		token: strings.TrimSpace(string(token)), client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}},
		logged: func() string { locked.mu.Lock(); defer locked.mu.Unlock(); return log.String() },
	}
	stopped := false
	srv.stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		srv.client.CloseIdleConnections()
		return <-ended
	}
	t.Cleanup(func() {
		if err := srv.stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
		if t.Failed() {
			t.Logf("server log:\n%s", log.String())
		}
	})
	return srv
}

// onBothEngines shows a claim on SQLite and on PostgreSQL.
func onBothEngines(t *testing.T, claim func(*testing.T, config.Config)) {
	t.Run("SQLite", func(t *testing.T) { claim(t, testConfig(t)) })
	t.Run("PostgreSQL", func(t *testing.T) {
		cfg := testConfig(t)
		cfg.Database = config.NewSecret(pgtest.Start(t))
		claim(t, cfg)
	})
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) json(t testing.TB) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(a.body), &m); err != nil {
		t.Fatalf("answer %d is not JSON: %v: %s", a.status, err, a.body)
	}
	return m
}

func (s *server) do(r *http.Request) answer {
	s.t.Helper()
	resp, err := s.client.Do(r)
	if err != nil {
		s.t.Fatalf("%s %s: %v", r.Method, r.URL.Path, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatalf("%s %s: %v", r.Method, r.URL.Path, err)
	}
	return answer{resp.StatusCode, resp.Header, string(body)}
}

func (s *server) request(method, url, body string, header ...string) *http.Request {
	s.t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	must(s.t, err)
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

// operate calls the admin API and expects success.
func (s *server) operate(method, path, body string) map[string]any {
	s.t.Helper()
	a := s.do(s.request(method, s.admin+path, body, "Authorization", "Bearer "+s.token))
	if a.status >= 300 {
		s.t.Fatalf("%s %s: %d %s", method, path, a.status, a.body)
	}
	if a.body == "" {
		return nil
	}
	return a.json(s.t)
}

func (s *server) service(names ...string) {
	s.t.Helper()
	for _, n := range names {
		s.operate("POST", "/services", `{"name":"`+n+`"}`)
	}
}

func (s *server) allow(caller, target string, scopes ...string) {
	s.t.Helper()
	b, _ := json.Marshal(map[string]any{"scopes": append([]string{}, scopes...)})
	s.operate("PUT", "/rules/"+caller+"/"+target, string(b))
}

// credential issues a bootstrap credential, and returns it with its id.
func (s *server) credential(service string) (token, id string) {
	s.t.Helper()
	a := s.operate("POST", "/services/"+service+"/credentials", `{"name":"test"}`)
	return a["token"].(string), a["credential"].(map[string]any)["id"].(string)
}

// ask asks for a token in the plain way.
func (s *server) ask(credential, body string, header ...string) answer {
	s.t.Helper()
	return s.do(s.request("POST", s.url+"/accesstoken", body, append([]string{"Authorization", "Bearer " + credential}, header...)...))
}

// token asks for a token that must be given.
func (s *server) accessToken(credential, target string) string {
	s.t.Helper()
	a := s.ask(credential, `{"target":"`+target+`"}`)
	if a.status != http.StatusOK {
		s.t.Fatalf("token for %s: %d %s", target, a.status, a.body)
	}
	return a.json(s.t)["accessToken"].(string)
}

// part decodes one part of a JWT without looking at its signature.
func part(t testing.TB, jwt string, n int) map[string]any {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(jwt, ".")[n])
	must(t, err)
	var m map[string]any
	must(t, json.Unmarshal(raw, &m))
	return m
}

// auditText is all that the audit log in dir has.
func auditText(t testing.TB, dir string) string {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	var b strings.Builder
	for _, f := range files {
		raw, err := os.ReadFile(f)
		must(t, err)
		b.Write(raw)
	}
	return b.String()
}

// record is the audit log's line about a decision.
func (s *server) record(decisionID string) (m map[string]any) {
	s.t.Helper()
	for line := range strings.Lines(auditText(s.t, s.cfg.Audit.Dir)) {
		if decisionID != "" && strings.Contains(line, decisionID) {
			if err := json.Unmarshal([]byte(line), &m); err != nil {
				s.t.Fatalf("audit line is not JSON: %v: %s", err, line)
			}
			return m
		}
	}
	s.t.Fatalf("no audit record of decision %q", decisionID)
	return nil
}

// demo makes the services and rules of the public demo.
func (s *server) demo() (m1, m2, m3 string) {
	s.t.Helper()
	s.service("m1", "m2", "m3")
	for _, e := range [][2]string{{"m1", "m1"}, {"m1", "m2"}, {"m2", "m1"}, {"m2", "m2"}, {"m3", "m1"}} {
		s.allow(e[0], e[1])
	}
	m1, _ = s.credential("m1")
	m2, _ = s.credential("m2")
	m3, _ = s.credential("m3")
	return m1, m2, m3
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// lockedWriter lets the server's goroutines share a buffer.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// must ends the test if something failed that has to succeed.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
