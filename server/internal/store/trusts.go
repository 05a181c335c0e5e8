package store

import (
	"context"
	"encoding/json"
	"fmt"

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
