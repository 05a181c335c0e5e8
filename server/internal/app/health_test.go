package app

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/server/internal/config"
	"github.com/watchword-dev/watchword/server/internal/store/pgtest"
	"github.com/watchword-dev/watchword/server/internal/store/storetest"
)

// readyz asks as a balancer does.
func (s *server) readyz() answer {
	return s.do(s.request("GET", strings.TrimSuffix(s.admin, "/admin/v1")+"/readyz", ""))
}

// becomes asks until the server has that status, with that part at fault.
func (s *server) becomes(status, part string) answer {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	for {
		a := s.readyz()
		if strings.Contains(a.body, `"status":"`+status+`"`) && (part == "" || strings.Contains(a.body, `"`+part+`":`)) {
			return a
		}
		select {
		case <-ctx.Done():
			s.t.Fatalf("got %d %s; want %s for the %s", a.status, a.body, status, part)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// F61: while the database is away, a server that may still decide stays among those that are asked.
func TestReplicaWithoutItsDatabaseIsReadyAsLongAsItMayDecide(t *testing.T) {
	pg := pgtest.New(t, pgtest.Options{})
	cfg := testConfig(t)
	cfg.Database = config.NewSecret(pg.Database(t))
	cfg.MaxStaleness = 15 * time.Second
	s := start(t, cfg)
	m1, _, _ := s.demo()
	if a := s.becomes(ready, ""); a.status != 200 {
		t.Errorf("ready: got %d", a.status)
	}
	pg.Stop(t, "immediate")
	if a := s.becomes(degraded, "store"); a.status != 200 {
		t.Errorf("degraded: got %d", a.status)
	}
	if a := s.ask(m1, `{"target":"m2"}`); a.status != 200 {
		t.Errorf("a token while degraded: got %d %s", a.status, a.body)
	}
	metrics := func() string {
		return s.do(s.request("GET", strings.TrimSuffix(s.admin, "/admin/v1")+"/metrics", "")).body
	}
	if m := metrics(); !strings.Contains(m, "watchword_ready 1\n") || !strings.Contains(m, "watchword_store_healthy 0\n") {
		t.Error("the metrics do not tell that it is degraded")
	}
	if a := s.becomes(notReady, "directory"); a.status != 503 {
		t.Errorf("not ready: got %d", a.status)
	}
	if m := metrics(); !strings.Contains(m, "watchword_ready 0\n") {
		t.Error("the metrics do not tell that it is not ready")
	}
	pg.Start(t)
	s.becomes(ready, "")
}

// F77: whoever asks hears within seconds that nothing can be stored any more, and where.
func TestADatabaseThatIsTakenAwayIsTold(t *testing.T) {
	s := start(t, testConfig(t))
	s.service("m1")
	file := filepath.Join(s.cfg.Data, "watchword.db")
	must(t, os.Rename(file, file+".away"))
	if a := s.becomes(notReady, "store"); a.status != 503 || !strings.Contains(a.body, file) {
		t.Errorf("got %d %s", a.status, a.body)
	}
	if a := s.do(s.request("POST", s.admin+"/services", `{"name":"m2"}`, "Authorization", "Bearer "+s.token)); a.status < 500 {
		t.Errorf("a change is acknowledged: %d %s", a.status, a.body)
	}
	must(t, os.Rename(file+".away", file))
	s.becomes(ready, "")
	s.service("m2")
}

// F72.
func TestAWrongClockIsTold(t *testing.T) {
	s := start(t, testConfig(t))
	later := time.Now().Add(10 * time.Minute)
	must(t, storetest.Exec(t.Context(), s.cfg.Data, "", `UPDATE counters SET value = $1 WHERE name = 'heartbeat'`, later.UnixMicro()))
	if a := s.becomes(degraded, "clock"); a.status != 200 || !strings.Contains(a.body, "behind") {
		t.Errorf("got %d %s", a.status, a.body)
	}
	for ahead, wrong := range map[time.Duration]bool{0: false, maxSkew: false, -maxSkew: false, maxSkew + 1: true, -maxSkew - 1: true} {
		if err := skewed(ahead); (err != nil) != wrong {
			t.Errorf("%v: got %v", ahead, err)
		}
	}
}
