package app

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/watchword-dev/watchword/server/internal/probe"
)

// openProbes makes what probes services.
func (s *Server) openProbes(context.Context) error {
	failures := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "watchword_probe_failures_total",
		Help: "Tokens that services accepted and must refuse, by service and check.",
	}, []string{"service", "check"})
	s.registry.MustRegister(failures)
	s.probes = probe.New(s.issuer, s.db, probe.Options{
		Failed: func(service, check string) { failures.WithLabelValues(service, check).Inc() },
	})
	return nil
}

// probeAll probes on a schedule.
func (s *Server) probeAll(ctx context.Context) error {
	schedule := probe.Schedule{Prober: s.probes, Snapshot: s.directory.Snapshot, Every: s.cfg.Probe.Every, Logger: s.logger}
	return schedule.Run(ctx)
}
