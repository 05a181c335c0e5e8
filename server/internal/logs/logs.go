// Package logs writes the server's log, one line an event, without ever making who logs wait: where
// the lines go may block, as a full pipe or a frozen disk does. It does not know what is logged, but
// takes out what has the shape of a secret.
package logs

import (
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/watchword-dev/watchword/server/internal/redact"
)

const (
	// MaxPending bounds the bytes of the lines that wait to be written.
	MaxPending = 1 << 20
	// closeAfter bounds how long Close waits for them.
	closeAfter = time.Second
)

// Logger is a logger whose lines are written by a goroutine of its own.
type Logger struct {
	*slog.Logger
	queue queue
}

// New makes a logger that writes lines of at least that level to w, as JSON or else as text. Close
// ends it.
func New(w io.Writer, level slog.Leveler, json bool) *Logger {
	l := &Logger{queue: queue{wake: make(chan struct{}, 1), drained: make(chan struct{})}}
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: replace}
	if json {
		l.Logger = slog.New(slog.NewJSONHandler(&l.queue, options))
	} else {
		l.Logger = slog.New(slog.NewTextHandler(&l.queue, options))
	}
	go l.queue.run(w, func(lines uint64) {
		l.Warn("log lines were dropped, since those before them could not be written in time", "lines", lines)
	})
	return l
}

// Write writes a line that is no event of the log, as the last words of a program are.
func (l *Logger) Write(line []byte) (int, error) { return l.queue.Write(line) }

// Dropped is how many lines were dropped because too many waited to be written.
func (l *Logger) Dropped() uint64 {
	l.queue.mu.Lock()
	defer l.queue.mu.Unlock()
	return l.queue.dropped
}

// Close waits until all lines are written, a second at most. Later lines are dropped.
func (l *Logger) Close() {
	l.queue.mu.Lock()
	closed := l.queue.closed
	l.queue.closed = true
	l.queue.mu.Unlock()
	if !closed {
		l.queue.nudge()
	}
	select {
	case <-l.queue.drained:
	case <-time.After(closeAfter):
	}
}

// replace takes secrets out, and gives durations their unit, which JSON has no other way to tell.
func replace(_ []string, a slog.Attr) slog.Attr {
	switch a.Value.Kind() {
	case slog.KindString:
		a.Value = slog.StringValue(redact.Text(a.Value.String()))
	case slog.KindDuration:
		a.Value = slog.StringValue(a.Value.Duration().String())
	case slog.KindAny:
		if err, ok := a.Value.Any().(error); ok {
			a.Value = slog.StringValue(redact.Text(err.Error()))
		}
	}
	return a
}

// queue is an io.Writer that holds what is written to it until run can write it.
type queue struct {
	wake    chan struct{}
	drained chan struct{} // closed when run has ended

	mu      sync.Mutex
	pending []byte
	dropped uint64
	told    uint64 // of those dropped
	closed  bool
}

// Write takes one line, or drops it.
func (q *queue) Write(line []byte) (int, error) {
	q.mu.Lock()
	if q.closed || len(q.pending)+len(line) > MaxPending {
		q.dropped++
	} else {
		q.pending = append(q.pending, line...)
	}
	q.mu.Unlock()
	q.nudge()
	return len(line), nil
}

func (q *queue) nudge() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// run writes lines to w until the queue is closed and empty. An error of w is nothing that could be
// logged: the lines are lost, and the next ones may be written again.
func (q *queue) run(w io.Writer, tell func(lines uint64)) {
	defer close(q.drained)
	var lines []byte
	for range q.wake {
		for {
			q.mu.Lock()
			lines, q.pending = q.pending, lines[:0]
			lost, closed := q.dropped-q.told, q.closed
			q.told = q.dropped
			q.mu.Unlock()
			if len(lines) == 0 && closed {
				return
			}
			if len(lines) == 0 {
				break
			}
			_, _ = w.Write(lines)
			if lost > 0 && !closed {
				tell(lost)
			}
		}
	}
}
