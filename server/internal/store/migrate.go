package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"strings"

	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var embedded embed.FS

// migrations is the embedded folder, as PostgreSQL reads it.
func migrations() fs.FS {
	sub, err := fs.Sub(embedded, "migrations")
	if err != nil {
		panic(err) // the folder is part of the program
	}
	return sub
}

// toSQLite turns the PostgreSQL of the migrations into SQLite. STRICT tables know few type
// names; BINARY, SQLite's default collation, is PostgreSQL's "C".
var toSQLite = strings.NewReplacer(
	` COLLATE "C"`, "",
	"BIGINT", "INTEGER",
	"BOOLEAN", "INTEGER",
	"BYTEA", "BLOB",
	"/* STRICT */", "STRICT",
	"/* STRICT, WITHOUT ROWID */", "STRICT, WITHOUT ROWID",
)

// translated is a folder whose files are read through a replacer.
type translated struct {
	fs.FS
	replacer *strings.Replacer
}

func (t translated) Open(name string) (fs.File, error) {
	f, err := t.FS.Open(name)
	if err != nil || !strings.HasSuffix(name, ".sql") {
		return f, err
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return translatedFile{f, strings.NewReader(t.replacer.Replace(string(text)))}, nil
}

type translatedFile struct {
	fs.File
	text *strings.Reader
}

func (f translatedFile) Read(p []byte) (int, error) { return f.text.Read(p) }

// versionTable is not goose's default, which another program in the same PostgreSQL
// database may have.
const versionTable = "watchword_schema"

// schema brings a database to the schema this program knows.
type schema struct {
	provider *goose.Provider
	version  int64 // the newest this program knows
}

func newSchema(e engine, db *sql.DB, files fs.FS) (*schema, error) {
	dialect := goose.DialectPostgres
	if e == sqliteEngine {
		dialect, files = goose.DialectSQLite3, translated{files, toSQLite}
	}
	p, err := goose.NewProvider(dialect, db, files, goose.WithTableName(versionTable),
		goose.WithDisableGlobalRegistry(true), goose.WithSlog(slog.New(slog.DiscardHandler)))
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	sources := p.ListSources()
	return &schema{p, sources[len(sources)-1].Version}, nil
}

func (s *schema) up(ctx context.Context) error {
	if _, err := s.provider.Up(ctx); err != nil {
		return fmt.Errorf("bring the database to schema %d: %w", s.version, err)
	}
	return nil
}

// querier is a *sql.DB, *sql.Conn or *sql.Tx.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// storedVersion reads the schema a database has, without writing to it. The version table
// must be there.
func storedVersion(ctx context.Context, q querier) (v int64, err error) {
	// The table's name is a constant of this package.
	err = q.QueryRowContext(ctx, "SELECT COALESCE(MAX(version_id), 0) FROM "+versionTable).Scan(&v)
	return v, err
}

func newerSchema(where string, stored, known int64) error {
	return fmt.Errorf("%s has schema %d, written by a newer Watchword; this one knows schema %d and has changed nothing: "+
		"run the newer version again, or restore the backup taken before the upgrade", where, stored, known)
}
