package store

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/server/internal/once"
)

func used(name string) once.Entry {
	return once.Entry{Key: once.Key("test", name), Until: noon.Add(time.Hour)}
}

// use uses names and draws who was fresh: + for fresh, - for used before.
func use(t *testing.T, db *DB, names ...string) (drawn string) {
	t.Helper()
	entries := make([]once.Entry, len(names))
	for i, name := range names {
		entries[i] = used(name)
	}
	fresh, err := db.UseOnce(t.Context(), entries)
	if err != nil || len(fresh) != len(names) {
		t.Fatal(fresh, err)
	}
	for _, f := range fresh {
		drawn += map[bool]string{true: "+", false: "-"}[f]
	}
	return drawn
}

func TestUsedNamesOutliveARestart(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		for _, c := range []struct{ names, want string }{
			{"b a b c a", "++-+-"},
			{"a b c", "---"},
			{"c d d", "-+-"},
			{"", ""},
		} {
			if got := use(t, db, strings.Fields(c.names)...); got != c.want {
				t.Errorf("%s: got %s, want %s", c.names, got, c.want)
			}
		}
		before := revision(t, db)
		db.Close()
		db = open(t, o)
		if got := use(t, db, "a", "b", "c", "d", "e"); got != "----+" {
			t.Errorf("after a restart: got %s", got)
		}
		// The same name until another moment is the same name.
		later := used("a")
		later.Until = later.Until.Add(time.Hour)
		if fresh, err := db.UseOnce(t.Context(), []once.Entry{later}); err != nil || fresh[0] {
			t.Errorf("got %v, %v", fresh, err)
		}
		if now := revision(t, db); now != before {
			t.Errorf("made %d revisions", now-before)
		}
	})
}

func TestMoreNamesThanOneStatementHolds(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		names := make([]string, 2*oncePerStatement+7)
		for i := range names {
			names[i] = fmt.Sprint(i % (len(names) - 3))
		}
		if got, want := use(t, db, names...), strings.Repeat("+", len(names)-3)+"---"; got != want {
			t.Errorf("got %s", got)
		}
		if got := use(t, db, names...); strings.Contains(got, "+") {
			t.Errorf("again: got %s", got)
		}
	})
}

func TestEndedNamesAreForgotten(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		entries := make([]once.Entry, 2*deleteAtOnce+5)
		for i := range entries {
			entries[i] = once.Entry{Key: once.Key("test", fmt.Sprint(i)), Until: noon}
		}
		for range 3 { // on SQLite it is calls that make rows
			if _, err := db.UseOnce(t.Context(), entries); err != nil {
				t.Fatal(err)
			}
		}
		use(t, db, "kept") // for an hour
		must(t, db.PurgeOnce(t.Context(), noon.Add(2*time.Minute)))
		rows, want := 0, 1
		if err := db.readers.QueryRow(`SELECT (SELECT COUNT(*) FROM once) + (SELECT COUNT(*) FROM once_batches)`).Scan(&rows); err != nil || rows != want {
			t.Errorf("%d rows are left, %v, want %d", rows, err, want)
		}
		// F72: what ended is refused by who looks at the time; where a clock was wrong, it is refused here.
		later := once.Entry{Key: once.Key("test", "later"), Until: noon.Add(2 * time.Minute)}
		for range 2 {
			if fresh, err := db.UseOnce(t.Context(), []once.Entry{entries[0], {Key: once.Key("test", "new, but ended"), Until: noon}, later}); err != nil || fresh[0] || fresh[1] || !fresh[2] {
				t.Errorf("names that ended, and one that ends later: got %v, %v", fresh, err)
			}
			later.Key = once.Key("test", "after a restart")
			db.Close()
			db = open(t, o)
		}
		if got := use(t, db, "kept"); got != "-" {
			t.Errorf("a name that did not end: got %s", got)
		}
	})
}

// F72: a clock that goes forward and back, or that of one of several replicas, makes nothing good again.
func TestWhatWasUsedStaysUsedWhateverAClockDoes(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		if got := use(t, db, "a"); got != "+" {
			t.Fatal(got)
		}
		if err := db.PurgeOnce(t.Context(), noon.Add(10*time.Hour)); err != nil { // an hour after all ended, so this clock says
			t.Fatal(err)
		}
		if got := use(t, db, "a"); got != "-" {
			t.Errorf("used again: got %s", got)
		}
		must(t, db.PurgeOnce(t.Context(), noon))
		next := once.Entry{Key: once.Key("test", "b"), Until: noon.Add(time.Hour + time.Minute)}
		if fresh, err := db.UseOnce(t.Context(), []once.Entry{used("a"), next}); err != nil || fresh[0] || !fresh[1] {
			t.Errorf("got %v, %v; want the one refused, and one that ends later as new", fresh, err)
		}
	})
}

// DOS-008: who uses names as fast as may be for ten minutes makes the store keep those of the last minutes
// only, on disk and in memory.
func TestOnlyTheNamesOfTheLastMinutesAreKept(t *testing.T) {
	const perSecond, life, slack = 50, 5 * 60, 60 // seconds: an assertion lives five minutes, clocks differ by one
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		most := 0
		for second := range 10 * 60 {
			now := noon.Add(time.Duration(second) * time.Second)
			entries := make([]once.Entry, perSecond)
			for i := range entries {
				entries[i] = once.Entry{Key: once.Key("test", fmt.Sprint(second, i)), Until: now.Add(life * time.Second)}
			}
			if fresh, err := db.UseOnce(t.Context(), entries); err != nil || slices.Contains(fresh, false) {
				t.Fatal(fresh, err)
			}
			if second%10 != 0 {
				continue
			}
			must(t, db.PurgeOnce(t.Context(), now.Add(-slack*time.Second)))
			rows, kept := 0, 0
			must(t, db.readers.QueryRow(`SELECT (SELECT COUNT(*) FROM once) + (SELECT COUNT(*) FROM once_batches)`).Scan(&rows))
			for _, slot := range db.used.slots {
				kept += len(slot)
			}
			most = max(most, rows, kept)
		}
		// Memory is forgotten by the minute, the table by the call of PurgeOnce.
		if bound := perSecond * (life + slack + 60); most > bound || most < perSecond*life {
			t.Errorf("%d were kept at once, want at most %d", most, bound)
		}
	})
}

// PKJ-016, PKJ-017, DPO-015: each of a hundred names, which two replicas use at once in orders of
// their own, is fresh once.
func TestReplicasRaceForNames(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		first := open(t, o)
		replicas := []*DB{first, first}
		if o.DatabaseURL != "" {
			replicas[1] = open(t, o)
		}
		const names = 100
		var counts [names]atomic.Int64
		var wg sync.WaitGroup
		for caller := range 8 {
			wg.Go(func() {
				for from := range names {
					entries := make([]once.Entry, 10)
					number := func(i int) int { return (from*(2*caller+1) + i*7) % names }
					for i := range entries {
						entries[i] = used(fmt.Sprint(number(i)))
					}
					fresh, err := replicas[caller%2].UseOnce(t.Context(), entries)
					if err != nil {
						t.Error(err)
						return
					}
					for i, f := range fresh {
						if f {
							counts[number(i)].Add(1)
						}
					}
				}
			})
		}
		wg.Wait()
		for i := range counts {
			if n := counts[i].Load(); n != 1 {
				t.Errorf("name %d was fresh %d times", i, n)
			}
		}
	})
}

// What a failed transaction left behind, whole or not at all, is found before the next answer.
func TestUseAfterAFailureIsOfWhatIsStored(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		use(t, db, "a")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if fresh, err := db.UseOnce(ctx, []once.Entry{used("b")}); err == nil || fresh != nil {
			t.Errorf("got %v, %v", fresh, err)
		}
		if got := use(t, db, "b", "a"); got != "+-" {
			t.Errorf("got %s", got)
		}
		if db.engine == sqliteEngine {
			// Committed, while the answer said otherwise.
			row := fmt.Sprintf("INSERT INTO once_batches (id, entries, until_at) VALUES (3, '%s 1\n', 1)", used("c").Key)
			if _, err := db.writer.Exec(row); err != nil {
				t.Fatal(err)
			}
			db.used.current = false
			if got := use(t, db, "c", "d"); got != "-+" {
				t.Errorf("got %s", got)
			}
		}
	})
}

// A row that cannot be read must not count as names that were never used.
func TestDamagedBatchIsAnError(t *testing.T) {
	o := Options{DataDir: t.TempDir()}
	db := open(t, o)
	for _, entries := range []string{"key", "key x\n", "key 1 2\n", "\n"} {
		if _, err := db.writer.Exec(`INSERT INTO once_batches (id, entries, until_at) VALUES (1, $1, 1)`, entries); err != nil {
			t.Fatal(err)
		}
		if fresh, err := db.UseOnce(t.Context(), []once.Entry{used("a")}); err == nil || !strings.Contains(err.Error(), "row 1") {
			t.Errorf("%q: got %v, %v", entries, fresh, err)
		}
		if _, err := db.writer.Exec(`DELETE FROM once_batches`); err != nil {
			t.Fatal(err)
		}
	}
}

const onceChildDir = "WATCHWORD_STORE_TEST_ONCE_CHILD"

// useForever prints each name once it is used up.
func useForever(dir string) error {
	ctx := context.Background()
	db, err := Open(ctx, Options{DataDir: dir})
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		name := fmt.Sprint(os.Getpid(), "-", i)
		fresh, err := db.UseOnce(ctx, []once.Entry{used(name)})
		if err != nil || !fresh[0] {
			return fmt.Errorf("%s: %v, %w", name, fresh, err)
		}
		fmt.Println(name)
	}
}

// PKJ-018: after kill -9 at any moment nothing that was used can be used again.
func TestKillForgetsNothingUsed(t *testing.T) {
	kills := 50
	if testing.Short() {
		kills = 5
	}
	dir := t.TempDir()
	var acknowledged []string
	for i := range kills {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), onceChildDir+"="+dir)
		var stderr strings.Builder
		cmd.Stderr = &stderr
		stdout, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		lines := bufio.NewScanner(stdout)
		for n := 0; lines.Scan(); n++ {
			acknowledged = append(acknowledged, lines.Text())
			if n == i%7 {
				cmd.Process.Kill() // and read on: what was printed was acknowledged
			}
		}
		cmd.Wait()
		if stderr.Len() > 0 {
			t.Fatalf("child %d: %s", i, stderr.String())
		}
	}
	db := open(t, Options{DataDir: dir})
	if got := use(t, db, acknowledged...); strings.Contains(got, "+") {
		t.Errorf("of %d names used some can be used again: %s", len(acknowledged), got)
	}
	t.Logf("%d used over %d kills", len(acknowledged), kills)
}
