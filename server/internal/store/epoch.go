package store

import (
	"context"
	"time"

	"github.com/watchword-dev/watchword/server/internal/directory"
)

// Begin raises the epoch above all earlier ones, also those of a database that was put back to a backup: it is a
// time, in microseconds, unless the clock went back.
func (db *DB) Begin(ctx context.Context, life time.Duration, c directory.Change) (int64, error) {
	return db.change(ctx, c, "raise the epoch", func(ctx context.Context, t tx) error {
		const raise = `UPDATE counters SET value = CASE WHEN value >= $1 THEN value + $2 ELSE $1 END WHERE name = $3`
		if _, err := t.exec(ctx, raise, micros(c.At), 1, "epoch"); err != nil {
			return err
		}
		_, err := t.exec(ctx, raise, life.Microseconds(), 0, "token_life")
		return err
	})
}

// Epoch reads the epoch, and the longest life of a token of any server that was started on this database.
func (db *DB) Epoch(ctx context.Context) (epoch int64, life time.Duration, err error) {
	err = db.read(ctx, "read the epoch", func(ctx context.Context, t tx) error {
		epoch, life, err = epochOf(ctx, t)
		return err
	})
	return epoch, life, err
}

func epochOf(ctx context.Context, t tx) (epoch int64, life time.Duration, err error) {
	if err := t.row(ctx, `SELECT value FROM counters WHERE name = 'epoch'`).Scan(&epoch); err != nil {
		return 0, 0, err
	}
	var micros int64
	err = t.row(ctx, `SELECT value FROM counters WHERE name = 'token_life'`).Scan(&micros)
	return epoch, time.Duration(micros) * time.Microsecond, err
}
