package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/keys"
)

const keyColumns = `id, purpose, algorithm, state, public, sealed, created_at, signs_from, retired_at, drop_at, revoked_at`

func scanKey(row scanner) (r keys.Record, err error) {
	var created, signs, retired, drop, revoked int64
	err = row.Scan(&r.ID, &r.Use, &r.Algorithm, &r.State, &r.Public, &r.Sealed, &created, &signs, &retired, &drop, &revoked)
	r.CreatedAt, r.SignsFrom = moment(created), moment(signs)
	r.RetiredAt, r.DropAt, r.RevokedAt = moment(retired), moment(drop), moment(revoked)
	return r, err
}

// LoadKeys reads all keys and the ring's version, in one consistent read.
func (db *DB) LoadKeys(ctx context.Context) (records []keys.Record, version int64, err error) {
	err = db.read(ctx, "load keys", func(ctx context.Context, t tx) error {
		if err := t.row(ctx, `SELECT value FROM counters WHERE name = 'keys'`).Scan(&version); err != nil {
			return err
		}
		records, err = list(ctx, t, scanKey, `SELECT `+keyColumns+` FROM keys ORDER BY created_at, id`)
		return err
	})
	return records, version, err
}

// SaveKeys inserts or replaces put and deletes the ids in drop, and makes the ring's version
// version+1: all of it or, when the stored version is not version, nothing and keys.ErrConflict.
func (db *DB) SaveKeys(ctx context.Context, version int64, put []keys.Record, drop []string, c directory.Change) error {
	_, err := db.change(ctx, c, "save keys", func(ctx context.Context, t tx) error { return t.saveKeys(ctx, version, put, drop) })
	return err
}

func (t tx) saveKeys(ctx context.Context, version int64, put []keys.Record, drop []string) error {
	n, err := t.exec(ctx, `UPDATE counters SET value = value + 1 WHERE name = 'keys' AND value = $1`, version)
	if err := orElse(n, err, keys.ErrConflict); err != nil {
		return err
	}
	for _, id := range drop {
		if _, err := t.exec(ctx, `DELETE FROM keys WHERE id = $1`, id); err != nil {
			return err
		}
	}
	for _, r := range put {
		if err := t.putKey(ctx, r); err != nil {
			return fmt.Errorf("key %q: %w", r.ID, err)
		}
	}
	return nil
}

// addKeys stores the keys that c brings along, and returns the subject of c with them.
func (t tx) addKeys(ctx context.Context, c directory.Change, revision int64) (subject string, err error) {
	add, ok := c.Keys.(*keys.Addition)
	if !ok {
		return "", fmt.Errorf("change %s has keys of type %T", c.Action, c.Keys)
	}
	err = t.saveKeys(ctx, add.Version, add.Keys, nil)
	switch {
	case errors.Is(err, keys.ErrConflict):
		return "", fmt.Errorf("the key ring: %w", directory.ErrConflict)
	case err != nil:
		return "", err
	case c.Subject == directory.SubjectEverything:
		return c.Subject, nil
	}
	touched := []string{directory.SubjectKeys}
	if c.Subject != directory.SubjectMany {
		touched = append(touched, c.Subject)
	}
	return directory.SubjectMany, t.insertSubjects(ctx, revision, touched)
}

func (t tx) putKey(ctx context.Context, r keys.Record) error {
	_, err := t.exec(ctx, `
		INSERT INTO keys (`+keyColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
		ON CONFLICT (id) DO UPDATE SET
			purpose = excluded.purpose, algorithm = excluded.algorithm, state = excluded.state,
			public = excluded.public, sealed = excluded.sealed, created_at = excluded.created_at,
			signs_from = excluded.signs_from, retired_at = excluded.retired_at,
			drop_at = excluded.drop_at, revoked_at = excluded.revoked_at`,
		r.ID, string(r.Use), r.Algorithm, string(r.State), notNil(r.Public), notNil(r.Sealed),
		micros(r.CreatedAt), micros(r.SignsFrom), micros(r.RetiredAt), micros(r.DropAt), micros(r.RevokedAt))
	return err
}

// notNil keeps drivers from storing no bytes as NULL.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
