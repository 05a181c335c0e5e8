package store

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/watchword-dev/watchword/server/internal/directory"
)

// errNothingToDo rolls a transaction back without anything having failed.
var errNothingToDo = errors.New("nothing to do")

// tx is one transaction.
type tx struct {
	tx     *sql.Tx
	engine engine
}

func (t tx) exec(ctx context.Context, query string, args ...any) (rows int64, err error) {
	if err := storable(args); err != nil {
		return 0, err
	}
	result, err := t.tx.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func (t tx) row(ctx context.Context, query string, args ...any) scanner {
	if err := storable(args); err != nil {
		return failed{err}
	}
	return t.tx.QueryRowContext(ctx, query, args...)
}

// scanner is a row.
type scanner interface{ Scan(dest ...any) error }

type failed struct{ err error }

func (f failed) Scan(...any) error { return f.err }

// list collects the rows of a query.
func list[T any](ctx context.Context, t tx, scan func(scanner) (T, error), query string, args ...any) ([]T, error) {
	return appendRows(ctx, t, nil, scan, query, args...)
}

func appendRows[T any](ctx context.Context, t tx, all []T, scan func(scanner) (T, error), query string, args ...any) ([]T, error) {
	if err := storable(args); err != nil {
		return nil, err
	}
	rows, err := t.tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, rows.Err()
}

// readList collects the rows of a query, in a transaction of its own. what was attempted begins the text of an error.
func readList[T any](ctx context.Context, db *DB, what string, scan func(scanner) (T, error), query string, args ...any) (all []T, err error) {
	err = db.read(ctx, what, func(ctx context.Context, t tx) error {
		all, err = list(ctx, t, scan, query, args...)
		return err
	})
	return all, err
}

// readOne is readList for a query by a key. directory.ErrNotFound: there is no such row.
func readOne[T any](ctx context.Context, db *DB, what string, scan func(scanner) (T, error), query string, args ...any) (v T, err error) {
	err = db.read(ctx, what, func(ctx context.Context, t tx) error {
		v, err = scan(t.row(ctx, query, args...))
		return notFound(err)
	})
	return v, err
}

// errText is for text no PostgreSQL can hold, refused on both engines alike.
var errText = &directory.InvalidError{Field: "text", Problem: "must be valid UTF-8 without NUL characters"}

func storable(args []any) error {
	for _, a := range args {
		if s, ok := a.(string); ok && !validText(s) {
			return errText
		}
	}
	return nil
}

func validText(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

// notFound turns the errors of reading one row by its key into directory.ErrNotFound: a key that
// cannot be stored was not stored.
func notFound(err error) error {
	if errors.Is(err, sql.ErrNoRows) || errors.Is(err, errText) {
		return directory.ErrNotFound
	}
	return err
}

// unstorable reports whether err is about what was to be stored, so that trying again is of no use.
func unstorable(err error) bool {
	if errors.Is(err, errText) {
		return true
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		// Data exceptions, integrity constraints, and limits of the program, such as that of an index entry.
		return slices.ContainsFunc([]string{"22", "23", "54"}, func(class string) bool { return strings.HasPrefix(pg.Code, class) })
	}
	lite, ok := errors.AsType[*sqlite.Error](err)
	return ok && slices.Contains([]int{sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH}, lite.Code()&0xff)
}

// read does work in one transaction that only reads. what was attempted begins the text of an error.
func (db *DB) read(ctx context.Context, what string, work func(context.Context, tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, db.o.Timeout)
	defer cancel()
	return attempted(what, db.readAll(ctx, work))
}

func attempted(what string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// readAll is read for as long as ctx lasts. All of work sees one moment of the database.
func (db *DB) readAll(ctx context.Context, work func(context.Context, tx) error) error {
	return db.run(ctx, db.readers, sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}, work)
}

// write does work in one transaction, and rolls it back when work fails. Work may be called
// twice. what was attempted begins the text of an error.
func (db *DB) write(ctx context.Context, what string, work func(context.Context, tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, db.o.Timeout)
	defer cancel()
	return attempted(what, db.run(ctx, db.writer, sql.TxOptions{Isolation: sql.LevelReadCommitted}, work))
}

func (db *DB) run(ctx context.Context, pool *sql.DB, o sql.TxOptions, work func(context.Context, tx) error) error {
	again, err := db.try(ctx, pool, o, work)
	if again {
		_, err = db.try(ctx, pool, o, work)
	}
	return err
}

// try does work once, and reports whether to do it again: the connection was lost, or the
// server asked for it, while it is certain that nothing was committed.
func (db *DB) try(ctx context.Context, pool *sql.DB, o sql.TxOptions, work func(context.Context, tx) error) (again bool, err error) {
	// A connection to a file that was put in the place of the database would delete its log.
	if err := db.present(); err != nil {
		return false, err
	}
	conn, err := pool.Conn(ctx)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	if db.engine == sqliteEngine && !o.ReadOnly {
		if err := db.whole(); err != nil {
			return false, err
		}
		defer func() {
			// What was committed into files that are gone is not stored.
			if wrote := db.written(); err == nil {
				err = cmp.Or(wrote, db.whole())
			}
		}()
	}
	t, err := conn.BeginTx(ctx, &o)
	if err != nil {
		return db.lost(ctx, conn, err), err
	}
	if db.pooled && !o.ReadOnly {
		if _, err := t.ExecContext(ctx, `SET LOCAL `+idleTimeout+` = '`+idleTimeoutValue+`'`); err != nil {
			_ = t.Rollback()
			return db.lost(ctx, conn, err), err
		}
	}
	if err := work(ctx, tx{t, db.engine}); err != nil {
		_ = t.Rollback() // on a lost connection it fails too, which changes nothing
		return db.lost(ctx, conn, err) || retriable(err), err
	}
	if err := t.Commit(); err != nil {
		db.lost(ctx, conn, err) // committed or not: only the caller can find out
		return false, err
	}
	return false, nil
}

// lost reports whether conn can no longer be used, after err, and then takes it out of the pool,
// and with it the others that were made before: what ended one of them mostly ended all.
func (db *DB) lost(ctx context.Context, conn *sql.Conn, err error) (lost bool) {
	// When ctx ends, database/sql takes the connection back by itself, which says nothing about
	// the others.
	if db.engine != postgresEngine || errors.Is(err, errNothingToDo) || ctx.Err() != nil {
		return false
	}
	// Raw looks whether the connection is there, and then takes it, in two steps: it panics
	// when ctx ends in between.
	defer func() {
		if recover() != nil {
			lost = false
		}
	}()
	_ = conn.Raw(func(c any) error {
		pg := c.(*stdlib.Conn).Conn()
		lost = useless(err) || pg.IsClosed() && ctx.Err() == nil
		if lost {
			db.generation.CompareAndSwap(generationOf(pg), generationOf(pg)+1)
			return driver.ErrBadConn
		}
		return nil
	})
	return lost
}
