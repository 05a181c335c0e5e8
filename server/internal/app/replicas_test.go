package app

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/server/internal/config"
	"github.com/watchword-dev/watchword/server/internal/store/pgtest"
)

// replica is a server on the database at url, with the first one's sealing key.
func replica(t *testing.T, url string, first *server) *server {
	cfg := testConfig(t)
	cfg.Database = config.NewSecret(url)
	if first != nil {
		cfg.Keys.SealingKeyFile = first.cfg.Keys.SealingKeyFile
	}
	return start(t, cfg)
}

// until asks again until the answer has the status, or five seconds are over: the bound of
// NAT-022 and POL-002 for another replica.
func (s *server) until(credential, body string, status int) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Second)
	defer cancel()
	for {
		a := s.ask(credential, body)
		if a.status == status {
			return
		}
		select {
		case <-ctx.Done():
			s.t.Fatalf("%s: still %d %s, want %d", body, a.status, a.body, status)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// NAT-022, POL-002, POL-013: what changes on one replica changes on the other.
func TestReplicasFollowEachOther(t *testing.T) {
	followEachOther(t, pgtest.Start(t))
}

// F62: through PgBouncer in transaction mode too, which passes on no notices.
func TestReplicasFollowEachOtherThroughAPooler(t *testing.T) {
	url := pgtest.Start(t)
	pooler := pgtest.Bouncer(t)
	followEachOther(t, pooler.URL(t, url))
	if log := pooler.Log(t); strings.Contains(log, "WARNING") || strings.Contains(log, "ERROR") {
		t.Errorf("PgBouncer logged:\n%s", log)
	}
}

func followEachOther(t *testing.T, url string) {
	a := replica(t, url, nil)
	b := replica(t, url, a)
	m1, m2, _ := a.demo()
	b.until(m1, `{"target":"m2"}`, 200)

	a.operate("DELETE", "/rules/m1/m2", "")
	b.until(m1, `{"target":"m2"}`, 401)
	b.allow("m1", "m2")
	a.until(m1, `{"target":"m2"}`, 200)

	b.operate("PATCH", "/services/m2", `{"disabled":true}`)
	a.until(m1, `{"target":"m2"}`, 401)
	a.until(m2, `{"target":"m2"}`, 401)
	b.operate("PATCH", "/services/m2", `{"disabled":false}`)
	a.until(m2, `{"target":"m2"}`, 200)

	token, id := a.credential("m1")
	b.until(token, `{"target":"m2"}`, 200)
	b.operate("POST", "/credentials/"+id+"/revoke", "")
	a.until(token, `{"target":"m2"}`, 401)

	// A list that was begun on one is continued on the other (F70).
	page := a.operate("GET", "/services?limit=2", "")
	rest := b.operate("GET", "/services?limit=2&pageToken="+page["nextPageToken"].(string), "")
	if left := rest["services"].([]any); len(left) != 1 || left[0].(map[string]any)["name"] != "m3" {
		t.Errorf("the second page, from the other replica: got %v", rest)
	}

	// A key made by one verifies, and signs, on the other.
	a.operate("PATCH", "/services/m2", `{"algorithm":"EdDSA"}`)
	b.until(m1, `{"target":"m2"}`, 200)
	a.operate("POST", "/keys/rotate", `{"algorithm":"ES256","now":true}`)
	fresh := part(t, a.accessToken(m1, "m1"), 0)["kid"]
	for ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second); ; {
		defer cancel()
		if part(t, b.accessToken(m1, "m1"), 0)["kid"] == fresh {
			break
		}
		if ctx.Err() != nil {
			t.Fatal("the other replica still signs with the old key")
		}
	}
}

func TestSecondReplicaNeedsTheSealingKey(t *testing.T) {
	url := pgtest.Start(t)
	replica(t, url, nil)
	cfg := testConfig(t)
	cfg.Database = config.NewSecret(url)
	_, err := New(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err == nil {
		t.Fatal("a replica without the sealing key started")
	}
	if _, statErr := os.Stat(cfg.Keys.SealingKeyFile); statErr == nil {
		t.Error("it made a sealing key of its own")
	}
}

// FLT-016: a replica that hears nothing from the store refuses, past its bound.
func TestReplicaThatHearsNothingRefuses(t *testing.T) {
	pg := pgtest.New(t, pgtest.Options{})
	cfg := testConfig(t)
	cfg.Database = config.NewSecret(pg.Database(t))
	cfg.MaxStaleness = 2 * time.Second
	s := start(t, cfg)
	m1, _, _ := s.demo()
	pg.Stop(t, "immediate")
	if a := s.ask(m1, `{"target":"m2"}`); a.status != 200 {
		t.Fatalf("just after the store went away: got %d %s", a.status, a.body)
	}
	s.until(m1, `{"target":"m2"}`, 503)
	if a := s.ask(m1, `{"target":"m2"}`); a.header.Get("Retry-After") == "" || a.json(t)["error"] != "temporarily_unavailable" {
		t.Errorf("got %v %s", a.header, a.body)
	}
	pg.Start(t)
	s.until(m1, `{"target":"m2"}`, 200) // FLT-009: it heals by itself
}
