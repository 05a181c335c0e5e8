package keys

import (
	"fmt"
	"slices"
	"time"
)

// Lane is the keys of one use and algorithm. Each lane rotates by itself and always has
// exactly one active key.
type Lane struct {
	Use       Use
	Algorithm string
}

func (k Record) lane() Lane { return Lane{k.Use, k.Algorithm} }

// Policy is what Step must know of the configuration.
type Policy struct {
	// Lead is how long a key is published before it signs, at least.
	Lead time.Duration
	// RotateEvery is how long an access key signs.
	RotateEvery time.Duration
	// Overlap is how long an access key stays published after it last signed.
	Overlap time.Duration
}

// Step answers what the ring should be at now. It changes nothing and makes no keys: a
// record without an ID is a key to be made.
//
// Access keys always have a next key standing by, published from the moment the one before
// it became active, not merely Lead before it is due. So an operator can rotate, and a stolen
// key can be revoked, at any moment onto a key that every verifier has in its cache; and a
// replica cut off from the store for days still publishes the key that the others begin to
// sign with. Other uses are verified only by this server, which reads the store: their next
// key is made when it is wanted, and old ones are kept, because what they signed may live for
// a hundred years.
func Step(ring []Record, want []Lane, now time.Time, p Policy) []Record {
	return eachLane(ring, want, func(l Lane, keys []Record) []Record {
		keys = slices.DeleteFunc(keys, func(k Record) bool { return k.spent(now) })
		return p.standBy(l, p.promote(l, keys, now), now)
	})
}

// eachLane gives f the keys of every lane there is or should be, as a copy, oldest first.
func eachLane(ring []Record, want []Lane, f func(Lane, []Record) []Record) []Record {
	lanes := map[Lane][]Record{}
	order := slices.Clone(want)
	for _, k := range ring {
		lanes[k.lane()] = append(lanes[k.lane()], k)
		order = append(order, k.lane())
	}
	var next []Record
	for _, l := range order {
		if keys, todo := lanes[l], !slices.ContainsFunc(next, func(k Record) bool { return k.lane() == l }); todo {
			slices.SortFunc(keys, byAge)
			next = append(next, f(l, keys)...)
		}
	}
	return next
}

func byAge(a, b Record) int {
	if c := a.CreatedAt.Compare(b.CreatedAt); c != 0 {
		return c
	}
	if a.ID < b.ID {
		return -1
	}
	return 1
}

// promote leaves exactly one active key: the next one when it is due or there is no other,
// else the one that is active, else a new one.
func (p Policy) promote(l Lane, keys []Record, now time.Time) []Record {
	active, next := newestActive(keys), firstNext(keys)
	switch {
	case next >= 0 && (active < 0 || p.due(keys[next], now)):
		keys[next].State, keys[next].SignsFrom = StateActive, now
		active = next
	case active < 0:
		// The first of its lane signs at once: nobody has cached a key set that lacks it, and
		// after the loss of all others waiting would help nobody.
		keys = append(keys, fresh(l, StateActive, now, now))
		active = len(keys) - 1
	}
	for i := range keys {
		if i != active && keys[i].State == StateActive {
			p.retire(&keys[i], now)
		}
	}
	return keys
}

// standBy gives access lanes their next key, and brings its turn forward when the schedule
// was shortened. A longer schedule counts from the key after it: replicas that are being
// given a new configuration one by one must not pull in two directions.
func (p Policy) standBy(l Lane, keys []Record, now time.Time) []Record {
	if l.Use != UseAccess {
		return keys
	}
	turn := keys[newestActive(keys)].SignsFrom.Add(p.RotateEvery)
	next := firstNext(keys)
	if next < 0 {
		return append(keys, fresh(l, StateNext, now, later(turn, now.Add(p.Lead))))
	}
	if turn = later(turn, keys[next].CreatedAt.Add(p.Lead)); turn.Before(keys[next].SignsFrom) {
		keys[next].SignsFrom = turn
	}
	return keys
}

// rotate makes the next key active now, or as soon as it was published for Lead. With force
// it does not wait.
func (p Policy) rotate(l Lane, keys []Record, now time.Time, force bool) []Record {
	next := firstNext(keys)
	if next < 0 {
		keys = append(keys, fresh(l, StateNext, now, now.Add(p.Lead)))
		next = len(keys) - 1
	}
	if force || l.Use != UseAccess {
		for i := range keys {
			if keys[i].State == StateActive {
				p.retire(&keys[i], now)
			}
		}
	} else if turn := later(now, keys[next].CreatedAt.Add(p.Lead)); turn.Before(keys[next].SignsFrom) {
		keys[next].SignsFrom = turn
	}
	return p.promote(l, keys, now)
}

// revoke takes a key out for good and, when it was the active one, puts another in its place.
func (p Policy) revoke(l Lane, keys []Record, id string, now time.Time) []Record {
	for i := range keys {
		if k := &keys[i]; k.ID == id && k.State != StateRevoked {
			k.State, k.RevokedAt, k.DropAt = StateRevoked, now, time.Time{}
			k.Sealed = []byte{}
		}
	}
	return p.promote(l, keys, now)
}

// retire ends a key's signing. Its private half has no use any more and is not kept.
func (p Policy) retire(k *Record, now time.Time) {
	k.State, k.RetiredAt, k.Sealed = StateRetiring, now, []byte{}
	if k.Use == UseAccess {
		k.DropAt = now.Add(p.Overlap)
	}
}

// due: Lead counts even when the turn was planned by a configuration with a shorter one.
func (p Policy) due(k Record, now time.Time) bool {
	return !now.Before(later(k.SignsFrom, k.CreatedAt.Add(p.Lead)))
}

// spent: nothing that is still valid can have been signed with it.
func (k Record) spent(now time.Time) bool {
	return k.State == StateRetiring && !k.DropAt.IsZero() && !now.Before(k.DropAt)
}

func fresh(l Lane, s State, now, signsFrom time.Time) Record {
	return Record{Use: l.Use, Algorithm: l.Algorithm, State: s, CreatedAt: now, SignsFrom: signsFrom}
}

func newestActive(keys []Record) int {
	found := -1
	for i, k := range keys {
		if k.State == StateActive && (found < 0 || !k.SignsFrom.Before(keys[found].SignsFrom)) {
			found = i
		}
	}
	return found
}

func firstNext(keys []Record) int {
	return slices.IndexFunc(keys, func(k Record) bool { return k.State == StateNext })
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// sound is the last check before a ring is stored, whatever made it: other products have
// lost all their keys to a bug at this place (dexidp/dex issue 976).
func sound(before, after []Record, now time.Time) error {
	active := map[Lane]int{}
	ids := map[string]bool{}
	for _, k := range after {
		if ids[k.ID] {
			return fmt.Errorf("key %s would be in the ring twice", k.ID)
		}
		ids[k.ID] = true
		active[k.lane()] += 0
		if k.State == StateActive {
			active[k.lane()]++
		}
	}
	for _, k := range before {
		active[k.lane()] += 0 // no lane ever ends
	}
	for l, n := range active {
		if n != 1 {
			return fmt.Errorf("%s %s would have %d active keys", l.Use, l.Algorithm, n)
		}
	}
	for _, k := range before {
		if !ids[k.ID] && !k.spent(now) {
			return fmt.Errorf("%s key %s would be dropped early", k.State, k.ID)
		}
	}
	return nil
}
