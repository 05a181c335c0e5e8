package audit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
)

func lastIDs(t *testing.T, dir string, n int) (got []string) {
	t.Helper()
	err := Tail(t.Context(), dir, n, false, func(line []byte) error {
		r, err := ParseLine(line)
		got = append(got, r.ID)
		return err
	})
	must(t, err)
	return got
}

func TestTailBeginsWithTheLastLines(t *testing.T) {
	dir := t.TempDir()
	if got := lastIDs(t, dir, 5); len(got) != 0 {
		t.Errorf("empty folder: got %q", got)
	}
	l := start(t, dir, Options{MaxSize: 800}) // three records or so a file
	want := []string{""}                      // the start
	for i := range 10 {
		want = append(want, fmt.Sprint(i))
		add(t, l, fmt.Sprint(i))
	}
	for n := range 15 {
		if got := lastIDs(t, dir, n); !slices.Equal(got, want[max(0, len(want)-n):]) {
			t.Errorf("last %d: got %q, want %q", n, got, want[max(0, len(want)-n):])
		}
	}
	stop := errors.New("enough")
	if err := Tail(t.Context(), dir, 3, true, func([]byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("got %v, want yield's error", err)
	}
}

// AUD-008.
func TestTailFollowsAcrossEveryRotation(t *testing.T) {
	dir := t.TempDir()
	l := start(t, dir, Options{MaxSize: 2000})
	add(t, l, "before")
	ctx, stop := context.WithCancel(t.Context())
	lines, ended := make(chan string, 100), make(chan error)
	go func() {
		ended <- Tail(ctx, dir, 1, true, func(line []byte) error {
			r, err := ParseLine(line)
			if r.ID != "" {
				lines <- r.ID
			}
			return err
		})
	}()
	expect := func(want string) {
		t.Helper()
		if got := <-lines; got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
	expect("before")
	for i := range 12 { // over several files
		add(t, l, fmt.Sprint(i))
	}
	for i := range 12 {
		expect(fmt.Sprint(i))
	}
	path := newest(t, dir)
	rename(t, path, path+".1")
	add(t, l, "renamed")
	expect("renamed")
	must(t, os.Truncate(newest(t, dir), 0))
	add(t, l, "emptied")
	expect("emptied")
	stop()
	if err := <-ended; err != nil {
		t.Errorf("got %v at the end", err)
	}
}
