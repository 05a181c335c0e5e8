package admin

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/usage"
	"github.com/watchword-dev/watchword/server/internal/web"
)

// No request makes a series of its own: those of one route are measured under its pattern.
func TestRequestsAreMeasuredByRoute(t *testing.T) {
	registry := prometheus.NewRegistry()
	s := start(t, func(o *Options) {
		o.Stack = web.NewStack(slog.New(slog.DiscardHandler), registry, 0).Apart(WriteProblem, MaxLarge)
	})
	for i := range 20 {
		for _, r := range []*http.Request{
			s.request("GET", fmt.Sprintf("/admin/v1/services/m%d", i), ""), s.request("POST", "/admin/v1/services", fmt.Sprintf(`{"name":"m%d"}`, i)),
			s.request("GET", fmt.Sprintf("/x%d", i), ""), s.request("GET", fmt.Sprintf("/admin/v1/x%d", i), ""), s.request("GET", "/admin/v1/services", "", "Host", "evil.test"),
			s.request(fmt.Sprintf("M%d", i), "/admin/v1/services", ""), s.request("GET", "/openapi.json", ""), s.request("GET", "/admin/v1//x", ""),
		} {
			s.do(r)
		}
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range families {
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if labels["route"] != "" {
				got = append(got, fmt.Sprintf("%s %s %d", labels["route"], labels["code"], m.GetHistogram().GetSampleCount()))
			}
		}
	}
	slices.Sort(got)
	want := []string{
		"/ 404 60", "/ 405 20", "/openapi.json 200 20", "GET /admin/v1/services 421 20", "GET /admin/v1/services/{name} 404 20", "POST /admin/v1/services 201 20",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What the stack answers is problem details too.
func TestOverloadIsAProblem(t *testing.T) {
	inside, leave := make(chan struct{}), make(chan struct{})
	s := start(t, func(o *Options) {
		o.Stack = web.NewStack(slog.New(slog.DiscardHandler), prometheus.NewRegistry(), 1).Apart(WriteProblem, MaxLarge)
		o.Info = func() api.Info { inside <- struct{}{}; <-leave; return api.Info{} }
	})
	done := make(chan struct{})
	go func() { defer close(done); s.ask("GET", "/info", "") }()
	<-inside
	a := s.ask("GET", "/services", "")
	close(leave)
	<-done
	a.wantProblem("one too many", http.StatusServiceUnavailable)
	if !strings.Contains(a.Body.String(), "Send the request again") {
		t.Errorf("got %s", a.Body)
	}
}

// deadlines is an answer on a connection that has deadlines.
type deadlines struct {
	*httptest.ResponseRecorder
	read, write time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error  { d.read = t; return nil }
func (d *deadlines) SetWriteDeadline(t time.Time) error { d.write = t; return nil }

// Planning a million rules takes longer than the listener gives to others, and only the operator is given that.
func TestLargeRequestsHaveTime(t *testing.T) {
	s := start(t)
	s.services("m1")
	for _, c := range []struct {
		method, target, body, authorization string
		long                                bool
	}{
		{"POST", "/callmap/plan", `{"files":[{"name":"a","text":"version: 1"}]}`, "Bearer " + testToken, true},
		{"POST", "/callmap/plan", `{"files":[{"name":"a","text":"version: 1"}]}`, "Bearer x", false},
		{"POST", "/services", `{"name":"m2"}`, "Bearer " + testToken, false},
	} {
		w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		before := time.Now()
		s.ServeHTTP(w, s.request(c.method, prefix+c.target, c.body, "Authorization", c.authorization))
		if got := w.read.Sub(before) >= largeTime && w.write.Sub(before) >= largeTime; got != c.long || w.read.IsZero() == c.long {
			t.Errorf("%s %s as %s: got deadlines %v and %v", c.method, c.target, c.authorization, w.read, w.write)
		}
	}
}

// F104: while questions about the whole call map keep reading the database, as many as may, the next one is told to come
// again, and the directory is changed as ever.
func TestLongQuestionsLeaveTheDatabaseToOthers(t *testing.T) {
	reading, end := make(chan struct{}), make(chan struct{})
	s := start(t, func(o *Options) {
		o.LargePatience = time.Millisecond
		o.Usage = &slowUsage{o.Usage, reading, end}
	})
	s.services("m1")
	var asked sync.WaitGroup
	for range MaxLargeAtOnce {
		asked.Go(func() {
			if a := s.ask("GET", "/callmap/unused", ""); a.Code != http.StatusOK {
				t.Errorf("got %d %s", a.Code, a.Body)
			}
		})
		<-reading
	}
	for _, path := range []string{"/callmap/unused", "/callmap/suggestion", "/callmap/graph", "/callmap/shadow/report", "/callmap/export", "/services/m1/blast"} {
		a := s.ask("GET", path, "")
		a.wantProblem(path, http.StatusServiceUnavailable)
		if a.Header().Get("Retry-After") == "" || !strings.Contains(a.Body.String(), "too_many_questions") {
			t.Errorf("%s: got %v %s", path, a.Header(), a.Body)
		}
	}
	s.services("m2")
	close(end)
	asked.Wait()
	s.must("GET", "/callmap/export", "")
}

// slowUsage is usage of which reading takes until end.
type slowUsage struct {
	Usage
	reading chan<- struct{}
	end     <-chan struct{}
}

func (u *slowUsage) EachUsage(ctx context.Context, f usage.Filter, each func(usage.Row) error) error {
	u.reading <- struct{}{}
	<-u.end
	return u.Usage.EachUsage(ctx, f, each)
}
