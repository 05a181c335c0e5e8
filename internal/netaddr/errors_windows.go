package netaddr

import "syscall"

// Windows Sockets has errors of its own: syscall.EADDRINUSE and syscall.ECONNREFUSED are never returned there.
const (
	taken   = syscall.Errno(10048) // WSAEADDRINUSE
	refused = syscall.Errno(10061) // WSAECONNREFUSED
)
