package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/audit"
	"github.com/watchword-dev/watchword/server/internal/keys"
)

// AUD-001: of 1,000 mixed requests, each that changes, reads credentials or the history, or
// is refused has exactly one record, with its request id.
func TestEveryRequestThatMattersHasOneRecord(t *testing.T) {
	s := start(t)
	s.services("m1", "m2")
	var id string
	{
		var issued api.IssuedCredential
		s.must("POST", "/services/m1/credentials", `{}`).into(&issued)
		id = issued.Credential.ID
	}
	mix := []struct {
		method, target, body string
		header               []string
		status               int
		action, outcome      string // none: not recorded
	}{
		{"GET", "/services", "", nil, 200, "", ""},
		{"GET", "/services/m1", "", nil, 200, "", ""},
		{"GET", "/services/zz", "", nil, 404, "service.read", "refused"},
		{"POST", "/services", `{"name":"m1"}`, nil, 409, "service.create", "refused"},
		{"POST", "/services", `{"name":`, nil, 400, "service.create", "refused"},
		{"PATCH", "/services/m2", `{"disabled":false}`, nil, 200, "service.update", "allowed"},
		{"PATCH", "/services/m2", `{}`, []string{"If-Match", `"77"`}, 412, "service.update", "refused"},
		{"DELETE", "/services/zz", "", nil, 404, "service.delete", "refused"},
		{"PUT", "/rules/m1/m2", `{"scopes":["read"]}`, nil, 0, "rule.allow", "allowed"},
		{"PUT", "/rules/m1/m2", `{"scopes":[""]}`, nil, 422, "rule.allow", "refused"},
		{"GET", "/rules", "", nil, 200, "", ""},
		{"DELETE", "/rules/m2/m1", "", nil, 204, "rule.disallow", "allowed"},
		{"GET", "/credentials", "", nil, 200, "credential.list", "allowed"},
		{"GET", "/services/m1/credentials", "", nil, 200, "credential.list", "allowed"},
		{"GET", "/credentials/" + id, "", nil, 200, "credential.read", "allowed"},
		{"POST", "/credentials/" + id + "/revoke", "", nil, 200, "credential.revoke", "allowed"},
		{"GET", "/keys", "", nil, 200, "", ""},
		{"POST", "/keys/none/revoke", "", nil, 404, "key.revoke", "refused"},
		{"GET", "/changes?limit=1", "", nil, 200, "change.list", "allowed"},
		{"GET", "/info", "", nil, 200, "", ""},
		{"GET", "/nowhere", "", nil, 404, "unknown", "refused"},
		{"PUT", "/services", `{}`, nil, 405, "unknown", "refused"},
		{"POST", "/services", "x=1", []string{"Content-Type", "text/plain"}, 415, "service.create", "refused"},
		{"DELETE", "/services/m1", "", []string{"Authorization", ""}, 401, "service.delete", "refused"},
		{"GET", "/services?limit=0", "", nil, 422, "service.list", "refused"},
	}
	const requests = 1000
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := worker; i < requests; i += 8 {
				c := mix[i%len(mix)]
				r := s.request(c.method, prefix+c.target, c.body, append(c.header, "X-Request-Id", fmt.Sprintf("mixed-%d", i))...)
				r.RemoteAddr = fmt.Sprintf("192.0.2.%d:1", i%250)
				if a := s.do(r); a.Code != c.status && (c.status != 0 || a.Code > 201) {
					t.Errorf("%v: got %d %s", c, a.Code, a.Body)
				}
			}
		})
	}
	wg.Wait()
	byID := map[string][]map[string]any{}
	for _, r := range s.records("") {
		id, _ := r["requestId"].(string)
		byID[id] = append(byID[id], r)
	}
	kinds := map[bool]string{true: "read", false: "change"}
	for i := range requests {
		c, got := mix[i%len(mix)], byID[fmt.Sprintf("mixed-%d", i)]
		switch {
		case c.action == "" && len(got) != 0:
			t.Errorf("%v: got records %v, want none", c, got)
		case c.action == "":
		case len(got) != 1:
			t.Errorf("%v: got %d records, want exactly one", c, len(got))
		case got[0]["action"] != c.action || got[0]["outcome"] != c.outcome || got[0]["kind"] != kinds[c.method == "GET"] || got[0]["address"] != fmt.Sprintf("192.0.2.%d", i%250):
			t.Errorf("%v: got record %v", c, got[0])
		case (got[0]["actor"] == operator) != (c.status != 401):
			t.Errorf("%v: got actor %v", c, got[0]["actor"])
		case c.outcome == "refused" && got[0]["reason"] == nil:
			t.Errorf("%v: no reason in %v", c, got[0])
		}
	}
}

func TestRecordSaysWhatWasDone(t *testing.T) {
	s := start(t)
	s.services("m1", "m2")
	s.must("PUT", "/rules/m1/m2", `{"scopes":["write","read"],"until":"2999-01-01T00:00:00Z"}`, "X-Request-Id", "the.rule")
	got := s.records("the.rule")
	if len(got) != 1 || got[0]["subject"] != "/admin/v1/rules/m1/m2" || fmt.Sprint(got[0]["detail"]) != "map[scope:write read until:2999-01-01T00:00:00Z]" {
		t.Errorf("got %v", got)
	}
	s.must("PATCH", "/services/m1", `{"disabled":true,"description":"long"}`, "X-Request-Id", "the.service")
	if got := s.records("the.service"); len(got) != 1 || fmt.Sprint(got[0]["detail"]) != "map[set:description disabled=true]" {
		t.Errorf("got %v", got)
	}
	// The history has the same request id.
	if m := s.must("GET", "/changes?after=3", "").members(); !strings.Contains(fmt.Sprint(m), "requestId:the.service") {
		t.Errorf("got %v", m)
	}
}

func TestRequestIDIsTakenOverOnlyWhenHarmless(t *testing.T) {
	s := start(t)
	for id, taken := range map[string]bool{
		"a": true, "A-z_0.9": true, strings.Repeat("a", 64): true,
		strings.Repeat("a", 65): false, "": false, "a b": false, "a\nb": false, "a;b": false, "\u00e9": false, `"`: false,
	} {
		a := s.ask("GET", "/services", "", "X-Request-Id", id)
		if got := a.Header().Get("X-Request-Id"); (got == id) != taken || len(got) == 0 || len(got) > 64 {
			t.Errorf("%q: got %q, taken over: %v", id, got, taken)
		}
	}
}

// recording is an answer on the wire: it says when its first byte left.
type recording struct {
	*httptest.ResponseRecorder
	sent bool
}

func (r *recording) WriteHeader(status int) { r.sent = true; r.ResponseRecorder.WriteHeader(status) }

// watched is the real log, and a function called before each record.
type watched struct {
	*audit.Log
	before func()
}

func (w *watched) Append(ctx context.Context, e audit.Event) error {
	w.before()
	return w.Log.Append(ctx, e)
}

// AUD-001: the record is written before the answer is sent.
func TestRecordPrecedesTheAnswer(t *testing.T) {
	w := &watched{}
	s := start(t, func(o *Options) { w.Log = o.Audit.(*audit.Log); o.Audit = w })
	wire := &recording{ResponseRecorder: httptest.NewRecorder()}
	records := 0
	w.before = func() {
		records++
		if wire.sent {
			t.Error("the answer left before its record")
		}
	}
	s.ServeHTTP(wire, s.request("POST", "/admin/v1/services", `{"name":"m1"}`))
	if wire.Code != http.StatusCreated || records != 1 || !wire.sent {
		t.Errorf("got %d, %d records", wire.Code, records)
	}
}

func TestNothingChangesWhileTheAuditLogCannotBeWritten(t *testing.T) {
	s := start(t)
	s.services("m1")
	s.log.Close()
	for _, c := range []struct{ method, target, body string }{
		{"POST", "/services", `{"name":"m2"}`},
		{"DELETE", "/services/m1", ""},
		{"POST", "/services/m1/credentials", `{}`},
		{"GET", "/credentials", ""},
		{"GET", "/changes", ""},
	} {
		s.ask(c.method, c.target, c.body).wantProblem(fmt.Sprint(c), http.StatusServiceUnavailable)
	}
	if _, made := s.directory.Snapshot().Service("m2"); made {
		t.Error("a change that cannot be recorded was made")
	}
	s.ask("GET", "/services/zz", "").wantProblem("a refusal that cannot be recorded", http.StatusServiceUnavailable)
	s.ask("GET", "/services", "", "Authorization", "").wantProblem("no token", http.StatusServiceUnavailable)
	s.must("GET", "/services", "")
}

// A log that fails in the middle of a request takes the answer back, and the secret in it.
func TestUnrecordedOutcomeIsWithheld(t *testing.T) {
	w := &watched{before: func() {}}
	s := start(t, func(o *Options) { w.Log = o.Audit.(*audit.Log); o.Audit = w })
	s.services("m1")
	w.before = func() { w.Log.Close() }
	a := s.ask("POST", "/services/m1/credentials", `{}`)
	a.wantProblem("the log fails meanwhile", http.StatusServiceUnavailable)
	if strings.Contains(a.Body.String(), "eyJ") || a.Header().Get("Location") != "" {
		t.Errorf("got %v %s", a.Header(), a.Body)
	}
}

// A client that goes away once the change is made does not keep it from being recorded.
func TestRecordDoesNotWaitForTheClient(t *testing.T) {
	ctx, leave := context.WithCancel(t.Context())
	w := &watched{before: func() {}}
	s := start(t, func(o *Options) { w.Log = o.Audit.(*audit.Log); o.Audit = w })
	w.before = leave
	a := s.do(s.request("POST", "/admin/v1/services", `{"name":"m1"}`, "X-Request-Id", "left").WithContext(ctx))
	if got := s.records("left"); a.Code != http.StatusCreated || len(got) != 1 {
		t.Errorf("got %d and records %v, want 201 and one", a.Code, got)
	}
}

// exploding is a key ring with a bug.
type exploding struct{ Keys }

func (exploding) List() []keys.Record { panic(errors.New("bug at hand")) }

// AUD-011.
func TestPanicIsAnsweredAndRecordedAndTheServerGoesOn(t *testing.T) {
	s := start(t, func(o *Options) { o.Keys = exploding{o.Keys} })
	a := s.ask("GET", "/keys", "", "X-Request-Id", "boom")
	a.wantProblem("panic", http.StatusInternalServerError)
	if strings.Contains(a.Body.String(), "bug") || strings.Contains(a.Body.String(), "goroutine") {
		t.Errorf("the answer tells about the inside: %s", a.Body)
	}
	if got := s.records("boom"); len(got) != 1 || got[0]["outcome"] != "failed" || got[0]["action"] != "key.list" {
		t.Errorf("got records %v", got)
	}
	if log := s.stderr.String(); !strings.Contains(log, "bug at hand") || !strings.Contains(log, "request_id=boom") || strings.Contains(log, testToken) {
		t.Errorf("got log %s", log)
	}
	s.must("GET", "/services", "")
}

func TestStoreFailureIsUnavailable(t *testing.T) {
	s := start(t)
	s.services("m1")
	s.db.Close()
	for _, c := range []struct{ method, target, body string }{
		{"GET", "/services", ""},
		{"GET", "/services/m1", ""},
		{"POST", "/services", `{"name":"m2"}`},
		{"PUT", "/rules/m1/m1", `{}`},
		{"POST", "/keys/rotate", `{}`},
	} {
		a := s.ask(c.method, c.target, c.body)
		a.wantProblem(fmt.Sprint(c), http.StatusServiceUnavailable)
		if strings.Contains(a.Body.String(), "sql") {
			t.Errorf("%v: the answer tells about the inside: %s", c, a.Body)
		}
	}
	if log := s.stderr.String(); !strings.Contains(log, "closed") && !strings.Contains(log, "the database was taken away") {
		t.Errorf("the log does not have the cause: %s", s.stderr)
	}
}
