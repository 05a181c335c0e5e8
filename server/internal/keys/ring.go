package keys

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/directory"
)

// Defaults and bounds of Options.
const (
	DefaultLead        = time.Hour
	MinLead            = 5 * time.Minute
	DefaultRotateEvery = 720 * time.Hour
	DefaultMaxTokenTTL = 24 * time.Hour

	// leeway is what verifiers may add to a token's end for clocks that differ.
	leeway = time.Minute
	// pollEvery is how late a replica may hear of a change when nothing notifies it.
	pollEvery = 45 * time.Second
	// maxPause is how old the store's word for the time may be when a change made from it is
	// written.
	maxPause = 10 * time.Second
	// spread bounds how far replicas lie apart: a key one of them made is published by all, and
	// a key one of them retired has signed its last on all.
	spread = pollEvery + maxPause + 5*time.Second

	storeTimeout = 20 * time.Second
	maxTries     = 100
)

// Options of a Ring. The zero value works.
type Options struct {
	// Lead is how long an access key is published before it signs: 1 h, at least 5 min.
	Lead time.Duration
	// RotateEvery is how long an access key signs: 720 h.
	RotateEvery time.Duration
	// MaxTokenTTL is the longest life of an access token: 24 h.
	MaxTokenTTL time.Duration
	// Algorithm of access keys where a target asks for no other: ES256.
	Algorithm jose.Algorithm
	// Resealers keep secrets of the same sealer elsewhere; Reseal seals those again too.
	Resealers []Resealer
	// OnChange is called after another ring came into force here. It must not wait for anything.
	OnChange func()
	// Now measures pauses of this process. The schedule goes by the store's clock.
	Now    func() time.Time
	Logger *slog.Logger
}

// Ring is the server's keys. What the hot path reads is an immutable snapshot; everything
// that changes it is one transaction of the store, made from the version it names, so that
// of two replicas that want the same change one makes it.
//
// Load must have succeeded before it is used, Run keeps it rotating.
type Ring struct {
	store  Store
	sealer *Sealer
	o      Options
	policy Policy
	want   []Lane
	maxAge time.Duration

	snapshot atomic.Pointer[snapshot]
	// turn is held from reading the store to installing what was read or written, so that an
	// older state never replaces a newer one. Never while a key is made. A channel, because a
	// caller can stop waiting for it.
	turn chan struct{}
	wake chan struct{}
}

// NewRing makes a ring over store.
func NewRing(store Store, sealer *Sealer, o Options) *Ring {
	if o.Lead == 0 {
		o.Lead = DefaultLead
	}
	o.Lead = max(o.Lead, MinLead)
	if o.RotateEvery <= 0 {
		o.RotateEvery = DefaultRotateEvery
	}
	if o.MaxTokenTTL <= 0 {
		o.MaxTokenTTL = DefaultMaxTokenTTL
	}
	if o.Algorithm == "" {
		o.Algorithm = jose.ES256
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	r := &Ring{
		store: store, sealer: sealer, o: o,
		// A verifier's cache lives at most half of the time a key is certainly published by every
		// replica before it signs.
		maxAge: min(5*time.Minute, (o.Lead-spread)/2).Truncate(time.Second),
		want:   []Lane{{UseAccess, string(o.Algorithm)}, {UseCredential, string(jose.ES256)}, {UseAudit, string(jose.ES256)}},
		turn:   make(chan struct{}, 1),
		wake:   make(chan struct{}, 1),
	}
	r.policy = Policy{Lead: o.Lead, RotateEvery: o.RotateEvery, Overlap: o.MaxTokenTTL + leeway + r.maxAge + spread}
	r.snapshot.Store(&snapshot{broken: errNotLoaded})
	return r
}

var system = directory.Author{Actor: "system"}

// Load reads the ring, and makes the first keys of a ring that lacks them. It fails when a
// key that has to sign cannot be opened.
func (r *Ring) Load(ctx context.Context) error {
	if err := r.Reload(ctx); err != nil {
		return err
	}
	// With the wrong sealing key file nothing is to be added that only that file opens.
	if err := r.Healthy(); err != nil && len(r.snapshot.Load().records) > 0 {
		return fmt.Errorf("load key ring: %w", err)
	}
	_, err := r.change(ctx, system, "", func(ring []Record, now time.Time) ([]Record, error) {
		return eachLane(ring, r.want, func(l Lane, keys []Record) []Record { return r.policy.promote(l, keys, now) }), nil
	})
	if err != nil {
		return fmt.Errorf("load key ring: %w", err)
	}
	if err := r.Healthy(); err != nil {
		return fmt.Errorf("load key ring: %w", err)
	}
	return nil
}

// Reload reads what another replica, or this one, has stored, and has Run look whether more is to be done: the
// first key of an algorithm is stored with the change that needs it, without the one that comes next.
func (r *Ring) Reload(ctx context.Context) error {
	if err := r.take(ctx); err != nil {
		return fmt.Errorf("reload key ring: %w", err)
	}
	defer r.release()
	records, _, err := r.read(ctx)
	if err != nil {
		return fmt.Errorf("reload key ring: %w", err)
	}
	r.install(records)
	r.nudge()
	return nil
}

// Run rotates the keys as they are due and follows the store, until ctx ends.
func (r *Ring) Run(ctx context.Context) error {
	failing := false
	for {
		err := r.step(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // asked to end, not failed
		}
		if failed := err != nil; failed != failing {
			failing = failed
			if failed {
				r.o.Logger.Error("cannot read the current keys; the server continues to sign with the keys that it has", "error", err)
			} else {
				r.o.Logger.Info("key ring is up to date again")
			}
		}
		// Jitter: replicas started together shall not all come at once.
		timer := time.NewTimer(pollEvery/2 + rand.N(pollEvery/2)) //nolint:gosec // spreads replicas, and keeps nothing secret
		select {
		case <-ctx.Done():
		case <-r.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

func (r *Ring) step(ctx context.Context) error {
	_, err := r.change(ctx, system, "", func(ring []Record, now time.Time) ([]Record, error) {
		return Step(ring, r.want, now, r.policy), nil
	})
	return err
}

// edit answers what the ring should be, from what it is and the store's time. It may be
// called several times. Records without an ID are keys to be made.
type edit func(ring []Record, now time.Time) ([]Record, error)

// change brings the stored ring to what edit says, in one transaction, and then this
// process's snapshot. It returns the ring after it.
func (r *Ring) change(ctx context.Context, by directory.Author, action string, e edit) ([]Record, error) {
	return retried(r, func(spare map[string][]Record) ([]Record, error) { return r.try(ctx, by, action, e, spare) })
}

// retried calls try until it neither lacks keys nor was overtaken by another replica.
func retried[T any](r *Ring, try func(spare map[string][]Record) (T, error)) (none T, err error) {
	spare := map[string][]Record{}
	for range maxTries {
		done, err := try(spare)
		var missing missingKeys
		switch {
		case errors.Is(err, ErrConflict), errors.Is(err, errPaused):
			// Another replica was first, or time went by: look again. What it changed may be the key
			// that seals, so spare keys are not carried over.
			clear(spare)
		case errors.As(err, &missing):
			// Made before the time is read that says when it was published, and while nobody waits:
			// an RSA key takes seconds.
			for algorithm, n := range missing {
				for len(spare[algorithm]) < n {
					k, err := r.mint(algorithm)
					if err != nil {
						return none, fmt.Errorf("create %s key: %w", algorithm, err)
					}
					spare[algorithm] = append(spare[algorithm], k)
				}
			}
		default:
			return done, err
		}
	}
	return none, fmt.Errorf("change key ring: gave up after %d tries: %w", maxTries, ErrConflict)
}

// missingKeys is how many keys of each algorithm have to be made first.
type missingKeys map[string]int

func (missingKeys) Error() string { return "keys must be created first" }

var errPaused = errors.New("this process stood still between reading the time and writing")

// planned is a change of the ring before it is stored.
type planned struct {
	difference
	before, after []Record
	version       int64     // of the ring that is stored
	now           time.Time // by the store's clock
	asked         time.Time // by this process's clock, before that
}

// plan is what edit would change. The caller holds the turn.
func (r *Ring) plan(ctx context.Context, e edit, spare map[string][]Record) (p planned, err error) {
	if p.before, p.version, err = r.read(ctx); err != nil {
		return p, err
	}
	p.asked = r.o.Now()
	// One clock for all replicas: a replica whose own is wrong must not rotate early.
	now, err := r.store.Now(ctx)
	if err != nil {
		return p, fmt.Errorf("read the store's time: %w", err)
	}
	p.now = now.UTC().Truncate(time.Microsecond) // what stores can hold
	if p.after, err = e(slices.Clone(p.before), p.now); err != nil {
		return p, err
	}
	if err := fill(p.after, spare); err != nil {
		return p, err
	}
	if p.difference = compare(p.before, p.after); p.empty() {
		return p, nil
	}
	if err := sound(p.before, p.after, p.now); err != nil {
		return p, fmt.Errorf("refused to store a broken key ring: %w", err)
	}
	return p, nil
}

func (r *Ring) try(ctx context.Context, by directory.Author, action string, e edit, spare map[string][]Record) ([]Record, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if err := r.take(ctx); err != nil {
		return nil, fmt.Errorf("change key ring: %w", err)
	}
	defer r.release()
	p, err := r.plan(ctx, e, spare)
	if err != nil {
		return nil, err
	}
	if p.empty() {
		r.install(p.before)
		return p.before, nil
	}
	if action == "" {
		action = p.action
	}
	// The version says that nobody else wrote meanwhile, not that no time went by: a process
	// that was stopped would publish keys later, and retire them earlier, than it writes down.
	if r.o.Now().Sub(p.asked) > maxPause {
		return nil, errPaused
	}
	err = r.store.SaveKeys(ctx, p.version, p.put, p.drop, directory.Change{
		At: p.now, Actor: by.Actor, RequestID: by.RequestID, Action: action, Subject: directory.SubjectKeys, Detail: p.detail, Once: by.Once,
	})
	if err != nil {
		return nil, fmt.Errorf("store key ring: %w", err)
	}
	// Saved from this version, so this is what the store now holds.
	r.install(p.after)
	r.o.Logger.Info("key ring changed", "action", action, "actor", by.Actor, "keys", listed(p.detail))
	return p.after, nil
}

// listed is what happened to which keys, for a log line.
func listed(detail map[string]string) string {
	var all []string
	for id, what := range detail {
		all = append(all, what+" "+id)
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// fill gives the records without an ID the spare keys.
func fill(ring []Record, spare map[string][]Record) error {
	used := missingKeys{}
	short := false
	for i := range ring {
		k := &ring[i]
		if k.ID != "" {
			continue
		}
		n := used[k.Algorithm]
		used[k.Algorithm]++
		if n >= len(spare[k.Algorithm]) {
			short = true
			continue
		}
		made := spare[k.Algorithm][n]
		k.ID, k.Public, k.Sealed = made.ID, made.Public, made.Sealed
	}
	if short {
		return used
	}
	return nil
}

// read never takes an empty ring for an answer once there were keys.
func (r *Ring) read(ctx context.Context) ([]Record, int64, error) {
	records, version, err := r.store.LoadKeys(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("read keys: %w", err)
	}
	if len(records) == 0 && (version != 0 || len(r.snapshot.Load().records) != 0) {
		return nil, 0, errors.New("the store has lost all signing keys; restore it from a backup")
	}
	return records, version, nil
}

// install puts a ring in force in this process.
func (r *Ring) install(records []Record) {
	old := r.snapshot.Load()
	slices.SortFunc(records, byAge)
	if old.broken == nil && old.warning == nil && slices.EqualFunc(old.records, records, same) {
		return // as nearly always
	}
	s := r.open(records, old)
	r.snapshot.Store(s)
	if r.o.OnChange != nil {
		r.o.OnChange()
	}
	for _, p := range []struct{ was, is error }{{old.broken, s.broken}, {old.warning, s.warning}} {
		if p.is != nil && (p.was == nil || p.was.Error() != p.is.Error()) {
			r.o.Logger.Error("a key of the ring cannot be used", "error", p.is)
		}
	}
}

func (r *Ring) take(ctx context.Context) error {
	select {
	case r.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *Ring) release() { <-r.turn }

// nudge makes Run look now: after a change the next key has to be made.
func (r *Ring) nudge() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}
