package keys

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/directory"
)

// Resealer keeps records elsewhere that the same Sealer sealed.
type Resealer interface {
	// Reseal puts what s.Rewrap answers in the place of every sealed record, and says how many
	// changed.
	Reseal(ctx context.Context, by directory.Author, s *Sealer) (changed int, err error)
}

// Addition is the first keys of some algorithms. A change of the directory that needs them stores
// them in the same transaction, and the ring is reloaded afterwards.
type Addition struct {
	Version int64 // of the ring they are added to: see Store.SaveKeys
	Keys    []Record
	detail  map[string]string
}

// Detail is what to record of each key, by its id.
func (a *Addition) Detail() map[string]string { return a.detail }

// Additions returns an *Addition with which access tokens can be signed with all of algorithms, or nil if they
// can be already. It stores nothing.
func (r *Ring) Additions(ctx context.Context, algorithms []string) (directory.NewKeys, error) {
	lacking := map[Lane]bool{}
	for _, name := range algorithms {
		alg, err := jose.ParseAlgorithm(name)
		if err != nil {
			return nil, &directory.InvalidError{Field: "algorithm", Problem: "must be one of " + jose.List(jose.Algorithms())}
		}
		if _, err := r.Signer(UseAccess, alg); err != nil {
			lacking[Lane{UseAccess, string(alg)}] = true
		}
	}
	if len(lacking) == 0 {
		return nil, nil //nolint:nilnil // no keys are needed
	}
	p, err := retried(r, func(spare map[string][]Record) (planned, error) {
		if err := r.take(ctx); err != nil {
			return planned{}, err
		}
		defer r.release()
		return r.plan(ctx, func(ring []Record, now time.Time) ([]Record, error) {
			return eachLane(ring, slices.Collect(maps.Keys(lacking)), func(l Lane, keys []Record) []Record {
				if lacking[l] {
					return r.policy.promote(l, keys, now)
				}
				return keys
			}), nil
		}, spare)
	})
	if err != nil {
		return nil, fmt.Errorf("create the first keys: %w", err)
	}
	if p.empty() { // another replica has stored them
		return nil, r.Reload(ctx)
	}
	return &Addition{p.version, p.put, p.detail}, nil
}

// Rotate puts the next key in the place of the active one: at once when it was published
// long enough for every verifier to have it, else as soon as it was. The key it returns is
// active in the first case and next, with SignsFrom in the future, in the second. With force
// it does not wait: verifiers that keep a key set in cache may refuse tokens for a while.
//
// An empty use is UseAccess, an empty alg the default of the use.
func (r *Ring) Rotate(ctx context.Context, by directory.Author, use Use, alg jose.Algorithm, force bool) (Record, error) {
	l, err := r.parseLane(use, alg)
	if err != nil {
		return Record{}, err
	}
	var old string
	after, err := r.change(ctx, by, "key.rotate", func(ring []Record, now time.Time) ([]Record, error) {
		i := slices.IndexFunc(ring, func(k Record) bool { return k.lane() == l && k.State == StateActive })
		if i < 0 {
			return nil, fmt.Errorf("%w: there is no %s key of %s", ErrNotFound, l.Use, l.Algorithm)
		}
		if published := countPublished(ring); force && published >= MaxPublished {
			return nil, fmt.Errorf("%w: %d", ErrTooMany, published)
		}
		old = ring[i].ID
		return r.policy.lane(ring, l, func(l Lane, keys []Record) []Record {
			return r.policy.rotate(l, keys, now, force)
		}), nil
	})
	if err != nil {
		return Record{}, fmt.Errorf("rotate: %w", err)
	}
	r.nudge()
	return successor(after, l, old), nil
}

func countPublished(ring []Record) (n int) {
	for _, k := range ring {
		if k.Use == UseAccess && k.State != StateRevoked {
			n++
		}
	}
	return n
}

// successor is the key of l that signs in the place of old, or will.
func successor(ring []Record, l Lane, old string) Record {
	var next Record
	for _, k := range ring {
		if k.lane() != l {
			continue
		}
		if k.State == StateActive && k.ID != old {
			k.Sealed = nil
			return k
		}
		if k.State == StateNext {
			next = k
		}
	}
	next.Sealed = nil
	return next
}

// Revoke takes a stolen key out of the ring: from now on it is not published, verifies
// nothing, and its private half is gone. The next key takes the place of an active one.
// Verifiers that have the old key set in cache trust the key until that runs out. Revoking
// again changes nothing.
//
// There is no other way to take a key out before its last token has expired.
func (r *Ring) Revoke(ctx context.Context, by directory.Author, kid string) (Record, error) {
	find := func(ring []Record) int {
		return slices.IndexFunc(ring, func(k Record) bool { return k.ID == kid })
	}
	after, err := r.change(ctx, by, "key.revoke", func(ring []Record, now time.Time) ([]Record, error) {
		i := find(ring)
		if i < 0 {
			return nil, ErrNotFound
		}
		return r.policy.lane(ring, ring[i].lane(), func(l Lane, keys []Record) []Record {
			return r.policy.revoke(l, keys, kid, now)
		}), nil
	})
	if err != nil {
		return Record{}, fmt.Errorf("revoke key %q: %w", kid, err)
	}
	r.nudge()
	k := after[find(after)]
	k.Sealed = nil
	return k, nil
}

// Reseal seals all private keys again under the first line of the sealing key file, which it
// reads anew, and says how many it changed. Afterwards the other lines are not needed any
// more. Before it, every replica's file must have the new line.
func (r *Ring) Reseal(ctx context.Context, by directory.Author) (int, error) {
	if err := r.sealer.Reload(); err != nil {
		return 0, err
	}
	var n int
	_, err := r.change(ctx, by, "key.reseal", func(ring []Record, _ time.Time) ([]Record, error) {
		n = 0
		for i := range ring {
			if len(ring[i].Sealed) == 0 {
				continue
			}
			sealed, changed, err := r.sealer.Rewrap(ring[i].ID, ring[i].Sealed)
			if err != nil {
				return nil, err
			}
			if changed {
				ring[i].Sealed = sealed
				n++
			}
		}
		return ring, nil
	})
	if err != nil {
		return 0, fmt.Errorf("reseal keys: %w", err)
	}
	for _, other := range r.o.Resealers {
		more, err := other.Reseal(ctx, by, r.sealer)
		n += more
		if err != nil {
			return n, fmt.Errorf("reseal: %w", err)
		}
	}
	return n, nil
}

func (r *Ring) parseLane(use Use, alg jose.Algorithm) (Lane, error) {
	switch use {
	case "":
		use = UseAccess
	case UseAccess, UseCredential, UseAudit:
	default:
		return Lane{}, &directory.InvalidError{Field: "use", Problem: "must be one of access, credential, audit"}
	}
	switch {
	case alg == "" && use == UseAccess:
		alg = r.o.Algorithm
	case alg == "":
		alg = jose.ES256
	}
	alg, err := jose.ParseAlgorithm(string(alg))
	if err != nil {
		return Lane{}, &directory.InvalidError{Field: "algorithm", Problem: "must be one of " + jose.List(jose.Algorithms())}
	}
	return Lane{use, string(alg)}, nil
}

// lane changes one lane of the ring by f and leaves the others.
func (p Policy) lane(ring []Record, l Lane, f func(Lane, []Record) []Record) []Record {
	return eachLane(ring, []Lane{l}, func(each Lane, keys []Record) []Record {
		if each == l {
			return f(l, keys)
		}
		return keys
	})
}

// difference is what to store, and what to tell people of it.
type difference struct {
	put    []Record
	drop   []string
	action string
	detail map[string]string
}

func (d difference) empty() bool { return len(d.put) == 0 && len(d.drop) == 0 }

// compare returns how after differs from before.
func compare(before, after []Record) difference {
	d := difference{action: "key.schedule", detail: map[string]string{}}
	old := map[string]Record{}
	for _, k := range before {
		old[k.ID] = k
	}
	for _, k := range after {
		was, known := old[k.ID]
		delete(old, k.ID)
		if known && same(was, k) {
			continue
		}
		d.put = append(d.put, k)
		what := []string{string(k.Use), k.Algorithm, string(was.State), "->", string(k.State)}
		switch {
		case !known:
			what = []string{string(k.Use), k.Algorithm, "new", string(k.State)}
		case was.State == k.State && !was.SignsFrom.Equal(k.SignsFrom):
			what = append(what[:2], "signs from", k.SignsFrom.Format(time.RFC3339))
		case was.State == k.State:
			what = append(what[:2], "resealed")
		}
		d.detail[k.ID] = strings.Join(what, " ")
		if known && was.State != k.State {
			d.action = "key.rotate"
		} else if !known && d.action != "key.rotate" {
			d.action = "key.create"
		}
	}
	for id, k := range old {
		d.drop = append(d.drop, id)
		d.detail[id] = strings.Join([]string{string(k.Use), k.Algorithm, string(k.State), "-> dropped"}, " ")
		if len(d.put) == 0 {
			d.action = "key.drop"
		}
	}
	return d
}

func same(a, b Record) bool {
	return a.ID == b.ID && a.State == b.State && string(a.Sealed) == string(b.Sealed) && a.SignsFrom.Equal(b.SignsFrom) &&
		a.RetiredAt.Equal(b.RetiredAt) && a.DropAt.Equal(b.DropAt) && a.RevokedAt.Equal(b.RevokedAt)
}
