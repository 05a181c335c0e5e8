package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/watchword-dev/watchword/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

const secretText = "bootstrap-secret"

// fakeServer answers in memory, so that it works with the fake clock of synctest.
type fakeServer struct {
	ttl time.Duration

	mu     sync.Mutex
	down   bool
	answer http.HandlerFunc // instead of a token
	seen   []time.Time      // requests that came, also while down
	bodies []string
}

func (s *fakeServer) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.seen = append(s.seen, time.Now())
	s.bodies = append(s.bodies, string(body))
	down, answer, n := s.down, s.answer, len(s.seen)
	s.mu.Unlock()
	if down {
		return nil, fmt.Errorf("dial: %w", syscall.ECONNREFUSED)
	}
	w := httptest.NewRecorder()
	switch {
	case r.Header.Get("Authorization") != "Bearer "+secretText:
		w.WriteHeader(http.StatusTeapot)
	case answer != nil:
		answer(w, r)
	default:
		_, _ = fmt.Fprintf(w, `{"accessToken":"token-%d","expiresIn":%d}`, n, int(s.ttl.Seconds()))
	}
	return w.Result(), nil
}

func (s *fakeServer) set(down bool, answer http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down, s.answer = down, answer
}

func (s *fakeServer) requests() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]time.Time(nil), s.seen...)
}

// newClient makes a client of s whose random numbers are the same in every run.
func newClient(t *testing.T, s http.RoundTripper, edit ...func(*Config)) *Client {
	t.Helper()
	cfg := Config{
		Server:     "http://localhost:8000",
		Credential: Static(secretText),
		HTTPClient: &http.Client{Transport: s},
		Logger:     slog.New(slog.DiscardHandler),
		random:     seeded(1),
	}
	for _, e := range edit {
		e(&cfg)
	}
	c, err := New(cfg)
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// endpoints are the ways to ask for tokens; what the client promises holds for each.
var endpoints = map[string]func(*Config){
	"plain": func(*Config) {},
	"oauth": func(cfg *Config) {
		cfg.Auth, cfg.Credential = BootstrapAssertion(cfg.Credential), nil
		cfg.HTTPClient.Transport = oauthFront{cfg.HTTPClient.Transport}
	},
	"platform token, plain": func(cfg *Config) {
		cfg.Platform, cfg.Credential = ForAudience("x", platformFunc(cfg.Credential.Credential)), nil
	},
	"platform token, oauth": func(cfg *Config) {
		cfg.Auth, cfg.Credential = WorkloadJWT("", platformFunc(cfg.Credential.Credential)), nil
		cfg.HTTPClient.Transport = oauthFront{cfg.HTTPClient.Transport}
	},
}

// platformFunc is a source of a credential that is used as one of platform tokens.
type platformFunc CredentialFunc

func (f platformFunc) Token(ctx context.Context, _ string) (string, error) {
	c, err := f(ctx)
	return c.Reveal(), err
}

// oauthFront makes a server with metadata of one that has none.
type oauthFront struct{ http.RoundTripper }

func (o oauthFront) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path == "/.well-known/oauth-authorization-server" {
		body := `{"issuer":"http://localhost:8000","token_endpoint":"http://localhost:8000/oauth2/token"}`
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: newBody(body), Request: r}, nil
	}
	if r.URL.Path != "/oauth2/token" || r.FormValue("client_assertion") == "" {
		return nil, errors.New("not the token endpoint, or without a proof")
	}
	r = r.Clone(r.Context())
	r.Body = newBody("")
	r.Header.Set("Authorization", "Bearer "+r.FormValue("client_assertion"))
	return o.RoundTripper.RoundTrip(r)
}

func seeded(n uint64) func() float64 {
	var mu sync.Mutex
	r := rand.New(rand.NewPCG(n, n))
	return func() float64 {
		mu.Lock()
		defer mu.Unlock()
		return r.Float64()
	}
}

func mustToken(t *testing.T, s *TokenSource) Token {
	t.Helper()
	token, err := s.Token(t.Context())
	must(t, err)
	return token
}

func TestOneTokenPerTargetAndScopeIsKept(t *testing.T) {
	s := &fakeServer{ttl: time.Hour}
	c := newClient(t, s)
	first := mustToken(t, c.TokenSource("m2", "write", "read"))
	for _, scopes := range [][]string{{"write", "read"}, {"read", "write"}, {"read", "write", "read"}} {
		if got := mustToken(t, c.TokenSource("m2", scopes...)); got.Reveal() != first.Reveal() {
			t.Errorf("scopes %q: got another token", scopes)
		}
	}
	for _, other := range []*TokenSource{c.TokenSource("m2"), c.TokenSource("m2", "read"), c.TokenSource("m3", "read", "write")} {
		if got := mustToken(t, other); got.Reveal() == first.Reveal() {
			t.Errorf("%+v shares the token of another question", other.q)
		}
	}
	want := []string{`{"target":"m2","scope":"read write"}`, `{"target":"m2"}`, `{"target":"m2","scope":"read"}`, `{"target":"m3","scope":"read write"}`}
	if fmt.Sprint(s.bodies) != fmt.Sprint(want) {
		t.Errorf("got requests %q, want %q", s.bodies, want)
	}
}

func TestTargetAndScopesAreCheckedBeforeAnythingIsSent(t *testing.T) {
	s := &fakeServer{ttl: time.Hour}
	c := newClient(t, s)
	for _, src := range []*TokenSource{
		c.TokenSource(""), c.TokenSource("m2", ""), c.TokenSource("m2", "read write"),
		c.TokenSource("m2", `a"b`), c.TokenSource("m2", "é"), c.TokenSource("m2", "a\nb"),
	} {
		if _, err := src.Token(t.Context()); err == nil {
			t.Errorf("%+v: accepted", src.q)
		}
	}
	if n := len(s.requests()); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}

func TestManyCallersShareOneRequestAndOneMayLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := &fakeServer{ttl: time.Hour}
		s.answer = func(w http.ResponseWriter, _ *http.Request) {
			<-release
			_, _ = fmt.Fprint(w, `{"accessToken":"t","expiresIn":60}`)
		}
		c := newClient(t, s)
		src := c.TokenSource("m2")
		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan error, 1)
		go func() {
			_, err := src.Token(ctx)
			left <- err
		}()
		synctest.Wait()
		results := make(chan error, 50)
		for range cap(results) {
			go func() {
				_, err := src.Token(t.Context())
				results <- err
			}()
		}
		synctest.Wait()
		cancel() // the one whose call started the request
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("the cancelled caller got %v, want context.Canceled", err)
		}
		close(release)
		for range cap(results) {
			if err := <-results; err != nil {
				t.Errorf("another caller got %v", err)
			}
		}
		if n := len(s.requests()); n != 1 {
			t.Errorf("%d requests, want 1", n)
		}
	})
}

func TestTokenInUseIsRenewedBetween20And50PercentOfItsLife(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			s := &fakeServer{ttl: 100 * time.Second}
			c := newClient(t, s, func(cfg *Config) { cfg.random = seeded(seed) })
			src := c.TokenSource("m2")
			for range 1000 {
				mustToken(t, src)
				<-time.After(time.Second)
			}
			seen := s.requests()
			if len(seen) < 20 {
				t.Fatalf("%d requests in ten lifetimes, want 20 or more", len(seen))
			}
			for i, at := range seen[1:] {
				if age := at.Sub(seen[i]); age < 20*time.Second || age > 50*time.Second {
					t.Errorf("renewed at the age of %v", age)
				}
			}
		})
	}
}

func TestIdleTargetIsLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeServer{ttl: time.Minute}
		mustToken(t, newClient(t, s).TokenSource("m2"))
		<-time.After(24 * time.Hour)
		if n := len(s.requests()); n > 6 {
			t.Errorf("%d requests for a target used once, want only those of the lifetime after", n)
		}
	})
}

func TestCacheIsBoundedAndKeepsWhatHasATokenBeforeWhatHasNone(t *testing.T) {
	s := &fakeServer{ttl: time.Hour}
	c := newClient(t, s)
	good := c.TokenSource("m2")
	want := mustToken(t, good)
	s.set(false, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	for i := range 2 * maxEntries {
		if _, err := c.TokenSource(fmt.Sprint("x", i)).Token(t.Context()); err == nil {
			t.Fatal("accepted")
		}
	}
	if n := len(c.entries); n > maxEntries {
		t.Errorf("%d entries, want at most %d", n, maxEntries)
	}
	if got := mustToken(t, good); got.Reveal() != want.Reveal() {
		t.Error("names that were refused pushed out a good token")
	}
}

func TestClosedClientSendsNothingMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeServer{ttl: time.Minute}
		c := newClient(t, s)
		src := c.TokenSource("m2")
		mustToken(t, src)
		s.set(false, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		waiting := make(chan error)
		go func() {
			_, err := c.TokenSource("m3").Token(t.Context())
			waiting <- err
		}()
		synctest.Wait()
		must(t, c.Close())
		if err := <-waiting; !errors.Is(err, ErrClosed) {
			t.Errorf("a waiting caller got %v, want ErrClosed", err)
		}
		n := len(s.requests())
		<-time.After(time.Hour)
		if _, err := src.Token(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("got %v, want ErrClosed", err)
		}
		if after := len(s.requests()); after != n {
			t.Errorf("%d requests after Close", after-n)
		}
		if err := c.Close(); err != nil {
			t.Errorf("second Close: %v", err)
		}
	})
}

func TestConfigurationIsChecked(t *testing.T) {
	for server, ok := range map[string]bool{
		"http://localhost:8000":      true,
		"http://LOCALHOST:8000/":     true,
		"http://as.localhost:8000":   true, // F34
		"http://127.0.0.2":           true,
		"http://[::1]:8000/base":     true,
		"http://[::ffff:127.0.0.1]":  true,
		"https://auth.example.com":   true,
		"http://auth.example.com":    false,
		"http://localhost.evil.com":  false,
		"http://127.0.0.1.evil.com":  false,
		"http://10.0.0.1:8000":       false,
		"":                           false,
		"localhost:8000":             false,
		"ftp://localhost":            false,
		"http://":                    false,
		"http://u:hunter2@localhost": false,
		"http://localhost?x=hunter2": false,
		"http://localhost#x":         false,
		"http://hunter2:%zz@[":       false,
	} {
		_, err := New(Config{Server: server, Credential: Static("x")})
		if (err == nil) != ok {
			t.Errorf("%q: got %v, want accepted: %v", server, err, ok)
		}
		if err != nil && strings.Contains(err.Error(), "u:hunter2") {
			t.Errorf("%q: the error %q repeats the password", server, err)
		}
	}
	if _, err := New(Config{Server: "http://auth.example.com", Credential: Static("x"), AllowHTTP: true}); err != nil {
		t.Errorf("AllowHTTP: %v", err)
	}
	if _, err := New(Config{Server: "http://localhost"}); err == nil {
		t.Error("no credential: accepted")
	}
}

func TestServerBelowAPathIsAskedThere(t *testing.T) {
	c := newClient(t, &fakeServer{}, func(cfg *Config) { cfg.Server = "http://localhost:8000/auth/" })
	if want := "http://localhost:8000/auth/accesstoken"; c.accessToken.endpoint != want {
		t.Errorf("got %s, want %s", c.accessToken.endpoint, want)
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	s := &fakeServer{ttl: time.Hour}
	s.answer = func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, `{"accessToken":"hunter2","expiresIn":60}`)
	}
	c := newClient(t, s)
	token := mustToken(t, c.TokenSource("m2"))
	if err := c.Close(); err != nil { // so that nothing changes c while it is printed
		t.Fatal(err)
	}
	cred := NewCredential("hunter2")
	if token.Reveal() != "hunter2" || cred.Reveal() != "hunter2" {
		t.Fatal("Reveal does not")
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "token", token, "credential", cred, "client", c)
	type unexported struct {
		a Token
		b Credential
		c CredentialSource
	}
	in := unexported{token, cred, Static("hunter2")}
	js, err := json.Marshal(map[string]any{"a": token, "b": &cred})
	must(t, err)
	out := []string{log.String(), string(js), token.String(), cred.GoString()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, v := range []any{token, &token, cred, &cred, in, &in, c, c.entries[question{target: "m2"}], []Token{token}} {
			out = append(out, fmt.Sprintf(verb, v))
		}
	}
	for _, o := range out {
		if strings.Contains(o, "hunter2") || strings.Contains(o, fmt.Sprintf("%x", "hunter2")) {
			t.Errorf("printed: %s", o)
		}
	}
}
