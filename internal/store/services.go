package store

import (
	"context"
	"fmt"
	"time"

	"github.com/watchword-dev/watchword/internal/directory"
)

const serviceColumns = `uid, name, description, disabled, token_ttl, algorithm, version, created_at, updated_at`

func scanService(row scanner) (s directory.Service, err error) {
	var uid string
	var ttl, created, updated int64
	if err := row.Scan(&uid, &s.Name, &s.Description, &s.Disabled, &ttl, &s.Algorithm, &s.Version, &created, &updated); err != nil {
		return s, err
	}
	s.TokenTTL = time.Duration(ttl) * time.Microsecond
	s.CreatedAt, s.UpdatedAt = moment(created), moment(updated)
	s.UID, err = directory.ParseUID(uid)
	return s, err
}

// ReadService answers directory.ErrNotFound when there is no such service.
func (db *DB) ReadService(ctx context.Context, uid directory.UID) (s directory.Service, err error) {
	err = db.read(ctx, func(ctx context.Context, t tx) error {
		s, err = scanService(t.row(ctx, `SELECT `+serviceColumns+` FROM services WHERE uid = $1`, directory.FormatUID(uid)))
		return notFound(err)
	})
	if err != nil {
		return directory.Service{}, fmt.Errorf("read service %s: %w", directory.FormatUID(uid), err)
	}
	return s, nil
}

// ListServices lists services by name, those after the name given, at most limit.
func (db *DB) ListServices(ctx context.Context, after string, limit int) (all []directory.Service, err error) {
	err = db.read(ctx, func(ctx context.Context, t tx) error {
		all, err = list(ctx, t, scanService, `SELECT `+serviceColumns+` FROM services WHERE name > $1 ORDER BY name LIMIT $2`, after, max(limit, 0))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list services: %w", err)
	}
	return all, nil
}

// InsertService stores s as version 1. ErrExists: the name is taken.
func (db *DB) InsertService(ctx context.Context, s directory.Service, c directory.Change) (int64, error) {
	revision, err := db.change(ctx, c, func(ctx context.Context, t tx) error {
		n, err := t.exec(ctx, `
			INSERT INTO services (`+serviceColumns+`)
			VALUES ($1, $2, $3, $4, $5, $6, 1, $7, $8) ON CONFLICT DO NOTHING`,
			directory.FormatUID(s.UID), s.Name, s.Description, s.Disabled, s.TokenTTL.Microseconds(), s.Algorithm,
			micros(s.CreatedAt), micros(s.UpdatedAt))
		return orElse(n, err, directory.ErrExists)
	})
	if err != nil {
		return 0, fmt.Errorf("insert service %q: %w", s.Name, err)
	}
	return revision, nil
}

// UpdateService stores all of s but its name and when it was made, which never change.
func (db *DB) UpdateService(ctx context.Context, s directory.Service, c directory.Change) (int64, error) {
	uid := directory.FormatUID(s.UID)
	revision, err := db.change(ctx, c, func(ctx context.Context, t tx) error {
		n, err := t.exec(ctx, `
			UPDATE services SET description = $3, disabled = $4, token_ttl = $5, algorithm = $6, version = version + 1, updated_at = $7
			WHERE uid = $1 AND version = $2`,
			uid, s.Version, s.Description, s.Disabled, s.TokenTTL.Microseconds(), s.Algorithm, micros(s.UpdatedAt))
		return t.orWhy(ctx, n, err, `SELECT COUNT(*) FROM services WHERE uid = $1`, uid)
	})
	if err != nil {
		return 0, fmt.Errorf("update service %s: %w", uid, err)
	}
	return revision, nil
}

// DeleteService removes the service with its credentials and every rule that names it.
func (db *DB) DeleteService(ctx context.Context, uid directory.UID, version int64, c directory.Change) (int64, error) {
	id := directory.FormatUID(uid)
	revision, err := db.change(ctx, c, func(ctx context.Context, t tx) error {
		n, err := t.exec(ctx, `DELETE FROM services WHERE uid = $1 AND version = $2`, id, version)
		return t.orWhy(ctx, n, err, `SELECT COUNT(*) FROM services WHERE uid = $1`, id)
	})
	if err != nil {
		return 0, fmt.Errorf("delete service %s: %w", id, err)
	}
	return revision, nil
}

// orElse is why when a statement, which gave err, touched no row.
func orElse(rows int64, err, why error) error {
	if err == nil && rows == 0 {
		return why
	}
	return err
}

// orWhy finds out why a compare-and-swap touched no row: count, a query, says whether there
// is a row at all.
func (t tx) orWhy(ctx context.Context, rows int64, err error, count string, args ...any) error {
	if err != nil || rows > 0 {
		return err
	}
	var there int64
	if err := t.row(ctx, count, args...).Scan(&there); err != nil {
		return err
	}
	if there == 0 {
		return directory.ErrNotFound
	}
	return directory.ErrConflict
}
