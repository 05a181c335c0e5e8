package store

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/keys"
	"github.com/watchword-dev/watchword/server/internal/supertokens"
)

func newKey(id string) keys.Record {
	return keys.Record{
		ID: id, Use: keys.UseAccess, Algorithm: "ES256", State: keys.StateNext, Public: []byte(`{"kty":"EC"}`), Sealed: []byte{0, 255, 39, 0},
		CreatedAt: noon, SignsFrom: noon.Add(time.Hour),
	}
}

func TestKeyRingIsSavedWhole(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		if records, version, err := db.LoadKeys(t.Context()); err != nil || version != 0 || len(records) != 0 {
			t.Fatalf("a ring nobody wrote: got %v, %d, %v", records, version, err)
		}
		a, b, c := newKey("a"), newKey("b"), newKey("c")
		b.Sealed, b.Public = nil, nil
		must(t, db.SaveKeys(t.Context(), 0, []keys.Record{a, b}, nil, change(directory.SubjectKeys)))
		a.State, a.RetiredAt, a.RevokedAt, a.Sealed = keys.StateRevoked, noon, noon.Add(2*time.Hour), []byte("new")
		a.DropAt = noon.Add(time.Minute)
		must(t, db.SaveKeys(t.Context(), 1, []keys.Record{a, c}, []string{"b", "absent"}, change(directory.SubjectKeys)))
		got, version, err := db.LoadKeys(t.Context())
		if d := cmp.Diff([]keys.Record{a, c}, got); d != "" || err != nil || version != 2 {
			t.Errorf("version %d, %v %s", version, err, d)
		}
		for _, stale := range []int64{0, 1, 3} {
			if err := db.SaveKeys(t.Context(), stale, []keys.Record{b}, []string{"a"}, change(directory.SubjectKeys)); !errors.Is(err, keys.ErrConflict) {
				t.Errorf("version %d: got %v, want ErrConflict", stale, err)
			}
		}
		// A failure in the middle: nothing of it is stored.
		bad := newKey("\xff")
		if err := db.SaveKeys(t.Context(), 2, []keys.Record{b, bad}, []string{"a"}, change(directory.SubjectKeys)); err == nil {
			t.Error("bad text was stored")
		}
		again, version, err := db.LoadKeys(t.Context())
		if d := cmp.Diff(got, again); d != "" || err != nil || version != 2 {
			t.Errorf("version %d, %v %s", version, err, d)
		}
		if changes, err := db.ChangesAfter(t.Context(), 0, 10); err != nil || len(changes) != 2 || changes[1].Subject != directory.SubjectKeys {
			t.Errorf("got changes %v, %v", changes, err)
		}
	})
}

// ROT-005: of two replicas that rotate in the same second, one makes the key, a hundred times.
func TestOfTwoReplicasThatRotateOneWins(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		first := open(t, o)
		replicas := []*DB{first, first}
		if o.DatabaseURL != "" {
			replicas[1] = open(t, o)
		}
		for try := range 100 {
			version := int64(try)
			var errs [2]error
			var wg sync.WaitGroup
			for i, db := range replicas {
				wg.Go(func() {
					errs[i] = db.SaveKeys(t.Context(), version, []keys.Record{newKey(fmt.Sprint(try, "-", i))}, nil, change(directory.SubjectKeys))
				})
			}
			wg.Wait()
			if (errs[0] == nil) == (errs[1] == nil) || !errors.Is(errors.Join(errs[:]...), keys.ErrConflict) {
				t.Fatalf("try %d: got %v and %v, want one nil and one ErrConflict", try, errs[0], errs[1])
			}
		}
		records, version, err := first.LoadKeys(t.Context())
		if err != nil || version != 100 || len(records) != 100 || revision(t, first) != 100 {
			t.Errorf("got %d keys, version %d, %v", len(records), version, err)
		}
	})
}

// ROT-008: the clock is the database's, the same for all replicas.
func TestNowMovesForward(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		a, err1 := db.Now(t.Context())
		b, err2 := db.Now(t.Context())
		if err := errors.Join(err1, err2); err != nil || b.Before(a) || a.Location() != time.UTC || a.Nanosecond()%1000 != 0 {
			t.Errorf("got %v, then %v, %v", a, b, err)
		}
		if d := time.Since(a).Abs(); d > time.Hour {
			t.Errorf("%s away from this machine's clock, which the database shares here", d)
		}
	})
}

func signingKey(app, id string, static bool, at time.Time) supertokens.SigningKey {
	return supertokens.SigningKey{App: app, ID: id, Static: static, Sealed: []byte(id), CreatedAt: at}
}

func TestSigningKeyIsMadeOnceForTheTimeAsked(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		at := noon.Truncate(time.Millisecond)
		for _, c := range []struct {
			what   string
			key    supertokens.SigningKey
			unless time.Time
			want   bool
		}{
			{"the first of its kind", signingKey("public", "s-1", true, at), time.Time{}, true},
			{"a second static one", signingKey("public", "s-2", true, at), time.Time{}, false},
			{"the first of the other kind", signingKey("public", "d-1", false, at), time.Time{}, true},
			{"when a recent one is there", signingKey("public", "d-2", false, at.Add(time.Hour)), at, false},
			{"when the last is too old", signingKey("public", "d-2", false, at.Add(time.Hour)), at.Add(time.Millisecond), true},
			{"the same id in another app", signingKey("m2m-auth", "d-1", false, at), time.Time{}, true},
			{"the same id in the same app", signingKey("public", "d-1", false, at), at.Add(2 * time.Hour), false},
			{"before 1970 is not the zero time", signingKey("old", "d-1", false, at), time.Unix(-1, 0), true},
		} {
			before := revision(t, db)
			got, err := db.InsertSigningKey(t.Context(), c.key, c.unless, change("supertokens"))
			if err != nil || got != c.want {
				t.Errorf("%s: got %v, %v, want %v", c.what, got, err, c.want)
			}
			if made := revision(t, db) > before; made != c.want {
				t.Errorf("%s: change recorded: %v, want %v", c.what, made, c.want)
			}
		}
		want := []supertokens.SigningKey{signingKey("public", "d-1", false, at), signingKey("public", "s-1", true, at), signingKey("public", "d-2", false, at.Add(time.Hour))}
		got, err := db.SigningKeys(t.Context(), "public")
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("%v %s", err, d)
		}
		must(t, db.DeleteSigningKeys(t.Context(), []string{"d-1", "absent"}))
		got, err1 := db.SigningKeys(t.Context(), "public")
		other, err2 := db.SigningKeys(t.Context(), "m2m-auth")
		if err := errors.Join(err1, err2); err != nil || len(got) != 2 || len(other) != 0 {
			t.Errorf("after deleting: got %v and %v, %v", got, other, err)
		}
	})
}

func TestOfManyReplicasOneMakesTheSigningKey(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		var wg sync.WaitGroup
		made := make(chan string, 20)
		for i := range cap(made) {
			wg.Go(func() {
				k := signingKey("public", fmt.Sprint("d-", i), false, noon)
				inserted, err := db.InsertSigningKey(t.Context(), k, noon, change("supertokens"))
				if err != nil {
					t.Error(err)
				}
				if inserted {
					made <- k.ID
				}
			})
		}
		wg.Wait()
		all, err := db.SigningKeys(t.Context(), "public")
		if err != nil || len(all) != 1 || len(made) != 1 || <-made != all[0].ID {
			t.Errorf("got %v, %v", all, err)
		}
	})
}

func TestNoErrorShowsAKey(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		k := newKey("\xff")
		k.Sealed = []byte("sealed-bytes")
		err := db.SaveKeys(t.Context(), 0, []keys.Record{k}, nil, change("keys"))
		if err == nil || strings.Contains(err.Error(), "sealed-bytes") {
			t.Errorf("got %v", err)
		}
	})
}

func TestSigningKeysAreResealedTogether(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		for _, k := range []supertokens.SigningKey{signingKey("public", "s-1", true, noon), signingKey("m2m-auth", "s-1", true, noon), signingKey("public", "d-1", false, noon)} {
			if _, err := db.InsertSigningKey(t.Context(), k, time.Time{}, change("supertokens")); err != nil {
				t.Fatal(err)
			}
		}
		before := revision(t, db)
		broken := errors.New("cannot open")
		for _, c := range []struct {
			rewrap    func(supertokens.SigningKey) ([]byte, bool, error)
			n         int
			err       error
			revisions int64
		}{
			{func(supertokens.SigningKey) ([]byte, bool, error) { return nil, false, nil }, 0, nil, 0},
			{func(k supertokens.SigningKey) ([]byte, bool, error) {
				if k.Static {
					return []byte("lost"), true, nil
				}
				return nil, false, broken
			}, 0, broken, 0},
			{func(k supertokens.SigningKey) ([]byte, bool, error) { return []byte("new " + k.App), k.Static, nil }, 2, nil, 1},
		} {
			n, err := db.ResealSigningKeys(t.Context(), c.rewrap, change("supertokens"))
			if n != c.n || !errors.Is(err, c.err) {
				t.Errorf("got %d, %v, want %d, %v", n, err, c.n, c.err)
			}
			if got := revision(t, db) - before; got != c.revisions {
				t.Errorf("got %d revisions, want %d", got, c.revisions)
			}
		}
		var sealed string
		for _, app := range []string{"m2m-auth", "public"} {
			all, err := db.SigningKeys(t.Context(), app)
			must(t, err)
			sealed += names(all, func(k supertokens.SigningKey) string { return k.ID + "=" + string(k.Sealed) })
		}
		if want := " s-1=new m2m-auth d-1=d-1 s-1=new public"; sealed != want {
			t.Errorf("got%s, want%s", sealed, want)
		}
	})
}
