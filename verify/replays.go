package verify

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Replays remembers which DPoP proofs were accepted. It must be safe for concurrent use.
type Replays interface {
	// Add remembers key until the time given, and says whether it was new: of any number of calls
	// with one key, exactly one is told so. One that cannot remember returns an error, and
	// must never forget instead: the request is answered 503.
	Add(ctx context.Context, key string, until time.Time) (fresh bool, err error)
}

// maxReplays is how many proofs are remembered: 17,000 a second for a minute, in some 150 MB. There is
// no need to set it lower: memory is used only for proofs that hold.
const maxReplays = 1 << 20

var errReplaysFull = errors.New("more proofs in a minute than can be remembered")

// replays remembers proofs in this process. They lie in drawers by the time they may be
// forgotten at, so that forgetting costs nothing per proof.
type replays struct {
	now func() time.Time
	max int

	mu      sync.Mutex
	n       int
	drawers map[int64]map[string]struct{} // by end, in units of drawerSpan
}

const drawerSpan = 10 * time.Second

func newReplays(most int, now func() time.Time) *replays {
	return &replays{now: now, max: most, drawers: map[int64]map[string]struct{}{}}
}

func (r *replays) Add(_ context.Context, key string, until time.Time) (bool, error) {
	// The drawer ends no earlier than until.
	end := until.UnixNano()/int64(drawerSpan) + 1
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget()
	// A proof made again with another iat has another end, and is the same all the same.
	for _, drawer := range r.drawers {
		if _, used := drawer[key]; used {
			return false, nil
		}
	}
	if r.n >= r.max {
		return false, errReplaysFull
	}
	if r.drawers[end] == nil {
		r.drawers[end] = map[string]struct{}{}
	}
	r.drawers[end][key] = struct{}{}
	r.n++
	return true, nil
}

func (r *replays) forget() {
	now := r.now().UnixNano() / int64(drawerSpan)
	for end, drawer := range r.drawers {
		if end <= now {
			r.n -= len(drawer)
			delete(r.drawers, end)
		}
	}
}
