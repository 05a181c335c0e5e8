package directory

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/watchword-dev/watchword/server/internal/cowmap"
)

// purgeEvery is how long what has ended may stay.
const purgeEvery = time.Minute

// linger is how long what has ended is denied all the same: replicas that forget it at different
// moments go on publishing the same, which changes at whole hours.
const linger = time.Hour

// purge forgets what has ended, again and again.
func (d *Directory) purge(ctx context.Context) {
	t := time.NewTicker(purgeEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if err := d.Forget(ctx); err != nil && ctx.Err() == nil {
			d.o.Logger.Warn("cannot delete revocations that have ended; will try again", "error", err)
		}
	}
}

// Forget forgets what has ended, as Run does each minute.
func (d *Directory) Forget(ctx context.Context) error {
	if err := d.setClock(ctx, time.Time{}); err != nil {
		return err
	}
	ended := d.Ended()
	d.sync.Lock()
	d.publish(d.Snapshot().withoutEnded(ended), *d.synced.Load())
	d.sync.Unlock()
	return d.store.PurgeRevocations(ctx, ended.Add(-linger), ended)
}

// withoutEnded returns a snapshot of the same revision that no longer denies what no token can hang
// on, and no longer lists the credentials of a service that nobody can use. Credential still finds
// those, so that the audit log can say why they were refused.
func (s *Snapshot) withoutEnded(now time.Time) *Snapshot {
	pruned := *s
	pruned.denied = kept(s.denied, func(d Denial) (Denial, bool) {
		return d, d.Until.IsZero() || now.Before(d.Until.Add(linger))
	}, Denial.equal)
	if pruned.denied.Len() != s.denied.Len() {
		pruned.denials = editions.Add(1)
	}
	pruned.byOwner = listed(s.byOwner, now, s.keep)
	pruned.trusts.byAnchor = listed(s.trusts.byAnchor, now, s.keep)
	return &pruned
}

// listed is m without the credentials that are not listed any more, and without the keys that have none left.
func listed[K comparable](m cowmap.Map[K, []*Credential], now time.Time, keep time.Duration) cowmap.Map[K, []*Credential] {
	unlisted := func(c *Credential) bool { return c.unlisted(now, keep) }
	return kept(m, func(all []*Credential) ([]*Credential, bool) {
		if !slices.ContainsFunc(all, unlisted) {
			return all, true
		}
		all = slices.DeleteFunc(slices.Clone(all), unlisted)
		return all, len(all) > 0
	}, func(a, b []*Credential) bool { return len(a) == len(b) })
}

// unlisted reports whether c ended so long ago that it is not worth trying what is presented against
// it, to tell in the audit log that it was that. A bootstrap credential, which names itself, is not
// at all: some are made for minutes, by the thousand.
func (c *Credential) unlisted(now time.Time, keep time.Duration) bool {
	if c.Kind != KindBootstrap {
		now = now.Add(-keep)
	}
	return !now.Before(c.ExpiresAt) || !c.RevokedAt.IsZero() && !now.Before(c.RevokedAt)
}

// kept is m with what keep makes of each value, without those it does not want: m itself when
// nothing changes.
func kept[K comparable, V any](m cowmap.Map[K, V], keep func(V) (V, bool), same func(a, b V) bool) cowmap.Map[K, V] {
	changes := false
	for _, v := range m.All() {
		if after, ok := keep(v); !ok || !same(v, after) {
			changes = true
			break
		}
	}
	if !changes {
		return m
	}
	// All at once: one by one, each would copy its shard.
	all := make(map[K]V, m.Len())
	for k, v := range m.All() {
		if after, ok := keep(v); ok {
			all[k] = after
		}
	}
	return cowmap.Collect(len(all), maps.All(all))
}
