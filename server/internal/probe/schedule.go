package probe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/directory"
)

func (p *Prober) save(ctx context.Context, service directory.UID, r api.ProbeResult) error {
	text, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode probe result: %w", err)
	}
	return p.store.SaveProbe(ctx, service, r.At, text)
}

// Schedule probes every service that has a probe URL, one after the other, each once in an interval
// whatever number of replicas does so.
type Schedule struct {
	Prober   *Prober
	Snapshot func() *directory.Snapshot
	Every    time.Duration
	Logger   *slog.Logger
}

// Run goes on until ctx ends. It fails never: what goes wrong is logged, and tried again.
func (s *Schedule) Run(ctx context.Context) error {
	tick := time.NewTicker(min(max(s.Every/10, time.Second), time.Minute))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := s.Round(ctx); err != nil && ctx.Err() == nil {
			s.Logger.Error("probe services", "error", err)
		}
	}
}

// Round probes those whose time has come.
func (s *Schedule) Round(ctx context.Context) error {
	last, err := s.Prober.store.ProbeTimes(ctx)
	if err != nil {
		return err
	}
	for service := range s.Snapshot().All() {
		due := s.Prober.o.Now().Add(-s.Every)
		if service.Probe == "" || service.Disabled || last[service.UID].After(due) {
			continue
		}
		if err := s.one(ctx, service, due); err != nil && !errors.Is(err, directory.ErrNotFound) {
			return err
		}
	}
	return nil
}

// one probes a service unless another replica does.
func (s *Schedule) one(ctx context.Context, service *directory.Service, due time.Time) error {
	mine, err := s.Prober.store.ClaimProbe(ctx, service.UID, s.Prober.o.Now(), due)
	if err != nil || !mine {
		return err
	}
	r, err := s.Prober.Probe(ctx, directory.Author{Actor: "system"}, service, "")
	if err != nil {
		return err
	}
	for _, c := range r.Failures() {
		s.Logger.Warn("a service accepted what it must refuse", "service", r.Service, "check", c.Name, "status", c.Status)
	}
	if r.Outcome == api.ProbeUnclear {
		s.Logger.Info("a service could not be probed", "service", r.Service, "why", r.Why)
	}
	return nil
}
