package audit

import (
	"errors"
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

// AUD-006: checkpoints come by time, and only when there is something new to sign.
func TestCheckpointsComeByTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		l := start(t, dir, Options{Sign: signToken, CheckpointAfter: time.Minute})
		add(t, l, "1")
		<-time.After(10 * time.Minute)
		synctest.Wait()
		if got := checkpoints(t, dir); !slices.Equal(got, []uint64{3}) {
			t.Errorf("after ten minutes: got checkpoints %v, want one: nothing came after it", got)
		}
		add(t, l, "2")
		<-time.After(time.Minute)
		synctest.Wait()
		l.Close()
		if got := checkpoints(t, dir); !slices.Equal(got, []uint64{3, 5}) {
			t.Errorf("got checkpoints %v, want another one, and none at the end for nothing", got)
		}
		if report := sound(t, dir); report.Checkpoints != 2 || report.Uncovered != 1 {
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
		l := start(t, dir, Options{MaxSize: 1, Retention: 48 * time.Hour}) // a file for each batch
		synctest.Wait()
		add(t, l, "old")
		foreign := segmentPath(dir, 1) + ".1"
		rename(t, segmentPath(dir, 1), foreign)
		<-time.After(30 * time.Hour)
		add(t, l, "young")
		<-time.After(20 * time.Hour)
		synctest.Wait()
		if _, err := os.Stat(foreign); err != nil {
			t.Errorf("a file another program renamed was deleted: %v", err)
		}
		if err := os.Remove(foreign); err != nil {
			t.Fatal(err)
		}
		l.Close()
		var deleted []Record
		for _, r := range records(t, dir) {
			if r.Action == "log.delete" {
				deleted = append(deleted, r)
			}
			if r.ID == "old" {
				t.Error("the old record is still there")
			}
		}
		report := sound(t, dir)
		if len(deleted) != 1 || deleted[0].Subject != filepath.Base(segmentPath(dir, 2)) || deleted[0].Detail[deletedSeq] != "2" {
			t.Fatalf("got deletions %+v; want the one of the file of record 2", deleted)
		}
		if report.First.Seq != 3 || strconv.FormatUint(report.DeletedThrough, 10) != "2" {
			t.Errorf("got %+v; want a log from record 3, with the deletion through 2 explained", report)
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
