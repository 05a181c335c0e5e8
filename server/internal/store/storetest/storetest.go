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
	driver, source := "pgx", databaseURL
	if databaseURL == "" {
		u := url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(filepath.Join(dataDir, "watchword.db"))}
		driver, source = "sqlite", u.String()+"?mode=rw&_foreign_keys=1"
	}
	db, err := sql.Open(driver, source)
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
