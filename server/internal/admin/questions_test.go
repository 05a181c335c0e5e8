package admin

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/callmap"
	"github.com/watchword-dev/watchword/server/internal/policy"
	"github.com/watchword-dev/watchword/server/internal/usage"
)

func (s *server) use(u usage.Use, days int, from, to string) {
	s.Helper()
	snapshot := s.directory.Snapshot()
	caller, _ := snapshot.Service(from)
	target, _ := snapshot.Service(to)
	u.Edge = policy.Edge{Caller: caller.UID, Target: target.UID}
	at := time.Now().AddDate(0, 0, -days).UTC().Truncate(time.Microsecond)
	if err := s.db.AddUsage(s.Context(), []usage.Row{{Day: usage.DayOf(at), Use: u, N: 5, Last: at}}); err != nil {
		s.Fatal(err)
	}
}

func TestQuestionsAreAnsweredFromWhatWasCounted(t *testing.T) {
	s := start(t, func(o *Options) { o.MaxTokenTTL = time.Hour })
	s.services("m1", "m2", "m3")
	s.must("PUT", "/rules/m1/m2", `{"scopes":["read"]}`)
	s.use(usage.Use{Scopes: "read"}, 200, "m1", "m2")
	s.use(usage.Use{Scopes: "read", Method: "bootstrap"}, 10, "m1", "m2")
	s.use(usage.Use{Scopes: "write", Why: policy.ScopeNotGranted}, 10, "m1", "m2")
	s.use(usage.Use{Scopes: "a", Why: policy.NoRule}, 10, "m1", "m3")
	s.use(usage.Use{Scopes: "a", Why: policy.NoRule}, 40, "m2", "m3")

	var unused api.Unused
	s.must("GET", "/callmap/unused", "").into(&unused)
	if !unused.Complete || unused.Young != 1 || len(unused.Items) != 0 { // m3, made just now, which nobody got a token for
		t.Errorf("unused: got %+v", unused)
	}
	var impact api.Impact
	s.must("GET", "/callmap/impact?caller=m1&target=m2", "").into(&impact)
	if impact.Count != 1 || impact.Affected[0].Tokens != 5 || impact.RecordsSince == nil {
		t.Errorf("impact: got %+v", impact)
	}
	for _, q := range []string{"", "?caller=m1", "?caller=m1&target=m2&key=x", "?key=x&credential=y"} {
		s.ask("GET", "/callmap/impact"+q, "").wantProblem(q, 422)
	}
	s.ask("GET", "/callmap/impact?caller=m2&target=m1", "").wantProblem("no rule", 404)
	s.ask("GET", "/callmap/impact?key=x", "").wantProblem("no key", 404)
	s.ask("GET", "/callmap/impact?credential=x", "").wantProblem("no credential", 404)

	// No token of ten days ago is in use any more.
	for _, k := range s.ring.List() {
		s.must("GET", "/callmap/impact?key="+k.ID, "").into(&impact)
		if impact.Count != 0 {
			t.Errorf("%s key: got %+v", k.Use, impact)
		}
	}

	var suggestion api.Suggestion
	s.must("GET", "/callmap/suggestion", "").into(&suggestion)
	if len(suggestion.Rules) != 2 || suggestion.Rules[0].Command != "watchword allow m1 m2 --scope read --scope write" {
		t.Errorf("suggestion: got %+v", suggestion)
	}
	// The lines are what a call map file takes.
	text := "version: 1\nservices: {m1: {}, m2: {}, m3: {}}\nrules:\n" + suggestion.File
	if _, err := callmap.Parse("callmap.yaml", []byte(text)); err != nil {
		t.Errorf("the file is not read: %v\n%s", err, text)
	}
	s.must("GET", "/callmap/suggestion?days=60", "").into(&suggestion)
	if len(suggestion.Rules) != 3 {
		t.Errorf("of 60 days: got %+v", suggestion)
	}
}

// A rule that a file owns is suggested to be changed there, and is not to be disallowed by hand.
func TestSuggestionForARuleOfAFileNamesTheFile(t *testing.T) {
	s := start(t)
	s.must("POST", "/callmap/apply", `{"files":[{"name":"web.yaml","text":"version: 1\nmanaged-by: web\nservices: {m1: {}, m2: {}}\nrules:\n  - {from: m1, to: m2, scopes: [read]}\n"}]}`)
	s.use(usage.Use{Scopes: "write", Why: policy.ScopeNotGranted}, 1, "m1", "m2")
	s.use(usage.Use{Why: policy.NoRule}, 1, "m2", "m1")
	var suggestion api.Suggestion
	s.must("GET", "/callmap/suggestion", "").into(&suggestion)
	if i := slices.IndexFunc(suggestion.Rules, func(r api.SuggestedRule) bool { return r.New }); i < 0 || suggestion.Rules[i].Command != `add the rule to the call map file of "web", and apply it` {
		t.Errorf("a new rule for a target of a file: got %+v", suggestion.Rules)
	}
	suggestion.Rules = slices.DeleteFunc(suggestion.Rules, func(r api.SuggestedRule) bool { return r.New })
	if len(suggestion.Rules) != 1 || suggestion.Rules[0].ManagedBy != "web" || !strings.Contains(suggestion.File, `of "web", where`) || !strings.Contains(suggestion.File, "scopes: [read, write]") {
		t.Errorf("got %+v", suggestion)
	}
	var e api.Explanation
	s.must("POST", "/decisions/explain", `{"caller":"m1","target":"m2","scopes":["write"]}`).into(&e)
	if !strings.Contains(e.Command, `"web"`) {
		t.Errorf("got %+v", e)
	}
}

func TestBlastKeepsToTheActorsOfTheServer(t *testing.T) {
	s := start(t, func(o *Options) { o.MaxActors = 1 })
	s.services("m1", "m2", "m3", "m4")
	s.must("PUT", "/rules/m1/m2", `{"scopes":["read"]}`)
	s.must("PUT", "/rules/m2/m3", `{"scopes":["read"],"exchange":"delegate"}`)
	s.must("PUT", "/rules/m3/m4", `{"scopes":["read"],"exchange":"delegate"}`)
	var b api.Blast
	a := s.must("GET", "/services/m1/blast", "")
	a.into(&b)
	var names []string
	for _, r := range b.Reaches {
		names = append(names, r.Service)
	}
	if !slices.Equal(names, []string{"m2", "m3"}) {
		t.Errorf("got %+v", b)
	}
	if got := s.records(a.Header().Get("X-Request-Id")); len(got) != 1 || got[0]["action"] != "service.blast" {
		t.Errorf("records: got %v", got)
	}
	s.ask("GET", "/services/m9/blast", "").wantProblem("no service", 404)
	s.ask("GET", "/callmap/graph?from=m9", "").wantProblem("no service", 404)
}
