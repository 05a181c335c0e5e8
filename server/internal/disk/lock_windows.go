package disk

import (
	"errors"
	"math"
	"os"

	"golang.org/x/sys/windows"
)

// lock takes one byte far behind all content, since what is locked cannot be read by others there.
func lock(f *os.File) error {
	last := &windows.Overlapped{Offset: math.MaxUint32, OffsetHigh: math.MaxInt32}
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, last)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return ErrInUse
	}
	return err
}
