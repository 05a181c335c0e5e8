package verify

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Replays remembers which DPoP proofs were accepted. Implementations must be safe for concurrent use.
type Replays interface {
	// Add remembers key until the given time, and reports whether it was new. Of any number of calls with the same
	// key, exactly one returns true. If key cannot be remembered, Add returns an error, and the request is answered
	// 503. It must not forget another key instead.
	Add(ctx context.Context, key string, until time.Time) (fresh bool, err error)
}

// maxReplays is the number of proofs that are remembered: 17,000 a second for a minute, in about 150 MB. Memory is
// used only for valid proofs, so there is no need for a lower limit.
const maxReplays = 1 << 20

var errReplaysFull = errors.New("more proofs in a minute than can be remembered")

// replays remembers proofs in this process. They are grouped by the time at which they can be forgotten, so that
// forgetting costs nothing per proof.
type replays struct {
	now func() time.Time
	max int

	mu     sync.Mutex
	n      int
	groups map[int64]map[string]struct{} // by the end of their time, in units of groupSpan
}

const groupSpan = 10 * time.Second

func newReplays(most int, now func() time.Time) *replays {
	return &replays{now: now, max: most, groups: map[int64]map[string]struct{}{}}
}

func (r *replays) Add(_ context.Context, key string, until time.Time) (bool, error) {
	// The end of the group is not before until.
	end := until.UnixNano()/int64(groupSpan) + 1
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget()
	// A proof with the same jti and another iat may be in another group, and is still a replay.
	for _, group := range r.groups {
		if _, used := group[key]; used {
			return false, nil
		}
	}
	if r.n >= r.max {
		return false, errReplaysFull
	}
	if r.groups[end] == nil {
		r.groups[end] = map[string]struct{}{}
	}
	r.groups[end][key] = struct{}{}
	r.n++
	return true, nil
}

func (r *replays) forget() {
	now := r.now().UnixNano() / int64(groupSpan)
	for end, group := range r.groups {
		if end <= now {
			r.n -= len(group)
			delete(r.groups, end)
		}
	}
}
