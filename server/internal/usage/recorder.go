package usage

import (
	"cmp"
	"context"
	"errors"
	"hash/maphash"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/watchword-dev/watchword/server/internal/policy"
)

// Store keeps what was counted.
type Store interface {
	// AddUsage adds to the counts of the same day and use. Either all rows are added or none. The error wraps ErrRow
	// if one of the rows can never be stored. The rows are sorted, and no two are of one day and use.
	AddUsage(ctx context.Context, rows []Row) error
	// PurgeUsage deletes the days before one, in steps between which others get their turn.
	PurgeUsage(ctx context.Context, before Day) error
}

// Retention is how long counts are kept: a year, and the month in which somebody asks for it.
const Retention = 400 // days

// DefaultMaxRows takes about 60 MiB.
const DefaultMaxRows = 200_000

// Options of a Recorder. The zero value works.
type Options struct {
	// Interval between two times of writing. Zero: 10 s.
	Interval time.Duration
	// MaxRows bounds what is remembered until it can be written. Zero: DefaultMaxRows.
	MaxRows int
	Now     func() time.Time
	Logger  *slog.Logger
}

// A caller chooses some members of a row, such as the scopes it requests. Without these limits, it could cause a new
// row with each request.
const (
	// MaxOfCaller is the number of rows of one caller in a day. After that, refused requests are not counted, and
	// allowed ones are counted for all scopes of their rule and for no network.
	MaxOfCaller = 2000
	// MaxAsked is the number of different sets of scopes of one caller and target in a day that no rule granted.
	// After that, such requests are counted without scopes.
	MaxAsked = 32
	// maxScopes is the length of such a set, in bytes.
	maxScopes = 256
	// maxSeen is the number of rows of a day, in all, that are remembered for this: about 100 MiB.
	maxSeen = 4 << 20
)

const (
	shards = 64
	// batchRows are written in one transaction: few enough that it is short, enough that there are few.
	batchRows = 2000
	// flushAt is how many rows are not left waiting for the next interval.
	flushAt = 25_000
)

// Recorder counts in memory and writes the counts down every few seconds. A kill in between loses
// those counts, never a record of the audit log.
type Recorder struct {
	store Store
	o     Options
	seed  maphash.Seed

	shards  [shards]shard
	pending atomic.Int64 // rows in shards
	dropped atomic.Int64
	aside   atomic.Int64
	full    chan struct{} // there is enough to write

	flushing sync.Mutex
	missed   int64 // of dropped, what was logged
}

type shard struct {
	mu    sync.Mutex
	rows  map[key]*tally
	today today
	_     [64]byte // a cache line: shards are taken by different processors
}

// today is what was counted of one day until now.
type today struct {
	day   Day
	seen  map[uint64]struct{} // hashes of keys
	rows  map[policy.ServiceID]int
	asked map[policy.Edge]int
}

type key struct {
	Use
	day Day
}

type tally struct{ n, last int64 } // last: microseconds since 1970

// NewRecorder makes a recorder over store.
func NewRecorder(store Store, o Options) *Recorder {
	o.Interval = cmp.Or(o.Interval, 10*time.Second)
	o.MaxRows = cmp.Or(o.MaxRows, DefaultMaxRows)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Recorder{store: store, o: o, seed: maphash.MakeSeed(), full: make(chan struct{}, 1)}
}

// Count counts one decision. If it was allowed by a rule, of is the scopes of that rule. Count is called for every token
// and does no I/O.
func (r *Recorder) Count(u Use, of []string, at time.Time) {
	k, one := key{u, DayOf(at)}, tally{1, at.UnixMicro()}
	s := r.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.addTo(s, k, one, false) {
		return
	}
	if k.ungranted() {
		k.Scopes = shorten(k.Scopes)
	}
	if !s.today.admits(&k, r.hash) {
		if k.Why != "" {
			r.dropped.Add(1)
			return
		}
		k.Scopes, k.Network = strings.Join(of, " "), netip.Prefix{}
	}
	r.addTo(s, k, one, true)
}

// ungranted reports whether no rule granted the scopes, so that the caller alone chose them.
func (u *Use) ungranted() bool { return u.Why != "" || u.Would != "" }

// shorten returns the first of the scopes, as many as fit in maxScopes.
func shorten(scopes string) string {
	if len(scopes) <= maxScopes {
		return scopes
	}
	return scopes[:max(strings.LastIndexByte(scopes[:maxScopes+1], ' '), 0)]
}

// admits reports whether k may be one of the rows of its day, and counts it if so. It may remove the scopes of k.
func (t *today) admits(k *key, hash func(key) uint64) bool {
	if k.day > t.day || t.seen == nil {
		*t = today{k.day, map[uint64]struct{}{}, map[policy.ServiceID]int{}, map[policy.Edge]int{}}
	}
	h := hash(*k)
	if _, known := t.seen[h]; known {
		return true
	}
	if k.ungranted() && k.Scopes != "" && t.asked[k.Edge] >= MaxAsked {
		k.Scopes = ""
		h = hash(*k)
		if _, known := t.seen[h]; known {
			return true
		}
	}
	if t.rows[k.Caller] >= MaxOfCaller || len(t.seen) >= maxSeen/shards {
		return false
	}
	t.seen[h] = struct{}{}
	t.rows[k.Caller]++
	if k.ungranted() && k.Scopes != "" {
		t.asked[k.Edge]++
	}
	return true
}

// Pending is the number of rows that wait to be written. Dropped is the number of decisions that were not counted
// because there were too many rows, of their caller or in all, and Aside those whose row the store cannot store.
func (r *Recorder) Pending() int64 { return r.pending.Load() }
func (r *Recorder) Dropped() int64 { return r.dropped.Load() }
func (r *Recorder) Aside() int64   { return r.aside.Load() }

func (r *Recorder) hash(k key) uint64 { return maphash.Comparable(r.seed, k) }

// shard returns the shard of all rows of a caller.
func (r *Recorder) shard(k key) *shard {
	return &r.shards[maphash.Comparable(r.seed, k.Caller)%shards]
}

func (r *Recorder) add(k key, more tally) {
	s := r.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	r.addTo(s, k, more, true)
}

// addTo adds to the row of s that waits for k. If there is none and create is set, it creates one, unless too many wait.
// It reports whether there is a row now. The caller holds the lock of s.
func (r *Recorder) addTo(s *shard, k key, more tally, create bool) bool {
	if t := s.rows[k]; t != nil {
		t.n += more.n
		t.last = max(t.last, more.last)
		return true
	}
	if !create {
		return false
	}
	waiting := r.pending.Add(1)
	if waiting > int64(r.o.MaxRows) {
		r.pending.Add(-1)
		r.dropped.Add(more.n)
		return false
	}
	if s.rows == nil {
		s.rows = map[key]*tally{}
	}
	fresh := more // not more itself, which would then be on the heap for each decision
	s.rows[k] = &fresh
	if waiting == flushAt {
		select {
		case r.full <- struct{}{}:
		default: // said already
		}
	}
	return true
}

// Run writes the counts down until ctx ends, and then what is left. Once a day it deletes what is
// older than Retention. It returns nil.
func (r *Recorder) Run(ctx context.Context) error {
	t := time.NewTicker(r.o.Interval)
	defer t.Stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { r.purge(ctx) })
	for {
		select {
		case <-ctx.Done():
			// The last ones, with a little time of their own.
			c, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			if r.Flush(c); r.Pending() > 0 {
				r.o.Logger.Warn("counts of decisions are lost, since they could not be stored before the end; the decisions are in the audit log", "rows", r.Pending())
			}
			return nil
		case <-t.C:
		case <-r.full:
		}
		r.Flush(ctx)
	}
}

func (r *Recorder) purge(ctx context.Context) {
	t := time.NewTicker(24 * time.Hour)
	defer t.Stop()
	for {
		if err := r.store.PurgeUsage(ctx, DayOf(r.o.Now())-Retention); err != nil && ctx.Err() == nil {
			r.o.Logger.Warn("cannot delete old counts of decisions; will try again tomorrow", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// Flush writes what was counted so far. What cannot be written is kept for the next time, as far as
// there is room. When it is not known whether the store took a batch, it is written again: the
// counts are to be compared, not to be paid for.
func (r *Recorder) Flush(ctx context.Context) {
	r.flushing.Lock()
	defer r.flushing.Unlock()
	rows := r.take()
	for size := batchRows; len(rows) > 0; {
		n := min(size, len(rows))
		err := r.store.AddUsage(ctx, rows[:n])
		if errors.Is(err, ErrRow) && n > 1 {
			size = n / 2 // until the row that cannot be stored is alone, so that the others are stored
			continue
		}
		if errors.Is(err, ErrRow) { //nolint:gocritic // break ends the loop, which it would not in a switch
			r.aside.Add(rows[0].N)
			r.o.Logger.Error("a count of decisions cannot be stored and is set aside; the decisions are in the audit log",
				"decisions", rows[0].N, "error", err)
		} else if ctx.Err() != nil && err != nil {
			break // the server ends; Run writes the rest once more
		} else if err != nil {
			r.o.Logger.Warn("cannot store counts of decisions; will try again", "rows", len(rows), "error", err)
			break
		}
		rows, size = rows[n:], min(2*n, batchRows)
	}
	if len(rows) > 0 {
		for _, row := range rows {
			r.add(key{row.Use, row.Day}, tally{row.N, row.Last.UnixMicro()})
		}
		select {
		case <-r.full: // not at once again: the next interval will do
		default:
		}
	}
	if dropped := r.Dropped(); dropped > r.missed {
		r.o.Logger.Warn("decisions were not counted, because a caller made too many different requests or too many counts wait to be stored; they are in the audit log",
			"decisions", dropped-r.missed, "rows_waiting", r.Pending())
		r.missed = dropped
	}
}

// take empties the shards, one after the other: nobody waits for more than one of them.
func (r *Recorder) take() (rows []Row) {
	rows = make([]Row, 0, r.pending.Load())
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		taken := s.rows
		s.rows = nil
		r.pending.Add(-int64(len(taken)))
		s.mu.Unlock()
		for k, t := range taken {
			rows = append(rows, Row{k.day, k.Use, t.n, time.UnixMicro(t.last).UTC()})
		}
	}
	// Replicas that add the same rows in the same order do not lock each other out.
	slices.SortFunc(rows, Row.compare)
	return rows
}

func (r Row) compare(o Row) int {
	bound := func(b bool) int {
		if b {
			return 1
		}
		return 0
	}
	return cmp.Or(
		cmp.Compare(r.Day, o.Day), slices.Compare(r.Caller[:], o.Caller[:]), slices.Compare(r.Target[:], o.Target[:]),
		cmp.Compare(r.Credential, o.Credential), cmp.Compare(r.Scopes, o.Scopes), cmp.Compare(r.Method, o.Method),
		bound(r.Bound)-bound(o.Bound), cmp.Compare(r.Exchange, o.Exchange), cmp.Compare(r.Actors, o.Actors),
		r.Network.Compare(o.Network), cmp.Compare(r.Why, o.Why), cmp.Compare(r.Would, o.Would), cmp.Compare(r.Shadow, o.Shadow),
	)
}
