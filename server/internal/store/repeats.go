package store

import (
	"context"

	"github.com/watchword-dev/watchword/server/internal/directory"
)

// once records, in the transaction of c, that the request which c.Once identifies was carried out. ErrRepeated: it was
// before. ErrTooMany: its actor made directory.MaxRepeats such requests in the last directory.RepeatsKept.
func (t tx) once(ctx context.Context, c directory.Change, revision int64) error {
	if _, err := t.exec(ctx, `DELETE FROM repeats WHERE at <= $1`, micros(c.At.Add(-directory.RepeatsKept))); err != nil {
		return err
	}
	var n int
	if err := t.row(ctx, `SELECT COUNT(*) FROM repeats WHERE actor = $1`, c.Actor).Scan(&n); err != nil {
		return err
	}
	if n >= directory.MaxRepeats {
		return directory.ErrTooMany
	}
	inserted, err := t.exec(ctx, `INSERT INTO repeats (id, actor, request, revision, subject, at, answer)
		VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING`, c.Once.ID, c.Actor, c.Once.Request, revision, c.Subject, micros(c.At), []byte{})
	return orElse(inserted, err, directory.ErrRepeated)
}

// ReadRepeat reads what is known of the request with that id. ErrNotFound: it was not carried out, or it was forgotten.
func (db *DB) ReadRepeat(ctx context.Context, id string) (r directory.Repeat, err error) {
	err = db.read(ctx, "read repeated request", func(ctx context.Context, t tx) error {
		var at int64
		err := t.row(ctx, `SELECT request, revision, subject, at, answer FROM repeats WHERE id = $1`, id).
			Scan(&r.Request, &r.Revision, &r.Subject, &at, &r.Answer)
		r.At = moment(at)
		return notFound(err)
	})
	return r, err
}

// KeepAnswer stores the answer to the request with that id.
func (db *DB) KeepAnswer(ctx context.Context, id string, answer []byte) error {
	return db.write(ctx, "keep the answer to a request", func(ctx context.Context, t tx) error {
		_, err := t.exec(ctx, `UPDATE repeats SET answer = $2 WHERE id = $1`, id, notNil(answer))
		return err
	})
}

// ForgetRepeat forgets the request with that id, provided that it made that revision.
func (db *DB) ForgetRepeat(ctx context.Context, id string, revision int64) error {
	return db.write(ctx, "forget a request", func(ctx context.Context, t tx) error {
		_, err := t.exec(ctx, `DELETE FROM repeats WHERE id = $1 AND revision = $2`, id, revision)
		return err
	})
}
