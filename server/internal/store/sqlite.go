package store

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/watchword-dev/watchword/server/internal/disk"
)

// Names in the data folder.
const (
	sqliteFile = "watchword.db"
	lockName   = "watchword.lock"
)

// sqliteMagic begins each SQLite file.
const sqliteMagic = "SQLite format 3\x00"

// applicationID tells a Watchword database from other SQLite files ("Wtch").
const applicationID = 0x57746368

const (
	readerConns = 4
	// fullCheckBelow bounds what the check at start costs: about 0.1 s for 32 MiB.
	fullCheckBelow = 32 << 20
)

func openSQLite(ctx context.Context, o Options) (_ *DB, err error) {
	if err := os.MkdirAll(o.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("create data folder %s: %w; choose another, or create it and give it to this user", o.DataDir, err)
	}
	dir, err := filepath.Abs(o.DataDir)
	if err != nil {
		return nil, fmt.Errorf("find data folder: %w", err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	db := &DB{engine: sqliteEngine, o: o, lock: lock}
	defer func() {
		if err != nil {
			_ = lock.Close()
		}
	}()

	path := filepath.Join(dir, sqliteFile)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := createSQLite(ctx, dir, o.migrations); err != nil {
			return nil, err
		}
	}
	version, err := inspect(ctx, path)
	if err != nil {
		return nil, err
	}
	if db.writer, err = sql.Open("sqlite", sqliteURL(path, "rw", "_txlock=immediate")); err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	db.writer.SetMaxOpenConns(1)
	if db.readers, err = sql.Open("sqlite", sqliteURL(path, "rw", "_query_only=1")); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), db.writer.Close())
	}
	db.readers.SetMaxOpenConns(readerConns + 1)
	db.readers.SetMaxIdleConns(readerConns + 1)
	if err := db.bringUp(ctx, path, version); err != nil {
		return nil, errors.Join(err, db.closeSQLite())
	}
	return db, nil
}

// closeSQLite ends all connections, and folds the write-ahead log into the file.
func (db *DB) closeSQLite() error {
	var errs []error
	if db.keeper != nil {
		errs = append(errs, db.keeper.Close())
	}
	errs = append(errs, db.readers.Close(), db.writer.Close())
	if db.file != nil { // after all connections: see mark
		errs = append(errs, db.file.Close())
	}
	return errors.Join(errs...)
}

// bringUp migrates the file from version and remembers which files it works with.
func (db *DB) bringUp(ctx context.Context, path string, version int64) error {
	s, err := newSchema(sqliteEngine, db.writer, db.o.migrations)
	if err != nil {
		return err
	}
	switch {
	case version > s.version:
		return newerSchema("the database "+path, version, s.version)
	case version < s.version:
		if err := s.up(ctx); err != nil {
			return err
		}
	}
	if err := db.mark(ctx, path); err != nil {
		return fmt.Errorf("mark database: %w", err)
	}
	for _, name := range []string{path, path + "-wal", path + "-shm", db.lock.Name()} {
		info, err := os.Stat(name)
		if err != nil {
			return fmt.Errorf("look at %s: %w", name, err)
		}
		db.files = append(db.files, openFile{name, info})
	}
	return nil
}

// mark writes a number of this process into the header of the file, by which it knows the file again.
func (db *DB) mark(ctx context.Context, path string) (err error) {
	// As long as one connection is open, SQLite does not make the log and its index anew.
	if db.keeper, err = db.readers.Conn(ctx); err != nil {
		return err
	}
	if err := db.keeper.PingContext(ctx); err != nil {
		return err
	}
	number := rand.Uint32() >> 1 //nolint:gosec // tells files apart, and keeps nothing secret
	for _, pragma := range []string{fmt.Sprintf("PRAGMA user_version = %d", number), "PRAGMA wal_checkpoint(TRUNCATE)"} {
		if _, err := db.writer.ExecContext(ctx, pragma); err != nil {
			return err
		}
	}
	// It stays open: a process that closes any descriptor of a file gives up the locks that SQLite has
	// on it (https://www.sqlite.org/howtocorrupt.html, section 2.2).
	if db.file, err = os.Open(path); err != nil {
		return err
	}
	db.number = number
	return db.written()
}

// present fails when the files of the database are not those that were opened.
func (db *DB) present() error {
	if db.closed.Load() { // the files are gone if they were temporary; the connections report that they are closed
		return nil
	}
	for _, f := range db.files {
		if err := f.stillThere(); err != nil {
			return err
		}
	}
	return nil
}

// written remembers when this process last wrote to the database file. It does so in a commit, when
// the write-ahead log is long.
func (db *DB) written() error {
	info, err := db.file.Stat()
	if err != nil {
		return fmt.Errorf("look at database: %w", err)
	}
	db.modified = info.ModTime()
	return nil
}

// whole fails when the files of the database are not those that were opened, or another program wrote
// to the database file: what is written then is lost with the process, or spoils what is there now.
// The caller holds the connection that writes.
func (db *DB) whole() error {
	if err := db.present(); err != nil {
		return err
	}
	// https://www.sqlite.org/fileformat.html, section 1.3
	header := make([]byte, 100)
	if _, err := db.file.ReadAt(header, 0); err != nil {
		return fmt.Errorf("%w: %s was cut short while it is open: stop the server and restore the file", ErrGone, db.file.Name())
	}
	word := func(at int) uint32 { return binary.BigEndian.Uint32(header[at:]) }
	if !strings.HasPrefix(string(header), sqliteMagic) || word(68) != applicationID || word(60) != db.number {
		return fmt.Errorf("%w: %s was overwritten while it is open: stop the server and restore the file", ErrGone, db.file.Name())
	}
	info, err := db.file.Stat()
	if err != nil {
		return fmt.Errorf("look at database: %w", err)
	}
	// On Linux the time of a write is there at once; elsewhere it may come later.
	if runtime.GOOS == "linux" && !info.ModTime().Equal(db.modified) {
		return fmt.Errorf("%w: %s was changed by another program while it is open: stop the server and restore the file", ErrGone, db.file.Name())
	}
	if pageSize := max(int64(binary.BigEndian.Uint16(header[16:])), 512); word(24) == word(92) && info.Size() < int64(word(28))*pageSize {
		return fmt.Errorf("%w: %s was cut short while it is open: stop the server and restore the file", ErrGone, db.file.Name())
	}
	return nil
}

// sqliteURL names a file for the driver. FULL syncs the log before a commit returns.
func sqliteURL(path, mode string, more ...string) string {
	u := url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(path)}
	parts := append([]string{"mode=" + mode, "_busy_timeout=2000", "_foreign_keys=1", "_synchronous=FULL", "_dqs=0", "_defensive=1"}, more...)
	return u.String() + "?" + strings.Join(parts, "&")
}

// lockDir keeps a second process away from the folder.
func lockDir(dir string) (*os.File, error) {
	f, err := disk.Lock(filepath.Join(dir, lockName))
	switch {
	case err == nil:
		return f, nil
	case errors.Is(err, disk.ErrInUse):
		return nil, fmt.Errorf("data folder: %w: stop that first, choose another folder, or share a PostgreSQL to run several", err)
	}
	return nil, fmt.Errorf("lock data folder: %w; give the folder and all in it to this user, on a file system with locks", err)
}

// companions are the names in a data folder that are made beside a database and last as
// long as it. Where one of them is and the database is not, the database was lost.
var companions = []string{sqliteFile + "-wal", sqliteFile + "-journal", "sealing.key", "operator.token", "audit"}

// Leftovers lists what is in the data folder of a database that is not there, and nothing
// when the database is there too, or neither.
func Leftovers(dir string) (names []string, err error) {
	if _, err := os.Stat(filepath.Join(dir, sqliteFile)); !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, name := range companions {
		switch _, err := os.Lstat(filepath.Join(dir, name)); {
		case err == nil:
			names = append(names, name)
		case !errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("look into data folder: %w", err)
		}
	}
	return names, nil
}

// createSQLite makes a database under another name and gives it its own when it is whole. So
// what has the name is never half made, and an empty file is always a damaged one.
func createSQLite(ctx context.Context, dir string, files fs.FS) error {
	left, err := Leftovers(dir)
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return fmt.Errorf("%s is not in the data folder %s, but %s is, so a database was there: restore it from a backup; "+
			"if PostgreSQL has the data, set the database URL; to begin with an empty database, choose an empty folder", sqliteFile, dir, strings.Join(left, ", "))
	}
	path := filepath.Join(dir, sqliteFile)
	tmp := path + ".new"
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} { // of a process that was killed here
		if err := os.Remove(tmp + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("create database: %w", err)
		}
	}
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("create database: %w", err)
	}
	if err := errors.Join(f.Close(), fillNew(ctx, tmp, files)); err != nil {
		return fmt.Errorf("create database: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("create database: %w", err)
	}
	return disk.SyncDir(dir)
}

func fillNew(ctx context.Context, path string, files fs.FS) error {
	db, err := sql.Open("sqlite", sqliteURL(path, "rw", "_journal_mode=WAL"))
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	defer db.Close()
	if _, err := db.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d", applicationID)); err != nil {
		return err
	}
	s, err := newSchema(sqliteEngine, db, files)
	if err != nil {
		return err
	}
	if err := s.up(ctx); err != nil {
		return err
	}
	return db.Close() // folds the log into the file and syncs it
}

// inspect looks at a file that is there, without changing it, and returns its schema.
func inspect(ctx context.Context, path string) (version int64, err error) {
	if err := checkHeader(path); err != nil {
		return 0, err
	}
	db, err := sql.Open("sqlite", sqliteURL(path, "ro"))
	if err != nil {
		return 0, fmt.Errorf("open %s: %w", path, err)
	}
	defer db.Close()
	if version, err = storedVersion(ctx, db); err != nil {
		return 0, damaged(path, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return 0, fmt.Errorf("look at %s: %w", path, err)
	}
	// Beyond the bound, opening has found a truncated file and Load reads most of the rest.
	if info.Size() < fullCheckBelow {
		return version, quickCheck(ctx, db, path)
	}
	return version, nil
}

// Check reads the whole SQLite file and reports whether it is damaged. On PostgreSQL it does
// nothing: that checks its own.
func (db *DB) Check(ctx context.Context) error {
	if db.engine != sqliteEngine {
		return nil
	}
	return quickCheck(ctx, db.readers, db.files[0].name)
}

func quickCheck(ctx context.Context, q querier, path string) error {
	var problem string
	if err := q.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&problem); err != nil {
		return damaged(path, err)
	}
	if problem != "ok" {
		return damaged(path, errors.New(problem))
	}
	return nil
}

// checkHeader reads the first bytes of the file itself: SQLite would create, recover or
// convert, which is not to happen to a file that is not ours.
func checkHeader(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open database: %w; give the file to this user", err)
	}
	defer f.Close()
	// https://www.sqlite.org/fileformat.html, section 1.3
	header := make([]byte, 100)
	n, err := io.ReadFull(f, header)
	switch {
	case n == 0 && errors.Is(err, io.EOF):
		return damaged(path, errors.New("the file is empty"))
	case err != nil && !errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("read database: %w", err)
	case strings.Trim(string(header[:n]), "\x00") == "":
		return damaged(path, errors.New("it begins with zeros"))
	case !strings.HasPrefix(string(header[:n]), sqliteMagic):
		return fmt.Errorf("%s is not a database of Watchword, or its beginning was overwritten; nothing was changed: restore it from a backup, or choose another data folder", path)
	case n < len(header):
		return damaged(path, errors.New("it is cut short"))
	case binary.BigEndian.Uint32(header[68:]) != applicationID:
		return fmt.Errorf("%s is an SQLite database of another program; nothing was changed: choose another data folder", path)
	}
	return nil
}

// damaged explains err, which reading the file gave.
func damaged(path string, err error) error {
	if e := (*sqlite.Error)(nil); errors.As(err, &e) {
		switch e.Code() & 0xff {
		case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR:
		default: // busy, no permission, interrupted: nothing wrong with the file
			return fmt.Errorf("read database %s: %w", path, err)
		}
	} else if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("the database %s is damaged (%w); nothing was changed: copy the whole folder away, then restore %s from a backup "+
		"(a damaged file may still give most of its rows to `sqlite3 %s .recover`)", path, err, sqliteFile, sqliteFile)
}

// openFile is a file this process relies on by name.
type openFile struct {
	name string
	info fs.FileInfo
}

// stillThere finds a file that was deleted or replaced while it is open, where everything
// written would be lost with the process.
func (f openFile) stillThere() error {
	info, err := os.Stat(f.name)
	switch {
	case err != nil:
		return fmt.Errorf("%w: the file is open but cannot be found: %w; stop the server and restore the file", ErrGone, err)
	case !os.SameFile(info, f.info):
		return fmt.Errorf("%w: %s was replaced while it is open: restart the server", ErrGone, f.name)
	}
	return nil
}
