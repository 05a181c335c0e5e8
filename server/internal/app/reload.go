package app

import (
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"
)

// reloaded is what was made of files, and is made again when they change.
type reloaded[T any] struct {
	what   string // for the log
	files  []string
	load   func() (T, error)
	logger *slog.Logger

	mu      sync.Mutex
	value   T
	stamps  []time.Time
	checked time.Time
}

// reload loads for the first time, which must succeed.
func reload[T any](what string, files []string, logger *slog.Logger, load func() (T, error)) (r *reloaded[T], err error) {
	r = &reloaded[T]{what: what, files: files, load: load, logger: logger}
	r.stamps = r.stat()
	r.value, err = load()
	return r, err
}

// current is what the files say. They are looked at once a second at most; what cannot be loaded
// leaves the old in use.
func (r *reloaded[T]) current() T {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.checked) >= time.Second {
		r.checked = time.Now()
		if stamps := r.stat(); !slices.Equal(stamps, r.stamps) {
			r.read(stamps)
		}
	}
	return r.value
}

// again reads the files, whether or not they seem to have changed.
func (r *reloaded[T]) again() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.read(r.stat())
}

// read loads the files. Caller holds mu.
func (r *reloaded[T]) read(stamps []time.Time) {
	r.stamps = stamps
	value, err := r.load()
	if err != nil {
		r.logger.Error("the "+r.what+" changed but cannot be loaded; still using the old", "file", r.files[0], "error", err)
		return
	}
	r.value = value
	r.logger.Info(r.what+" reloaded", "file", r.files[0])
}

func (r *reloaded[T]) stat() []time.Time {
	stamps := make([]time.Time, len(r.files))
	for i, f := range r.files {
		if info, err := os.Stat(f); err == nil {
			stamps[i] = info.ModTime()
		}
	}
	return stamps
}

// reload does what SIGHUP asks for: files are read again, and the audit log begins a new file, as
// programs that rotate files expect.
func (s *Server) reload() {
	s.logger.Info("reloading certificates, client authorities and the operator token, and beginning a new file of the audit log; settings are read at the start only")
	for _, r := range s.reloading {
		r.again()
	}
	s.log.Reopen()
}
