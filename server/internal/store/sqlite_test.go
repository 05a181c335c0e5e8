package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/once"
)

// someData makes a closed database of many pages and returns its folder.
func someData(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	db := open(t, Options{DataDir: dir})
	var names []string
	for i := range 60 {
		names = append(names, fmt.Sprintf("m%d", i))
	}
	services := insert(t, db, names...)
	for i := range services {
		allow(t, db, services[i], services[(i+1)%len(services)], "read")
		addCredential(t, db, services[i], fmt.Sprint("c", i))
	}
	must(t, db.Close())
	return dir
}

// refused opens the folder, which must fail with an error that has all those words and leave
// the database file as it is.
func refused(t *testing.T, what, dir string, words ...string) {
	t.Helper()
	path := filepath.Join(dir, sqliteFile)
	before, err := os.ReadFile(path)
	must(t, err)
	db, err := Open(t.Context(), Options{DataDir: dir})
	if err == nil {
		db.Close()
		t.Errorf("%s: opened", what)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s: got %q, want it to say %q", what, err, w)
		}
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("%s: the file was changed, %v", what, err)
	}
}

// FLT-007: a damaged file is refused with instructions, whatever part of it is damaged.
func TestDamagedFileIsRefused(t *testing.T) {
	dir := someData(t)
	path := filepath.Join(dir, sqliteFile)
	whole, err := os.ReadFile(path)
	must(t, err)
	const page = 4096
	noise := make([]byte, page)
	random := rand.NewChaCha8([32]byte{7})
	_, _ = random.Read(noise)
	damage := map[string][]byte{
		"empty":             {},
		"cut in the header": whole[:50],
		"cut to one page":   whole[:page],
		"cut in the middle": whole[:len(whole)/2],
		"last page gone":    whole[:len(whole)-page],
		"header of zeros":   slices.Concat(make([]byte, 100), whole[100:]),
		"first page zero":   slices.Concat(make([]byte, page), whole[page:]),
		"all zeros":         make([]byte, len(whole)),
	}
	for at := page; at < len(whole); at += page {
		damage[fmt.Sprintf("page %d zero", at/page+1)] = slices.Concat(whole[:at], make([]byte, page), whole[at+page:])
		damage[fmt.Sprintf("page %d noise", at/page+1)] = slices.Concat(whole[:at], noise, whole[at+page:])
	}
	for what, content := range damage {
		removeLogs(t, dir)
		must(t, os.WriteFile(path, content, 0o600))
		refused(t, what, dir, path, "damaged", "backup")
	}
	removeLogs(t, dir)
	must(t, os.WriteFile(path, whole, 0o600))
	if got := revision(t, open(t, Options{DataDir: dir})); got != 180 {
		t.Errorf("restored: got revision %d", got)
	}
}

func removeLogs(t *testing.T, dir string) {
	t.Helper()
	for _, suffix := range []string{"-wal", "-shm"} {
		if err := os.Remove(filepath.Join(dir, sqliteFile+suffix)); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
}

func TestFileOfAnotherProgramIsRefused(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, sqliteFile)
	for _, text := range []string{"PK\x03\x04", strings.Repeat("not a database\n", 1000)} {
		must(t, os.WriteFile(path, []byte(text), 0o600))
		refused(t, text[:4], dir, path, "not a database of Watchword", "another data folder")
	}
	must(t, os.Remove(path))
	other, err := sql.Open("sqlite", path)
	must(t, err)
	if _, err := other.Exec("CREATE TABLE services (uid TEXT)"); err != nil {
		t.Fatal(err)
	}
	other.Close()
	refused(t, "SQLite", dir, path, "another program", "another data folder")
}

// FLT-007: a log cut short, as no sync ever leaves it, loses changes from its end only.
func TestCutLogLeavesAPrefix(t *testing.T) {
	live := t.TempDir()
	db := open(t, Options{DataDir: live})
	for i := range 20 {
		insert(t, db, fmt.Sprint("m", i))
	}
	main, err1 := os.ReadFile(filepath.Join(live, sqliteFile))
	log, err2 := os.ReadFile(filepath.Join(live, sqliteFile+"-wal"))
	if err1 != nil || err2 != nil || len(log) == 0 {
		t.Fatal(err1, err2, len(log))
	}
	last := int64(-1)
	for _, size := range []int{0, 31, 5000, len(log) / 2, len(log) - 100, len(log)} {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, sqliteFile), main, 0o600))
		must(t, os.WriteFile(filepath.Join(dir, sqliteFile+"-wal"), log[:size], 0o600))
		db := open(t, Options{DataDir: dir})
		got := revision(t, db)
		state, err := db.Load(t.Context())
		if err != nil || int64(len(state.Services)) != got || got < last {
			t.Errorf("%d of %d bytes: got revision %d with %d services, %v", size, len(log), got, len(state.Services), err)
		}
		last = got
	}
	if last != 20 {
		t.Errorf("the whole log gives revision %d, want 20", last)
	}
}

// Where a database was, none is made anew.
func TestLostDatabaseIsNotMadeAnew(t *testing.T) {
	for _, name := range companions {
		dir := t.TempDir()
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, []byte("x"), 0o600))
		_, err := Open(t.Context(), Options{DataDir: dir})
		if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "restore it from a backup") {
			t.Errorf("beside %s: got %v", name, err)
		}
		if left, err := Leftovers(dir); err != nil || !slices.Equal(left, []string{name}) {
			t.Errorf("got leftovers %v, %v, want %s", left, err, name)
		}
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 2 { // it and the lock
			t.Errorf("the folder now has %v, %v", entries, err)
		}
	}
	for what, dir := range map[string]string{"whole": someData(t), "empty": t.TempDir(), "absent": filepath.Join(t.TempDir(), "no")} {
		if left, err := Leftovers(dir); err != nil || left != nil {
			t.Errorf("%s folder: got leftovers %v, %v", what, left, err)
		}
	}
}

func TestCreationCutShortBeginsAgain(t *testing.T) {
	dir := t.TempDir()
	for _, suffix := range []string{".new", ".new-wal", ".new-journal"} {
		must(t, os.WriteFile(filepath.Join(dir, sqliteFile+suffix), []byte("half"), 0o600))
	}
	insert(t, open(t, Options{DataDir: dir}), "m1")
}

func TestDataIsForThisUserOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "data?%#folder")
	db := open(t, Options{DataDir: dir})
	insert(t, db, "m1")
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("got %v, %v, want mode 0700", info, err)
	}
	files := 0
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		must(t, err)
		if info, err := d.Info(); err != nil || !d.IsDir() && info.Mode().Perm() != 0o600 {
			t.Errorf("%s: got mode %v, %v, want 0600", path, info.Mode(), err)
		}
		files++
		return nil
	})
	if files != 5 { // folder, lock, database, log, index of the log
		t.Errorf("got %d files", files)
	}
}

// FLT-008: a second server on the same data is refused, and a start after it is not.
func TestSecondOpenIsRefused(t *testing.T) {
	o := Options{DataDir: t.TempDir()}
	db := open(t, o)
	_, err := Open(t.Context(), o)
	want := fmt.Sprintf("in use by process %d", os.Getpid())
	if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), o.DataDir) {
		t.Fatalf("got %v, want %q", err, want)
	}
	insert(t, db, "m1")
	db.Close()
	insert(t, open(t, o), "m2")
}

// takesNothing fails the test unless db takes no change, and says of which file and why.
func takesNothing(t *testing.T, db *DB, what, path, why string) {
	t.Helper()
	if _, err := db.Heartbeat(t.Context()); !errors.Is(err, ErrGone) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), why) {
		t.Errorf("%s: heartbeat: got %v; want ErrGone, %s and %q", what, err, path, why)
	}
	s := newService("lost")
	if _, err := db.InsertService(t.Context(), s, change(directory.SubjectService(s.UID))); !errors.Is(err, ErrGone) {
		t.Errorf("%s: a change: got %v; want ErrGone", what, err)
	}
	if fresh, err := db.UseOnce(t.Context(), []once.Entry{used("lost")}); err == nil { // of an overwritten file it reads first
		t.Errorf("%s: use once: got %v", what, fresh)
	}
}

// FLT-008, F77: a file deleted or replaced under the server is noticed, and what would be written into
// it is not acknowledged.
func TestLostFileIsNoticed(t *testing.T) {
	for _, name := range []string{sqliteFile, sqliteFile + "-wal", sqliteFile + "-shm", lockName} {
		dir := t.TempDir()
		db := open(t, Options{DataDir: dir})
		insert(t, db, "m1")
		path := filepath.Join(dir, name)
		must(t, os.Rename(path, path+".away"))
		takesNothing(t, db, "deleted", path, "cannot be found")
		if strings.Contains(name, sqliteFile+"-") {
			continue // what is put back there is no log of this database
		}
		must(t, os.WriteFile(path, nil, 0o600))
		takesNothing(t, db, "replaced", path, "was replaced")
		must(t, os.Rename(path+".away", path))
		insert(t, db, "m2")
	}
}

// F77: what was written into a file while somebody deleted it is not acknowledged.
func TestAFileThatIsLostDuringAChangeIsNoticed(t *testing.T) {
	dir := t.TempDir()
	db := open(t, Options{DataDir: dir})
	s := newService("m1")
	_, err := db.change(t.Context(), change(directory.SubjectService(s.UID)), "change", func(context.Context, tx) error {
		return os.Remove(filepath.Join(dir, sqliteFile))
	})
	if !errors.Is(err, ErrGone) {
		t.Errorf("got %v; want ErrGone", err)
	}
}

// F77: the same file, with something else in it.
func TestOverwrittenFileIsNoticed(t *testing.T) {
	older := t.TempDir()
	insert(t, open(t, Options{DataDir: older}), "of another")
	another, err := os.ReadFile(filepath.Join(older, sqliteFile))
	must(t, err)
	for name, overwrite := range map[string]func(path string, was []byte) error{
		"another database": func(path string, _ []byte) error { return os.WriteFile(path, another, 0o600) },
		"nothing":          func(path string, _ []byte) error { return os.Truncate(path, 0) },
		"half of it":       func(path string, was []byte) error { return os.Truncate(path, int64(len(was)/2)) },
		"zeros":            func(path string, was []byte) error { return os.WriteFile(path, make([]byte, len(was)), 0o600) },
		// A copy made while this process ran, which nothing in it tells from the file.
		"a copy of before": func(path string, was []byte) error { return os.WriteFile(path, was, 0o600) },
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, sqliteFile)
		db := open(t, Options{DataDir: dir})
		was, err := os.ReadFile(path)
		must(t, err)
		insert(t, db, "m1")
		must(t, overwrite(path, was))
		if name != "a copy of before" { // found by what is in it, also where the time of a write tells nothing
			must(t, db.written())
		}
		takesNothing(t, db, name, path, "while it is open")
	}
}

// What this process writes itself is no reason to complain: so much that SQLite moves it from the
// write-ahead log into the file.
func TestOwnWritesAreKnown(t *testing.T) {
	dir := t.TempDir()
	db := open(t, Options{DataDir: dir})
	path := filepath.Join(dir, sqliteFile)
	before, err := os.Stat(path)
	must(t, err)
	for i := 0; ; i++ {
		entries := make([]once.Entry, 5000)
		for j := range entries {
			entries[j] = used(fmt.Sprint(i, "-", j))
		}
		if _, err := db.UseOnce(t.Context(), entries); err != nil {
			t.Fatal(err)
		}
		now, err := os.Stat(path)
		must(t, err)
		if now.Size() > before.Size()+1<<20 {
			break
		}
	}
	if _, err := db.Heartbeat(t.Context()); err != nil {
		t.Error(err)
	}
}

// F72: a clock that went back since the last heartbeat is told.
func TestAClockThatWentBackIsNoticed(t *testing.T) {
	db := open(t, Options{DataDir: t.TempDir()})
	if ahead, err := db.Heartbeat(t.Context()); err != nil || ahead != 0 {
		t.Errorf("got %v, %v", ahead, err)
	}
	later := time.Now().Add(10 * time.Minute)
	if _, err := db.writer.Exec(`UPDATE counters SET value = $1 WHERE name = 'heartbeat'`, micros(later)); err != nil {
		t.Fatal(err)
	}
	for range 2 { // as long as it is behind
		if ahead, err := db.Heartbeat(t.Context()); err != nil || ahead > -9*time.Minute || ahead < -11*time.Minute {
			t.Errorf("ten minutes behind: got %v, %v", ahead, err)
		}
	}
	if _, err := db.writer.Exec(`UPDATE counters SET value = $1 WHERE name = 'heartbeat'`, micros(later.Add(2*maxBehind))); err != nil {
		t.Fatal(err)
	}
	for i, behind := range []bool{true, false} {
		if ahead, err := db.Heartbeat(t.Context()); err != nil || (ahead < 0) != behind {
			t.Errorf("two days behind, %d: got %v, %v", i, ahead, err)
		}
	}
}

func TestFolderThatCannotBeWrittenIsExplained(t *testing.T) {
	dirs := []string{filepath.Join(os.DevNull, "data")}
	if os.Geteuid() != 0 {
		dir := t.TempDir()
		must(t, os.Chmod(dir, 0o500))
		dirs = append(dirs, dir)
	}
	for _, dir := range dirs {
		if _, err := Open(t.Context(), Options{DataDir: dir}); err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "to this user") {
			t.Errorf("got %v", err)
		}
	}
}

func TestCommitsAreSynced(t *testing.T) {
	db := open(t, Options{DataDir: t.TempDir()})
	for pragma, want := range map[string]string{"synchronous": "2", "journal_mode": "wal", "foreign_keys": "1", "application_id": fmt.Sprint(applicationID)} {
		for name, pool := range map[string]*sql.DB{"writer": db.writer, "reader": db.readers} {
			var got string
			if err := pool.QueryRow("PRAGMA " + pragma).Scan(&got); err != nil || got != want {
				t.Errorf("%s: got %s %s, %v, want %s", name, pragma, got, err, want)
			}
		}
	}
	if _, err := db.readers.Exec("DELETE FROM services"); err == nil {
		t.Error("a reader writes")
	}
	if err := db.Check(t.Context()); err != nil {
		t.Errorf("check: %v", err)
	}
}
