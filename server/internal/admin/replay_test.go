package admin

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/policy"
	"github.com/watchword-dev/watchword/server/internal/usage"
)

func asFiles(text string, more ...string) string {
	b, _ := json.Marshal(oneFile(text))
	return strings.TrimSuffix(string(b), "}") + strings.Join(append(more, "}"), "")
}

// used counts tokens of an edge, today.
func (s *server) used(caller, target string, n int64, change ...func(*usage.Use)) {
	s.Helper()
	snapshot := s.directory.Snapshot()
	c, _ := snapshot.Service(caller)
	to, _ := snapshot.Service(target)
	u := usage.Use{Edge: policy.Edge{Caller: c.UID, Target: to.UID}, Credential: "c", Method: "bootstrap"}
	for _, f := range change {
		f(&u)
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	if err := s.db.AddUsage(s.Context(), []usage.Row{{Day: usage.DayOf(now), Use: u, N: n, Last: now}}); err != nil {
		s.Fatal(err)
	}
}

const threeServices = "services: {m1: {}, m2: {}, m3: {}}\nrules:\n"

func TestPlanSaysWhichTokensWouldHaveBeenRefused(t *testing.T) {
	s := start(t)
	s.must("POST", "/callmap/apply", asFiles(threeServices+"  - {from: m1, to: [m2, m3]}\n  - {from: m2, to: m3, exchange: impersonate}\n"))
	var plan api.CallMapPlan
	ask := func(text string, more ...string) *api.CallMapReplay {
		t.Helper()
		plan = api.CallMapPlan{}
		s.must("POST", "/callmap/plan", asFiles(text, more...)).into(&plan)
		return plan.Replay
	}
	fewer := threeServices + "  - {from: m1, to: m3}\n  - {from: m2, to: m3}\n  - {from: m3, to: m1}\n"
	if r := ask(fewer); r.Since != nil || r.Looked != 0 || r.Days != 30 || len(r.Edges) != 0 || r.UnusedRules != 2 {
		t.Errorf("got %+v of no records", r)
	}
	s.used("m1", "m2", 14112)
	s.used("m1", "m3", 1)
	r := ask(fewer)
	want := "in the last 30 days 14,112 tokens for m1 -> m2 would have been refused: there is no rule m1 -> m2"
	if r.Refused != 14112 || r.Looked != 14112 || len(r.Sentences) != 1 || r.Sentences[0] != want {
		t.Errorf("got %+v", r)
	}
	today := usage.DayOf(time.Now()).Start()
	if r.Since == nil || !r.Since.Equal(today) || !r.From.Equal(today.AddDate(0, 0, -29)) || r.To.Before(today) {
		t.Errorf("got the window %+v", r.UsageWindow)
	}
	if len(r.Unused) != 1 || r.Unused[0].Caller != "m2" || r.UnusedRules != 1 {
		t.Errorf("got %+v unused, want m2 -> m3: the new rule is no rule yet", r.Unused)
	}
	if r := ask(fewer, `,"replayDays":1`); r.Days != 1 || r.Refused != 14112 {
		t.Errorf("got %+v", r)
	}
	s.used("m2", "m3", 1, func(u *usage.Use) { u.Exchange, u.Actors = policy.Delegate, 1 })
	s.used("m2", "m3", 1, func(u *usage.Use) { u.Exchange = policy.Impersonate })
	delegating := threeServices + "  - {from: m1, to: [m2, m3]}\n  - {from: m2, to: m3, exchange: delegate}\n"
	if r := ask(delegating); r.Refused != 1 || r.Edges[0].Reason != string(policy.ImpersonateForbidden) {
		t.Errorf("got %+v of an impersonation", r)
	}
	if ask(fewer, `,"replayDays":0`) != nil {
		t.Error("a replay nobody asked for")
	}
	s.ask("POST", "/callmap/plan", asFiles(fewer, `,"replayDays":401`)).wantProblem("too many days", 422)
}

// F97: a plan tells of the tokens that would be refused because of what their caller may use from then on.
func TestPlanSaysWhatCallersMayNotUseAnyMore(t *testing.T) {
	for settings, want := range map[string]string{
		"auth: private_key_jwt":                  "method_not_accepted",
		"auth: [bootstrap, client_secret_basic]": "",
		"binding: dpop":                          "unbound",
		"grants: [client_credentials]":           "",
		"algorithm: RS256":                       "",
	} {
		s := start(t)
		s.must("POST", "/callmap/apply", asFiles(threeServices+"  - {from: m1, to: m2}\n"))
		s.used("m1", "m2", 3)
		var plan api.CallMapPlan
		s.must("POST", "/callmap/plan", asFiles(strings.Replace(threeServices, "m1: {}", "m1: {"+settings+"}", 1)+"  - {from: m1, to: m2}\n")).into(&plan)
		switch {
		case want == "" && plan.Replay.Refused != 0:
			t.Errorf("%s: got %+v", settings, plan.Replay)
		case want != "" && (plan.Replay.Refused != 3 || plan.Replay.Edges[0].Reason != want):
			t.Errorf("%s: got %+v, want %s", settings, plan.Replay, want)
		}
	}
	s := start(t)
	s.must("POST", "/callmap/apply", asFiles(threeServices+"  - {from: m1, to: m2, exchange: delegate}\n"))
	s.used("m1", "m2", 2, func(u *usage.Use) { u.Exchange, u.Actors, u.Method = policy.Delegate, 1, "client_secret_basic" })
	var plan api.CallMapPlan
	s.must("POST", "/callmap/plan", asFiles(strings.Replace(threeServices, "m1: {}", "m1: {grants: client_credentials}", 1)+"  - {from: m1, to: m2, exchange: delegate}\n")).into(&plan)
	if plan.Replay.Refused != 2 || plan.Replay.Edges[0].Reason != "grant_not_allowed" {
		t.Errorf("got %+v", plan.Replay)
	}
}

// A service that no longer observes refuses what it let through.
func TestPlanSaysWhatEnforcingWouldRefuse(t *testing.T) {
	s := start(t)
	s.must("POST", "/callmap/apply", asFiles("services: {m1: {}, m2: {enforce: observe}}\n"))
	s.used("m1", "m2", 3, func(u *usage.Use) { u.Would = policy.NoRule })
	var plan api.CallMapPlan
	s.must("POST", "/callmap/plan", asFiles("services: {m1: {}, m2: {}}\n")).into(&plan)
	if plan.Replay.Refused != 3 || plan.Replay.Edges[0].Reason != string(policy.NoRule) {
		t.Errorf("got %+v", plan.Replay)
	}
}

func TestShadowIsSetReportedAndEnded(t *testing.T) {
	s := start(t)
	s.must("POST", "/callmap/apply", asFiles(threeServices+"  - {from: m1, to: [m2, m3]}\n"))
	shadowed := threeServices + "  - {from: m1, to: m3}\n  - {from: m3, to: m1}\n"
	var set api.CallMapShadow
	s.must("PUT", "/callmap/shadow", asFiles(shadowed)).into(&set)
	if set.Rules != 2 || set.Revision != s.directory.Snapshot().Revision() {
		t.Errorf("got %+v", set)
	}
	otherwise := func(caller, target string) policy.Reason {
		snapshot := s.directory.Snapshot()
		c, _ := snapshot.Service(caller)
		return snapshot.Decide(directory.Question{Caller: c.UID, Target: target, At: time.Now()}).Otherwise()
	}
	if !s.decide("m1", "m2") || s.decide("m3", "m1") {
		t.Error("a shadow changed what is in force")
	}
	if a, b, c := otherwise("m1", "m2"), otherwise("m1", "m3"), otherwise("m3", "m1"); a != policy.NoRule || b != "" || c != policy.Allowed {
		t.Errorf("got %q, %q, %q", a, b, c)
	}
	s.used("m1", "m2", 5, func(u *usage.Use) { u.Shadow = policy.NoRule })
	s.used("m1", "m3", 9)
	var report api.ShadowReport
	s.must("GET", "/callmap/shadow/report", "").into(&report)
	if report.Rules != 2 || len(report.Edges) != 1 || report.Edges[0].Tokens != 5 || report.Edges[0].Outcome != "refused" || report.Days != 30 {
		t.Errorf("got %+v", report)
	}
	s.must("DELETE", "/callmap/shadow", "").into(&set)
	if otherwise("m1", "m2") != "" || set.Rules != 0 {
		t.Errorf("got %+v, and still a shadow", set)
	}
	again := api.CallMapShadow{}
	s.must("DELETE", "/callmap/shadow", "").into(&again)
	if again.Revision != set.Revision {
		t.Errorf("ending no shadow made revision %d", again.Revision)
	}
	s.ask("PUT", "/callmap/shadow", asFiles("rules: [{}]\n")).wantProblem("a mistake", 422)
	s.ask("GET", "/callmap/shadow/report?days=0", "").wantProblem("no days", 422)
}
