package store

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/policy"
	"github.com/watchword-dev/watchword/server/internal/store/pgtest"
)

// onBoth makes one claim about SQLite and about PostgreSQL, each with an empty database.
func onBoth(t *testing.T, claim func(t *testing.T, o Options)) {
	t.Helper()
	t.Run("SQLite", func(t *testing.T) { claim(t, Options{DataDir: t.TempDir()}) })
	t.Run("PostgreSQL", func(t *testing.T) { claim(t, Options{DatabaseURL: pgtest.Start(t)}) })
}

func open(t testing.TB, o Options) *DB {
	t.Helper()
	if o.Timeout == 0 {
		o.Timeout = time.Minute // these tests share a machine with others
	}
	db, err := Open(t.Context(), o)
	must(t, err)
	t.Cleanup(func() { db.Close() })
	return db
}

var (
	noon = time.Date(2026, 11, 24, 12, 0, 0, 123456000, time.UTC)
	uids atomic.Uint32
)

func newUID() (u directory.UID) {
	n := uids.Add(1)
	return directory.UID{0: 0xaa, 14: byte(n >> 8), 15: byte(n)}
}

func newService(name string) directory.Service {
	return directory.Service{
		UID: newUID(), Name: name, ServiceSettings: api.ServiceSettings{Description: "for " + name, TokenTTLSeconds: 900, Algorithm: "ES256"},
		Version: 1, CreatedAt: noon, UpdatedAt: noon,
	}
}

func newRule(caller, target directory.Service, scopes ...string) directory.Rule {
	return directory.Rule{Edge: policy.Edge{Caller: caller.UID, Target: target.UID}, Scopes: scopes, CreatedAt: noon, UpdatedAt: noon}
}

func newCredential(s directory.Service, id string) directory.Credential {
	return directory.Credential{
		ID: id, Service: s.UID, Kind: directory.KindBootstrap, Name: "laptop",
		CreatedAt: noon, ExpiresAt: noon.Add(time.Hour), Version: 1,
	}
}

func change(subject string) directory.Change {
	return directory.Change{At: noon, Actor: "operator", RequestID: "r1", Action: "test", Subject: subject, Detail: map[string]string{"why": "test"}}
}

// insert stores services with those names.
func insert(t *testing.T, db *DB, names ...string) (services []directory.Service) {
	t.Helper()
	for _, name := range names {
		s := newService(name)
		if _, err := db.InsertService(t.Context(), s, change(directory.SubjectService(s.UID))); err != nil {
			t.Fatal(err)
		}
		services = append(services, s)
	}
	return services
}

func allow(t *testing.T, db *DB, caller, target directory.Service, scopes ...string) directory.Rule {
	t.Helper()
	r := newRule(caller, target, scopes...)
	if _, err := db.PutRule(t.Context(), r, change(directory.SubjectRule(r.Edge))); err != nil {
		t.Fatal(err)
	}
	r.Version = 1
	return r
}

func addCredential(t *testing.T, db *DB, s directory.Service, id string) directory.Credential {
	t.Helper()
	c := newCredential(s, id)
	if _, err := db.InsertCredential(t.Context(), c, change(directory.SubjectCredential(id))); err != nil {
		t.Fatal(err)
	}
	return c
}

// revision is that of the newest change, after checking that revisions have no gap and the
// counter is where they end.
func revision(t *testing.T, db *DB) (last int64) {
	t.Helper()
	for {
		changes, err := db.ChangesAfter(t.Context(), last, 100)
		must(t, err)
		for _, c := range changes {
			if c.Revision != last+1 {
				t.Fatalf("got revision %d after %d", c.Revision, last)
			}
			last = c.Revision
		}
		if len(changes) == 0 {
			break
		}
	}
	state, err := db.Load(t.Context())
	must(t, err)
	if state.Revision != last {
		t.Fatalf("the counter says %d, the last change %d", state.Revision, last)
	}
	return last
}

func names[T any](all []T, name func(T) string) string {
	s := ""
	for _, v := range all {
		s += " " + name(v)
	}
	return fmt.Sprint(s)
}

func gone(uid directory.UID) directory.Revocation {
	return directory.Revocation{ID: directory.FormatUID(uid), RevokedAt: noon, Until: noon.Add(time.Hour)}
}
