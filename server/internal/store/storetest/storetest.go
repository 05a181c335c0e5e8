// Package storetest fills a database with many services and rules, for tests and benchmarks
// that need a large one quickly. It goes around the store, so it makes no changes that a
// running server would follow: fill first, then load.
package storetest

import (
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"net/url"
	"path/filepath"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // driver "pgx"
	_ "modernc.org/sqlite"             // driver "sqlite"

	"github.com/watchword-dev/watchword/server/internal/directory"
)

// UID of service i.
func UID(i int) (u directory.UID) {
	hex.Decode(u[:], fmt.Appendf(nil, "%032d", i+1)) // decimal digits are hexadecimal ones too
	return u
}

// Fill inserts n services, s0 and on, each with rulesEach rules of scope "read" (at most n),
// into a database that a store has opened once: that of databaseURL or, when it is empty, the
// one in dataDir.
func Fill(ctx context.Context, dataDir, databaseURL string, n, rulesEach int) error {
	db, err := connect(dataDir, databaseURL)
	if err != nil {
		return err
	}
	defer db.Close()
	const (
		numbers = `WITH RECURSIVE n (i) AS (SELECT CAST(0 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i + 1 < CAST($1 AS BIGINT)),
			g (g) AS (SELECT CAST(0 AS BIGINT) UNION ALL SELECT g + 1 FROM g WHERE g + 1 < CAST($2 AS BIGINT))`
		digits = `'svc_' || SUBSTR('00000000000000000000000000000000' || CAST(%[1]s AS TEXT), LENGTH(CAST(%[1]s AS TEXT)) + 1)`
	)
	for _, query := range []string{
		numbers + `INSERT INTO services (uid, name, description, disabled, token_ttl, algorithm, version, created_at, updated_at)
			SELECT ` + fmt.Sprintf(digits, "(i + 1)") + `, 's' || CAST(i AS TEXT), '', $2 < 0, 0, '', 1, 1, 1 FROM n`,
		numbers + `INSERT INTO rules (caller, target, scopes, until_at, version, created_at, updated_at)
			SELECT ` + fmt.Sprintf(digits, "(i + 1)") + `, ` + fmt.Sprintf(digits, "((i * 7 + g * 13 + 1) % $1 + 1)") + `, 'read', 0, 1, 1, 1 FROM n, g`,
	} {
		if _, err := db.ExecContext(ctx, query, n, rulesEach); err != nil {
			return fmt.Errorf("fill database: %w", err)
		}
	}
	return nil
}

// Exec executes a statement in the database of databaseURL or, when it is empty, in the one in dataDir,
// as another program would. The database may be in use.
func Exec(ctx context.Context, dataDir, databaseURL, query string, args ...any) error {
	db, err := connect(dataDir, databaseURL)
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(ctx, query, args...)
	return err
}

func connect(dataDir, databaseURL string) (*sql.DB, error) {
	if databaseURL != "" {
		return sql.Open("pgx", databaseURL)
	}
	u := url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(filepath.Join(dataDir, "watchword.db"))}
	return sql.Open("sqlite", u.String()+"?mode=rw&_foreign_keys=1&_busy_timeout=5000")
}

// Revoke inserts revocations of n tokens, which end in a day, into the SQLite database in dataDir.
func Revoke(ctx context.Context, dataDir string, n int, now time.Time) error {
	db, err := connect(dataDir, "")
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(ctx, `
		WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < $1)
		INSERT INTO revocations (id, revoked_at, until_at) SELECT LOWER(HEX(RANDOMBLOB(16))), $2, $3 FROM n`,
		n, now.UnixMicro(), now.Add(24*time.Hour).UnixMicro())
	return err
}

// Rewind puts a PostgreSQL database back to what it was at a revision since which services were made and the epoch was
// raised, as restoring a backup does.
func Rewind(ctx context.Context, databaseURL string, revision int64) error {
	db, err := connect("", databaseURL)
	if err != nil {
		return err
	}
	defer db.Close()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for _, statement := range []string{
		`DELETE FROM services WHERE 'service/' || uid IN (SELECT subject FROM changes WHERE revision > $1)`,
		`UPDATE counters SET value = $1 WHERE name = 'revision'`,
		`UPDATE counters SET value = 1 WHERE name = 'epoch' AND $1 > 0`,
		`DELETE FROM changes WHERE revision > $1`,
	} {
		if _, err := tx.ExecContext(ctx, statement, revision); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return tx.Commit()
}
