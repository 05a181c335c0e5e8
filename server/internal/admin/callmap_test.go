package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/callmap"
	"github.com/watchword-dev/watchword/server/internal/directory"
)

// oneFile is a file, with a version at the end if there is none: lines keep their numbers.
func oneFile(text string) api.CallMapFiles {
	if string(callmap.WithVersion([]byte(text))) != text {
		text += "\nversion: 1\n"
	}
	return api.CallMapFiles{Files: []api.CallMapFile{{Name: "callmap.yaml", Text: text}}}
}

func callMapBody(t testing.TB, base int64, text string) string {
	t.Helper()
	b, err := json.Marshal(api.ApplyCallMap{CallMapFiles: oneFile(text), Base: base, Reason: "a reason", Author: "anna"})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func planBody(t testing.TB, text string) string {
	t.Helper()
	b, err := json.Marshal(oneFile(text))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const pair = "services: {m1: , m2: }\n"

func (s *server) plan(text string) (p api.CallMapPlan) {
	s.Helper()
	s.must("POST", "/callmap/plan", planBody(s, text)).into(&p)
	return p
}

// With a token of its own for trusts, a file changes trusts and identities with that one, and all else with the other.
func TestFilesChangeTrustsWithTheTokenForTrustsOnly(t *testing.T) {
	const (
		trusts   = "managed-by: platform\ntrusts: {prod: {preset: kubernetes, issuer: 'https://k.example.com'}}\n"
		services = "services: {m1: {}}\n"
		identity = "services: {m1: {identity: {trust: prod, claims: {uid: 0b9d1c5e-7a64-4e0c-8f0a-5a7d0e2f9b11}}}}\n"
		both     = "services: {m1: {owner: anna, identity: {trust: prod, claims: {uid: 0b9d1c5e-7a64-4e0c-8f0a-5a7d0e2f9b22}}}}\n"
	)
	s := start(t, roles)
	as := []string{"Authorization", "Bearer " + trustTestToken}
	refused := func(text, code string, as ...string) {
		t.Helper()
		a := s.ask("POST", "/callmap/apply", callMapBody(t, 0, text), as...)
		if a.wantProblem(text, http.StatusForbidden); !strings.Contains(a.Body.String(), code) {
			t.Errorf("%s\ngot %s, want %s", text, a.Body, code)
		}
	}
	refused(trusts, "trust_role_required")
	s.must("POST", "/callmap/apply", callMapBody(t, 0, trusts), as...)
	refused(services, "operator_role_required", as...)
	s.must("POST", "/callmap/apply", callMapBody(t, 0, services))
	if p := s.plan(identity); len(p.Changes) != 1 || p.Changes[0].Kind != "identity" || p.Changes[0].What != "m1" {
		t.Errorf("got %+v", p.Changes)
	}
	refused(identity, "trust_role_required")
	s.must("POST", "/callmap/apply", callMapBody(t, 0, identity), as...)
	refused(both, "trust_role_required")
	refused(both, "operator_role_required", as...)
	refused("services: {m1: {}}\n", "trust_role_required") // takes the identity away
	if p := s.plan(services); p.Replay == nil || !strings.Contains(strings.Join(p.Replay.Notes, " "), "could not be replayed") {
		t.Errorf("got %+v", p.Replay)
	}
}

// POL-007: what was planned before another change is not applied, whatever that change was.
func TestStalePlanIsNotApplied(t *testing.T) {
	s := start(t)
	const text = pair + "rules: [{from: m1, to: m2}]\n"
	base := s.plan(text).Base
	s.services("other")
	s.ask("POST", "/callmap/apply", callMapBody(t, base, text)).wantProblem("apply on a stale base", http.StatusConflict)
	s.ask("POST", "/callmap/apply", callMapBody(t, base+100, text)).wantProblem("apply on a base that is not there yet", http.StatusConflict)
	if _, ok := s.directory.Snapshot().Service("m1"); ok {
		t.Error("a stale plan was applied")
	}
	var applied api.AppliedCallMap
	s.must("POST", "/callmap/apply", callMapBody(t, s.plan(text).Base, text)).into(&applied)
	if !s.decide("m1", "m2") || applied.Author != "anna" || applied.Reason != "a reason" {
		t.Errorf("got %+v", applied)
	}
}

// POL-007: of many who apply on the same base one does, and the map is that one's whole.
func TestOfManyApplyersOneWins(t *testing.T) {
	s := start(t)
	s.services("by-hand")
	base := s.plan(pair).Base
	var wg sync.WaitGroup
	var won atomic.Int64
	for i := range 8 {
		wg.Go(func() {
			text := fmt.Sprintf("services: {m1: , m2: , w%d: }\nrules: [{from: m1, to: w%d}, {from: w%d, to: m2}]\n", i, i, i)
			switch a := s.ask("POST", "/callmap/apply", callMapBody(t, base, text)); a.Code {
			case http.StatusOK:
				won.Add(1)
			case http.StatusConflict:
			default:
				t.Errorf("got %d %s", a.Code, a.Body)
			}
		})
	}
	wg.Wait()
	var all struct{ Services []api.Service }
	s.must("GET", "/services?limit=100", "").into(&all)
	if won.Load() != 1 || len(all.Services) != 4 {
		t.Errorf("%d won, and there are %d services; want 1 and 4", won.Load(), len(all.Services))
	}
}

// POL-002: after the answer to an apply without the rule, the very next decision refuses.
func TestARuleThatAFileDropsIsGoneWhenItIsAnswered(t *testing.T) {
	s := start(t)
	for i := range 5 {
		s.must("POST", "/callmap/apply", callMapBody(t, 0, pair+"rules: [{from: m1, to: m2}]\n"))
		if !s.decide("m1", "m2") {
			t.Fatalf("round %d: refused after the rule was applied", i)
		}
		s.must("POST", "/callmap/apply", callMapBody(t, 0, pair))
		if s.decide("m1", "m2") {
			t.Fatalf("round %d: allowed after the rule was dropped", i)
		}
	}
}

// POL-001: what a file does not allow is refused; one that names nothing takes away what was its own. F80: the number
// of what goes must be repeated, and a file without content is none.
func TestFileThatNamesNothingAllowsNothing(t *testing.T) {
	s := start(t)
	s.services("by-hand")
	s.must("POST", "/callmap/apply", callMapBody(t, 0, pair+"rules: [{from: m1, to: m2}, {from: by-hand, to: m1}]\n"))
	apply := func(text, remove string) reply {
		return s.ask("POST", "/callmap/apply", `{"files":[{"name":"callmap.yaml","text":"`+text+`"}]`+remove+`}`)
	}
	apply("", "").wantProblem("a file of 0 bytes", http.StatusUnprocessableEntity)
	apply("# nothing", `,"remove":4`).wantProblem("a comment", http.StatusUnprocessableEntity)
	for _, remove := range []string{"", `,"remove":3`, `,"remove":0`} {
		apply("version: 1", remove).wantProblem("remove"+remove, http.StatusConflict)
	}
	if !s.decide("m1", "m2") {
		t.Fatal("what was refused was done")
	}
	if a := apply("version: 1", `,"remove":4`); a.Code != http.StatusOK {
		t.Fatalf("got %d %s", a.Code, a.Body)
	}
	for _, from := range []string{"m1", "m2", "by-hand"} {
		for _, to := range []string{"m1", "m2", "by-hand"} {
			if s.decide(from, to) {
				t.Errorf("%s -> %s is allowed", from, to)
			}
		}
	}
	if _, ok := s.directory.Snapshot().Service("by-hand"); !ok {
		t.Error("what was made by hand is gone")
	}
}

func TestMistakesAreAnsweredInTheirPlace(t *testing.T) {
	s := start(t)
	for _, target := range []string{"/callmap/plan", "/callmap/apply"} {
		for text, want := range map[string]string{
			"rules: [{from: m1, too: m2}]":            `callmap.yaml:1:20: a rule has no \"too\"`,
			"rules: [{from: m1, to: m2}]":             `callmap.yaml:1:16: there is no service \"m1\"`,
			"services: {m1: {token-life: 9000h}}":     `callmap.yaml:1:12: service \"m1\": token-life must be between`,
			pair + "rules: [{from: m1, to: group:x}]": `callmap.yaml:2:24: there is no group \"x\"`,
			"services: {auth-server: }":               `callmap.yaml:1:12: service \"auth-server\": name`,
			"services: {m1: {grants: [password]}}":    `callmap.yaml:1:26: \"password\" is not client_credentials or`,
		} {
			a := s.ask("POST", target, planBody(t, text))
			a.wantProblem(target+" "+text, http.StatusUnprocessableEntity)
			if !strings.Contains(a.Body.String(), want) {
				t.Errorf("%s: got %s, want %s", text, a.Body, want)
			}
		}
	}
}

// A failing test keeps everything as it is.
func TestFailingTestsKeepAFileFromBeingApplied(t *testing.T) {
	s := start(t)
	const text = pair + "rules: [{from: m1, to: m2}]\ntests: [{from: m1, to: m2, expect: deny}]\n"
	if p := s.plan(text); p.Failed != 1 || len(p.Tests) != 1 || p.Tests[0].Got != "allow" {
		t.Errorf("got %+v", p)
	}
	s.ask("POST", "/callmap/apply", callMapBody(t, 0, text)).wantProblem("apply", http.StatusConflict)
	if _, ok := s.directory.Snapshot().Service("m1"); ok {
		t.Error("it was applied")
	}
}

// Rolled back, the map is what it was, and the history has grown.
func TestRollbackIsAChangeOfItsOwn(t *testing.T) {
	s := start(t)
	var first, back api.AppliedCallMap
	s.must("POST", "/callmap/apply", callMapBody(t, 0, pair+"rules: [{from: m1, to: m2}]\n")).into(&first)
	s.must("POST", "/callmap/apply", callMapBody(t, 0, "services: {m1: }\n"))
	s.must("POST", fmt.Sprintf("/callmap/history/%d/rollback", first.Revision), `{"author":"ben"}`).into(&back)
	if !s.decide("m1", "m2") || back.Revision <= first.Revision || back.Author != "ben" || back.Reason != fmt.Sprintf("back to revision %d", first.Revision) {
		t.Errorf("got %+v", back)
	}
	var history api.AppliedList
	if s.must("GET", "/callmap/history", "").into(&history); len(history.Applied) != 3 || history.Applied[0].Revision != back.Revision {
		t.Errorf("got %+v", history)
	}
	s.ask("POST", "/callmap/history/1/rollback", "{}").wantProblem("a revision without a file", http.StatusNotFound)
	records := s.records("")
	if last := records[len(records)-1]; last["action"] != "callmap.rollback" {
		t.Errorf("the last record is %v", last)
	}
	changes := s.must("GET", "/changes", "").members()["changes"].([]any)
	if last := changes[len(changes)-1].(map[string]any); last["action"] != "callmap.rollback" {
		t.Errorf("the last change is %v", last)
	}
}

// F80: what was applied before files needed a version can still be shown and applied again. F20: a rollback is of the
// plan that was reviewed, if it says which.
func TestRollbackToAFileWithoutVersion(t *testing.T) {
	s := start(t)
	s.must("POST", "/callmap/apply", callMapBody(t, 0, pair))
	const old = "services: {m1: , m2: }\nrules: [{from: m1, to: m2}]\n"
	files, err := callmap.Parse("old.yaml", callmap.WithVersion([]byte(old)))
	if err != nil {
		t.Fatal(err)
	}
	state, err := s.db.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	plan, err := callmap.Make([]*callmap.File{files}, state, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	batch := plan.Batch()
	batch.Applied = &directory.Applied{At: time.Now(), ManagedBy: callmap.DefaultOwner, Document: []byte(callmap.Separator + "old.yaml\n" + old)}
	revision, err := s.directory.Apply(t.Context(), directory.Author{Actor: "operator"}, batch, "callmap.apply", "")
	if err != nil {
		t.Fatal(err)
	}
	s.must("POST", "/callmap/apply", callMapBody(t, 0, pair))
	path := fmt.Sprintf("/callmap/history/%d", revision)
	var shown api.CallMapDocument
	s.must("GET", path, "").into(&shown)
	if want := "version: 1\n" + old; len(shown.Files) != 1 || shown.Files[0].Text != want {
		t.Errorf("got %+v, want %s", shown.Files, want)
	}
	p := s.plan(shown.Files[0].Text)
	s.services("meanwhile")
	s.ask("POST", path+"/rollback", fmt.Sprintf(`{"base":%d}`, p.Base)).wantProblem("an old plan", http.StatusConflict)
	s.must("POST", path+"/rollback", fmt.Sprintf(`{"base":%d}`, p.Base+1))
	if !s.decide("m1", "m2") {
		t.Error("the rule of the old file is not there")
	}
}

// An export, planned as it is, is whole: nothing but whose it is changes.
func TestExportIsWhole(t *testing.T) {
	s := start(t)
	s.services("m1", "m2")
	s.must("PUT", "/rules/m1/m2", `{"scopes":["read"],"until":"2027-01-01T00:00:00Z"}`)
	var d api.CallMapDocument
	s.must("GET", "/callmap/export", "").into(&d)
	p := s.plan(d.Files[0].Text)
	for _, c := range p.Changes {
		if c.Op != "change" || c.Text != "belonged to no file, now belongs to "+callmap.DefaultOwner+" now" {
			t.Errorf("got %+v", c)
		}
	}
	s.must("POST", "/callmap/apply", callMapBody(t, 0, d.Files[0].Text))
	s.must("GET", "/callmap/export?managedBy=callmap", "").into(&d)
	if p := s.plan(d.Files[0].Text); !p.Empty {
		t.Errorf("planning the export is not empty: %+v", p.Changes)
	}
}
