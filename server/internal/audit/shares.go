package audit

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/watchword-dev/watchword/server/internal/throttle"
)

// The room on the disk that is reserved for what must be recorded is for all services: without it there are no tokens
// for anybody. So while it is in use, each service gets so many records at once, and then one every so often. The
// records of operators are not held back.
const (
	ShareBurst  = 100
	ShareRefill = 200 * time.Millisecond
	// maxShares services are counted apart, the others together.
	maxShares = 4096
)

var errShare = errors.New("the disk is nearly full, and the service has had its share of the rest")

// shares holds back services while the disk is nearly full.
type shares struct {
	of       *throttle.Counter[string]
	heldBack atomic.Uint64
	refused  *Pending
}

func newShares() *shares {
	return &shares{of: throttle.New[string](ShareBurst, ShareRefill, maxShares), refused: failed(errShare)}
}

// admit reports whether there is room for e.
func (s *shares) admit(e *Event, space func() bool) bool {
	who := e.CallerUID
	if e.Kind == KindMint {
		who = e.Endpoint // which has no services
	}
	if who == "" || space() || s.of.Charge(who, e.At) == 0 {
		return true
	}
	s.heldBack.Add(1)
	return false
}
