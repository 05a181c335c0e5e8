package admin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/internal/netaddr"
	"github.com/watchword-dev/watchword/server/internal/audit"
	"github.com/watchword-dev/watchword/server/internal/clientauth"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/issuer"
	"github.com/watchword-dev/watchword/server/internal/keys"
	"github.com/watchword-dev/watchword/server/internal/store"
	"github.com/watchword-dev/watchword/server/internal/web"
)

const testToken = "0123456789abcdefghijklmnopqrstuvwxyz-operator"

var testPepper = []byte("pepper of the tests, 32 bytes lon")

// server is the API over real parts.
type server struct {
	testing.TB
	http.Handler
	directory *directory.Directory
	db        *store.DB
	ring      *keys.Ring
	auth      *clientauth.Authenticator
	issuer    *issuer.Issuer
	log       *audit.Log
	auditDir  string
	sealer    *keys.Sealer
	stderr    *lockedBuffer
}

func start(t testing.TB, change ...func(*Options)) *server {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	s := &server{TB: t, auditDir: filepath.Join(t.TempDir(), "audit"), stderr: &lockedBuffer{}}
	logger := slog.New(slog.NewTextHandler(s.stderr, nil))
	ctx := t.Context()
	var err error
	data := t.TempDir()
	s.db, err = store.Open(ctx, store.Options{DataDir: data})
	must(err)
	t.Cleanup(func() { s.db.Close() })
	s.sealer, err = keys.NewSealer(filepath.Join(data, "sealing.key"), true)
	must(err)
	s.ring = keys.NewRing(s.db, s.sealer, keys.Options{Logger: logger})
	must(s.ring.Load(ctx))
	s.directory = directory.New(s.db, s.db, directory.Options{
		Reserved: []string{"auth-server"}, Keys: s.ring.Additions, OnKeys: s.ring.Reload, Logger: logger,
	})
	must(s.directory.Load(ctx))
	s.openAudit()
	s.auth = clientauth.New(clientauth.Options{
		Issuer:       "http://localhost:8000",
		JWKSNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		PlainIssuer:  "auth-server",
		Credentials:  func() *jose.KeySet { return s.ring.Verifiers(keys.UseCredential) },
		Access:       func() *jose.KeySet { return s.ring.Verifiers(keys.UseAccess) },
	})
	s.issuer = issuer.New(s.directory, s.ring, s.auth, nil, s.log, issuer.Options{PlainIssuer: "auth-server", Issuer: "http://localhost:8000", Pepper: testPepper})
	sum := sha256.Sum256([]byte(testToken))
	o := Options{
		Directory: s.directory, Lists: s.db, Repeats: s.db, Usage: s.db, Keys: s.ring, Issuer: s.issuer, Audit: s.log, Trusts: s.auth,
		Token: func(token string) bool {
			got := sha256.Sum256([]byte(token))
			return subtle.ConstantTimeCompare(got[:], sum[:]) == 1
		},
		Info: func() api.Info {
			return api.Info{Version: "devel", Issuer: "http://localhost:8000", PlainIssuer: "auth-server", Database: "sqlite", Revision: s.directory.Snapshot().Revision()}
		},
		Hosts: netaddr.NewHosts("127.0.0.1:8010", "Admin.Example.com"),
		Stack: web.NewStack(logger, prometheus.NewRegistry(), 0).Apart(WriteProblem, MaxLarge),
	}
	for _, c := range change {
		c(&o)
	}
	s.Handler = New(o)
	return s
}

func (s *server) openAudit() {
	s.Helper()
	log, err := audit.Open(s.auditDir, audit.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		s.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		log.Run(ctx)
	}()
	s.Cleanup(func() {
		cancel()
		<-done
		log.Close()
	})
	// The log is healthy once its first record is on disk.
	if err := log.Append(ctx, audit.Event{Kind: audit.KindStart}); err != nil {
		s.Fatal(err)
	}
	s.log = log
}

// answer is what came back.
type reply struct {
	*httptest.ResponseRecorder
	t testing.TB
}

// request is an operator's request, as a program on the same machine sends it. Headers are
// name, value, ...; an empty value takes one away.
func (s *server) request(method, target, body string, header ...string) *http.Request {
	var r *http.Request
	if body == "" {
		r = httptest.NewRequest(method, target, nil)
	} else {
		r = httptest.NewRequest(method, target, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
	}
	r.Host = "127.0.0.1:8010"
	r.RemoteAddr = "127.0.0.1:50000"
	r.Header.Set("Authorization", "Bearer "+testToken)
	for i := 0; i+1 < len(header); i += 2 {
		switch {
		case header[i] == "Host":
			r.Host = header[i+1]
		case header[i+1] == "":
			r.Header.Del(header[i])
		default:
			r.Header.Set(header[i], header[i+1])
		}
	}
	return r
}

func (s *server) do(r *http.Request) reply {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return reply{w, s.TB}
}

func (s *server) ask(method, target, body string, header ...string) reply {
	return s.do(s.request(method, prefix+target, body, header...))
}

// must asks for what has to be granted.
func (s *server) must(method, target, body string, header ...string) reply {
	s.Helper()
	a := s.ask(method, target, body, header...)
	if a.Code < 200 || a.Code > 299 {
		s.Fatalf("%s %s %s: got %d %s", method, target, body, a.Code, a.Body)
	}
	return a
}

func (s *server) services(names ...string) {
	s.Helper()
	for _, n := range names {
		s.must("POST", "/services", `{"name":"`+n+`"}`)
	}
}

// into decodes the body.
func (a reply) into(v any) {
	a.t.Helper()
	if err := json.Unmarshal(a.Body.Bytes(), v); err != nil {
		a.t.Fatalf("%v: %s", err, a.Body)
	}
}

func (a reply) members() map[string]any {
	a.t.Helper()
	m := map[string]any{}
	a.into(&m)
	return m
}

// wantProblem holds the answer against RFC 9457 and the rules of this API.
func (a reply) wantProblem(what string, status int) {
	a.t.Helper()
	if a.Code != status {
		a.t.Errorf("%s: got %d %s, want %d", what, a.Code, a.Body, status)
		return
	}
	var p struct {
		Title, Detail, Code, See string
		Status                   int
	}
	if ct := a.Header().Get("Content-Type"); ct != "application/problem+json" {
		a.t.Errorf("%s: got Content-Type %q of %d, want application/problem+json", what, ct, status)
		return
	}
	a.into(&p)
	if p.Status != status || p.Title != http.StatusText(status) || !strings.HasSuffix(p.Detail, ".") || p.See != "docs/errors.md#"+p.Code {
		a.t.Errorf("%s: got %+v, want status %d, its title, a detail and where it is explained", what, p, status)
	}
	if a.Header().Get("Cache-Control") != "no-store" || a.Header().Get("X-Request-Id") == "" || a.Header().Get("X-Content-Type-Options") != "nosniff" {
		a.t.Errorf("%s: got headers %v", what, a.Header())
	}
	if (status == 503 || status == 429) && a.Header().Get("Retry-After") == "" {
		a.t.Errorf("%s: %d without Retry-After", what, status)
	}
}

// records are the audit records of the operator API with that request id, or all with "".
func (s *server) records(requestID string) (found []map[string]any) {
	s.Helper()
	err := audit.Tail(context.Background(), s.auditDir, 1_000_000, false, func(line []byte) error {
		m := map[string]any{}
		if err := json.Unmarshal(line, &m); err != nil {
			return err
		}
		if m["endpoint"] == endpoint && (requestID == "" || m["requestId"] == requestID) {
			found = append(found, m)
		}
		return nil
	})
	if err != nil {
		s.Fatal(err)
	}
	return found
}

func (s *server) decide(caller, target string) bool {
	snapshot := s.directory.Snapshot()
	c, ok := snapshot.Service(caller)
	if !ok {
		return false
	}
	d := snapshot.Decide(directory.Question{Caller: c.UID, Target: target, At: time.Now()})
	return d.Allowed()
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
