package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/watchword-dev/watchword/server/internal/disk"
)

// AUD-001: exactly one record each, in order, on disk before Wait returns.
func TestEveryEventIsOnDiskBeforeWaitReturns(t *testing.T) {
	dir := t.TempDir()
	l := start(t, dir, Options{})
	const n = 1000
	var want []string
	var all sync.WaitGroup
	for i := range n {
		id := fmt.Sprintf("event-%04d", i)
		want = append(want, id)
		p := l.Begin(Event{ID: id, Kind: KindDecision})
		all.Go(func() {
			if err := p.Wait(t.Context()); err != nil {
				t.Errorf("%s: %v", id, err)
			}
			if file, err := os.ReadFile(filepath.Join(dir, "audit-00000000000000000001.jsonl")); err != nil || !strings.Contains(string(file), id) {
				t.Errorf("%s is acknowledged and not in the file (%v)", id, err)
			}
		})
		if i%100 == 0 { // some batches of one, some of many
			all.Wait()
		}
	}
	all.Wait()
	if got := ids(t, dir); !slices.Equal(got, want) {
		t.Errorf("got %d records, want the %d events in the order of Begin", len(got), n)
	}
	sound(t, dir)
}

func TestChainRunsOnOverFilesAndRestarts(t *testing.T) {
	dir := t.TempDir()
	for i := range 3 {
		l := start(t, dir, Options{MaxSize: 3000, Sign: signToken})
		for j := range 20 {
			add(t, l, fmt.Sprint(i, "-", j))
		}
		l.Close()
	}
	report := sound(t, dir)
	if report.Files < 5 || report.Records != 3*(20+3) || report.First.Seq != 1 || report.Last.Seq != report.Records {
		t.Errorf("got %+v; want all records of three runs, each with a start and two checkpoints, in several files", report)
	}
	if report.Checkpoints != 6 || report.Uncovered != 1 {
		t.Errorf("got %d checkpoints, %d records uncovered; want two each run, and only the last itself uncovered", report.Checkpoints, report.Uncovered)
	}
}

// AUD-010.
func TestSequenceStaysMonotonicWhenTheClockGoesBack(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	var mu sync.Mutex
	l := start(t, dir, Options{Now: func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		now = now.Add(-time.Hour)
		return now
	}})
	for i := range 50 {
		add(t, l, fmt.Sprint(i))
	}
	all := records(t, dir)
	for i, r := range all {
		if r.Seq != uint64(i+1) {
			t.Fatalf("record %d has sequence number %d", i+1, r.Seq)
		}
		if i > 0 && !r.At.Before(all[i-1].At) {
			t.Fatalf("record %d: the clock did not go back, the test proves nothing", i+1)
		}
	}
	sound(t, dir)
}

func TestSecondWriterIsRefused(t *testing.T) {
	dir := t.TempDir()
	l := start(t, dir, Options{})
	if _, err := Open(dir, Options{}); !errors.Is(err, disk.ErrInUse) {
		t.Errorf("second Open: got %v, want disk.ErrInUse", err)
	}
	l.Close()
	start(t, dir, Options{})
}

func TestFilesAreForTheOwnerOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "audit")
	l := start(t, dir, Options{})
	add(t, l, "1")
	for path, want := range map[string]os.FileMode{dir: 0o700 | os.ModeDir, onlyFile(t, dir): 0o600} {
		info, err := os.Stat(path)
		if err != nil || info.Mode() != want {
			t.Errorf("%s: got mode %v, %v; want %v", path, info.Mode(), err, want)
		}
	}
}

func TestHealthyOnlyOnceARecordIsOnDisk(t *testing.T) {
	l, err := Open(t.TempDir(), Options{})
	must(t, err)
	if err := l.Healthy(); !errors.Is(err, ErrUnavailable) {
		t.Errorf("before Run: got %v, want ErrUnavailable", err)
	}
	go l.Run(t.Context())
	add(t, l, "1")
	if err := l.Healthy(); err != nil {
		t.Errorf("after the first record: got %v", err)
	}
	l.Close()
	if err := l.Healthy(); !errors.Is(err, ErrUnavailable) {
		t.Errorf("after Close: got %v, want ErrUnavailable", err)
	}
	if err := l.Append(t.Context(), Event{}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("Append after Close: got %v, want ErrUnavailable", err)
	}
}

func TestEndOfRunLosesNoQueuedEvent(t *testing.T) {
	dir := t.TempDir()
	l, err := Open(dir, Options{})
	must(t, err)
	var queued []*Pending
	for i := range 100 {
		queued = append(queued, l.Begin(Event{ID: fmt.Sprint(i)}))
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	must(t, l.Run(ctx))
	l.Close()
	for i, p := range queued {
		if err := p.Wait(context.Background()); err != nil {
			t.Errorf("event %d: %v", i, err)
		}
	}
	if got := ids(t, dir); len(got) != 100 {
		t.Errorf("got %d events, want 100", len(got))
	}
}

func TestFullQueueFailsAtOnce(t *testing.T) {
	l, err := Open(t.TempDir(), Options{}) // nothing empties the queue
	must(t, err)
	defer l.Close()
	for range maxBatch / 100 {
		p := l.Begin(sample)
		select {
		case <-p.done:
			if err := p.Wait(t.Context()); !errors.Is(err, ErrUnavailable) {
				t.Errorf("got %v, want ErrUnavailable", err)
			}
			return
		default:
		}
	}
	t.Error("the queue takes any number of events")
}

func TestWaitEndsWithItsContext(t *testing.T) {
	l, err := Open(t.TempDir(), Options{})
	must(t, err)
	defer l.Close()
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := l.Append(ctx, Event{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

// AUD-002: a disk that does not answer.
func TestStalledDiskFailsEventsWithinTwoSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		l, err := Open(dir, Options{Logger: slog.New(slog.DiscardHandler)})
		must(t, err)
		entered, release := make(chan bool), make(chan bool)
		l.out.sync = func(f *os.File) error {
			entered <- true
			<-release
			return syncData(f)
		}
		begun := time.Now()
		go l.Run(t.Context())
		<-entered
		second := l.Begin(Event{ID: "queued behind"})
		for _, p := range []*Pending{l.inflight.Pending, second} {
			if err := p.Wait(t.Context()); !errors.Is(err, ErrUnavailable) {
				t.Errorf("got %v, want ErrUnavailable", err)
			}
		}
		if err := l.Append(t.Context(), Event{ID: "later"}); !errors.Is(err, ErrUnavailable) {
			t.Errorf("while stalled: got %v, want ErrUnavailable", err)
		}
		if took := time.Since(begun); took > 2*time.Second {
			t.Errorf("took %v, want at most 2 s", took)
		}
		if l.Healthy() == nil {
			t.Error("healthy while stalled")
		}
		release <- true
		synctest.Wait()
		if err := l.Healthy(); err != nil {
			t.Errorf("after the disk answered: %v", err)
		}
		l.out.sync = syncData // the writer is idle
		add(t, l, "afterwards")
		l.Close()
		if got := ids(t, dir); !slices.Equal(got, []string{"afterwards"}) {
			t.Errorf("got events %q; want none that was refused", got)
		}
		sound(t, dir)
	})
}

// FLT-004: no success after a failed sync, whatever the kernel says the second time.
func TestNothingAfterAFailedSyncIsTrusted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		l := start(t, dir, Options{})
		add(t, l, "before")
		synctest.Wait()
		l.out.sync = func(f *os.File) error {
			l.out.sync = syncData
			return syscall.EIO
		}
		if err := l.Append(t.Context(), Event{ID: "failed"}); !errors.Is(err, ErrUnavailable) || !errors.Is(err, syscall.EIO) {
			t.Errorf("got %v, want ErrUnavailable for EIO", err)
		}
		begun := time.Now()
		if err := l.Append(t.Context(), Event{ID: "refused"}); !errors.Is(err, ErrUnavailable) {
			t.Errorf("right after: got %v, want ErrUnavailable", err)
		}
		if time.Since(begun) != 0 {
			t.Errorf("a broken log makes its callers wait")
		}
		<-time.After(probeEvery)
		synctest.Wait()
		add(t, l, "after")
		l.Close()
		if got := ids(t, dir); !slices.Equal(got, []string{"before", "after"}) {
			t.Errorf("got events %q", got)
		}
		report := sound(t, dir)
		if report.Files != 2 {
			t.Errorf("got %d files; want the log to go on in a new one", report.Files)
		}
		all := records(t, dir)
		if r := all[2]; r.Action != "log.recover" || !strings.Contains(r.Reason, syscall.EIO.Error()) {
			t.Errorf("got record %+v; want one that says why a new file begins", r)
		}
	})
}

// AUD-002 and AUD-008 at once.
func TestFileEmptiedWhileTheDiskFailsLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		l := start(t, dir, Options{})
		add(t, l, "1")
		synctest.Wait()
		path := onlyFile(t, dir)
		copyFile(t, path, path+".1")
		add(t, l, "2")
		synctest.Wait()
		var well atomic.Bool // the writer probes by itself, so it is not asked to rest for the change
		l.out.sync = func(f *os.File) error {
			if !well.Load() {
				return syscall.EIO
			}
			return syncData(f)
		}
		if err := l.Append(t.Context(), Event{ID: "failed"}); !errors.Is(err, ErrUnavailable) {
			t.Errorf("got %v, want ErrUnavailable", err)
		}
		must(t, os.Truncate(path, 0))
		<-time.After(3 * probeEvery)
		synctest.Wait()
		if err := l.Healthy(); !errors.Is(err, syscall.EIO) {
			t.Errorf("while the disk fails: got %v, want EIO", err)
		}
		well.Store(true)
		<-time.After(probeEvery)
		synctest.Wait()
		add(t, l, "3")
		l.Close()
		if got := ids(t, dir); !slices.Equal(got, []string{"1", "2", "3"}) {
			t.Errorf("got events %q", got)
		}
		sound(t, dir)
	})
}

func TestLoneCallerIsNeverMadeToWaitForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := start(t, t.TempDir(), Options{})
		synctest.Wait()
		const sync = time.Millisecond
		l.out.sync = func(*os.File) error { <-time.After(sync); return nil }
		begun := time.Now()
		for i := range 20 {
			add(t, l, fmt.Sprint(i))
		}
		if took := time.Since(begun); took != 20*sync {
			t.Errorf("20 events, one after the other, took %v; want the time of 20 syncs, %v", took, 20*sync)
		}
	})
}

func TestManyCallersShareSyncs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := start(t, t.TempDir(), Options{})
		synctest.Wait()
		before := l.Stats()
		l.out.sync = func(*os.File) error { <-time.After(time.Millisecond); return nil }
		var all sync.WaitGroup
		for range 32 {
			all.Go(func() {
				for range 50 {
					if err := l.Append(t.Context(), sample); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		after := l.Stats()
		if events, syncs := after.Events-before.Events, after.Batches-before.Batches; events/syncs < 16 {
			t.Errorf("got %d syncs for %d events of 32 callers", syncs, events)
		}
	})
}

// must ends the test if something failed that has to succeed.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
