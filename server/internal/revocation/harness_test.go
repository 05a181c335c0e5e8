package revocation_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/keys"
	"github.com/watchword-dev/watchword/server/internal/revocation"
	"github.com/watchword-dev/watchword/server/internal/store"
)

const (
	issuerURL = "https://auth.example/t"
	day       = 24 * time.Hour
)

var operator = directory.Author{Actor: "operator"}

// real is a directory and a key ring on a database.
type real struct {
	db   *store.DB
	dir  *directory.Directory
	ring *keys.Ring
}

func open(t testing.TB) *real {
	t.Helper()
	return openIn(t, t.TempDir())
}

func openIn(t testing.TB, folder string) *real {
	t.Helper()
	db, err := store.Open(t.Context(), store.Options{DataDir: folder})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	sealer, err := keys.NewSealer(filepath.Join(t.TempDir(), "sealing.key"), true)
	if err != nil {
		t.Fatal(err)
	}
	return replica(t, db, sealer)
}

func replica(t testing.TB, db *store.DB, sealer *keys.Sealer) *real {
	t.Helper()
	r := &real{db: db, ring: keys.NewRing(db, sealer, keys.Options{})}
	if err := r.ring.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.dir = directory.New(db, nil, directory.Options{OnKeys: r.ring.Reload})
	if err := r.dir.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

func options() revocation.Options {
	return revocation.Options{Issuer: issuerURL, PlainIssuer: "auth-server", StatusKey: []byte("the same on all replicas")}
}

func publish(t testing.TB, d revocation.Directory, k revocation.Keys, o revocation.Options) *revocation.Publisher {
	t.Helper()
	p := revocation.New(d, k, o)
	if err := p.Load(); err != nil {
		t.Fatal(err)
	}
	return p
}

// state is a directory and a key ring without a database, for tests in which time stands still.
type state struct {
	mu       sync.Mutex
	snapshot *directory.Snapshot
	revoked  []keys.Record
	signer   *jose.Signer
	stale    error
	signs    int
}

func newState(t testing.TB) *state {
	s := &state{}
	s.deny()
	s.rotate(t)
	return s
}

func (s *state) Snapshot() *directory.Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.snapshot
}

func (s *state) Fresh() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stale
}

func (s *state) Ended() time.Time { return time.Now() }

// Signer counts: whoever asks for it signs.
func (s *state) Signer(keys.Use, jose.Algorithm) (*jose.Signer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.signs++
	return s.signer, nil
}

func (s *state) List() []keys.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.revoked)
}

// deny puts a snapshot in force that denies these alone.
func (s *state) deny(all ...directory.Revocation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.snapshot = directory.NewSnapshot(&directory.State{Revocations: all}, day)
}

func (s *state) rotate(t testing.TB) {
	t.Helper()
	key, err := jose.GenerateKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	id, err := jose.Thumbprint(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(id, jose.ES256, key)
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.signer = signer
}

func (s *state) signatures() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.signs
}

// patient is a ResponseWriter that may take as long as it wants to, as that of a real server.
type patient struct{ *httptest.ResponseRecorder }

func (patient) SetReadDeadline(time.Time) error  { return nil }
func (patient) SetWriteDeadline(time.Time) error { return nil }

func ask(p *revocation.Publisher, r *http.Request, mayWait bool) (*httptest.ResponseRecorder, error) {
	w := httptest.NewRecorder()
	if mayWait {
		p.Wait(patient{w}, r)
	}
	return w, p.DenyList(patient{w}, r)
}

// list is a deny-list as a verifier reads it.
type list struct {
	Issuer   string   `json:"iss"`
	Issuers  []string `json:"issuers"`
	IssuedAt int64    `json:"iat"`
	Expiry   int64    `json:"exp"`
	Revision int64    `json:"rev"`
	Denied   []string `json:"denied"`
	Keys     []string `json:"keys"`

	kid, etag string
	size      int
}

// read fetches the list, and checks its signature when it is told the keys.
func read(t testing.TB, p *revocation.Publisher, set *jose.KeySet) list {
	t.Helper()
	w, err := ask(p, httptest.NewRequest(http.MethodGet, revocation.DenyListPath, nil), true)
	if err != nil || w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/jwt" || w.Header().Get("Cache-Control") != "no-cache" {
		t.Fatalf("got %d %v %v", w.Code, w.Header(), err)
	}
	token, err := jose.ParseLong(w.Body.String(), 64<<20)
	if err != nil {
		t.Fatal(err)
	}
	if token.Type != "denylist+jwt" {
		t.Errorf("typ is %q", token.Type)
	}
	if set != nil {
		if err := token.Verify(set, []jose.Algorithm{jose.ES256}); err != nil {
			t.Fatal(err)
		}
	}
	l := list{kid: token.KeyID, etag: w.Header().Get("ETag"), size: w.Body.Len()}
	if err := json.Unmarshal(token.Payload, &l); err != nil {
		t.Fatal(err)
	}
	return l
}
