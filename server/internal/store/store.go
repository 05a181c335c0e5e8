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
	"io/fs"
	"os"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/disk"
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
	// Now is the clock of this machine. Nil: time.Now.
	Now func() time.Time

	migrations fs.FS // for tests; nil: the embedded ones
}

// loadTimeout is that of reading everything.
const loadTimeout = time.Minute

// DB is the open database. Its methods may be called from many goroutines.
type DB struct {
	engine  engine
	o       Options
	writer  *sql.DB
	readers *sql.DB // the writer itself on PostgreSQL

	// SQLite
	lock   *os.File
	files  []openFile
	file   *os.File // the database, to look at
	number uint32   // that the header of file has as long as nobody overwrites it
	// modified is when this process last wrote to file.
	modified time.Time
	closed   atomic.Bool
	keeper   *sql.Conn // is never used, so that there is always a connection
	used     usedOnce

	// PostgreSQL
	config *pgx.ConnConfig
	pooled bool // connections lead to a pooler
	// generation of connections in use. A connection of an older one is not used again.
	generation atomic.Int64
}

// Open opens the database, makes it when there is none, and brings its schema up to date.
// Its errors say what to do, and never hold the URL's password.
func Open(ctx context.Context, o Options) (*DB, error) {
	if o.Timeout == 0 {
		o.Timeout = 2 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
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
	if db.engine == postgresEngine {
		return db.writer.Close()
	}
	db.closed.Store(true)
	return errors.Join(db.closeSQLite(), db.lock.Close())
}

// ErrGone reports that the files of an SQLite database are not those that were opened. What would be
// written is lost, so nothing is.
var ErrGone = errors.New("the database was taken away")

// maxBehind is for how long a clock that went back is told to be behind.
const maxBehind = 24 * time.Hour

// Heartbeat finds out whether the database takes changes, by making one. Ahead is by how much this
// machine's clock is ahead of the one that replicas share, below zero when it is behind: of the
// database's on PostgreSQL; on SQLite of the latest heartbeat, so that only a clock that went back is
// noticed, for a day at most.
func (db *DB) Heartbeat(ctx context.Context) (ahead time.Duration, err error) {
	err = db.write(ctx, "write to database", func(ctx context.Context, t tx) error {
		var before, after int64
		if db.engine == postgresEngine {
			// Another replica that is doing the same is waited for by nobody.
			if _, err := t.exec(ctx, `
				UPDATE counters SET value = CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)
				WHERE name IN (SELECT name FROM counters WHERE name = 'heartbeat' FOR UPDATE SKIP LOCKED)`); err != nil {
				return err
			}
			begun := db.o.Now()
			if err := t.row(ctx, `SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)`).Scan(&after); err != nil {
				return err
			}
			ahead = begun.Add(db.o.Now().Sub(begun) / 2).Sub(moment(after))
			return nil
		}
		if err := t.row(ctx, `SELECT value FROM counters WHERE name = 'heartbeat'`).Scan(&before); err != nil {
			return err
		}
		now := db.o.Now()
		ahead = min(0, now.Sub(moment(before)))
		latest := now
		if ahead > -maxBehind { // a clock that was wrong by more than that is right now, as far as anybody knows
			latest = now.Add(-ahead)
		}
		_, err := t.exec(ctx, `UPDATE counters SET value = $1 WHERE name = 'heartbeat'`, micros(latest))
		return err
	})
	if err == nil && db.engine == sqliteEngine {
		err = attempted("write to database", disk.Fault(db.o.DataDir)) // in the room that its log has already, SQLite can write for a while
	}
	if err != nil {
		return 0, err
	}
	return ahead, nil
}

// Now is the clock all replicas share: the database's on PostgreSQL, this machine's on SQLite.
func (db *DB) Now(ctx context.Context) (time.Time, error) {
	if db.engine == sqliteEngine {
		return db.o.Now().UTC().Truncate(time.Microsecond), nil
	}
	var now int64
	err := db.read(ctx, "read the database's clock", func(ctx context.Context, t tx) error {
		return t.row(ctx, `SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)`).Scan(&now)
	})
	if err != nil {
		return time.Time{}, err
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
