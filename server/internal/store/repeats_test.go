package store

import (
	"errors"
	"fmt"
	"testing"

	"github.com/watchword-dev/watchword/server/internal/directory"
)

// F86: of concurrent transactions for one request one makes its change, and the others none.
func TestChangeOfARequestIsMadeOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		owner := insert(t, db, "m1")[0]
		const n = 8
		errs := make(chan error, n)
		for i := range n {
			go func() {
				cr := newCredential(owner, newID(i))
				c := change(directory.SubjectCredential(cr.ID))
				c.Once = &directory.Once{ID: "request", Request: "hash"}
				_, err := db.InsertCredential(t.Context(), cr, c)
				errs <- err
			}()
		}
		made := 0
		for range n {
			if err := <-errs; err == nil {
				made++
			} else if !errors.Is(err, directory.ErrRepeated) {
				t.Error(err)
			}
		}
		all, err := db.ListCredentials(t.Context(), directory.CredentialFilter{Service: owner.UID}, "", n)
		if err != nil || made != 1 || len(all) != 1 {
			t.Fatalf("%d were made, and there are %d credentials, %v", made, len(all), err)
		}
		r, err := db.ReadRepeat(t.Context(), "request")
		if err != nil || r.Request != "hash" || r.Subject != directory.SubjectCredential(all[0].ID) || len(r.Answer) != 0 || !r.At.Equal(noon) {
			t.Errorf("got %+v, %v", r, err)
		}
		if err := db.KeepAnswer(t.Context(), "request", []byte{0, 1}); err != nil {
			t.Fatal(err)
		}
		if err := db.ForgetRepeat(t.Context(), "request", r.Revision+1); err != nil {
			t.Fatal(err)
		}
		if r, err := db.ReadRepeat(t.Context(), "request"); err != nil || string(r.Answer) != "\x00\x01" {
			t.Errorf("got %+v, %v", r, err)
		}
		if err := db.ForgetRepeat(t.Context(), "request", r.Revision); err != nil {
			t.Fatal(err)
		}
		if _, err := db.ReadRepeat(t.Context(), "request"); !errors.Is(err, directory.ErrNotFound) {
			t.Errorf("got %v", err)
		}
	})
}

// F86: what is remembered of an operator's requests is bounded in number and time.
func TestRepeatsAreBounded(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		owner := insert(t, db, "m1")[0]
		_, err := db.writer.ExecContext(t.Context(), fmt.Sprintf(`
			WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)
			INSERT INTO repeats (id, actor, request, revision, subject, at, answer) SELECT CAST(i AS TEXT), 'operator', '', 1, '', %d, $1 FROM n`,
			directory.MaxRepeats, micros(noon)), []byte{})
		if err != nil {
			t.Fatal(err)
		}
		next := 0
		put := func(actor string, change func(*directory.Change)) error {
			next++
			cr := newCredential(owner, newID(next))
			c := directory.Change{At: noon, Actor: actor, Action: "test", Subject: directory.SubjectCredential(cr.ID), Once: &directory.Once{ID: newID(next)}}
			change(&c)
			_, err := db.InsertCredential(t.Context(), cr, c)
			return err
		}
		if err := put("operator", func(*directory.Change) {}); !errors.Is(err, directory.ErrTooMany) {
			t.Errorf("got %v", err)
		}
		if err := put("another", func(*directory.Change) {}); err != nil {
			t.Error(err)
		}
		if err := put("operator", func(c *directory.Change) { c.Once = nil }); err != nil {
			t.Error(err)
		}
		if err := put("operator", func(c *directory.Change) { c.At = noon.Add(directory.RepeatsKept) }); err != nil {
			t.Error(err)
		}
		var left int
		if err := db.writer.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM repeats`).Scan(&left); err != nil || left != 1 {
			t.Errorf("%d are left after a day, %v", left, err)
		}
		if err := db.PurgeRevocations(t.Context(), noon.Add(2*directory.RepeatsKept), noon); err != nil {
			t.Fatal(err)
		}
		if err := db.writer.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM repeats`).Scan(&left); err != nil || left != 0 {
			t.Errorf("%d are left after two days without requests, %v", left, err)
		}
	})
}
