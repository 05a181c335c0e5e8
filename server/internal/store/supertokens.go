package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/supertokens"
)

func scanSigningKey(row scanner) (k supertokens.SigningKey, err error) {
	var created int64
	err = row.Scan(&k.App, &k.ID, &k.Static, &k.Sealed, &created)
	k.CreatedAt = moment(created)
	return k, err
}

// SigningKeys reads all keys of app.
func (db *DB) SigningKeys(ctx context.Context, app string) (all []supertokens.SigningKey, err error) {
	return readList(ctx, db, fmt.Sprintf("read signing keys of app %q", app), scanSigningKey, `
			SELECT app, id, static, sealed, created_at FROM supertokens_keys WHERE app = $1 ORDER BY created_at, id`, app)
}

// InsertSigningKey stores k, unless a key of the same app and kind made at or after unless
// is there already; with the zero unless, when any is there.
func (db *DB) InsertSigningKey(ctx context.Context, k supertokens.SigningKey, unless time.Time, c directory.Change) (inserted bool, err error) {
	since := int64(math.MinInt64)
	if !unless.IsZero() {
		since = unless.UnixMicro()
	}
	_, err = db.change(ctx, c, fmt.Sprintf("insert signing key %q of app %q", k.ID, k.App), func(ctx context.Context, t tx) error {
		var there int64
		if err := t.row(ctx, `SELECT COUNT(*) FROM supertokens_keys WHERE app = $1 AND static = $2 AND created_at >= $3`,
			k.App, k.Static, since).Scan(&there); err != nil {
			return err
		}
		if there > 0 {
			return errNothingToDo
		}
		n, err := t.exec(ctx, `
			INSERT INTO supertokens_keys (app, id, static, sealed, created_at)
			VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`,
			k.App, k.ID, k.Static, notNil(k.Sealed), micros(k.CreatedAt))
		return orElse(n, err, errNothingToDo)
	})
	if errors.Is(err, errNothingToDo) {
		return false, nil
	}
	return err == nil, err
}

// DeleteSigningKeys removes the keys with these ids, whatever the app.
func (db *DB) DeleteSigningKeys(ctx context.Context, ids []string) error {
	return db.write(ctx, "delete signing keys", func(ctx context.Context, t tx) error {
		for _, id := range ids {
			if _, err := t.exec(ctx, `DELETE FROM supertokens_keys WHERE id = $1`, id); err != nil {
				return err
			}
		}
		return nil
	})
}
