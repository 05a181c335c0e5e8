package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/watchword-dev/watchword/internal/needs"
	"github.com/watchword-dev/watchword/server/internal/once"
)

const fullDiskDir = "WATCHWORD_STORE_TEST_FULL_DISK"

// errNoMount reports that this machine lets no test mount anything.
var errNoMount = errors.New("cannot mount")

// F77: a database on a full disk is not taken for one that takes changes, though SQLite still has room
// in its log.
func TestAFullDiskIsNoticed(t *testing.T) {
	self, err := os.Executable()
	must(t, err)
	c := exec.CommandContext(t.Context(), self)
	c.Env = append(os.Environ(), fullDiskDir+"="+t.TempDir())
	c.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	out, err := c.CombinedOutput()
	if err == nil {
		return
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() == 3 {
		needs.Missing(t, fmt.Sprintf("no disk of our own here: %v: %s", err, out))
	}
	t.Errorf("%v: %s", err, out)
}

func onFullDisk(dir string) error {
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=24m"); err != nil {
		return fmt.Errorf("%w: %w", errNoMount, err)
	}
	ctx := context.Background()
	db, err := Open(ctx, Options{DataDir: dir})
	if err != nil {
		return err
	}
	defer db.Close()
	for i := range 40 { // so much that SQLite begins its log from the start
		entries := make([]once.Entry, 5000)
		for j := range entries {
			entries[j] = used(fmt.Sprint(i, "-", j))
		}
		if _, err := db.UseOnce(ctx, entries); err != nil {
			return err
		}
	}
	if _, err := db.Heartbeat(ctx); err != nil {
		return fmt.Errorf("with room: %w", err)
	}
	filler, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		return err
	}
	defer filler.Close()
	for err == nil {
		_, err = filler.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		return err
	}
	if _, err := db.Heartbeat(ctx); err == nil {
		return errors.New("a full disk is not noticed")
	}
	if err := os.Remove(filler.Name()); err != nil {
		return err
	}
	filler.Close()
	if _, err := db.Heartbeat(ctx); err != nil {
		return fmt.Errorf("with room again: %w", err)
	}
	return nil
}
