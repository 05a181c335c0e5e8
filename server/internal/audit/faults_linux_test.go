package audit

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/server/internal/disk"
)

// The test binary runs itself as a child for what cannot be done to the tests' own process.
const childVar = "AUDIT_TEST_CHILD"

var children = map[string]func(dir string) error{
	"append": appendForEver,
	"tmpfs":  fullTmpfs,
	"rlimit": fullByRlimit,
}

// errNoMount says that this machine does not let the child mount anything.
var errNoMount = errors.New("cannot mount")

func TestMain(m *testing.M) {
	if name := os.Getenv(childVar); name != "" {
		err := children[name](os.Args[1])
		switch {
		case errors.Is(err, errNoMount):
			fmt.Fprintln(os.Stderr, err)
			os.Exit(3)
		case err != nil:
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func child(t *testing.T, name, dir string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	c := exec.CommandContext(t.Context(), self, dir)
	c.Env = append(os.Environ(), childVar+"="+name)
	return c
}

// FLT-001: after kill -9 at any moment every acknowledged event is in the log, the chain
// holds, and the next process goes on.
func TestKilledProcessLosesNothingAcknowledged(t *testing.T) {
	dir := t.TempDir()
	var acknowledged []string
	for range 20 {
		c := child(t, "append", dir)
		out, err := c.StdoutPipe()
		must(t, err)
		c.Stderr = os.Stderr
		must(t, c.Start())
		lines := bufio.NewScanner(out)
		for left := rand.IntN(200); left > 0 && lines.Scan(); left-- {
			acknowledged = append(acknowledged, lines.Text())
		}
		must(t, c.Process.Kill())
		for lines.Scan() { // said before it died
			acknowledged = append(acknowledged, lines.Text())
		}
		c.Wait()
	}
	start(t, dir, Options{}).Close() // cuts off what the last one left half written
	sound(t, dir)
	got := ids(t, dir)
	slices.Sort(got)
	for _, id := range acknowledged {
		if _, found := slices.BinarySearch(got, id); !found {
			t.Errorf("%s was acknowledged and is not in the log", id)
		}
	}
	if len(acknowledged) < 500 {
		t.Errorf("only %d events were acknowledged: the test proves little", len(acknowledged))
	}
}

// appendForEver appends events from several goroutines and prints each id that is
// acknowledged.
func appendForEver(dir string) error {
	l, err := Open(dir, Options{MaxSize: 20_000, Sign: signToken, CheckpointEvery: 50, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	go l.Run(context.Background())
	failed := make(chan error)
	for i := range 8 {
		go func() {
			for j := 0; ; j++ {
				e := sample
				e.ID = fmt.Sprintf("%d-%d-%d", os.Getpid(), i, j)
				if err := l.Append(context.Background(), e); err != nil {
					failed <- err
					return
				}
				if _, err := os.Stdout.WriteString(e.ID + "\n"); err != nil {
					failed <- err
					return
				}
			}
		}()
	}
	return <-failed
}

// AUD-002, FLT-004: a disk without space, a real one where a name space of mounts can be had,
// else a limit of the kernel on the size of files.
func TestFullDiskFailsEventsAndHealsByItself(t *testing.T) {
	c := child(t, "tmpfs", t.TempDir())
	c.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	out, err := c.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
	case errors.As(err, &exit) && exit.ExitCode() != 3:
		t.Errorf("on a tmpfs: %v: %s", err, out)
	default:
		t.Logf("no tmpfs of our own here (%v: %s); the limit on file sizes has to do", err, out)
	}
	if out, err := child(t, "rlimit", t.TempDir()).CombinedOutput(); err != nil {
		t.Errorf("with a limit on file sizes: %v: %s", err, out)
	}
}

func fullTmpfs(dir string) error {
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=4m"); err != nil {
		return fmt.Errorf("%w: %w", errNoMount, err)
	}
	filler := filepath.Join(dir, "filler")
	fill := func() error {
		f, err := os.Create(filler)
		if err != nil {
			return err
		}
		defer f.Close()
		for err == nil {
			_, err = f.Write(make([]byte, 4096))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			return err
		}
		return nil
	}
	// F02: whoever proves nothing gets none of the last room.
	if !newSpace(dir, time.Now).ample() {
		return errors.New("an empty disk has no room")
	}
	if err := fill(); err != nil {
		return err
	}
	if newSpace(dir, time.Now).ample() {
		return errors.New("a full disk has room")
	}
	if err := os.Remove(filler); err != nil {
		return err
	}
	if err := fillAndFree(filepath.Join(dir, "audit"), fill, func() error { return os.Remove(filler) }); err != nil {
		return err
	}
	// A disk that is read-only already when the server starts.
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		return err
	}
	if _, err := Open(filepath.Join(dir, "audit"), Options{}); !errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("Open on a read-only disk: got %w, want EROFS", err)
	}
	if disk.Fault(dir) == nil {
		return errors.New("a read-only disk passes for a good one")
	}
	return nil
}

func fullByRlimit(dir string) error {
	signal.Ignore(syscall.SIGXFSZ)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	none := limit
	none.Cur = 0
	return fillAndFree(dir,
		func() error { return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &none) },
		func() error { return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit) })
}

func fillAndFree(dir string, fill, free func() error) error {
	logger, recovered := notices("records again")
	l, err := Open(dir, Options{Logger: logger})
	if err != nil {
		return err
	}
	go l.Run(context.Background())
	defer l.Close()
	var acknowledged []string
	appendOne := func(id string) error {
		begun := time.Now()
		e := sample
		e.ID = id
		err := l.Append(context.Background(), e)
		if took := time.Since(begun); took > 2*time.Second {
			return fmt.Errorf("Append took %v", took)
		}
		if err == nil {
			acknowledged = append(acknowledged, id)
		}
		return err
	}
	for round := range 2 {
		if err := appendOne(fmt.Sprint("before ", round)); err != nil {
			return fmt.Errorf("with space: %w", err)
		}
		if err := fill(); err != nil {
			return fmt.Errorf("fill: %w", err)
		}
		err := error(nil)
		for i := 0; err == nil && i < 100; i++ { // the last page of the file may have room
			err = appendOne(fmt.Sprint("full ", round, i))
		}
		if !errors.Is(err, ErrUnavailable) {
			return fmt.Errorf("on a full disk: got %w, want ErrUnavailable", err)
		}
		if err := appendOne("refused"); !errors.Is(err, ErrUnavailable) {
			return fmt.Errorf("on a full disk, second time: got %w, want ErrUnavailable", err)
		}
		if err := l.Healthy(); !errors.Is(err, ErrUnavailable) {
			return fmt.Errorf("health on a full disk: got %w", err)
		}
		if err := free(); err != nil {
			return fmt.Errorf("free: %w", err)
		}
		<-recovered
		if err := errors.Join(l.Healthy(), appendOne(fmt.Sprint("after ", round))); err != nil {
			return fmt.Errorf("with space again: %w", err)
		}
	}
	l.Close()
	return holdsExactly(dir, acknowledged)
}

// holdsExactly reports whether the log in dir is sound and has these events in this order.
func holdsExactly(dir string, want []string) error {
	report, err := VerifyDir(dir, Known{})
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	if report.Bad != nil {
		return fmt.Errorf("verify: %+v", *report.Bad)
	}
	var got []string
	err = Tail(context.Background(), dir, 1<<30, false, func(line []byte) error {
		r, err := ParseLine(line)
		if r.ID != "" {
			got = append(got, r.ID)
		}
		return err
	})
	if err != nil || !slices.Equal(got, want) {
		return fmt.Errorf("got events %q, %w; want %q", got, err, want)
	}
	return nil
}

// AUD-002: the folder is taken away and comes back empty, as with a disk that is unmounted.
func TestRemovedFolderFailsEventsAndHealsByItself(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	logger, recovered := notices("records again")
	l := start(t, dir, Options{Logger: logger})
	add(t, l, "before")
	must(t, os.RemoveAll(dir))
	if err := l.Healthy(); !errors.Is(err, ErrUnavailable) {
		t.Errorf("health before any request failed: got %v, want ErrUnavailable", err)
	}
	if err := l.Append(t.Context(), Event{ID: "lost"}); !errors.Is(err, ErrUnavailable) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without the folder: got %v, want ErrUnavailable for ErrNotExist", err)
	}
	must(t, os.Mkdir(dir, 0o700))
	<-recovered
	add(t, l, "after")
	if _, err := Open(dir, Options{}); !errors.Is(err, disk.ErrInUse) {
		t.Errorf("second writer of the new folder: got %v, want disk.ErrInUse", err)
	}
	if got := ids(t, dir); !slices.Equal(got, []string{"after"}) {
		t.Errorf("got events %q", got)
	}
	report, err := VerifyDir(dir, Known{})
	if err != nil || report.First.Seq != 3 || report.Bad == nil || report.Bad.Fault != Deleted {
		t.Errorf("got %+v, %v; want a chain that goes on from the two records that were there, and those missed", report, err)
	}
}

func TestFileOfSomeoneElseInTheWayIsNotOverwritten(t *testing.T) {
	dir := t.TempDir()
	logger, broken := notices("cannot record")
	l := start(t, dir, Options{Logger: logger, MaxSize: 1})
	add(t, l, "before")
	other := segmentPath(dir, 3)
	write(t, other, []byte("precious"))
	if err := l.Append(t.Context(), Event{ID: "failed"}); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), other) {
		t.Errorf("got %v; want ErrUnavailable and the name of the file", err)
	}
	<-broken
	if string(read(t, other)) != "precious" {
		t.Error("the file was overwritten")
	}
}
