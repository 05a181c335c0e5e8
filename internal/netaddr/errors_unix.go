//go:build !windows

package netaddr

import "syscall"

const (
	taken   = syscall.EADDRINUSE
	refused = syscall.ECONNREFUSED
)
