package directory

import (
	"context"
	"sync"
	"time"
)

// steady is the clock by which it is decided for how long what was withdrawn is denied, and when that is forgotten. It
// follows the clock that replicas share, but gains or loses no more than an hour in a day, and goes on at the next start
// from where it was. So a clock that is wrong for a while makes nothing good again. A clock that differs for a whole day
// is believed: it may be that it was wrong before.
type steady struct {
	mu      sync.Mutex
	at      time.Time     // what it said last; zero: it has not begun
	looked  time.Time     // when that was, by Options.Passing
	ahead   time.Duration // by how much the shared clock is ahead of this machine's
	differs time.Time     // since when the shared clock differs, by Options.Passing; zero: it does not
}

const (
	believedAfter = 24 * time.Hour
	mayDiffer     = time.Minute
)

// tell is what it says, and what the shared clock says, when this machine's says now and the one that nobody sets
// says passing.
func (c *steady) tell(now, passing time.Time) (at, shared time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	shared = now.Add(c.ahead)
	passed := passing.Sub(c.looked)
	c.looked = passing
	if c.at.IsZero() {
		c.at = shared
	}
	c.at = c.at.Add(passed)
	difference := shared.Sub(c.at)
	switch most := passed / 24; {
	case difference.Abs() <= max(most, mayDiffer):
		c.at, c.differs = shared, time.Time{}
	case c.differs.IsZero():
		c.differs = passing
	case passing.Sub(c.differs) >= believedAfter:
		c.at, c.differs = shared, time.Time{}
	default:
		c.at = c.at.Add(min(max(difference, -most), most)).Truncate(time.Microsecond)
	}
	return c.at, shared
}

// share tells it what the shared clock says when this machine's says now. last is what it said in an earlier process.
func (c *steady) share(shared, now, passing, last time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead = shared.Sub(now)
	if c.at.IsZero() {
		c.at, c.looked = last, passing
	}
}

// Ended is the moment before which what ended may be forgotten.
func (d *Directory) Ended() time.Time {
	at, shared := d.steady.tell(d.now(), d.o.Passing())
	if shared.Before(at) {
		return shared
	}
	return at
}

// latest is the latest that it may be: from then on what is withdrawn is denied for as long as a token can live.
func (d *Directory) latest() time.Time {
	at, shared := d.steady.tell(d.now(), d.o.Passing())
	if shared.After(at) {
		at = shared
	}
	return at.Truncate(time.Microsecond) // as it is stored
}

// setClock asks for the clock that replicas share.
func (d *Directory) setClock(ctx context.Context, last time.Time) error {
	before := d.now()
	shared, err := d.store.Now(ctx)
	if err != nil {
		return err
	}
	d.steady.share(shared, before.Add(d.now().Sub(before)/2), d.o.Passing(), last)
	return nil
}
