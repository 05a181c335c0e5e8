package client

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestFileIsReadAnewWhenRotated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m1.jwt")
	write := func(text string) {
		t.Helper()
		must(t, os.WriteFile(path, []byte(text), 0o600))
	}
	src := File(path)
	check := func(want string) {
		t.Helper()
		got, err := src.Credential(t.Context())
		if err != nil || got.Reveal() != want {
			t.Errorf("got %q, %v; want %q", got.Reveal(), err, want)
		}
	}
	write("one\n")
	check("one")
	info, err := os.Stat(path)
	must(t, err)
	write("two\n") // in place, same size
	must(t, os.Chtimes(path, info.ModTime(), info.ModTime()))
	check("two") // even with the same modification time
	next := path + ".new"
	must(t, os.WriteFile(next, []byte(" three \r\n"), 0o600))
	must(t, os.Rename(next, path))
	check("three")
	must(t, os.Remove(path))
	if _, err := src.Credential(t.Context()); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("no file: got %v, want ErrNotExist with the path", err)
	}
	for name, text := range map[string]string{
		"empty": "", "blank": " \n", "two lines": "hunter2\nhunter2", "header": "hunter2\r\nX: y",
		"long": strings.Repeat("hunter2", maxCredential), "binary": "hunter2\x00", "PEM": "-----BEGIN hunter2-----",
	} {
		write(text)
		_, err := src.Credential(t.Context())
		if err == nil || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v, want an error with the path and without the content", name, err)
		}
	}
	if _, err := File(t.TempDir()).Credential(t.Context()); err == nil {
		t.Error("a directory: accepted")
	}
}

func TestRotatedCredentialIsUsedAtTheNextRequest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m1.jwt")
	must(t, os.WriteFile(path, []byte("old"), 0o600))
	var sent []string
	s := roundTripFunc(func(r *http.Request) (*http.Response, error) {
		sent = append(sent, r.Header.Get("Authorization"))
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: newBody(`{"accessToken":"t","expiresIn":60}`), Request: r}, nil
	})
	c := newClient(t, s, func(cfg *Config) { cfg.Credential = File(path) })
	mustToken(t, c.TokenSource("m2"))
	must(t, os.WriteFile(path, []byte("new"), 0o600))
	mustToken(t, c.TokenSource("m3"))
	if got, want := strings.Join(sent, ","), "Bearer old,Bearer new"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// A credential that cannot be read is a local matter: it is looked for again within two
// seconds, however long it was missing.
func TestMissingCredentialIsLookedForEachSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeServer{ttl: time.Minute}
		missing := errors.New("vault is sealed")
		var asked atomic.Int32
		var found atomic.Bool
		c := newClient(t, s, func(cfg *Config) {
			cfg.Credential = CredentialFunc(func(context.Context) (Credential, error) {
				asked.Add(1)
				if found.Load() {
					return NewCredential(secretText), nil
				}
				return Credential{}, missing
			})
		})
		src := c.TokenSource("m2")
		for range 100 {
			_, err := src.Token(t.Context())
			if u, ok := errors.AsType[*UnavailableError](err); !ok || !errors.Is(err, missing) || u.RetryIn > 2*time.Second {
				t.Fatalf("got %v, want the source's error in an UnavailableError", err)
			}
			<-time.After(500 * time.Millisecond)
		}
		if n := asked.Load(); n > 50 || len(s.requests()) > 0 {
			t.Errorf("the source was asked %d times in 50 s, the server %d times", n, len(s.requests()))
		}
		found.Store(true)
		<-time.After(2 * time.Second)
		mustToken(t, src)
	})
}

func TestCredentialThatFitsNoHeaderIsNotSent(t *testing.T) {
	for _, text := range []string{"", "hunter2 x", "hunter2\n", "hunter2\r\nEvil: 1", strings.Repeat("a", maxCredential+1)} {
		s := &fakeServer{}
		_, err := newClient(t, s, func(cfg *Config) { cfg.Credential = Static(text) }).TokenSource("m2").Token(t.Context())
		if err == nil || strings.Contains(err.Error(), "hunter2") || len(s.requests()) > 0 {
			t.Errorf("%.20q: got %v", text, err)
		}
	}
}
