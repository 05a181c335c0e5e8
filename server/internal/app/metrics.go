package app

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/watchword-dev/watchword/server/internal/audit"
	"github.com/watchword-dev/watchword/server/internal/buildinfo"
)

func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	build := buildinfo.Read()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "watchword_build_info", Help: "1, with labels that describe the build.",
			ConstLabels: prometheus.Labels{"version": build.Version, "commit": build.Commit, "goversion": build.Go, "fips": strconv.FormatBool(build.FIPS)},
		}, func() float64 { return 1 }))
	return r
}

// registerGauges publishes what the server holds and whether it is fit.
func (s *Server) registerGauges() {
	gauge := func(name, help string, value func() float64) {
		s.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
	}
	healthy := func(err error) float64 {
		if err != nil {
			return 0
		}
		return 1
	}
	gauge("watchword_directory_revision", "Revision of the services, credentials and rules in force.",
		func() float64 { return float64(s.directory.Snapshot().Revision()) })
	gauge("watchword_services", "Services in the directory.",
		func() float64 { n, _, _ := s.directory.Snapshot().Counts(); return float64(n) })
	gauge("watchword_credentials", "Credentials in the directory, revoked and expired ones included.",
		func() float64 { _, n, _ := s.directory.Snapshot().Counts(); return float64(n) })
	gauge("watchword_rules", "Rules in the call map.",
		func() float64 { _, _, n := s.directory.Snapshot().Counts(); return float64(n) })
	gauge("watchword_denylist_entries", "Ids in the deny-list that verifiers follow.", func() float64 { return float64(s.revoked.Size()) })
	s.registerUsage()
	s.registerAudit()
	gauge("watchword_ready", "1 while the server answers requests for tokens, also when it is degraded.", func() float64 {
		if s.readiness().Status == notReady {
			return 0
		}
		return 1
	})
	gauge("watchword_store_healthy", "1 while the database takes changes.", func() float64 {
		stored, _ := s.database()
		return healthy(stored)
	})
	gauge("watchword_clock_ahead_seconds", "By how much this machine's clock is ahead of the database's. Below zero: behind.", func() float64 {
		s.health.mu.Lock()
		defer s.health.mu.Unlock()
		return s.health.ahead.Seconds()
	})
	gauge("watchword_audit_healthy", "1 while the audit log can be written.", func() float64 { return healthy(s.log.Healthy()) })
	gauge("watchword_keys_healthy", "1 while there is a key to sign with.", func() float64 { return healthy(s.ring.Healthy()) })
	gauge("watchword_directory_fresh", "1 while the directory is recent enough to decide from.", func() float64 { return healthy(s.directory.Fresh()) })
}

// registerAudit publishes what the audit log only counts.
func (s *Server) registerAudit() {
	s.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "watchword_audit_counted_total",
		Help: "Refusals that the audit log only counts, because there were many from callers that did not authenticate.",
	}, func() float64 { return float64(s.log.Stats().Counted) }))
}

// registerUsage publishes how the counts of decisions get on.
func (s *Server) registerUsage() {
	s.registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "watchword_usage_pending_rows", Help: "Counts of decisions that wait to be stored.",
		}, func() float64 { return float64(s.usage.Pending()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "watchword_usage_dropped_total", Help: "Decisions that were not counted because a caller made too many different requests in a day or too many counts waited. They are in the audit log.",
		}, func() float64 { return float64(s.usage.Dropped()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "watchword_usage_set_aside_total", Help: "Decisions whose count the database cannot store. They are in the audit log.",
		}, func() float64 { return float64(s.usage.Aside()) }),
	)
}

// countedLog counts the decisions that pass through to the audit log.
type countedLog struct {
	log       *audit.Log
	decisions *prometheus.CounterVec
	allowed   prometheus.Counter
}

func countDecisions(log *audit.Log, registry prometheus.Registerer) *countedLog {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "watchword_decisions_total",
		Help: "Decisions about tokens, by outcome and reason.",
	}, []string{"outcome", "reason"})
	registry.MustRegister(c)
	return &countedLog{log, c, c.WithLabelValues(string(audit.Allowed), "allowed")}
}

// Begin counts and records e.
func (l *countedLog) Begin(e audit.Event) *audit.Pending {
	if e.Kind != audit.KindDecision {
		return l.log.Begin(e)
	}
	if e.Outcome == audit.Allowed {
		l.allowed.Inc()
	} else {
		// Reasons are the server's own words, a score of them: no caller can make new ones.
		l.decisions.WithLabelValues(string(e.Outcome), e.Reason).Inc()
	}
	return l.log.Begin(e)
}
