package once

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"
)

// ErrUnavailable reports that it cannot be found out now whether a name was used. What depends on
// it must not happen.
var ErrUnavailable = errors.New("cannot find out whether it was used before")

var (
	errQueueFull = errors.New("too many wait for the store")
	errStalled   = errors.New("the store does not answer")
	errClosed    = errors.New("it is closed")
)

const (
	DefaultMaxWaiting = 4096
	defaultPurgeEvery = 30 * time.Second
	// slack is how long an entry is kept beyond its end: the clocks of replicas differ.
	slack = time.Minute
	// giveUpAfter so long a call fails whose transaction has not returned.
	giveUpAfter = 1800 * time.Millisecond
)

// Options of a Register. The zero value works.
type Options struct {
	// MaxWaiting bounds the entries that wait for the store. Zero: 4096.
	MaxWaiting int
	// PurgeEvery is how often what has ended is forgotten. Zero: 30 s.
	PurgeEvery time.Duration
	Logger     *slog.Logger
}

// Register reports of entries whether they were used before. Calls that come while the store
// commits are committed together next. Use it while Run runs.
type Register struct {
	store Store
	o     Options

	wake  chan struct{} // an entry waits
	watch *time.Timer   // fires when a transaction takes too long

	mu       sync.Mutex
	queue    *batch // gathers while inflight is committed
	inflight *batch // nil: nothing is being committed
	fault    error  // why calls are refused; nil: they are not
	failing  bool   // and it was logged
}

// batch is the entries of one transaction.
type batch struct {
	entries []Entry
	since   time.Time // when its first entry came

	done  chan struct{}
	fresh []bool // these two are set before done is closed
	err   error
}

// New makes a register over store.
func New(store Store, o Options) *Register {
	if o.MaxWaiting == 0 {
		o.MaxWaiting = DefaultMaxWaiting
	}
	if o.PurgeEvery == 0 {
		o.PurgeEvery = defaultPurgeEvery
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Register{store: store, o: o, wake: make(chan struct{}, 1), queue: newBatch()}
}

func newBatch() *batch { return &batch{done: make(chan struct{})} }

// Use uses up all entries together, and reports of each whether this was its first use. The answer
// outlives a crash. After an error, which is there within 2 s, nothing may be granted, and an
// entry may be used up or not. When ctx ends first, it may be so too.
func (r *Register) Use(ctx context.Context, entries ...Entry) (fresh []bool, err error) {
	for _, e := range entries {
		if err := e.check(); err != nil {
			return nil, err
		}
	}
	if len(entries) == 0 {
		return nil, nil
	}
	if ctx.Err() != nil { // nothing is used up for a caller who is gone
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, context.Cause(ctx))
	}
	b, at, err := r.enqueue(entries)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	select {
	case <-b.done:
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, context.Cause(ctx))
	}
	if b.err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, b.err)
	}
	return b.fresh[at : at+len(entries) : at+len(entries)], nil
}

func (r *Register) enqueue(entries []Entry) (b *batch, at int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b, at = r.queue, len(r.queue.entries)
	switch {
	case r.fault != nil:
		return nil, 0, r.fault
	case at+len(entries) > r.o.MaxWaiting:
		return nil, 0, errQueueFull
	case at == 0:
		b.since = time.Now()
	}
	b.entries = append(b.entries, entries...)
	select {
	case r.wake <- struct{}{}:
	default: // it is awake, or will be
	}
	return b, at, nil
}

// Waiting is how many entries wait for the store.
func (r *Register) Waiting() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.queue.entries)
}

// Run commits entries until ctx ends, and then those that wait. It is called once. It returns
// no error for a store that fails: Use does.
func (r *Register) Run(ctx context.Context) error {
	r.watch = time.AfterFunc(time.Hour, r.stalled)
	defer r.watch.Stop()
	var purging sync.WaitGroup
	defer purging.Wait()
	purging.Go(func() { r.purge(ctx) })

	// A commit that was begun is not given up for the end of the process.
	commit := context.WithoutCancel(ctx)
	for ctx.Err() == nil {
		select {
		case <-r.wake:
		case <-ctx.Done():
		}
		for r.flush(commit) {
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail(errClosed)
	return nil
}

// flush commits what waits, and reports whether there was something.
func (r *Register) flush(ctx context.Context) bool {
	runtime.Gosched() // another goroutine may have an entry
	r.mu.Lock()
	b := r.queue
	if len(b.entries) == 0 {
		r.mu.Unlock()
		return false
	}
	r.queue, r.inflight = newBatch(), b
	r.mu.Unlock()

	r.watch.Reset(giveUpAfter - time.Since(b.since))
	fresh, err := r.store.UseOnce(ctx, b.entries)
	r.watch.Stop()
	if err == nil && len(fresh) != len(b.entries) {
		err = errors.New("the store answered about something else")
	}
	r.finish(b, fresh, err)
	return true
}

// finish wakes all who wait for b.
func (r *Register) finish(b *batch, fresh []bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inflight = nil
	stalled := r.fault != nil
	r.fault = nil
	r.report(err)
	if stalled { // and they were told so
		return
	}
	b.fresh, b.err = fresh, err
	close(b.done)
}

// report logs when the store begins to fail and when it ends. Caller holds mu.
func (r *Register) report(err error) {
	switch failed := err != nil; {
	case failed == r.failing:
	case failed:
		r.o.Logger.Error("once-only store: cannot record; what depends on it is refused", "error", err)
	default:
		r.o.Logger.Info("once-only store: records again")
	}
	r.failing = err != nil
}

// fail refuses what waits and what comes. Caller holds mu.
func (r *Register) fail(cause error) {
	r.fault = cause
	r.queue.err = cause
	close(r.queue.done)
	r.queue = newBatch()
}

// stalled fails those who wait for a transaction that does not return, and all who come until it
// does. Some of their entries may then be used up.
func (r *Register) stalled() {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.inflight
	if b == nil || r.fault != nil || time.Since(b.since) < giveUpAfter {
		return
	}
	b.err = errStalled
	close(b.done)
	r.fail(errStalled)
	r.report(errStalled)
}

func (r *Register) purge(ctx context.Context) {
	t := time.NewTicker(r.o.PurgeEvery)
	defer t.Stop()
	for {
		// By the clock of the store: a replica whose own clock is ahead must not forget for the others.
		now, err := r.store.Now(ctx)
		if err == nil {
			err = r.store.PurgeOnce(ctx, now.Add(-slack))
		}
		if err != nil && ctx.Err() == nil {
			r.o.Logger.Warn("once-only store: cannot forget what has ended; will try again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}
