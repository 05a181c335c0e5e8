//go:build unix

package app

import "syscall"

// openFiles is how many files this process may have open, connections included.
func openFiles() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return unknownOpenFiles
	}
	return int(min(limit.Cur, unknownOpenFiles))
}
