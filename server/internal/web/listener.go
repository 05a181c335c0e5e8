package web

import "time"

// The time limits of a listener; net/http has none of its own. A request that waits for something to change has longer.
const (
	ReadHeaderTimeout = 5 * time.Second
	ReadTimeout       = 10 * time.Second
	WriteTimeout      = 15 * time.Second
	IdleTimeout       = 90 * time.Second
)

const (
	MaxHeaderBytes = 16 << 10
	// MaxURLBytes is more than any client of ours sends.
	MaxURLBytes = 8 << 10
	// MaxStreams is how many requests one HTTP/2 connection can have under way. Clients open another connection, or
	// wait.
	MaxStreams = 100
)

// The most connections that are open at once. If the process may have fewer files open than it takes, services have
// three quarters of them less 32, and the others a sixteenth each. A connection costs about 20 KiB of memory, with TLS
// about twice as much.
const (
	MaxConnections      = 32768 // of services
	MaxOtherConnections = 1024  // of operators, and of SuperTokens clients
	// ConnectionsPart is the part of them that one network may have, but not fewer than LeastConnectionsFrom.
	ConnectionsPart      = 8
	LeastConnectionsFrom = 64
)
