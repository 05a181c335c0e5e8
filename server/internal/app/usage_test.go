package app

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/server/internal/config"
	"github.com/watchword-dev/watchword/server/internal/policy"
	"github.com/watchword-dev/watchword/server/internal/store"
	"github.com/watchword-dev/watchword/server/internal/usage"
)

// callMapFiles is the body of a request with one file.
func callMapFiles(text string) string {
	b, _ := json.Marshal(map[string]any{"files": []map[string]string{{"name": "callmap.yaml", "text": text}}})
	return string(b)
}

const (
	filesNow = "version: 1\nservices: {m1: {}, m2: {}, m3: {enforce: observe}}\nrules:\n  - {from: m1, to: m2, scopes: [read, write]}\n  - {from: m2, to: m1}\n"
	// m1 may read only, m2 nothing, and m3 enforces.
	filesThen = "version: 1\nservices: {m1: {}, m2: {}, m3: {}}\nrules:\n  - {from: m1, to: m2, scopes: [read]}\n"
)

// counted has m1 get three tokens for m2, one of them to read; one for m3, which observes; and m2 one
// for m1. And it is refused one.
func (s *server) counted() {
	s.t.Helper()
	m1, _ := s.credential("m1")
	m2, _ := s.credential("m2")
	s.accessToken(m1, "m2")
	s.accessToken(m1, "m2")
	s.ask(m1, `{"target":"m2","scope":"read"}`)
	s.accessToken(m1, "m3")
	s.accessToken(m2, "m1")
	if a := s.ask(m2, `{"target":"m2"}`); a.status != 401 {
		s.t.Fatalf("got %d %s", a.status, a.body)
	}
}

// What a plan says of recorded decisions, and what its shadow says of those made meanwhile, is what
// comes out once it is applied.
func TestPlanShadowAndWhatComesOutAgree(t *testing.T) {
	onBothEngines(t, func(t *testing.T, cfg config.Config) {
		s := start(t, cfg)
		s.operate("POST", "/callmap/apply", callMapFiles(filesNow))
		s.counted()

		replay := s.operate("POST", "/callmap/plan", callMapFiles(filesThen))["replay"].(map[string]any)
		if replay["looked"] != 5.0 || replay["refused"] != 4.0 {
			t.Errorf("got %v", replay)
		}
		text, _ := json.Marshal(replay["sentences"])
		for _, sentence := range []string{
			"2 tokens for m1 -> m2 would have been refused: the rule m1 -> m2 allows read; write was requested",
			"1 token for m1 -> m3 would have been refused: there is no rule m1 -> m3",
			"1 token for m2 -> m1 would have been refused: there is no rule m2 -> m1",
		} {
			if !strings.Contains(strings.ReplaceAll(string(text), `\u003e`, ">"), "in the last 30 days "+sentence) {
				t.Errorf("%s lacks %q", text, sentence)
			}
		}

		s.operate("PUT", "/callmap/shadow", callMapFiles(filesThen))
		s.counted()
		got := map[string]float64{}
		for _, e := range s.operate("GET", "/callmap/shadow/report", "")["edges"].([]any) {
			e := e.(map[string]any)
			got[strings.Join([]string{e["caller"].(string), e["target"].(string), e["by"].(string), e["outcome"].(string), e["reason"].(string)}, " ")] = e["tokens"].(float64)
		}
		want := map[string]float64{
			"m1 m2 shadow fewer_scopes fewer_scopes": 2, // who names no scope is not refused
			"m2 m1 shadow refused no_rule":           1,
			"m1 m3 observe refused no_rule":          2, // of both rounds
		}
		for k, n := range want {
			if got[k] != n {
				t.Errorf("%s: got %v, want %v of %v", k, got[k], n, got)
			}
		}
		if len(got) != len(want) {
			t.Errorf("got %v, want %v", got, want)
		}
		log := auditText(t, s.cfg.Audit.Dir)
		for _, record := range []string{`"wouldRefuse":"no_rule"`, `"shadow":"no_rule"`, `"shadow":"fewer_scopes"`} {
			if !strings.Contains(log, record) {
				t.Errorf("the audit log lacks %s", record)
			}
		}

		s.operate("POST", "/callmap/apply", callMapFiles(filesThen))
		m1, _ := s.credential("m1")
		m2, _ := s.credential("m2")
		for _, ask := range []struct {
			credential, body string
			status           int
		}{
			{m1, `{"target":"m2","scope":"read write"}`, 401},
			{m1, `{"target":"m2","scope":"read"}`, 200},
			{m1, `{"target":"m3"}`, 401},
			{m2, `{"target":"m1"}`, 401},
		} {
			if a := s.ask(ask.credential, ask.body); a.status != ask.status {
				t.Errorf("%s: got %d, want %d", ask.body, a.status, ask.status)
			}
		}
	})
}

// A decision writes no row; the last counts are written when the server ends.
func TestUsageIsWrittenWhenTheServerEnds(t *testing.T) {
	onBothEngines(t, func(t *testing.T, cfg config.Config) {
		s := start(t, cfg)
		s.operate("POST", "/callmap/apply", callMapFiles(filesNow))
		s.counted()
		if n := s.s.usage.Pending(); n != 5 {
			t.Errorf("got %d rows waiting, want one for each kind of decision", n)
		}
		metrics := s.do(s.request("GET", strings.TrimSuffix(s.admin, "/admin/v1")+"/metrics", "")).body
		for _, line := range []string{"watchword_usage_pending_rows 5", "watchword_usage_dropped_total 0"} {
			if !strings.Contains(metrics, line) {
				t.Errorf("metrics lack %s", line)
			}
		}
		must(t, s.stop())
		db, err := store.Open(t.Context(), store.Options{DataDir: cfg.Data, DatabaseURL: cfg.Database.Reveal()})
		must(t, err)
		defer db.Close()
		rows, err := db.ListUsage(t.Context(), usage.Filter{})
		if err != nil || len(rows) != 5 {
			t.Fatalf("got %d rows, %v", len(rows), err)
		}
		for _, r := range rows {
			if r.Credential == "" || r.Method == "" || !r.Network.IsValid() || r.Last.After(time.Now()) || r.Day != usage.DayOf(r.Last) {
				t.Errorf("got %+v", r)
			}
			if r.Scopes == "read write" && (r.N != 2 || r.Why != "") || r.Why != "" && r.Why != policy.NoRule {
				t.Errorf("got %+v", r)
			}
		}
	})
}
