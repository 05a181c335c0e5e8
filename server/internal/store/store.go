// Package store keeps what the domain packages hand it, in SQLite or in PostgreSQL, and
// gives it back: every query of the program is here, written once for both. It knows no
// rule of the domain beyond names that must be unique, versions that must match, and edges
// that must join two services.
//
// One exported method is one transaction. Every change takes the next revision in its own
// transaction, so revisions are in the order of commits and have no gaps.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/keys"
	"github.com/watchword-dev/watchword/server/internal/once"
	"github.com/watchword-dev/watchword/server/internal/supertokens"
	"github.com/watchword-dev/watchword/server/internal/usage"
)

var (
	_ directory.Store    = (*DB)(nil)
	_ directory.Follower = (*DB)(nil)
	_ keys.Store         = (*DB)(nil)
	_ keys.SecretStore   = (*DB)(nil)
	_ supertokens.Store  = (*DB)(nil)
	_ once.Store         = (*DB)(nil)
	_ usage.Store        = (*DB)(nil)
)

// engine is which of the two databases it is.
type engine int

const (
	sqliteEngine engine = iota
	postgresEngine
)

// Options of a DB. One of DataDir and DatabaseURL is required.
type Options struct {
	// DataDir is the folder of the SQLite file, made when it is not there. Not used with DatabaseURL.
	DataDir string
	// DatabaseURL of a PostgreSQL, 15 or later: a URL or the keyword=value form. It may hold a password.
	DatabaseURL string
	// Timeout of one transaction, waiting for a connection included. Zero: 2 s.
	Timeout time.Duration
	// LoadTimeout of reading everything. Zero: 60 s.
	LoadTimeout time.Duration

	migrations fs.FS // for tests; nil: the embedded ones
}

// DB is the open database. Its methods may be called from many goroutines.
type DB struct {
	engine  engine
	o       Options
	writer  *sql.DB
	readers *sql.DB // the writer itself on PostgreSQL

	// SQLite
	lock  *os.File
	files []openFile
	used  usedOnce

	// PostgreSQL
	config *pgx.ConnConfig
	// generation of connections in use. A connection of an older one is not used again.
	generation atomic.Int64
}

// Open opens the database, makes it when there is none, and brings its schema up to date.
// Its errors say what to do, and never hold the URL's password.
func Open(ctx context.Context, o Options) (*DB, error) {
	if o.Timeout == 0 {
		o.Timeout = 2 * time.Second
	}
	if o.LoadTimeout == 0 {
		o.LoadTimeout = time.Minute
	}
	if o.migrations == nil {
		o.migrations = migrations()
	}
	switch {
	case o.DatabaseURL != "":
		return openPostgres(ctx, o)
	case o.DataDir != "":
		return openSQLite(ctx, o)
	}
	return nil, errors.New("open database: neither a data folder nor a database URL is given")
}

// Close ends all connections. On SQLite it also folds the write-ahead log into the file.
func (db *DB) Close() error {
	var errs []error
	if db.readers != db.writer {
		errs = append(errs, db.readers.Close())
	}
	errs = append(errs, db.writer.Close())
	if db.lock != nil {
		errs = append(errs, db.lock.Close())
	}
	return errors.Join(errs...)
}

// Ping reports whether the database takes changes.
func (db *DB) Ping(ctx context.Context) error {
	for _, f := range db.files {
		if err := f.stillThere(); err != nil {
			return err
		}
	}
	err := db.write(ctx, func(ctx context.Context, t tx) error {
		if db.engine == postgresEngine {
			if err := t.mustTakeChanges(ctx); err != nil {
				return err
			}
		}
		var revision int64
		if err := t.row(ctx, `SELECT value FROM counters WHERE name = 'revision'`).Scan(&revision); err != nil {
			return err
		}
		return errNothingToDo
	})
	if err != nil && !errors.Is(err, errNothingToDo) {
		return fmt.Errorf("reach database: %w", err)
	}
	return nil
}

// Now is the clock all replicas share: the database's on PostgreSQL, this machine's on SQLite.
func (db *DB) Now(ctx context.Context) (time.Time, error) {
	if db.engine == sqliteEngine {
		return time.Now().UTC().Truncate(time.Microsecond), nil
	}
	var now int64
	err := db.read(ctx, func(ctx context.Context, t tx) error {
		return t.row(ctx, `SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)`).Scan(&now)
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("read the database's clock: %w", err)
	}
	return moment(now), nil
}

// micros is how a time is stored: microseconds since 1970, and 0 for the zero time.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func moment(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
