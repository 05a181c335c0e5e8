// Package once says of a name whether it was used before, across processes and restarts. It
// does not know what the names stand for.
package once

import "time"

// Entry is a name that may be used once.
type Entry struct {
	Key string
	// Until is when the name need not be remembered any more.
	Until time.Time
}
