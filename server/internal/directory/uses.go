package directory

import (
	"context"
	"sync"
	"time"
)

// uses remembers when and from where credentials were last used, until it is written down.
// It is on the path of every token, so it takes its lock at most once a second for a credential
// that is used from one place.
type uses struct {
	last    sync.Map // credential id -> *Use, since the last FlushUses
	mu      sync.Mutex
	pending map[string]Use
	now     chan struct{} // there is something that must not wait
}

const (
	usePrecision = time.Second
	useInterval  = 5 * time.Second
)

// RecordUse remembers that a credential was accepted. It does no I/O; Run stores it within
// some seconds, and a kill in between loses the moment, never the audit record.
func (d *Directory) RecordUse(credential string, at time.Time, from string) {
	if last, ok := d.uses.last.Load(credential); ok {
		if l := last.(*Use); l.From == from && at.Sub(l.At) < usePrecision {
			return
		}
	}
	u := Use{credential, at, from}
	d.uses.last.Store(credential, &u)
	d.uses.mu.Lock()
	defer d.uses.mu.Unlock()
	if d.uses.pending == nil {
		d.uses.pending = map[string]Use{}
	}
	d.uses.pending[credential] = u
	if _, _, ok := d.replacedBy(u); ok {
		select { // the old one ends after the overlap, also if that is shorter than useInterval
		case d.uses.now <- struct{}{}:
		default:
		}
	}
}

func (d *Directory) recordUses(ctx context.Context) {
	t := time.NewTicker(useInterval)
	defer t.Stop()
	flush := func() {
		c, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		d.FlushUses(c)
	}
	for {
		select {
		case <-ctx.Done():
			// The last ones, with a little time of their own.
			c, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			d.FlushUses(c)
			return
		case <-d.uses.now:
			flush()
		case <-t.C:
			flush()
		}
	}
}

// FlushUses stores what RecordUse remembered, and ends the credentials whose replacement was used. What cannot be stored now is kept for the
// next time.
func (d *Directory) FlushUses(ctx context.Context) {
	d.uses.last.Clear() // else credentials that ended would stay for ever
	d.uses.mu.Lock()
	pending := d.uses.pending
	d.uses.pending = nil
	d.uses.mu.Unlock()
	if len(pending) == 0 {
		return
	}
	batch := make([]Use, 0, len(pending))
	for _, u := range pending {
		batch = append(batch, u)
	}
	err := d.endReplaced(ctx, pending)
	if err == nil {
		err = d.store.RecordUse(ctx, batch)
	}
	if err != nil {
		d.o.Logger.Warn("cannot store when credentials were used; will try again", "credentials", len(batch), "error", err)
		d.uses.mu.Lock()
		defer d.uses.mu.Unlock()
		if d.uses.pending == nil {
			d.uses.pending = pending
			return
		}
		for id, u := range pending {
			if later, ok := d.uses.pending[id]; !ok || later.At.Before(u.At) {
				d.uses.pending[id] = u
			}
		}
	}
}
