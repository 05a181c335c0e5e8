package audit

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// syncData makes the data of f durable. fdatasync also writes the file's size when that changed.
func syncData(f *os.File) error {
	for {
		err := syscall.Fdatasync(int(f.Fd()))
		if err != syscall.EINTR {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}

// diskFault reports whether the disk under dir is one on which the next write must fail.
func diskFault(dir string) error {
	const readOnly = 1 // ST_RDONLY of statvfs(3)
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return fmt.Errorf("look at the disk under %s: %w", dir, err)
	}
	switch {
	case s.Flags&readOnly != 0:
		return fmt.Errorf("disk under %s is mounted read-only", dir)
	case s.Blocks > 0 && s.Bfree == 0:
		return errors.New("no space left on the disk under " + dir)
	}
	return nil
}

// diskSpace is how much the disk under dir can still take, and how large it is, in bytes. It is not ok
// when the system does not say.
func diskSpace(dir string) (free, total uint64, ok bool) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, 0, false
	}
	return s.Bavail * uint64(s.Bsize), s.Blocks * uint64(s.Bsize), true
}
