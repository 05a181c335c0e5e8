package directory

import (
	"errors"
	"time"
)

// Bounds of the requests that are remembered so that they can be repeated.
const (
	// MaxRepeats is the number of such requests of one actor in RepeatsKept.
	MaxRepeats = 10_000
	// RepeatsKept is how long they are remembered.
	RepeatsKept = 24 * time.Hour
)

// ErrRepeated reports that the request which a Once identifies was carried out already.
var ErrRepeated = errors.New("carried out already")

// Once identifies a request that may arrive several times, and is to be carried out once. The store records it in the
// transaction of the change that the request makes, so of several, on any replicas, one makes its change.
type Once struct {
	// ID is the same each time the request arrives.
	ID string
	// Request is the same for the same request.
	Request string
}

// Repeat is what the store knows of a request that was carried out.
type Repeat struct {
	Request  string
	Revision int64
	// Subject is that of the change that the request made.
	Subject string
	At      time.Time
	// Answer is what KeepAnswer stored, or empty.
	Answer []byte
}
