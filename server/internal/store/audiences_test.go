package store

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/watchword-dev/watchword/server/internal/directory"
)

func update(t *testing.T, db *DB, s directory.Service, audiences ...string) (directory.Service, error) {
	t.Helper()
	s.Audiences = audiences
	_, err := db.UpdateService(t.Context(), s, change(directory.SubjectService(s.UID)))
	if err == nil {
		s.Version++
	}
	return s, err
}

// TOK-025: an audience has one owner, however it came to it.
func TestAudienceHasOneOwner(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		all := insert(t, db, "m1", "m2")
		m1, err := update(t, db, all[0], "https://a.example/", "https://b.example/")
		must(t, err)
		before := revision(t, db)
		taken := newService("m3")
		taken.Audiences = []string{"https://c.example/", "https://a.example/"}
		_, err1 := db.InsertService(t.Context(), taken, change("x"))
		_, err2 := update(t, db, all[1], "https://b.example/")
		for i, err := range []error{err1, err2} {
			if !errors.Is(err, directory.ErrExists) || !strings.Contains(err.Error(), ".example/") {
				t.Errorf("%d: got %v, want ErrExists and which audience", i, err)
			}
		}
		// Nothing of a refused change is stored: neither the service, nor its free audience.
		if _, err := db.ReadService(t.Context(), taken.UID); !errors.Is(err, directory.ErrNotFound) || revision(t, db) != before {
			t.Errorf("the refused service: got %v", err)
		}
		m2, err := update(t, db, all[1], "https://c.example/", "https://A.example/") // by bytes
		must(t, err)
		// One that keeps its own may be updated, and a stale version changes no owner.
		if m1, err = update(t, db, m1, "https://a.example/"); err != nil {
			t.Fatal(err)
		}
		if _, err := update(t, db, all[0], "urn:x"); !errors.Is(err, directory.ErrConflict) {
			t.Errorf("got %v, want ErrConflict", err)
		}
		// What one gives up the other may have.
		if m2, err = update(t, db, m2, "https://b.example/"); err != nil {
			t.Error(err)
		}
		if _, err := update(t, db, m2, "https://a.example/"); !errors.Is(err, directory.ErrExists) {
			t.Errorf("got %v, want ErrExists", err)
		}
		if _, err := db.DeleteService(t.Context(), m1.UID, m1.Version, gone(m1.UID), change("x")); err != nil {
			t.Fatal(err)
		}
		if m2, err = update(t, db, m2, "https://a.example/", "https://b.example/"); err != nil {
			t.Errorf("after the deletion of its owner: %v", err)
		}
		if got, err := db.ReadService(t.Context(), m2.UID); err != nil || !got.Equal(m2) {
			t.Errorf("got %+v, %v, want %+v", got, err, m2)
		}
	})
}

func TestOfManyServicesOneGetsTheAudience(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		all := insert(t, db, "m0", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "m9")
		won := make(chan string, len(all))
		var wg sync.WaitGroup
		for _, s := range all {
			wg.Go(func() {
				switch _, err := update(t, db, s, "urn:one"); {
				case err == nil:
					won <- s.Name
				case !errors.Is(err, directory.ErrExists):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if len(won) != 1 {
			t.Errorf("%d services have it", len(won))
		}
	})
}
