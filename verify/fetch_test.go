package verify_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/verify"
	"github.com/watchword-dev/watchword/verify/verifytest"
)

// keysFrom is a verifier whose keys come from h.
func keysFrom(t *testing.T, i *verifytest.Issuer, h http.Handler) *verify.Verifier {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return keysAt(t, i, server.URL)
}

func keysAt(t *testing.T, i *verifytest.Issuer, url string) *verify.Verifier {
	t.Helper()
	c := i.Config("m2")
	c.JWKSURL, c.Logger = url, quiet
	v, err := verify.New(t.Context(), c)
	must(t, err)
	return v
}

func TestBadKeySetsAreNotUsed(t *testing.T) {
	i := verifytest.NewIssuer(t)
	elsewhere := httptest.NewServer(i)
	defer elsewhere.Close()
	write := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }
	}
	redirect := func(url string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, url, http.StatusFound) }
	}
	for name, h := range map[string]http.HandlerFunc{
		"redirect to another host": redirect(elsewhere.URL),
		"redirect to a file":       redirect("file:///etc/passwd"),
		"404":                      http.NotFound,
		"201": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusCreated)
			_, _ = w.Write(i.KeySet())
		},
		"empty":              write(""),
		"HTML":               write("<html>"),
		"no keys member":     write("{}"),
		"a duplicate member": write(`{"keys":[],` + string(i.KeySet()[1:])),
		"two documents":      write(string(i.KeySet()) + string(i.KeySet())),
		"600 KiB":            write(string(i.KeySet()) + strings.Repeat(" ", 600<<10)),
		"an endless answer":  endless,
		"cut short": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9999")
			_, _ = w.Write(i.KeySet())
		},
		"headers of 1 MiB": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X", strings.Repeat("x", 1<<20))
			_, _ = w.Write(i.KeySet())
		},
		"a connection dropped": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		v := keysFrom(t, i, h)
		refused(t, v, name, i.Token("m1", "m2"), verify.ErrKeysUnavailable)
	}
	if i.Fetches() != 0 {
		t.Errorf("the other host was asked %d times", i.Fetches())
	}
}

func endless(w http.ResponseWriter, r *http.Request) {
	for r.Context().Err() == nil {
		if _, err := w.Write(bytes.Repeat([]byte(" "), 4096)); err != nil {
			return
		}
	}
}

func TestRedirectsEnd(t *testing.T) {
	i := verifytest.NewIssuer(t)
	var requests atomic.Int32
	v := keysFrom(t, i, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		http.Redirect(w, r, "/", http.StatusFound)
	}))
	refused(t, v, "a circle", i.Token("m1", "m2"), verify.ErrKeysUnavailable)
	if n := requests.Load(); n != 4 {
		t.Errorf("got %d requests, want 4", n)
	}
}

func TestRedirectOnTheSameHostIsFollowed(t *testing.T) {
	i := verifytest.NewIssuer(t)
	mux := http.NewServeMux()
	mux.Handle("/new", i)
	mux.Handle("/", http.RedirectHandler("/new", http.StatusMovedPermanently))
	v := keysFrom(t, i, mux)
	accepted(t, v, "redirected", i.Token("m1", "m2"))
}

// F85. A key set without a usable key verifies nothing, and does not replace one that does.
func TestKeySetWithoutUsableKeysIsNone(t *testing.T) {
	for _, set := range []string{`{"keys":[]}`, `{"keys":[{"kty":"oct","k":"AA"},{"kty":"EC","crv":"P-521","kid":"x"}]}`} {
		i := verifytest.NewIssuer(t)
		v := keysFrom(t, i, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, set) }))
		refused(t, v, "no key", i.Token("m1", "m2"), verify.ErrKeysUnavailable)

		directly(t, func(t *testing.T, i *verifytest.Issuer, _ func(*verify.Config)) {
			var broken atomic.Bool
			answers := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if broken.Load() {
					_, _ = io.WriteString(w, set)
					return
				}
				i.ServeHTTP(w, r)
			})
			c := i.Config("m2")
			c.HTTPClient, c.Logger = &http.Client{Transport: handler{answers}}, quiet
			v, err := verify.New(t.Context(), c)
			must(t, err)
			broken.Store(true)
			for range 10 {
				pass(10 * time.Minute) // the key set at hand is fetched again meanwhile
				accepted(t, v, "after "+set, i.Token("m1", "m2"))
			}
		})
	}
}

// FLT-025's first step: nothing listens yet.
func TestNewSucceedsWhenNobodyAnswers(t *testing.T) {
	i := verifytest.NewIssuer(t)
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	v := keysAt(t, i, server.URL)
	refused(t, v, "nobody answers", i.Token("m1", "m2"), verify.ErrKeysUnavailable)
}

// VER-029, over a real socket.
func TestHangingServerOverASocket(t *testing.T) {
	i := verifytest.NewIssuer(t)
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	defer server.Close()
	defer close(release)
	c := i.Config("m2")
	c.JWKSURL, c.Logger = server.URL, quiet
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	v, err := verify.New(ctx, c)
	must(t, err)
	if claims, err := v.Verify(ctx, i.Token("m1", "m2")); !errors.Is(err, context.Canceled) || claims != nil {
		t.Errorf("got %v, %v, want context.Canceled", claims, err)
	}
}

func TestPasswordInTheURLIsNotShown(t *testing.T) {
	i := verifytest.NewIssuer(t)
	i.SetDown(true)
	var log bytes.Buffer
	c := i.Config("m2")
	c.JWKSURL = strings.Replace(i.JWKSURL, "http://", "http://user:hunter2@", 1)
	c.Logger = slog.New(slog.NewTextHandler(&log, nil))
	v, err := verify.New(t.Context(), c)
	must(t, err)
	if _, err := v.Verify(t.Context(), i.Token("m1", "m2")); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
	if text := log.String(); !strings.Contains(text, "503") || strings.Contains(text, "hunter2") {
		t.Errorf("logged %q, want the failure without the password", text)
	}
}

func TestHTTPNeedsConsentBeyondThisMachine(t *testing.T) {
	i := verifytest.NewIssuer(t)
	for url, ok := range map[string]bool{
		"http://localhost:1/": true, "http://127.0.0.1:1/": true, "http://127.9.9.9:1/": true, "http://[::1]:1/": true, "http://auth.localhost:1/": true,
		"http://LOCALHOST:1/": true, // F34
		"http://10.0.0.1:1/":  false, "http://auth:1/": false, "http://localhost.example:1/": false, "http://127.0.0.1.example:1/": false,
	} {
		c := i.Config("m2")
		c.JWKSURL, c.Logger = url, quiet
		c.HTTPClient = &http.Client{Transport: &network{issuer: i}}
		if _, err := verify.New(t.Context(), c); (err == nil) != ok {
			t.Errorf("%s: got %v", url, err)
		}
		c.AllowHTTP = true
		if _, err := verify.New(t.Context(), c); err != nil {
			t.Errorf("%s with AllowHTTP: %v", url, err)
		}
	}
}

func TestDoubtfulCacheFilesAreNotUsed(t *testing.T) {
	i := verifytest.NewIssuer(t)
	path := filepath.Join(t.TempDir(), "keys.json")
	c := i.Config("m2")
	c.CacheFile, c.Logger = path, quiet
	if _, err := verify.New(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("got %v, %v, want mode 0600", info.Mode(), err)
	}
	good, err := os.ReadFile(path)
	must(t, err)
	i.SetDown(true)
	future := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	for _, d := range []struct {
		name string
		body string
		mode os.FileMode
		ok   bool
	}{
		{"as written", string(good), 0o600, true},
		{"readable by others", string(good), 0o644, true},
		{"writable by the group", string(good), 0o620, false},
		{"writable by all", string(good), 0o602, false},
		{"empty", "", 0o600, false},
		{"cut short", string(good[:len(good)/2]), 0o600, false},
		{"of another server", strings.Replace(string(good), "127.0.0.1", "127.0.0.2", 1), 0o600, false},
		{"too long", string(good) + strings.Repeat(" ", 2<<20), 0o600, false},
		{"from the future", fmt.Sprintf(`{"url":%q,"fetchedAt":%q,"lifetimeSeconds":300,"keySet":%q}`, i.JWKSURL, future, i.KeySet()), 0o600, false},
		{"with a broken key set", fmt.Sprintf(`{"url":%q,"fetchedAt":"2026-01-01T00:00:00Z","lifetimeSeconds":300,"keySet":"{"}`, i.JWKSURL), 0o600, false},
	} {
		must(t, errors.Join(os.WriteFile(path, []byte(d.body), d.mode), os.Chmod(path, d.mode)))
		v, err := verify.New(t.Context(), c)
		must(t, err)
		if _, err := v.Verify(t.Context(), i.Token("m1", "m2")); (err == nil) != d.ok {
			t.Errorf("%s: got %v", d.name, err)
		}
	}
}

func TestCacheFileThatCannotBeWrittenStopsNothing(t *testing.T) {
	i := verifytest.NewIssuer(t)
	c := i.Config("m2")
	c.CacheFile, c.Logger = filepath.Join(t.TempDir(), "no", "such", "folder"), quiet
	v, err := verify.New(t.Context(), c)
	must(t, err)
	accepted(t, v, "no file", i.Token("m1", "m2"))
}

// must ends the test if something failed that has to succeed.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
