package disk

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// Fault reports why nothing more can be written to the disk under dir: it is full or mounted
// read-only. Nil: no reason is known.
func Fault(dir string) error {
	const readOnly = 1 // ST_RDONLY of statvfs(3)
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return fmt.Errorf("look at the disk under %s: %w", dir, err)
	}
	free := s.Bavail
	if os.Geteuid() == 0 { // a part is reserved for it
		free = s.Bfree
	}
	switch {
	case s.Flags&readOnly != 0:
		return fmt.Errorf("disk under %s is mounted read-only", dir)
	case s.Blocks > 0 && free == 0:
		return errors.New("no space left on the disk under " + dir)
	}
	return nil
}

// Space is how much the disk under dir can still take, and how large it is, in bytes. It is not ok when
// the system does not tell.
func Space(dir string) (free, total uint64, ok bool) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, 0, false
	}
	return s.Bavail * uint64(s.Bsize), s.Blocks * uint64(s.Bsize), true
}
