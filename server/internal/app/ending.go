package app

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/watchword-dev/watchword/server/internal/directory"
)

const (
	day = 24 * time.Hour
	// warnBefore is how long before its end a credential is logged, once a day.
	warnBefore = 14 * day
	// maxWarnings bounds the log lines of a day: the others are counted in one more.
	maxWarnings = 50
)

// endingWindows are the values of the label within.
var endingWindows = map[string]time.Duration{"1d": day, "7d": 7 * day, "14d": 14 * day, "30d": 30 * day}

// endingCredentials publishes how many credentials end soon, and when the first one ends.
type endingCredentials struct {
	snapshot   func() *directory.Snapshot
	now        func() time.Time
	count, end *prometheus.Desc
}

func newEndingCredentials(snapshot func() *directory.Snapshot, now func() time.Time) *endingCredentials {
	return &endingCredentials{
		snapshot, now,
		prometheus.NewDesc("watchword_credentials_ending", "Credentials that are valid, were created for a day or more, have no replacement, and expire within the time that the label says.", []string{"within"}, nil),
		prometheus.NewDesc("watchword_credential_next_end_seconds", "Seconds until the first of these credentials expires. Absent: none expires within 30 days.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (e *endingCredentials) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(e, ch) }

// Collect implements prometheus.Collector.
func (e *endingCredentials) Collect(ch chan<- prometheus.Metric) {
	now := e.now()
	ending := e.snapshot().Ending(now, endingWindows["30d"])
	for label, within := range endingWindows {
		n := 0
		for n < len(ending) && ending[n].ExpiresAt.Sub(now) <= within {
			n++
		}
		ch <- prometheus.MustNewConstMetric(e.count, prometheus.GaugeValue, float64(n), label)
	}
	if len(ending) > 0 {
		ch <- prometheus.MustNewConstMetric(e.end, prometheus.GaugeValue, ending[0].ExpiresAt.Sub(now).Seconds())
	}
}

// warnOfEnds logs, at the start and then once a day, which credentials end soon.
func (s *Server) warnOfEnds(ctx context.Context) error {
	t := time.NewTicker(day)
	defer t.Stop()
	for {
		s.logEnds(time.Now())
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

func (s *Server) logEnds(now time.Time) {
	snapshot := s.directory.Snapshot()
	ending := snapshot.Ending(now, warnBefore)
	for _, c := range ending[:min(len(ending), maxWarnings)] {
		name := directory.FormatUID(c.Service)
		if owner, ok := snapshot.ServiceByUID(c.Service); ok {
			name = owner.Name
		}
		s.logger.Warn("a credential expires soon; replace it", "service", name, "credential", c.ID, "kind", string(c.Kind), "name", c.Name, "expires", c.ExpiresAt)
	}
	if more := len(ending) - maxWarnings; more > 0 {
		s.logger.Warn("more credentials expire soon; list them with: watchword credential list --expires-within 14d", "credentials", more)
	}
}
