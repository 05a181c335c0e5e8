package audit

import (
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
