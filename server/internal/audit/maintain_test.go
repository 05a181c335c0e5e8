package audit

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func checkpoints(t testing.TB, dir string) (covered []uint64) {
	t.Helper()
	for _, r := range records(t, dir) {
		if r.Kind == KindCheckpoint {
			covered = append(covered, r.Seq)
		}
	}
	return covered
}

// AUD-006: checkpoints come at the start, by time, and only when there is something new to sign.
func TestCheckpointsComeByTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		l := start(t, dir, Options{Sign: signToken, CheckpointAfter: time.Minute})
		synctest.Wait()
		add(t, l, "1")
		<-time.After(10 * time.Minute)
		synctest.Wait()
		if got := checkpoints(t, dir); !slices.Equal(got, []uint64{2, 4}) {
			t.Errorf("after ten minutes: got checkpoints %v, want two: nothing came after the second", got)
		}
		add(t, l, "2")
		<-time.After(time.Minute)
		synctest.Wait()
		l.Close()
		if got := checkpoints(t, dir); !slices.Equal(got, []uint64{2, 4, 6}) {
			t.Errorf("got checkpoints %v, want another one, and none at the end for nothing", got)
		}
		if report := sound(t, dir); report.Checkpoints != 3 || report.Uncovered != 1 {
			t.Errorf("got %+v", report)
		}
	})
}

func TestCheckpointThatCannotBeSignedIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		var away atomic.Bool
		away.Store(true)
		logger, warned := notices("checkpoint not signed")
		l := start(t, dir, Options{CheckpointAfter: time.Minute, Logger: logger, Sign: func(p []byte) (string, string, error) {
			if away.Load() {
				return "", "", errors.New("no key")
			}
			return signToken(p)
		}})
		add(t, l, "1")
		<-warned
		add(t, l, "issued without a checkpoint")
		away.Store(false)
		<-time.After(time.Minute)
		synctest.Wait()
		l.Close()
		if report := sound(t, dir); report.Checkpoints != 1 || report.Uncovered != 1 {
			t.Errorf("got %+v, want one checkpoint over all", report)
		}
	})
}

func TestFilesOlderThanTheRetentionAreDeletedAndThatIsRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		l := start(t, dir, Options{MaxSize: 1, Retention: 48 * time.Hour, Sign: signToken}) // a file for each batch
		synctest.Wait()
		add(t, l, "old")
		synctest.Wait()
		foreign := segmentPath(dir, 1) + ".1"
		rename(t, segmentPath(dir, 1), foreign)
		<-time.After(30 * time.Hour)
		add(t, l, "young")
		<-time.After(20 * time.Hour)
		synctest.Wait()
		if _, err := os.Stat(foreign); err != nil {
			t.Errorf("a file another program renamed was deleted: %v", err)
		}
		must(t, os.Remove(foreign))
		l.Close()
		through := uint64(1)
		for _, r := range records(t, dir) {
			if r.Action == "log.delete" {
				through++
				if r.Subject != filepath.Base(segmentPath(dir, through)) || r.Detail[deletedSeq] != strconv.FormatUint(through, 10) {
					t.Errorf("got deletion %+v; want that of the file of record %d", r, through)
				}
			}
			if r.ID == "old" {
				t.Error("the old record is still there")
			}
		}
		if report := sound(t, dir); through < 3 || report.First.Seq != through+1 || report.DeletedThrough != through {
			t.Errorf("got %+v; want a log that begins after record %d, with the deletion explained", report, through)
		}
	})
}

func TestNothingIsDeletedWithoutARetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		l := start(t, dir, Options{MaxSize: 1})
		add(t, l, "1")
		<-time.After(20 * 365 * 24 * time.Hour)
		add(t, l, "2")
		l.Close()
		if report := sound(t, dir); report.First.Seq != 1 {
			t.Errorf("got a log that begins at %d", report.First.Seq)
		}
	})
}

// F83: what a process left that ended before it signed, the next one signs when it starts.
func TestEachStartSignsWhatWasLeftUnsigned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		for n := range 4 {
			l := start(t, dir, Options{}) // as a process that is killed: it signs nothing at its end
			for range 10 {
				add(t, l, "1")
			}
			l.Close()
			l = start(t, dir, Options{Sign: signToken})
			synctest.Wait()
			if report := sound(t, dir); report.Checkpoints != n+1 || report.Uncovered != 1 {
				t.Errorf("start %d: got %d checkpoints, %d records not covered; want one more, and none but itself", n, report.Checkpoints, report.Uncovered)
			}
			l.Close()
		}
	})
}

func TestACheckpointThatWasNotWrittenCoversNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		var full atomic.Bool
		l, err := Open(dir, Options{CheckpointAfter: time.Minute, Sign: signToken, Logger: slog.New(slog.DiscardHandler)})
		must(t, err)
		l.out.sync = func(*os.File) error {
			if full.Load() {
				return errors.New("no space")
			}
			return nil
		}
		go l.Run(t.Context())
		add(t, l, "1")
		full.Store(true)
		<-time.After(time.Minute) // the checkpoint fails
		full.Store(false)
		<-time.After(2 * time.Minute)
		synctest.Wait()
		l.Close()
		if report := sound(t, dir); report.Uncovered != 1 {
			t.Errorf("got %+v; want all covered", report)
		}
	})
}

// F17: a file is deleted only once the record of its deletion is signed, so that there is no moment
// at which nothing proves why the log begins later.
func TestNoFileIsDeletedBeforeItsDeletionIsSigned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		var away atomic.Bool
		away.Store(true)
		l := start(t, dir, Options{MaxSize: 1, Retention: 48 * time.Hour, Sign: func(p []byte) (string, string, error) {
			if away.Load() {
				return "", "", errors.New("no key")
			}
			return signToken(p)
		}})
		synctest.Wait()
		add(t, l, "old") // in a second file: the newest is never deleted
		<-time.After(50 * time.Hour)
		synctest.Wait()
		if _, err := os.Stat(segmentPath(dir, 1)); err != nil {
			t.Errorf("deleted while nothing could be signed: %v", err)
		}
		away.Store(false)
		<-time.After(time.Hour)
		synctest.Wait()
		if _, err := os.Stat(segmentPath(dir, 1)); err == nil {
			t.Error("not deleted")
		}
		if report := sound(t, dir); report.DeletedThrough == 0 {
			t.Errorf("got %+v", report)
		}
	})
}
