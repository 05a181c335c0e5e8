package audit

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/watchword-dev/watchword/server/internal/disk"
)

// ErrUnavailable says that a record cannot be made durable now. Nothing that depends on the
// record may happen. The log recovers by itself.
var ErrUnavailable = errors.New("audit log cannot record")

var (
	errQueueFull = errors.New("too many events wait for the disk")
	errStalled   = errors.New("the disk does not answer")
	errClosed    = errors.New("it is closed")
	errIdle      = errors.New("its first record is not on disk yet")
)

// DefaultCheckpointAfter is the longest time between a record and a signature over it, while the
// log is open and can sign.
const DefaultCheckpointAfter = 10 * time.Minute

const (
	defaultMaxSize         = 128 << 20
	defaultCheckpointEvery = 10_000

	// maxBatch bounds the bytes of the events that wait for the disk. It is not above
	// tailWindow.
	maxBatch = tailWindow - maxLine/8
	// giveUpAfter so long an event fails whose write has not returned.
	giveUpAfter = 1800 * time.Millisecond
	// maxPatience bounds how long a batch waits to grow.
	maxPatience = 2 * time.Millisecond
	// probeEvery is how often a broken log is tried again.
	probeEvery = 250 * time.Millisecond
)

// Options of Open. The zero value works: no retention limit, no signed checkpoints.
type Options struct {
	// MaxSize of a file in bytes, after which the next one is started. Zero: 128 MiB.
	MaxSize int64
	// Retention is how long a file is kept after its last record. Zero: for ever.
	Retention time.Duration
	// Sign signs a checkpoint as a compact JWS: one over what is there when the log is opened, then
	// as the next two fields say, before files are deleted, and when the log is closed. Nil: no
	// checkpoints.
	Sign func(payload []byte) (jws, keyID string, err error)
	// CheckpointEvery so many records one is written. Zero: 10,000.
	CheckpointEvery uint64
	// CheckpointAfter so long one is written, if there are records since the last. Zero:
	// 10 minutes.
	CheckpointAfter time.Duration
	// FileMode of new files. Zero: 0600.
	FileMode fs.FileMode
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
	// Logger of what operators must know. Nil: slog.Default.
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.MaxSize <= 0 {
		o.MaxSize = defaultMaxSize
	}
	if o.CheckpointEvery == 0 {
		o.CheckpointEvery = defaultCheckpointEvery
	}
	if o.CheckpointAfter <= 0 {
		o.CheckpointAfter = DefaultCheckpointAfter
	}
	if o.FileMode == 0 {
		o.FileMode = 0o600
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

// Log is an audit log open for writing. Its methods may be called from any goroutine.
type Log struct {
	dir string
	o   Options
	out *output // of the writer goroutine

	wake   chan struct{} // an event waits for the writer
	enough chan struct{} // the queue has the events the writer waits for
	due    chan struct{} // a checkpoint is due
	quit   chan struct{} // Close was called
	ended  chan struct{} // Run returned
	watch  *time.Timer   // fires when a write takes too long
	begun  *Pending      // the first record

	patience time.Duration // of the writer goroutine: how long it waits for enough

	mu       sync.Mutex
	head     link     // of the last event queued
	durable  link     // of the last event on disk
	unsigned uint64   // events on disk that no checkpoint covers
	queue    *batch   // gathers while inflight is written
	inflight *batch   // nil: nothing is being written
	spare    []byte   // of a batch written, for the next
	crowd    uint64   // how many callers there lately were at once
	want     uint64   // how many events the writer waits for; zero: it does not
	broken   bool     // a write failed, and the file was not repaired yet
	fault    error    // why events are refused; nil: they are not
	refused  *Pending // what Begin answers while there is a fault
	full     *Pending // what Begin answers when the queue is full
	fresh    bool     // the next batch goes to a new file
	running  bool
	closing  sync.Once
	stats    Stats

	refusals *refusals
	shares   *shares
}

// Stats counts what the log did since it was opened.
type Stats struct {
	Events  uint64 // made durable, the log's own included
	Batches uint64 // writes, each with one sync
	Faults  uint64 // times it became unavailable
	Counted uint64 // events that were counted only, since their callers proved no identity
	// HeldBack are events that were refused since the disk is nearly full and their services had had their share.
	HeldBack uint64
}

// batch is the events that become durable with one write and one sync.
type batch struct {
	*Pending
	lines       []byte
	n           uint64
	checkpoints uint64
	covers      uint64 // how many events before it its checkpoints cover
	first       uint64
	end         link
	since       time.Time // when its first event came
}

// Pending is an event that is not known to be durable yet. Events of one batch share one:
// closing one channel wakes all who wait.
type Pending struct {
	done chan struct{}
	err  error // set before done is closed
}

// Wait returns nil once the event is on disk, and ErrUnavailable within 2 s when it cannot
// be. When ctx ends first, the event may still be recorded.
func (p *Pending) Wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return fmt.Errorf("wait for audit log: %w", context.Cause(ctx))
	}
}

// Recorded reports whether the event has, or will have, a record of its own. It has none when its
// caller proved no identity and there were many such events: then it is only counted.
func (p *Pending) Recorded() bool { return p != counted }

// counted is what Begin answers for an event that is only counted.
var counted = func() *Pending {
	p := &Pending{done: make(chan struct{})}
	close(p.done)
	return p
}()

func failed(cause error) *Pending {
	p := &Pending{done: make(chan struct{}), err: fmt.Errorf("%w: %w", ErrUnavailable, cause)}
	close(p.done)
	return p
}

// Open opens the log in dir, and creates both when they are not there. A line that a crash
// left half written is cut off; any other damage at the end of the log, and a second
// process, is an error that tells what to do. Events are written while Run runs.
func Open(dir string, o Options) (*Log, error) {
	o = o.withDefaults()
	dir, err := filepath.Abs(dir) // the process may change its working directory
	if err != nil {
		return nil, fmt.Errorf("open audit log: %w", err)
	}
	out := &output{dir: dir, mode: o.FileMode, maxSize: o.MaxSize, sync: syncData}
	end, err := out.open()
	if err != nil {
		return nil, err
	}
	l := &Log{
		dir: dir, o: o, out: out,
		wake: make(chan struct{}, 1), enough: make(chan struct{}, 1), due: make(chan struct{}, 1),
		quit: make(chan struct{}), ended: make(chan struct{}),
		head: end.last, durable: end.last,
		queue: newBatch(nil), full: failed(errQueueFull),
		refusals: newRefusals(newSpace(dir, o.Now).ample),
		shares:   newShares(),
	}
	start := Event{Kind: KindStart}
	if end.cutBytes > 0 {
		o.Logger.Warn("audit log: cut off a record that a crash left half written; it was never acknowledged",
			"file", end.cutFile, "bytes", end.cutBytes)
		start.Detail = map[string]string{"cutFile": filepath.Base(end.cutFile), "cutBytes": strconv.FormatInt(end.cutBytes, 10)}
	}
	l.begun = l.Begin(start)
	return l, nil
}

func newBatch(lines []byte) *batch {
	return &batch{Pending: &Pending{done: make(chan struct{})}, lines: lines[:0]}
}

// Begin queues e and returns at once, so that the caller can do other work, such as
// signing, while the disk writes. The order of calls is the order of records.
func (l *Log) Begin(e Event) *Pending { return l.begin(e, 0) }

// begin queues e which, when it is a checkpoint, covers so many events that none did.
func (l *Log) begin(e Event, covers uint64) *Pending {
	if e.At.IsZero() {
		e.At = l.o.Now()
	}
	if e.Unproven && e.Outcome != Allowed {
		if !l.refusals.admit(&e) {
			return counted
		}
		e.shorten()
	} else if !l.shares.admit(&e, l.refusals.space) {
		return l.shares.refused
	}
	l.mu.Lock()
	if l.fault != nil {
		defer l.mu.Unlock()
		return l.refused
	}
	b := l.queue
	if len(b.lines) >= maxBatch {
		l.mu.Unlock()
		return l.full
	}
	b.lines, l.head = l.head.appendRecord(b.lines, &e)
	b.end = l.head
	b.n++
	b.covers += covers
	if e.Kind == KindCheckpoint {
		b.checkpoints++
	}
	first := b.n == 1
	if first {
		b.first, b.since = b.end.seq, time.Now()
	}
	if b.n == l.want {
		nudge(l.enough)
	}
	l.mu.Unlock()
	if first {
		nudge(l.wake)
	}
	return b.Pending
}

// Append records e and returns nil once it is on disk.
func (l *Log) Append(ctx context.Context, e Event) error { return l.Begin(e).Wait(ctx) }

// Healthy returns why the next event would probably not be recorded, or nil.
func (l *Log) Healthy() error {
	l.mu.Lock()
	fault, started := l.fault, l.stats.Events > 0
	l.mu.Unlock()
	if fault == nil && !started {
		fault = errIdle
	}
	if fault == nil {
		fault = disk.Fault(l.dir)
	}
	if fault != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, fault)
	}
	return nil
}

// End is the newest record that is on disk, by number and hash. A log that lacks it lost its end.
func (l *Log) End() Position {
	end := l.endLink()
	return Position{Seq: end.seq, Hash: hex.EncodeToString(end.hash[:])}
}

// Reopen starts a new file, as programs that rotate files ask for with a signal. The log
// also notices by itself when its file was renamed, removed or emptied.
func (l *Log) Reopen() {
	l.mu.Lock()
	l.fresh = true
	l.mu.Unlock()
	l.note("log.reopen", nil)
}

// note queues an event of the log's own. Nobody waits for it.
func (l *Log) note(action string, detail map[string]string) {
	l.Begin(Event{Kind: KindLog, Action: action, Detail: detail})
}

// Stats returns the counts so far.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	stats := l.stats
	stats.Counted = l.refusals.counted()
	stats.HeldBack = l.shares.heldBack.Load()
	return stats
}

// HasRoom reports whether there is more room on the disk than what is reserved for what must be recorded.
func (l *Log) HasRoom() bool { return l.refusals.space() }

// Close ends Run after it has written what is queued, and gives the folder free. Events
// begun later are refused.
func (l *Log) Close() error {
	l.closing.Do(func() {
		close(l.quit)
		l.mu.Lock()
		running := l.running
		l.running = true // Run can no longer be called
		if !running {
			l.fail(errClosed)
		}
		l.mu.Unlock()
		if running {
			<-l.ended
		}
		l.out.close()
	})
	return nil
}

func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
