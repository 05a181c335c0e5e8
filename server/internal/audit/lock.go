package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

const lockName = "audit.lock"

// ErrLocked says that another process, or another Log of this one, writes the folder.
var ErrLocked = errors.New("audit log is in use by another process")

// lockDir takes the folder's lock, which the system gives back however the process ends.
func lockDir(dir string) (*os.File, error) {
	path := filepath.Join(dir, lockName)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock audit log: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s is held; stop that process, or give this one a data folder of its own", ErrLocked, path)
		}
		return nil, fmt.Errorf("lock audit log %s: %w", path, err)
	}
	return f, nil
}
