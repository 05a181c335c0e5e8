package store

import (
	"context"
	"fmt"
	"time"

	"github.com/watchword-dev/watchword/server/internal/directory"
)

const revocationColumns = `id, revoked_at, until_at, status, owner`

func scanRevocation(row scanner) (r directory.Revocation, err error) {
	var at, until int64
	err = row.Scan(&r.ID, &at, &until, &r.Status, &r.Owner)
	r.RevokedAt, r.Until = moment(at), moment(until)
	return r, err
}

// ReadRevocation answers directory.ErrNotFound when there is none of that id.
func (db *DB) ReadRevocation(ctx context.Context, id string) (r directory.Revocation, err error) {
	return readOne(ctx, db, fmt.Sprintf("read revocation %q", id), scanRevocation, `SELECT `+revocationColumns+` FROM revocations WHERE id = $1`, id)
}

// ListRevocations lists revocations by id, those after the id given, at most limit.
func (db *DB) ListRevocations(ctx context.Context, after string, limit int) (all []directory.Revocation, err error) {
	return readList(ctx, db, "list revocations", scanRevocation, `SELECT `+revocationColumns+` FROM revocations WHERE id > $1 ORDER BY id LIMIT $2`, after, max(limit, 0))
}

// InsertRevocation stores r, in the place of one that ends more than a minute earlier. ErrExists: there is one that does
// not. ErrTooMany: its owner has directory.MaxOwnRevocations that have not ended.
func (db *DB) InsertRevocation(ctx context.Context, r directory.Revocation, c directory.Change) (int64, error) {
	return db.change(ctx, c, fmt.Sprintf("insert revocation %q", r.ID), func(ctx context.Context, t tx) error {
		if r.Owner != "" {
			var n int
			err := t.row(ctx, `SELECT COUNT(*) FROM revocations WHERE owner = $1 AND until_at > $2`, r.Owner, micros(r.RevokedAt)).Scan(&n)
			if err != nil {
				return err
			}
			if n >= directory.MaxOwnRevocations {
				return directory.ErrTooMany
			}
		}
		return t.insertRevocation(ctx, r)
	})
}

func (t tx) insertRevocation(ctx context.Context, r directory.Revocation) error {
	n, err := t.exec(ctx, `INSERT INTO revocations (`+revocationColumns+`) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (id) DO UPDATE SET until_at = excluded.until_at, status = CASE revocations.status WHEN '' THEN excluded.status ELSE revocations.status END
		WHERE revocations.until_at < excluded.until_at - 60000000`,
		r.ID, micros(r.RevokedAt), micros(r.Until), r.Status, r.Owner)
	return orElse(n, err, directory.ErrExists)
}

// PurgeRevocations deletes those that ended before, and requests that are remembered no longer, in steps between which
// others get their turn, and stores directory.State.Steady.
func (db *DB) PurgeRevocations(ctx context.Context, before, steady time.Time) error {
	err := db.write(ctx, "store the clock of revocations", func(ctx context.Context, t tx) error {
		_, err := t.exec(ctx, `UPDATE counters SET value = $1 WHERE name = 'steady'`, micros(steady))
		return err
	})
	if err == nil {
		err = db.deleteAll(ctx, `DELETE FROM revocations WHERE id IN
			(SELECT id FROM revocations WHERE until_at < $1 LIMIT $2`+db.skipLocked()+`)`, micros(before))
	}
	if err == nil {
		err = db.deleteAll(ctx, `DELETE FROM repeats WHERE id IN
			(SELECT id FROM repeats WHERE at <= $1 LIMIT $2`+db.skipLocked()+`)`, micros(before.Add(-directory.RepeatsKept)))
	}
	return attempted("purge revocations", err)
}
