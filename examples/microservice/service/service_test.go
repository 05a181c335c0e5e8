package service

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/client"
	"github.com/watchword-dev/watchword/client/clienttest"
	"github.com/watchword-dev/watchword/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// town is an authorization server with the call map of the demo, and its three services.
type town struct {
	auth *clienttest.Server
	url  map[string]string
	away map[string]*atomic.Bool

	ahead atomic.Int64 // nanoseconds by which the clients' clock is
}

func newTown(t *testing.T) *town {
	t.Helper()
	return newTownWhile(t, false)
}

func newTownWhile(t *testing.T, away bool) *town {
	t.Helper()
	w := &town{auth: clienttest.NewServer(), url: make(map[string]string), away: make(map[string]*atomic.Bool)}
	t.Cleanup(w.auth.Close)
	w.auth.SetAway(away)
	for _, pair := range [][2]string{{"m1", "m1"}, {"m1", "m2"}, {"m2", "m1"}, {"m2", "m2"}, {"m3", "m1"}, {"m1", "gone"}} {
		w.auth.Allow(pair[0], pair[1])
	}
	names := []string{"m1", "m2", "m3"}
	handlers := make(map[string]*atomic.Value)
	for _, name := range names {
		h, away := new(atomic.Value), new(atomic.Bool)
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if away.Load() {
				panic(http.ErrAbortHandler) // the connection breaks, as when a process dies
			}
			h.Load().(*Service).ServeHTTP(w, r)
		}))
		t.Cleanup(srv.Close)
		handlers[name], w.away[name], w.url[name] = h, away, srv.URL
	}
	peers := map[string]string{"gone": "http://" + closedPort(t)}
	for name, url := range w.url {
		peers[name] = url
	}
	for _, name := range names {
		s, err := New(Config{
			Name:       name,
			Server:     w.auth.URL,
			Credential: client.Static(w.auth.Credential(name)),
			Peers:      peers,
			Logger:     slog.New(slog.DiscardHandler),
			now:        func() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) },
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		handlers[name].Store(s)
	}
	return w
}

// closedPort is an address at which nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return l.Addr().String()
}

func do(t *testing.T, method, url, body string, header ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func (w *town) query(t *testing.T, caller, target string) (int, string) {
	t.Helper()
	return do(t, http.MethodPost, w.url[caller]+"/query", fmt.Sprintf(`{"target":%q}`, target), "Content-Type", "application/json")
}

func (w *town) hello(t *testing.T, name, token string) (int, string) {
	t.Helper()
	if token == "" {
		return do(t, http.MethodGet, w.url[name]+"/hello", "")
	}
	return do(t, http.MethodGet, w.url[name]+"/hello", "", "Authorization", "Bearer "+token)
}

func TestAllNinePairs(t *testing.T) {
	w := newTown(t)
	allowed := map[string]bool{"m1 m1": true, "m1 m2": true, "m2 m1": true, "m2 m2": true, "m3 m1": true}
	for _, caller := range []string{"m1", "m2", "m3"} {
		for _, target := range []string{"m1", "m2", "m3"} {
			status, body := w.query(t, caller, target)
			if !allowed[caller+" "+target] {
				if hint := "watchword why "; status != http.StatusUnauthorized || !strings.Contains(body, hint) {
					t.Errorf("%s -> %s: got %d %q, want 401 with %q", caller, target, status, body, hint)
				}
				continue
			}
			if want := fmt.Sprintf("Hello to %s from %s!", caller, target); status != http.StatusOK || body != want {
				t.Errorf("%s -> %s: got %d %q, want 200 %q", caller, target, status, body, want)
			}
		}
	}
}

func TestQueryForAnUnknownServiceIsRefused(t *testing.T) {
	w := newTown(t)
	before := w.auth.Requests()
	// Bug B6 of the public demo: names that JavaScript objects have; B9: unknown became m3.
	for _, target := range []string{"m9", "M2", "m2 ", "constructor", "__proto__", "toString", "../m2", "m2/../m3"} {
		if status, body := w.query(t, "m1", target); status != http.StatusUnauthorized || !strings.HasPrefix(body, "Unauthorized") {
			t.Errorf("%q: got %d %q, want 401", target, status, body)
		}
	}
	if n := w.auth.Requests() - before; n != 0 {
		t.Errorf("%d tokens were asked for services that nobody knows", n)
	}
}

func TestMalformedQueryIsABadRequest(t *testing.T) {
	w := newTown(t)
	for name, body := range map[string]string{
		"empty":            ``,
		"not JSON":         `target=m2`,
		"string":           `"m2"`,
		"number":           `2`,
		"null":             `null`,
		"array":            `["m2"]`,
		"empty object":     `{}`,
		"no target":        `{"x":"m2"}`,
		"wrong case":       `{"Target":"m2"}`,
		"target array":     `{"target":["m2"]}`,
		"target number":    `{"target":2}`,
		"target null":      `{"target":null}`,
		"target true":      `{"target":true}`,
		"target object":    `{"target":{"$ne":1}}`,
		"target empty":     `{"target":""}`,
		"duplicate":        `{"target":"m2","target":"m3"}`,
		"duplicate, same":  `{"target":"m2","target":"m2"}`,
		"__proto__":        `{"__proto__":{"target":"m2"}}`,
		"__proto__ too":    `{"target":"m2","__proto__":{}}`,
		"constructor":      `{"constructor":{"prototype":{"target":"m2"}}}`,
		"more":             `{"target":"m2","scope":"admin"}`,
		"trailing object":  `{"target":"m2"}{}`,
		"trailing text":    `{"target":"m2"} x`,
		"unterminated":     `{"target":"m2"`,
		"trailing comma":   `{"target":"m2",}`,
		"comment":          `{"target":"m2"/**/}`,
		"bad UTF-8":        "{\"target\":\"m2\xff\"}",
		"byte order mark":  "\xef\xbb\xbf{\"target\":\"m2\"}",
		"1 MiB":            `{"target":"` + strings.Repeat("m", 1<<20) + `"}`,
		"1 MiB of spaces":  strings.Repeat(" ", 1<<20) + `{"target":"m2"}`,
		"deep":             strings.Repeat("[", 2000),
		"deep in target":   `{"target":` + strings.Repeat(`{"a":`, 600) + `1` + strings.Repeat("}", 600) + `}`,
		"multipart":        "--x\r\nContent-Disposition: form-data; name=target\r\n\r\nm2\r\n--x--",
		"null byte":        "{\"target\":\"m2\x00\"}",
		"form, JSON-like":  `{"target":"m2"}=`,
		"target and array": `{"target":"m2"}[]`,
	} {
		status, answer := do(t, http.MethodPost, w.url["m1"]+"/query", body)
		if status != http.StatusBadRequest || !strings.Contains(answer, `{"target":"m2"}`) {
			t.Errorf("%s: got %d %q, want 400 with an example", name, status, answer)
		}
	}
	if status, _ := w.query(t, "m1", "m2"); status != http.StatusOK {
		t.Errorf("afterwards: got %d, want 200", status)
	}
}

func FuzzQuery(f *testing.F) {
	for _, s := range []string{`{"target":"m2"}`, ` {"target" : "m\u0032"} `, `{"target":"m2","target":"m3"}`, `{"target":["m2"]}`, `[]`, `{`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		target, err := parseQuery(strings.NewReader(body))
		if (err == nil) != (target != "") {
			t.Errorf("%q: got %q, %v", body, target, err)
		}
		if err == nil && (!strings.Contains(body, `target`) && !strings.Contains(body, `\u`)) {
			t.Errorf("%q: got %q from nowhere", body, target)
		}
	})
}

// NAT-004. A token is for one service: m1's token for m2 is refused by m3 and by the rest,
// and a bootstrap credential is refused by all. The public demo takes all of these (B1).
func TestTokenForAnotherServiceIsRefused(t *testing.T) {
	w := newTown(t)
	if status, body := w.hello(t, "m2", w.auth.Token("m1", "m2")); status != http.StatusOK || body != "Hello to m1 from m2!" {
		t.Fatalf("m1's token for m2 at m2: got %d %q, want 200", status, body)
	}
	stranger := clienttest.NewServer() // another issuer of the same name, with other keys
	defer stranger.Close()
	for _, c := range []struct{ claim, at, token string }{
		{"m1's token for m2, replayed at m3", "m3", w.auth.Token("m1", "m2")},
		{"m1's token for m2, sent back to m1", "m1", w.auth.Token("m1", "m2")},
		{"a token for m3 at m2", "m2", w.auth.Token("m1", "m3")},
		{"a token for auth-server", "m2", w.auth.Token("m1", clienttest.Issuer)},
		{"the bootstrap credential of m1", "m2", w.auth.Credential("m1")},
		{"m2's own bootstrap credential", "m2", w.auth.Credential("m2")},
		{"a token of another server", "m2", stranger.Token("m1", "m2")},
		{"no token", "m2", ""},
		{"garbage", "m2", "garbage"},
		// Bug B2 of the public demo: a header without kid killed the process.
		{"no kid, no signature", "m2", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJtMSJ9."},
	} {
		if status, body := w.hello(t, c.at, c.token); status != http.StatusUnauthorized {
			t.Errorf("%s: got %d %q, want 401", c.claim, status, body)
		}
	}
}

// Bug B3 of the public demo: each of these killed the caller.
func TestOutagesAreABadGatewayAndPass(t *testing.T) {
	w := newTown(t)
	check := func(when, target string, wantStatus int, want string) {
		t.Helper()
		if status, body := w.query(t, "m1", target); status != wantStatus || !strings.Contains(body, want) {
			t.Errorf("%s: got %d %q, want %d with %q", when, status, body, wantStatus, want)
		}
	}
	check("callee's port closed", "gone", http.StatusBadGateway, "call gone")
	w.away["m2"].Store(true)
	check("callee away", "m2", http.StatusBadGateway, "call m2")
	w.away["m2"].Store(false)
	check("callee back", "m2", http.StatusOK, "Hello to m1 from m2!")

	w.auth.SetAway(true)
	check("server away, token at hand", "m2", http.StatusOK, "Hello to m1 from m2!")
	check("server away, no token", "m1", http.StatusBadGateway, "no token from "+w.auth.URL)
	check("server away, asked again", "m1", http.StatusBadGateway, "next attempt in")
	w.auth.SetAway(false)
	w.ahead.Store(int64(2 * time.Second)) // by then the client asks again
	check("server back", "m1", http.StatusOK, "Hello to m1 from m1!")
}

func TestServicesStartBeforeTheServer(t *testing.T) {
	w := newTownWhile(t, true)
	if status, body := w.query(t, "m1", "m2"); status != http.StatusBadGateway || !strings.Contains(body, "no token from "+w.auth.URL) {
		t.Errorf("query: got %d %q, want 502", status, body)
	}
	// Not 401: nothing is known against the token.
	if status, body := w.hello(t, "m2", w.auth.Token("m1", "m2")); status != http.StatusServiceUnavailable {
		t.Errorf("hello: got %d %q, want 503", status, body)
	}
	w.auth.SetAway(false)
	w.ahead.Store(int64(2 * time.Second)) // by then the client asks again
	// The verifier, whose clock cannot be set, fetches again a second after it failed.
	for status := http.StatusServiceUnavailable; status == http.StatusServiceUnavailable; <-time.After(20 * time.Millisecond) {
		status, _ = w.hello(t, "m2", w.auth.Token("m1", "m2"))
	}
	if status, body := w.query(t, "m1", "m2"); status != http.StatusOK || body != "Hello to m1 from m2!" {
		t.Errorf("once it is there: got %d %q, want 200", status, body)
	}
}

func TestCalleesOwnErrorIsABadGateway(t *testing.T) {
	w := newTown(t)
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "boom\x1b[31m", http.StatusInternalServerError)
	}))
	defer broken.Close()
	s, err := New(Config{
		Name: "m1", Server: w.auth.URL, Credential: client.Static(w.auth.Credential("m1")),
		Peers: map[string]string{"m2": broken.URL + "/"}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	r := httptest.NewRequest(http.MethodPost, "/query", strings.NewReader(`{"target":"m2"}`))
	rec := httptest.NewRecorder()
	s.ServeHTTP(rec, r)
	if rec.Code != http.StatusBadGateway || !strings.Contains(rec.Body.String(), "500") || strings.Contains(rec.Body.String(), "\x1b") {
		t.Errorf("got %d %q, want 502 with the callee's status", rec.Code, rec.Body)
	}
}

func TestWebPagesCannotQueryThroughABrowser(t *testing.T) {
	w := newTown(t)
	for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "https://evil.example"}} {
		status, body := do(t, http.MethodPost, w.url["m1"]+"/query", `{"target":"m2"}`, header...)
		if status != http.StatusForbidden {
			t.Errorf("%v: got %d %q, want 403", header, status, body)
		}
	}
}

func TestOtherPathsAndMethods(t *testing.T) {
	w := newTown(t)
	for request, want := range map[string]int{
		"GET /": 404, "GET /query": 405, "POST /hello": 405, "DELETE /query": 405, "GET /hello/": 404,
	} {
		method, path, _ := strings.Cut(request, " ")
		if status, _ := do(t, method, w.url["m1"]+path, ""); status != want {
			t.Errorf("%s: got %d, want %d", request, status, want)
		}
	}
}

func TestConfigurationIsChecked(t *testing.T) {
	good := Config{Name: "m1", Credential: client.Static("x")}
	for name, edit := range map[string]func(*Config){
		"no name":        func(c *Config) { c.Name = "" },
		"no credential":  func(c *Config) { c.Credential = nil },
		"peer":           func(c *Config) { c.Peers = map[string]string{"m2": "127.0.0.1:8002"} },
		"server":         func(c *Config) { c.Server = "localhost:8000" },
		"far plain http": func(c *Config) { c.Server = "http://auth.example.com" },
	} {
		c := good
		edit(&c)
		if s, err := New(c); err == nil {
			_ = s.Close()
			t.Errorf("%s: accepted", name)
		}
	}
	s, err := New(good) // while no server runs
	if err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
}
