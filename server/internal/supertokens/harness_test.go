package supertokens_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/server/internal/audit"
	"github.com/watchword-dev/watchword/server/internal/keys"
	"github.com/watchword-dev/watchword/server/internal/store"
	"github.com/watchword-dev/watchword/server/internal/supertokens"
)

const testKey = "0123456789abcdefghij"

// start is in the middle of a second, to see that times are rounded down.
var start = time.UnixMilli(1795467585964)

// clock is a time that a test moves.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: start} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// recorder keeps events in memory, so that tests can look at them and make recording fail.
type recorder struct {
	mu     sync.Mutex
	events []audit.Event
	err    error
}

func (r *recorder) Append(_ context.Context, e audit.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.events = append(r.events, e)
	}
	return r.err
}

func (r *recorder) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
}

func (r *recorder) last(t *testing.T) audit.Event {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.events) == 0 {
		t.Fatal("nothing was recorded")
	}
	return r.events[len(r.events)-1]
}

// fixture is an Interface with all it stands on.
type fixture struct {
	*supertokens.Interface
	clock *clock
	audit *recorder
}

// newStore opens a database in an empty folder.
func newStore(t testing.TB) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), store.Options{DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func newSealer(t testing.TB) *keys.Sealer {
	t.Helper()
	s, err := keys.NewSealer(filepath.Join(t.TempDir(), "sealing.key"), true)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newFixture(t testing.TB, o supertokens.Options) *fixture {
	t.Helper()
	return newReplica(t, newStore(t), newSealer(t), newClock(), o)
}

func newReplica(t testing.TB, s supertokens.Store, sealer supertokens.Sealer, c *clock, o supertokens.Options) *fixture {
	t.Helper()
	o.Now = c.now
	r := &recorder{}
	d, err := supertokens.New(s, sealer, r, []string{testKey, "second-key-of-the-door="}, o)
	if err != nil {
		t.Fatal(err)
	}
	return &fixture{Interface: d, clock: c, audit: r}
}

// header lines "name: value" of a request.
type header []string

func (f *fixture) do(method, path, body string, h header) *http.Response {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for _, line := range h {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	f.Handler().ServeHTTP(w, r)
	return w.Result()
}

var keyed = header{"api-key: " + testKey}

func read(t testing.TB, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// mint asks for a token and returns it.
func (f *fixture) mint(t testing.TB, path, body string) string {
	t.Helper()
	r := f.do("POST", path, body, keyed)
	text := read(t, r)
	var answer struct{ Status, JWT string }
	if err := json.Unmarshal([]byte(text), &answer); r.StatusCode != 200 || err != nil || answer.Status != "OK" {
		t.Fatalf("POST %s %s = %d %s", path, body, r.StatusCode, text)
	}
	return answer.JWT
}

// part decodes the header (0) or the claims (1) of a token.
func part(t testing.TB, token string, i int) string {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("token %q has %d parts", token, len(parts))
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[i])
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func kid(t testing.TB, token string) string {
	t.Helper()
	var h struct{ Kid string }
	if err := json.Unmarshal([]byte(part(t, token, 0)), &h); err != nil {
		t.Fatal(err)
	}
	return h.Kid
}

// kids are the ids in a key set, in their order.
func (f *fixture) kids(t testing.TB, path string) []string {
	t.Helper()
	var set struct{ Keys []struct{ Kid string } }
	text := read(t, f.do("GET", path, "", nil))
	if err := json.Unmarshal([]byte(text), &set); err != nil {
		t.Fatalf("GET %s = %s", path, text)
	}
	var ids []string
	for _, k := range set.Keys {
		ids = append(ids, k.Kid)
	}
	return ids
}
