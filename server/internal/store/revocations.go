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
	err = db.read(ctx, func(ctx context.Context, t tx) error {
		r, err = scanRevocation(t.row(ctx, `SELECT `+revocationColumns+` FROM revocations WHERE id = $1`, id))
		return notFound(err)
	})
	if err != nil {
		return directory.Revocation{}, fmt.Errorf("read revocation %q: %w", id, err)
	}
	return r, nil
}

// ListRevocations lists revocations by id, those after the id given, at most limit.
func (db *DB) ListRevocations(ctx context.Context, after string, limit int) (all []directory.Revocation, err error) {
	err = db.read(ctx, func(ctx context.Context, t tx) error {
		all, err = list(ctx, t, scanRevocation, `SELECT `+revocationColumns+` FROM revocations WHERE id > $1 ORDER BY id LIMIT $2`, after, max(limit, 0))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list revocations: %w", err)
	}
	return all, nil
}

// InsertRevocation stores r. ErrExists: it is there. ErrTooMany: its owner has
// directory.MaxOwnRevocations that have not ended.
func (db *DB) InsertRevocation(ctx context.Context, r directory.Revocation, c directory.Change) (int64, error) {
	revision, err := db.change(ctx, c, func(ctx context.Context, t tx) error {
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
	if err != nil {
		return 0, fmt.Errorf("insert revocation %q: %w", r.ID, err)
	}
	return revision, nil
}

func (t tx) insertRevocation(ctx context.Context, r directory.Revocation) error {
	n, err := t.exec(ctx, `INSERT INTO revocations (`+revocationColumns+`) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`,
		r.ID, micros(r.RevokedAt), micros(r.Until), r.Status, r.Owner)
	return orElse(n, err, directory.ErrExists)
}

// PurgeRevocations deletes those that ended before now, in steps between which others get their turn.
func (db *DB) PurgeRevocations(ctx context.Context, now time.Time) error {
	err := db.deleteAll(ctx, `DELETE FROM revocations WHERE id IN (SELECT id FROM revocations WHERE until_at < $1 LIMIT $2`+db.skipLocked()+`)`, micros(now))
	if err != nil {
		return fmt.Errorf("purge revocations: %w", err)
	}
	return nil
}
