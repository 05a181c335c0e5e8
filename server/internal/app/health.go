package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/watchword-dev/watchword/server/internal/store"
	"github.com/watchword-dev/watchword/server/internal/web"
)

const (
	// lookEvery is how often the database is written to, to find out whether it can be.
	lookEvery   = 3 * time.Second
	lookTimeout = 2 * time.Second
	// silentAfter so long without an answer the database counts as away.
	silentAfter = lookEvery + lookTimeout + time.Second
	// maxSkew is how much the clocks of replicas may differ: what may be used once is remembered for so
	// long beyond its end.
	maxSkew = time.Minute
)

// health is what was found out about the database, and when.
type health struct {
	mu     sync.Mutex
	store  error
	ahead  time.Duration // of this machine's clock
	looked time.Time
}

// watchDatabase finds out again and again whether the database takes changes, and logs when that
// changes.
func (s *Server) watchDatabase(ctx context.Context) error {
	s.health.mu.Lock()
	s.health.looked = time.Now()
	s.health.mu.Unlock()
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	for {
		s.look(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

func (s *Server) look(ctx context.Context) {
	c, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	ahead, err := s.db.Heartbeat(c)
	if ctx.Err() != nil {
		return
	}
	h := &s.health
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err != nil && h.store == nil:
		s.logger.Error("the database takes no changes", "error", err)
	case err == nil && h.store != nil:
		s.logger.Info("the database takes changes again")
	}
	if err == nil { // else nothing is known of the clock
		was := skewed(h.ahead)
		if now := skewed(ahead); now != nil && was == nil {
			s.logger.Error("a clock is wrong", "error", now)
		} else if now == nil && was != nil {
			s.logger.Info("the clock is right again", "ahead", ahead)
		}
		h.ahead = ahead
	}
	h.store, h.looked = err, time.Now()
}

// skewed reports that the clock of this machine differs too much from the one that replicas share.
func skewed(ahead time.Duration) error {
	switch {
	case ahead > maxSkew:
		return fmt.Errorf("this machine's clock is %s ahead of the database's; set the one that is wrong", ahead.Round(time.Second))
	case ahead < -maxSkew:
		return fmt.Errorf("this machine's clock is %s behind the database's, or what it was before; set the one that is wrong", (-ahead).Round(time.Second))
	}
	return nil
}

// database is the problems of the database and of the clock.
func (s *Server) database() (stored, clock error) {
	h := &s.health
	h.mu.Lock()
	defer h.mu.Unlock()
	stored, clock = h.store, skewed(h.ahead)
	if stored == nil && !h.looked.IsZero() && time.Since(h.looked) > silentAfter {
		stored = fmt.Errorf("the database has not answered for %s", time.Since(h.looked).Round(time.Second))
	}
	return stored, clock
}

// readiness is what /readyz answers.
type readiness struct {
	Status   string            `json:"status"`
	Problems map[string]string `json:"problems,omitempty"`
}

// What a server is.
const (
	ready    = "ready"
	degraded = "degraded"  // it answers requests for tokens, but cannot do all of its job
	notReady = "not ready" // it should not be asked
)

// readiness reports what keeps the server from doing its job, by part. A database that is away does not
// make it not ready as long as it may decide from what it knows: else a balancer would take out all
// replicas together.
func (s *Server) readiness() readiness {
	r := readiness{Status: ready, Problems: map[string]string{}}
	note := func(status, part string, err error) {
		if err == nil {
			return
		}
		r.Problems[part] = err.Error()
		if r.Status != notReady {
			r.Status = status
		}
	}
	stored, clock := s.database()
	if errors.Is(stored, store.ErrGone) {
		note(notReady, "store", stored)
	}
	note(degraded, "store", stored)
	note(degraded, "clock", clock)
	if damage := s.damaged.Load(); damage != nil {
		note(notReady, "store", *damage)
	}
	note(notReady, "directory", s.directory.Fresh())
	note(notReady, "keys", s.ring.Healthy())
	note(notReady, "audit", s.log.Healthy())
	if s.draining.Load() {
		note(notReady, "server", errors.New("stopping"))
	}
	return r
}

func (s *Server) serveReady(w http.ResponseWriter, _ *http.Request) error {
	answer := s.readiness()
	status := http.StatusOK
	if answer.Status == notReady {
		status = http.StatusServiceUnavailable
	}
	body, _ := json.Marshal(answer)
	web.WriteJSON(w, status, append(body, '\n'))
	return nil
}
