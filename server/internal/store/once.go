package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/watchword-dev/watchword/server/internal/once"
)

// UseOnce remembers entries, all of them or none, and reports of each whether it was not remembered
// before. See once.Store.
func (db *DB) UseOnce(ctx context.Context, entries []once.Entry) (fresh []bool, err error) {
	if db.engine == sqliteEngine {
		fresh, err = db.used.use(ctx, db, entries)
	} else {
		fresh, err = db.useOnceShared(ctx, entries)
	}
	if err != nil {
		return nil, fmt.Errorf("use once: %w", err)
	}
	return fresh, nil
}

// oncePerStatement keeps a transaction under a tenth of a second.
const oncePerStatement = 1000

// useOnceShared lets replicas race for the rows of the table once.
func (db *DB) useOnceShared(ctx context.Context, entries []once.Entry) ([]bool, error) {
	// The order of keys is the same everywhere, so that two replicas never wait for each
	// other's rows crosswise. Of equal keys the first wins.
	order := make([]int, len(entries))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(entries[a].Key, entries[b].Key), a-b)
	})
	keys, ends := make([]string, 0, len(entries)), make([]int64, 0, len(entries))
	for _, i := range order {
		if n := len(keys); n > 0 && keys[n-1] == entries[i].Key {
			continue
		}
		keys, ends = append(keys, entries[i].Key), append(ends, micros(entries[i].Until))
	}
	won, err := db.insertOnce(ctx, keys, ends)
	if err != nil {
		return nil, err
	}
	fresh := make([]bool, len(entries))
	for _, i := range order {
		if won[entries[i].Key] {
			fresh[i] = true
			delete(won, entries[i].Key)
		}
	}
	return fresh, nil
}

func (db *DB) insertOnce(ctx context.Context, keys []string, ends []int64) (won map[string]bool, err error) {
	err = db.write(ctx, "insert", func(ctx context.Context, t tx) error {
		won = make(map[string]bool, len(keys))
		for from := 0; from < len(keys); from += oncePerStatement {
			to := min(from+oncePerStatement, len(keys))
			inserted, err := list(ctx, t, scanText, `
				INSERT INTO once (key, until_at)
				SELECT * FROM unnest(CAST($1 AS TEXT[]), CAST($2 AS BIGINT[])) AS new (key, until_at)
				WHERE new.until_at > (SELECT value FROM counters WHERE name = '`+onceForgotten+`')
				ON CONFLICT DO NOTHING RETURNING key`, keys[from:to], ends[from:to])
			if err != nil {
				return err
			}
			for _, key := range inserted {
				won[key] = true
			}
		}
		return nil
	})
	return won, err
}

func scanText(row scanner) (s string, err error) {
	err = row.Scan(&s)
	return s, err
}

// onceForgotten is the counter of the latest end of what was forgotten. What ends no later counts as
// used. So a clock that went forward and back, or a replica whose clock is behind, makes nothing good
// again.
const onceForgotten = "once_forgotten"

// PurgeOnce forgets what ended before now, in steps between which others get their turn.
func (db *DB) PurgeOnce(ctx context.Context, now time.Time) error {
	table, key := "once", "key"
	if db.engine == sqliteEngine {
		table, key = "once_batches", "id"
	}
	var forgotten int64
	err := db.write(ctx, "note the latest end", func(ctx context.Context, t tx) error {
		if err := t.row(ctx, `SELECT COALESCE(MAX(until_at), 0) FROM `+table+` WHERE until_at < $1`, micros(now)).Scan(&forgotten); err != nil {
			return err
		}
		_, err := t.exec(ctx, `UPDATE counters SET value = $1 WHERE name = '`+onceForgotten+`' AND value < $1`, forgotten)
		return err
	})
	if err == nil {
		err = db.deleteAll(ctx, `DELETE FROM `+table+` WHERE `+key+` IN (SELECT `+key+` FROM `+table+` WHERE until_at < $1 LIMIT $2`+db.skipLocked()+`)`, forgotten+1)
	}
	if err == nil && db.engine == sqliteEngine {
		err = db.used.forget(ctx, db, now)
	}
	if err != nil {
		return fmt.Errorf("purge what was used once: %w", err)
	}
	return nil
}

const deleteAtOnce = 1000

// deleteAll deletes what query finds, with the bounds before and a number of rows, until there is
// no more.
func (db *DB) deleteAll(ctx context.Context, query string, before int64) error {
	for n := int64(deleteAtOnce); n == deleteAtOnce; {
		err := db.write(ctx, "delete", func(ctx context.Context, t tx) (err error) {
			n, err = t.exec(ctx, query, before, deleteAtOnce)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// skipLocked has replicas that delete at once share the rows, in place of waiting for each other.
func (db *DB) skipLocked() string {
	if db.engine == postgresEngine {
		return ` FOR UPDATE SKIP LOCKED`
	}
	return ""
}
