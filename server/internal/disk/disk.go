// Package disk does with files what package os has no call for: it locks them, and makes names of files
// durable. It does not know what is in them.
package disk

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// ErrInUse says that another process holds a lock, or this one does already.
var ErrInUse = errors.New("is in use")

// Lock makes the file at path if need be, locks it and writes the id of this process into it, for whoever
// asks who has it. Closing the file gives the lock back, and so does the system however the process ends.
// When it is ErrInUse, the error names the process.
func Lock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = lock(f)
	if err == nil {
		if f.Truncate(0) == nil {
			_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
		}
		return f, nil
	}
	defer f.Close()
	if !errors.Is(err, ErrInUse) {
		return nil, &os.PathError{Op: "lock", Path: path, Err: err}
	}
	owner := "another process"
	if pid, err := io.ReadAll(io.LimitReader(f, 20)); err == nil && len(pid) > 1 {
		owner = "process " + strings.TrimSpace(string(pid))
	}
	return nil, fmt.Errorf("%s %w by %s", path, err, owner)
}

// Create makes the file at path, with mode 0600, whole, durable or not at all: a process killed half-way
// leaves none. When there is a file, it is left alone and the error is fs.ErrExist.
func Create(path string, content []byte) error {
	// Unlike a rename, a link never replaces what is there.
	return write(path, content, os.Link)
}

// Replace is Create that replaces a file that is there.
func Replace(path string, content []byte) error { return write(path, content, os.Rename) }

// write makes a file beside path, and has name give it that name.
func write(path string, content []byte, name func(from, to string) error) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+"-*") // O_EXCL, mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.Write(content)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := name(f.Name(), path); err != nil {
		return err
	}
	return SyncDir(dir)
}

// SyncDir makes durable which names are in the folder dir: after a power loss a new file is there and a
// removed one is not.
func SyncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // there a folder cannot be synced
	}
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}
