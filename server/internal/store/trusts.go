package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/watchword-dev/watchword/server/internal/directory"
)

const trustColumns = `id, name, settings, generation, managed_by, version, created_at, updated_at, keys_at`

func scanTrust(row scanner) (t directory.Trust, err error) {
	var settings string
	var created, updated, keys int64
	if err := row.Scan(&t.ID, &t.Name, &settings, &t.Generation, &t.ManagedBy, &t.Version, &created, &updated, &keys); err != nil {
		return t, err
	}
	t.CreatedAt, t.UpdatedAt, t.KeysAt = moment(created), moment(updated), moment(keys)
	if err := json.Unmarshal([]byte(settings), &t.TrustSettings); err != nil {
		return t, fmt.Errorf("settings of trust %s: %w", t.ID, err)
	}
	return t, nil
}

// ReadTrust answers directory.ErrNotFound when there is no such trust.
func (db *DB) ReadTrust(ctx context.Context, id string) (directory.Trust, error) {
	return readOne(ctx, db, fmt.Sprintf("read trust %q", id), scanTrust, `SELECT `+trustColumns+` FROM trusts WHERE id = $1`, id)
}

// ListTrusts lists trusts by name, those after the name given, at most limit.
func (db *DB) ListTrusts(ctx context.Context, after string, limit int) ([]directory.Trust, error) {
	return readList(ctx, db, "list trusts", scanTrust, `SELECT `+trustColumns+` FROM trusts WHERE name > $1 ORDER BY name LIMIT $2`, after, max(limit, 0))
}

// InsertTrust stores tr as version 1. ErrExists: the name, in any case, or the issuer is taken. ErrTooMany: there are
// directory.MaxTrusts.
func (db *DB) InsertTrust(ctx context.Context, tr directory.Trust, c directory.Change) (int64, error) {
	return db.change(ctx, c, fmt.Sprintf("insert trust %q", tr.Name), func(ctx context.Context, t tx) error { return t.insertTrust(ctx, tr) })
}

func (t tx) insertTrust(ctx context.Context, tr directory.Trust) error {
	var n int
	if err := t.row(ctx, `SELECT COUNT(*) FROM trusts`).Scan(&n); err != nil {
		return err
	}
	if n >= directory.MaxTrusts {
		return directory.ErrTooMany
	}
	if err := t.untaken(ctx, tr, `name`, tr.Name, `LOWER(name) = LOWER($1)`); err != nil {
		return err
	}
	if err := t.untaken(ctx, tr, `issuer`, tr.Issuer, `issuer = $1`); err != nil {
		return err
	}
	settings, err := settingsOfTrust(tr)
	if err != nil {
		return err
	}
	inserted, err := t.exec(ctx, `
		INSERT INTO trusts (id, name, created_at, version, `+trustSettings+`)
		VALUES ($1, $2, $3, 1, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING`,
		append([]any{tr.ID, tr.Name, micros(tr.CreatedAt)}, settings...)...)
	return orElse(inserted, err, directory.ErrExists)
}

// untaken is directory.ErrExists, with the value that another trust has, if one meets the condition.
func (t tx) untaken(ctx context.Context, tr directory.Trust, column, value, condition string) error {
	var other string
	switch err := t.row(ctx, `SELECT `+column+` FROM trusts WHERE `+condition+` AND id <> $2 LIMIT 1`, value, tr.ID).Scan(&other); {
	case err == nil:
		return fmt.Errorf("%s %q: %w", column, other, directory.ErrExists)
	case errors.Is(err, sql.ErrNoRows):
		return nil
	default:
		return err
	}
}

// trustSettings are the columns that an update changes, and settingsOfTrust their values.
const trustSettings = `issuer, settings, generation, managed_by, updated_at, keys_at`

func settingsOfTrust(tr directory.Trust) ([]any, error) {
	settings, err := json.Marshal(tr.TrustSettings)
	return []any{tr.Issuer, string(settings), tr.Generation, tr.ManagedBy, micros(tr.UpdatedAt), micros(tr.KeysAt)}, err
}

// UpdateTrust stores all of tr but its name and when it was made, which never change, and records withdrawn, the
// revocation of the generation that it had, unless that is nil. ErrExists: the issuer is taken.
func (db *DB) UpdateTrust(ctx context.Context, tr directory.Trust, withdrawn *directory.Revocation, c directory.Change) (int64, error) {
	return db.changeMany(ctx, c, fmt.Sprintf("update trust %q", tr.ID), func(ctx context.Context, t tx, _ int64) ([]string, error) {
		if err := t.updateTrust(ctx, tr); err != nil || withdrawn == nil {
			return nil, err
		}
		return []string{directory.SubjectTrust(tr.ID), directory.SubjectRevocation(withdrawn.ID)}, t.insertRevocation(ctx, *withdrawn)
	})
}

func (t tx) updateTrust(ctx context.Context, tr directory.Trust) error {
	if err := t.untaken(ctx, tr, `issuer`, tr.Issuer, `issuer = $1`); err != nil {
		return err
	}
	settings, err := settingsOfTrust(tr)
	if err != nil {
		return err
	}
	n, err := t.exec(ctx, `
		UPDATE trusts SET (`+trustSettings+`) = ($3, $4, $5, $6, $7, $8), version = version + 1
		WHERE id = $1 AND version = $2`, append([]any{tr.ID, tr.Version}, settings...)...)
	return t.orWhy(ctx, n, err, `SELECT COUNT(*) FROM trusts WHERE id = $1`, tr.ID)
}

// DeleteTrust removes a trust, records withdrawn, the revocation of its generation, and revokes the credentials that name
// the trust and have not ended.
func (db *DB) DeleteTrust(ctx context.Context, id string, version int64, withdrawn directory.Revocation, c directory.Change) (int64, error) {
	return db.changeMany(ctx, c, fmt.Sprintf("delete trust %q", id), func(ctx context.Context, t tx, _ int64) ([]string, error) {
		if err := t.deleteTrust(ctx, id, version); err != nil {
			return nil, err
		}
		if err := t.insertRevocation(ctx, withdrawn); err != nil {
			return nil, err
		}
		revoked, err := list(ctx, t, scanText, `
			UPDATE credentials SET revoked_at = $2, version = version + 1
			WHERE trust <> '' AND trust = $1 AND revoked_at = 0 AND expires_at > $2 RETURNING id`, id, micros(withdrawn.RevokedAt))
		subjects := []string{directory.SubjectTrust(id), directory.SubjectRevocation(withdrawn.ID)}
		for _, credential := range revoked {
			subjects = append(subjects, directory.SubjectCredential(credential))
		}
		return subjects, err
	})
}

func (t tx) deleteTrust(ctx context.Context, id string, version int64) error {
	n, err := t.exec(ctx, `DELETE FROM trusts WHERE id = $1 AND version = $2`, id, version)
	return t.orWhy(ctx, n, err, `SELECT COUNT(*) FROM trusts WHERE id = $1`, id)
}

// mustHaveTrust is directory.ErrNotFound when a trust is not there.
func (t tx) mustHaveTrust(ctx context.Context, id string) error {
	var there int64
	if err := t.row(ctx, `SELECT COUNT(*) FROM trusts WHERE id = $1`, id).Scan(&there); err != nil {
		return err
	}
	if there == 0 {
		return fmt.Errorf("trust %s: %w", id, directory.ErrNotFound)
	}
	return nil
}

func (t tx) putTrustsOf(ctx context.Context, b directory.Batch) error {
	// Issuers may move between the trusts of one batch. No issuer is an id.
	for _, tr := range b.PutTrusts {
		if _, err := t.exec(ctx, `UPDATE trusts SET issuer = id WHERE id = $1`, tr.ID); err != nil {
			return err
		}
	}
	for _, tr := range b.PutTrusts {
		put := t.updateTrust
		if tr.Version == 0 {
			put = t.insertTrust
		}
		if err := put(ctx, tr); err != nil {
			return fmt.Errorf("trust %q: %w", tr.Name, err)
		}
	}
	return nil
}

// TrustUses counts, by the id of the trust, the credentials that have not ended at a moment, and those among them that
// were neither used nor made since another.
func (db *DB) TrustUses(ctx context.Context, at, since time.Time) (map[string]directory.TrustUses, error) {
	type row struct {
		trust string
		directory.TrustUses
	}
	const unmatched = `CASE WHEN last_used_at < $2 AND created_at < $2 THEN id END`
	rows, err := readList(ctx, db, "count the credentials of trusts", func(s scanner) (r row, err error) {
		var example sql.NullString
		err = s.Scan(&r.trust, &r.Credentials, &r.Services, &r.Unmatched, &example)
		r.Example = example.String
		return r, err
	}, `
		SELECT trust, COUNT(*), COUNT(DISTINCT service), COUNT(`+unmatched+`), MIN(`+unmatched+`)
		FROM credentials WHERE trust <> '' AND revoked_at = 0 AND expires_at > $1 GROUP BY trust`, micros(at), micros(since))
	all := map[string]directory.TrustUses{}
	for _, r := range rows {
		all[r.trust] = r.TrustUses
	}
	return all, err
}
