package audit

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

// load appends from several goroutines until stopped, and says what was acknowledged.
func load(t *testing.T, l *Log) (progress <-chan bool, stop func() (acknowledged []string)) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan bool, 1)
	var mu sync.Mutex
	var acknowledged []string
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := 0; ctx.Err() == nil; j++ {
				e := sample
				e.ID = fmt.Sprintf("%d-%d", i, j)
				if err := l.Append(t.Context(), e); err != nil {
					t.Errorf("append %s: %v", e.ID, err)
					return
				}
				mu.Lock()
				acknowledged = append(acknowledged, e.ID)
				if len(acknowledged)%200 == 0 {
					select {
					case done <- true:
					default:
					}
				}
				mu.Unlock()
			}
		})
	}
	return done, func() []string {
		cancel()
		all.Wait()
		return acknowledged
	}
}

// newest is the path of the file that was begun last.
func newest(t *testing.T, dir string) string {
	list, err := segments(dir)
	must(t, err)
	path := ""
	for _, s := range list {
		if s.suffix == "" {
			path = s.path
		}
	}
	return path
}

// AUD-008: no record is lost or torn, whatever way the files are rotated under load.
func TestOutsideRotationUnderLoadLosesNothing(t *testing.T) {
	for name, rotate := range map[string]func(t *testing.T, l *Log, path string, n int){
		"rename": func(t *testing.T, _ *Log, path string, n int) {
			rename(t, path, fmt.Sprint(path, ".", n))
		},
		"rename and create": func(t *testing.T, _ *Log, path string, n int) {
			rename(t, path, fmt.Sprint(path, ".", n))
			write(t, path, nil)
		},
		"rename and signal": func(t *testing.T, l *Log, path string, n int) {
			rename(t, path, fmt.Sprint(path, ".", n))
			l.Reopen()
		},
		"signal": func(_ *testing.T, l *Log, _ string, _ int) { l.Reopen() },
		"copytruncate": func(t *testing.T, _ *Log, path string, n int) {
			copyFile(t, path, fmt.Sprint(path, ".", n))
			must(t, os.Truncate(path, 0))
		},
		"by size": func(*testing.T, *Log, string, int) {},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			o := Options{Sign: signToken, CheckpointEvery: 100}
			if name == "by size" {
				o.MaxSize = 20_000
			}
			l := start(t, dir, o)
			progress, stop := load(t, l)
			for n := range 10 {
				<-progress
				rotate(t, l, newest(t, dir), n)
			}
			<-progress
			<-progress
			acknowledged := stop()
			l.Close()
			sound(t, dir)
			got := ids(t, dir)
			slices.Sort(got)
			slices.Sort(acknowledged)
			if !slices.Equal(got, acknowledged) {
				t.Errorf("got %d records, want the %d that were acknowledged, once each", len(got), len(acknowledged))
			}
			if list, _ := segments(dir); len(list) < 5 {
				t.Errorf("got %d files: nothing was rotated", len(list))
			}
		})
	}
}

// What copytruncate loses between its copy and its truncation is written again.
func TestRecordsBetweenCopyAndTruncationAreNotLost(t *testing.T) {
	dir := t.TempDir()
	l := start(t, dir, Options{})
	add(t, l, "in the copy")
	path := onlyFile(t, dir)
	copyFile(t, path, path+".1")
	add(t, l, "after the copy")
	must(t, os.Truncate(path, 0))
	add(t, l, "after the truncation")
	l.Close()
	sound(t, dir)
	want := []string{"in the copy", "after the copy", "after the truncation"}
	if got := ids(t, dir); !slices.Equal(got, want) {
		t.Errorf("got events %q, want %q", got, want)
	}
}

func TestLogSaysThatItsFileWasTakenAway(t *testing.T) {
	dir := t.TempDir()
	l := start(t, dir, Options{})
	add(t, l, "before")
	path := onlyFile(t, dir)
	rename(t, path, filepath.Join(t.TempDir(), "elsewhere"))
	add(t, l, "after")
	l.Close()
	var said []string
	for _, r := range records(t, dir) {
		if r.Kind == KindLog {
			said = append(said, r.Action+" "+r.Detail["was"])
		}
	}
	if !slices.Equal(said, []string{"log.file " + moved}) {
		t.Errorf("got %q; want one record that says so", said)
	}
	report, err := VerifyDir(dir, Known{})
	if err != nil || report.Bad == nil || report.Bad.Fault != Deleted || report.Bad.Seq != 3 {
		t.Errorf("got %v, %v; want the two records of that file missed", report.Bad, err)
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	must(t, os.Rename(from, to))
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	must(t, err)
	defer in.Close()
	out, err := os.Create(to)
	must(t, err)
	defer out.Close()
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
}
