package app

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/watchword-dev/watchword/server/internal/audit"
	"github.com/watchword-dev/watchword/server/internal/buildinfo"
	"github.com/watchword-dev/watchword/server/internal/logs"
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

// countClosedConnections publishes the connections that gave way to others.
func countClosedConnections(registry prometheus.Registerer) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "watchword_connections_closed_total",
		Help: "Connections that were closed, the one that did nothing for longest first, because the listener or one network had too many.",
	}, []string{"listener"})
	registry.MustRegister(c)
	return c
}

// countDroppedLines publishes how many lines logger dropped.
func (s *Server) countDroppedLines(logger *logs.Logger) {
	s.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "watchword_log_lines_dropped_total", Help: "Lines of the server's log that were dropped because too many waited to be written.",
	}, func() float64 { return float64(logger.Dropped()) }))
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
	s.registry.MustRegister(newEndingCredentials(s.directory.Snapshot, time.Now))
	gauge("watchword_rules", "Rules in the call map.",
		func() float64 { _, _, n := s.directory.Snapshot().Counts(); return float64(n) })
	gauge("watchword_denylist_entries", "Ids in the deny-list that verifiers follow.", func() float64 { return float64(s.revoked.Size()) })
	gauge("watchword_client_keys_waiting", "Requests that wait for keys that a service or a platform publishes.", func() float64 { return float64(s.auth.WaitingForKeys()) })
	gauge("watchword_once_waiting", "Assertions and proofs that wait until it is stored that they were used.", func() float64 { return float64(s.once.Waiting()) })
	s.registerUsage()
	s.registerAudit()
	for _, l := range s.listeners {
		s.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "watchword_connections", Help: "Connections that are open.", ConstLabels: prometheus.Labels{"listener": l.name},
		}, func() float64 { return float64(l.connections.count()) }))
	}
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
	counter := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, value)
	}
	s.registry.MustRegister(
		counter("watchword_audit_counted_total", "Refusals that the audit log only counts, because there were many from callers that did not authenticate.",
			func() float64 { return float64(s.log.Stats().Counted) }),
		counter("watchword_audit_held_back_total", "Requests that were turned away with 503 because the audit log's disk is nearly full and the service has had its share of the rest.",
			func() float64 { return float64(s.log.Stats().HeldBack) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "watchword_audit_has_room", Help: "0 while the audit log's disk has no more room than what is reserved for what must be recorded.",
		}, func() float64 {
			if s.log.HasRoom() {
				return 1
			}
			return 0
		}),
	)
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
