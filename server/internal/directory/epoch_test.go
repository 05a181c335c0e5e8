package directory_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/store"
	"github.com/watchword-dev/watchword/server/internal/store/pgtest"
	"github.com/watchword-dev/watchword/server/internal/store/storetest"
)

// F21. A server that is started with a shorter life of tokens goes on denying what was revoked, for as long as tokens
// of before can live.
func TestRevocationsOutliveAShorterTokenLife(t *testing.T) {
	now := time.Now()
	clock := func() time.Time { return now }
	db := openAt(t, clock)
	long := load(t, db, directory.Options{MaxTokenTTL: 24 * time.Hour, Now: clock, Passing: clock})
	if err := long.Begin(t.Context(), operator); err != nil {
		t.Fatal(err)
	}
	if _, err := long.CreateService(t.Context(), operator, directory.NewService{Name: "m1"}); err != nil {
		t.Fatal(err)
	}
	c, err := long.AddCredential(t.Context(), operator, "m1", directory.NewCredential{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := long.RevokeCredential(t.Context(), operator, c.ID); err != nil {
		t.Fatal(err)
	}
	short := load(t, db, directory.Options{MaxTokenTTL: time.Minute, Now: clock, Passing: clock})
	if err := short.Begin(t.Context(), operator); err != nil {
		t.Fatal(err)
	}
	for _, later := range []time.Duration{0, 2 * time.Hour, 21 * time.Hour} {
		now = now.Add(later)
		if err := short.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		if d, ok := short.Snapshot().Denials().Find(c.ID); !ok || d.Until.Before(c.CreatedAt.Add(24*time.Hour)) {
			t.Errorf("%v later: denied %v until %v, which is less than tokens lived", later, ok, d.Until)
		}
	}
	// A replica that runs with the shorter life hears of one that starts with the longer.
	other := load(t, db, directory.Options{MaxTokenTTL: 48 * time.Hour, Now: clock, Passing: clock})
	if err := other.Begin(t.Context(), operator); err != nil {
		t.Fatal(err)
	}
	if err := short.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := short.Snapshot().TokenLife(); got != 48*time.Hour {
		t.Errorf("got %v, want 48h", got)
	}
}

// F22. A server whose database is put back to a backup while it runs follows it, and raises the epoch.
func TestDatabaseThatWasPutBackIsFollowed(t *testing.T) {
	url := pgtest.Start(t)
	db, err := store.Open(t.Context(), store.Options{DatabaseURL: url, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	d := load(t, db, directory.Options{})
	if err := d.Begin(t.Context(), operator); err != nil {
		t.Fatal(err)
	}
	create := func(name string) {
		t.Helper()
		if _, err := d.CreateService(t.Context(), operator, directory.NewService{Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	create("m1")
	backup := d.Snapshot().Revision()
	for _, name := range []string{"m2", "m3", "m4"} {
		create(name)
	}
	before := d.Snapshot().Epoch()

	if err := errors.Join(storetest.Rewind(t.Context(), url, backup), d.CatchUp(t.Context())); err != nil {
		t.Fatal(err)
	}
	if _, there := d.Snapshot().Service("m3"); there || d.Snapshot().Epoch() <= before {
		t.Errorf("m3 is there: %v; the epoch is %d, was %d", there, d.Snapshot().Epoch(), before)
	}
	// Others may have gone on from the backup, past the revision that is in force here.
	for _, name := range []string{"m5", "m6", "m7", "m8"} {
		create(name)
	}
	before, reached := d.Snapshot().Epoch(), d.Snapshot().Revision()
	if err := storetest.Rewind(t.Context(), url, backup); err != nil {
		t.Fatal(err)
	}
	elsewhere := load(t, db, directory.Options{})
	for i := 0; elsewhere.Snapshot().Revision() <= reached; i++ {
		if _, err := elsewhere.CreateService(context.WithoutCancel(t.Context()), directory.Author{Actor: "another"}, directory.NewService{Name: "n" + string(rune('a'+i))}); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, m5 := d.Snapshot().Service("m5")
	_, na := d.Snapshot().Service("na")
	if m5 || !na || d.Snapshot().Epoch() <= before {
		t.Errorf("m5 %v, na %v, epoch %d after %d", m5, na, d.Snapshot().Epoch(), before)
	}
}
