package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/watchword-dev/watchword/server/internal/directory"
)

const serviceColumns = `uid, name, description, disabled, token_ttl, algorithm, audiences, auth_methods, grant_types, binding,
	token_endpoint_audience, multiple_targets, owner, labels, managed_by, observe, probe, default_target, version, created_at, updated_at`

func scanService(row scanner) (s directory.Service, err error) {
	var uid, audiences, methods, grants, labels string
	var ttl, created, updated int64
	if err := row.Scan(&uid, &s.Name, &s.Description, &s.Disabled, &ttl, &s.Algorithm, &audiences, &methods, &grants, &s.Binding,
		&s.TokenEndpointAudience, &s.MultipleTargets, &s.Owner, &labels, &s.ManagedBy, &s.Observe, &s.Probe, &s.DefaultTarget, &s.Version, &created, &updated); err != nil {
		return s, err
	}
	s.Audiences, s.AuthMethods, s.GrantTypes = words(audiences), words(methods), words(grants)
	s.Labels = words(labels)
	s.TokenTTLSeconds = ttl / 1e6 // microseconds are stored
	s.CreatedAt, s.UpdatedAt = moment(created), moment(updated)
	s.UID, err = directory.ParseUID(uid)
	return s, err
}

// words are what strings.Join put together with spaces; of nothing, nil.
func words(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, " ")
}

// ReadService answers directory.ErrNotFound when there is no such service.
func (db *DB) ReadService(ctx context.Context, uid directory.UID) (s directory.Service, err error) {
	return readOne(ctx, db, "read service "+directory.FormatUID(uid), scanService, `SELECT `+serviceColumns+` FROM services WHERE uid = $1`, directory.FormatUID(uid))
}

// ListServices lists services by name, those after the name given, at most limit.
func (db *DB) ListServices(ctx context.Context, after string, limit int) (all []directory.Service, err error) {
	return readList(ctx, db, "list services", scanService, `SELECT `+serviceColumns+` FROM services WHERE name > $1 ORDER BY name LIMIT $2`, after, max(limit, 0))
}

// InsertService stores s as version 1. ErrExists: the name, in any case, or an audience is taken.
func (db *DB) InsertService(ctx context.Context, s directory.Service, c directory.Change) (int64, error) {
	return db.change(ctx, c, fmt.Sprintf("insert service %q", s.Name), func(ctx context.Context, t tx) error { return t.insertService(ctx, s) })
}

func (t tx) insertService(ctx context.Context, s directory.Service) error {
	// Names that differ in case only are two names to the database, and look like one to a person.
	var other string
	switch err := t.row(ctx, `SELECT name FROM services WHERE LOWER(name) = LOWER($1) LIMIT 1`, s.Name).Scan(&other); {
	case err == nil:
		return fmt.Errorf("name %q: %w", other, directory.ErrExists)
	case !errors.Is(err, sql.ErrNoRows):
		return err
	}
	n, err := t.exec(ctx, `
		INSERT INTO services (uid, name, created_at, version, `+serviceSettings+`)
		VALUES ($1, $2, $3, 1, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) ON CONFLICT DO NOTHING`,
		append([]any{directory.FormatUID(s.UID), s.Name, micros(s.CreatedAt)}, settingsOf(s)...)...)
	if err := orElse(n, err, directory.ErrExists); err != nil {
		return err
	}
	return t.putAudiences(ctx, s)
}

// serviceSettings are the columns that an update changes, and settingsOf their values.
const serviceSettings = `description, disabled, token_ttl, algorithm, audiences, auth_methods, grant_types, binding,
	token_endpoint_audience, multiple_targets, owner, labels, managed_by, observe, probe, default_target, updated_at`

func settingsOf(s directory.Service) []any {
	return []any{
		s.Description, s.Disabled, s.TokenTTLSeconds * 1e6, s.Algorithm, strings.Join(s.Audiences, " "),
		strings.Join(s.AuthMethods, " "), strings.Join(s.GrantTypes, " "), s.Binding, s.TokenEndpointAudience,
		s.MultipleTargets, s.Owner, strings.Join(s.Labels, " "), s.ManagedBy, s.Observe, s.Probe, s.DefaultTarget, micros(s.UpdatedAt),
	}
}

// UpdateService stores all of s but its name and when it was made, which never change.
func (db *DB) UpdateService(ctx context.Context, s directory.Service, c directory.Change) (int64, error) {
	return db.change(ctx, c, "update service "+directory.FormatUID(s.UID), func(ctx context.Context, t tx) error { return t.updateService(ctx, s) })
}

func (t tx) updateService(ctx context.Context, s directory.Service) error {
	uid := directory.FormatUID(s.UID)
	n, err := t.exec(ctx, `
		UPDATE services SET (`+serviceSettings+`) = ($3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19), version = version + 1
		WHERE uid = $1 AND version = $2`,
		append([]any{uid, s.Version}, settingsOf(s)...)...)
	if err := t.orWhy(ctx, n, err, `SELECT COUNT(*) FROM services WHERE uid = $1`, uid); err != nil {
		return err
	}
	return t.putAudiences(ctx, s)
}

// putAudiences makes s the owner of its audiences and of no others. ErrExists: one is taken.
func (t tx) putAudiences(ctx context.Context, s directory.Service) error {
	uid := directory.FormatUID(s.UID)
	if _, err := t.exec(ctx, `DELETE FROM audiences WHERE service = $1`, uid); err != nil {
		return err
	}
	for _, a := range s.Audiences {
		n, err := t.exec(ctx, `INSERT INTO audiences (uri, service) VALUES ($1, $2) ON CONFLICT DO NOTHING`, a, uid)
		if err := orElse(n, err, fmt.Errorf("audience %q: %w", a, directory.ErrExists)); err != nil {
			return err
		}
	}
	return nil
}

// DeleteService removes the service with its credentials and every rule that names it, and
// records r, the revocation of its uid.
func (db *DB) DeleteService(ctx context.Context, uid directory.UID, version int64, r directory.Revocation, c directory.Change) (int64, error) {
	id := directory.FormatUID(uid)
	return db.change(ctx, c, "delete service "+id, func(ctx context.Context, t tx) error { return t.deleteService(ctx, uid, version, r) })
}

func (t tx) deleteService(ctx context.Context, uid directory.UID, version int64, r directory.Revocation) error {
	id := directory.FormatUID(uid)
	n, err := t.exec(ctx, `DELETE FROM services WHERE uid = $1 AND version = $2`, id, version)
	if err := t.orWhy(ctx, n, err, `SELECT COUNT(*) FROM services WHERE uid = $1`, id); err != nil {
		return err
	}
	return t.insertRevocation(ctx, r)
}

// orElse is why when a statement, which gave err, touched no row.
func orElse(rows int64, err, why error) error {
	if err == nil && rows == 0 {
		return why
	}
	return err
}

// orWhy finds out why a compare-and-swap touched no row: count, a query, reports whether there
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
