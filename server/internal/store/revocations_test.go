package store

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/server/internal/directory"
)

func TestRevocationsAreKeptUntilTheyEnd(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		ids := []string{"0c", "0a", "0b", "0B", "0d"} // by bytes
		for i, id := range ids {
			r := directory.Revocation{ID: id, RevokedAt: noon, Until: noon.Add(time.Duration(i) * time.Minute)}
			if _, err := db.InsertRevocation(t.Context(), r, change(directory.SubjectRevocation(id))); err != nil {
				t.Fatal(err)
			}
		}
		before := revision(t, db)
		again := directory.Revocation{ID: "0a", RevokedAt: noon.Add(time.Hour), Until: noon.Add(2 * time.Minute)}
		if _, err := db.InsertRevocation(t.Context(), again, change("x")); !errors.Is(err, directory.ErrExists) {
			t.Errorf("again: got %v, want ErrExists", err)
		}
		if got, err := db.ReadRevocation(t.Context(), "0a"); err != nil || !got.RevokedAt.Equal(noon) || !got.Until.Equal(noon.Add(time.Minute)) {
			t.Errorf("got %+v, %v", got, err)
		}
		list := func() (got string) {
			after := ""
			for {
				page, err := db.ListRevocations(t.Context(), after, 2)
				if err != nil || len(page) > 2 {
					t.Fatal(len(page), err)
				}
				if len(page) == 0 {
					return got
				}
				got += names(page, func(r directory.Revocation) string { return r.ID })
				after = page[len(page)-1].ID
			}
		}
		if got := list(); got != " 0B 0a 0b 0c 0d" {
			t.Errorf("listed%s", got)
		}
		// One that ends at the moment is kept.
		if err := db.PurgeRevocations(t.Context(), noon.Add(2*time.Minute), noon); err != nil {
			t.Fatal(err)
		}
		state, err := db.Load(t.Context())
		if !state.Steady.Equal(noon) {
			t.Errorf("the clock by which that was forgotten said %v", state.Steady)
		}
		if got := list(); err != nil || got != " 0B 0b 0d" || len(state.Revocations) != 3 {
			t.Errorf("after the purge: listed%s, loaded %d, %v", got, len(state.Revocations), err)
		}
		if now := revision(t, db); now != before {
			t.Errorf("a refused revocation and a purge made %d revisions", now-before)
		}
		// F115: one that ends later takes the place of the other, but for who revoked it and when.
		again.ID, again.Until, again.Status, again.Owner = "0b", noon.Add(24*time.Hour), "list/1", "m1"
		if _, err := db.InsertRevocation(t.Context(), again, change("x")); err != nil {
			t.Error(err)
		}
		if got, err := db.ReadRevocation(t.Context(), "0b"); err != nil || !got.RevokedAt.Equal(noon) || !got.Until.Equal(again.Until) || got.Status != "list/1" || got.Owner != "" {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}

func TestPurgeOfManyRevocationsIsWhole(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		insert := fmt.Sprintf(`INSERT INTO revocations (id, revoked_at, until_at)
			WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) SELECT CAST(i AS TEXT), 1, i FROM n`, 2*deleteAtOnce+5)
		if _, err := db.writer.Exec(insert); err != nil {
			t.Fatal(err)
		}
		if err := db.PurgeRevocations(t.Context(), time.UnixMicro(2*deleteAtOnce+3), time.Time{}); err != nil {
			t.Fatal(err)
		}
		if left, err := db.ListRevocations(t.Context(), "", 9); err != nil || len(left) != 3 {
			t.Errorf("%d are left, %v", len(left), err)
		}
	})
}

// CAU-015: the tombstone of a deleted service, under the revision of the deletion; deleting it
// twice, or from an old version, leaves none.
func TestDeletedServiceLeavesItsTombstone(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		s := insert(t, db, "m1")[0]
		if _, err := db.DeleteService(t.Context(), s.UID, 7, gone(s.UID), change("x")); !errors.Is(err, directory.ErrConflict) {
			t.Errorf("got %v, want ErrConflict", err)
		}
		if _, err := db.ReadRevocation(t.Context(), directory.FormatUID(s.UID)); !errors.Is(err, directory.ErrNotFound) {
			t.Errorf("after a refused deletion: got %v", err)
		}
		if rev, err := db.DeleteService(t.Context(), s.UID, 1, gone(s.UID), change("x")); err != nil || rev != 2 {
			t.Fatalf("got revision %d, %v", rev, err)
		}
		if got, err := db.ReadRevocation(t.Context(), directory.FormatUID(s.UID)); err != nil || got != gone(s.UID) {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}

// F01. What one service can add to the deny-list by revoking its own tokens is bounded; an operator is not, nor is
// another service.
func TestOwnRevocationsAreBounded(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		revoke := func(owner, id string, at time.Time) error {
			r := directory.Revocation{ID: id, RevokedAt: at, Until: at.Add(time.Hour), Owner: owner}
			_, err := db.InsertRevocation(t.Context(), r, change(directory.SubjectRevocation(id)))
			return err
		}
		for n := range directory.MaxOwnRevocations {
			if err := revoke("svc_1", fmt.Sprint("own", n), noon); err != nil {
				t.Fatal(err)
			}
		}
		before := revision(t, db)
		if err := revoke("svc_1", "one more", noon); !errors.Is(err, directory.ErrTooMany) {
			t.Errorf("one more: got %v, want ErrTooMany", err)
		}
		if _, err := db.ReadRevocation(t.Context(), "one more"); !errors.Is(err, directory.ErrNotFound) || revision(t, db) != before {
			t.Errorf("what was refused is stored: %v", err)
		}
		if err := errors.Join(revoke("", "operator's", noon), revoke("svc_2", "another's", noon), revoke("svc_1", "later", noon.Add(time.Hour))); err != nil {
			t.Errorf("an operator, another service, and the same one when its first have ended: %v", err)
		}
	})
}
