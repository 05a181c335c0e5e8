package app

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/client"
	"github.com/watchword-dev/watchword/examples/microservice/service"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/probe"
	"github.com/watchword-dev/watchword/server/internal/store/pgtest"
	"github.com/watchword-dev/watchword/verify"
)

// prober is the server's own, less patient.
func (s *server) prober() *probe.Prober {
	return probe.New(s.s.issuer, s.s.db, probe.Options{Patience: 50 * time.Millisecond})
}

// probed probes a service of that handler.
func (s *server) probed(name string, h http.Handler) api.ProbeResult {
	s.t.Helper()
	return s.probedBy(s.prober(), name, h)
}

func (s *server) probedBy(p *probe.Prober, name string, h http.Handler) api.ProbeResult {
	s.t.Helper()
	callee := httptest.NewServer(h)
	s.t.Cleanup(callee.Close)
	s.operate("PATCH", "/services/"+name, `{"probe":"`+callee.URL+`/hello?x=1"}`)
	svc, _ := s.s.directory.Snapshot().Service(name)
	r, err := p.Probe(s.t.Context(), directory.Author{Actor: "test"}, svc, "")
	must(s.t, err)
	return r
}

func failures(r api.ProbeResult) (names []string) {
	for _, c := range r.Failures() {
		names = append(names, c.Name)
	}
	return names
}

// Each check catches the callee that lacks just that, and no other check does.
func TestProbeCatchesEachMistake(t *testing.T) {
	s := start(t, testConfig(t))
	s.service("m2")
	var all []string
	for _, c := range probe.Checks() {
		if !c.Accept {
			all = append(all, c.Name)
		}
	}
	for _, mistake := range append(all, "nothing", "everything") {
		r := s.probed("m2", callee{s, mistake})
		want, outcome, iss := []string{mistake}, api.ProbeAccepted, s.cfg.PlainIssuer
		switch mistake {
		case "nothing":
			want, outcome = nil, api.ProbeRefused
		case "wrong_issuer":
			iss = s.cfg.Issuer // whose tokens are tried first
		case "everything":
			want, iss = all, s.cfg.Issuer
		}
		if got := failures(r); !slices.Equal(got, want) || r.Outcome != outcome || r.Issuer != iss {
			t.Errorf("%s: got %s, failures %v with tokens of %q, want %s, %v", mistake, r.Outcome, got, r.Issuer, outcome, want)
		}
	}
}

// A callee that is down, refuses everything, redirects or fails was not shown to refuse anything.
func TestProbeTellsRefusingFromBroken(t *testing.T) {
	s := start(t, testConfig(t))
	s.service("m2")
	var seen atomic.Int64
	for name, tt := range map[string]struct {
		h    http.HandlerFunc
		why  string
		made int // checks
	}{
		"refuses everything": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) }, "refused a valid token; answered 403", 1},
		"redirects":          {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/login", 302) }, "a redirect", 1},
		"fails":              {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, "a failure of its own", 1},
		"breaks off":         {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "no answer", 1},
		"fails on the bad": {func(w http.ResponseWriter, r *http.Request) {
			token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
			if (callee{s, ""}).check(token) != nil {
				w.WriteHeader(500)
			}
		}, "a failure of its own", len(probe.Checks())},
		"goes away": {func(w http.ResponseWriter, r *http.Request) {
			if seen.Add(1) > 5 {
				w.WriteHeader(404)
				return
			}
			callee{s, ""}.ServeHTTP(w, r)
		}, "before it was revoked", len(probe.Checks())},
	} {
		r := s.probed("m2", tt.h)
		if r.Outcome != api.ProbeUnclear || !strings.Contains(r.Why, tt.why) || len(r.Checks) != tt.made {
			t.Errorf("%s: got %s because %q after %d checks", name, r.Outcome, r.Why, len(r.Checks))
		}
	}
}

// A probe sends tokens nowhere but where it was told: addresses at which clouds keep credentials are
// not connected to, and its own token opens nothing here.
func TestProbeGivesNothingAway(t *testing.T) {
	s := start(t, testConfig(t))
	s.service("m2", "m3")
	s.operate("PUT", "/rules/m2/m3", `{"scopes":[],"exchange":"delegate"}`)
	var sent []string
	r := s.probed("m2", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
			sent = append(sent, token)
		}
	}))
	if len(sent) < 15 || r.Outcome != api.ProbeAccepted {
		t.Fatalf("got %d tokens, %+v", len(sent), r)
	}
	result, _ := json.Marshal(r)
	log := string(result) + auditText(t, s.cfg.Audit.Dir)
	if got := strings.Count(log, `"action":"probe"`); got != 1 {
		t.Errorf("got %d records of the probe, want 1", got)
	}
	secret := s.operate("POST", "/services/m2/credentials", `{"kind":"secret"}`)["secret"].(string)
	for _, token := range sent {
		claims := part(t, token, 1)
		if claims["sub"] != "watchword-probe" || claims["probe"] != true || claims["scope"] != nil || claims["exp"].(float64)-float64(time.Now().Unix()) > 11*60 {
			t.Errorf("got %v", claims)
		}
		if aud := claims["aud"]; aud != "m2" && aud != "watchword-probe" && aud != s.cfg.PlainIssuer {
			t.Errorf("got a token for %v", aud)
		}
		if strings.Contains(log, token) {
			t.Error("a token is in the log or the result")
		}
		if a := s.ask(token, `{"target":"m2"}`); a.status != http.StatusUnauthorized {
			t.Errorf("a probe token opened /accesstoken: %d", a.status)
		}
		exchange := form("grant_type", exchangeGrant, "subject_token", token, "subject_token_type", accessToken, "audience", "m3", "client_id", "m2", "client_secret", secret)
		if a := s.tokenRequest(exchange); a.status != http.StatusBadRequest || !strings.Contains(a.body, "invalid_request") {
			t.Errorf("a probe token was exchanged: %d %s", a.status, a.body)
		}
	}
	if a := s.do(s.request("POST", s.admin+"/services", `{"name":"watchword-probe"}`, "Authorization", "Bearer "+s.token)); a.status != http.StatusUnprocessableEntity {
		t.Errorf("a service took the name of the probe: %d", a.status)
	}
	for _, url := range []string{"http://169.254.169.254/latest/meta-data", "http://[fe80::1]/", "http://[fd00:ec2::254]/", "http://0.0.0.0/"} {
		s.operate("PATCH", "/services/m2", `{"probe":"`+url+`"}`)
		svc, _ := s.s.directory.Snapshot().Service("m2")
		r, err := s.prober().Probe(t.Context(), directory.Author{Actor: "test"}, svc, "")
		if err != nil || r.Outcome != api.ProbeUnclear || !strings.Contains(r.Why, "no service has such an address") {
			t.Errorf("%s: got %+v, %v", url, r, err)
		}
	}
}

// A callee that asks the server about each token is judged as one that checks by itself.
func TestProbeOfServiceThatIntrospects(t *testing.T) {
	s := start(t, testConfig(t))
	s.service("m2")
	secret := s.operate("POST", "/services/m2/credentials", `{"kind":"secret"}`)["secret"].(string)
	r := s.probed("m2", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if m := s.post("/oauth2/introspect", form("token", token, "client_id", "m2", "client_secret", secret)).json(t); m["active"] != true || m["cnf"] != nil {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	if r.Issuer != s.cfg.Issuer || r.Outcome != api.ProbeRefused {
		t.Errorf("got %+v", r)
	}
}

// A service that takes only bound tokens gets such, with the nonce it asks for.
func TestProbeOfServiceThatTakesOnlyBoundTokens(t *testing.T) {
	s := start(t, testConfig(t))
	s.service("m2")
	for name, nonces := range map[string][]byte{"without nonces": nil, "with nonces": make([]byte, 32)} {
		v, err := verify.New(t.Context(), verify.Config{Server: s.url, Issuer: s.cfg.PlainIssuer, Audience: "m2", RequireBound: true, NonceKey: nonces})
		must(t, err)
		t.Cleanup(func() { _ = v.Close() })
		// Long enough for the deny-list to arrive.
		r := s.probedBy(probe.New(s.s.issuer, s.s.db, probe.Options{}), "m2", v.Middleware(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
		if !r.Bound || r.Outcome != api.ProbeRefused || len(r.Checks) != len(probe.Checks()) {
			t.Errorf("%s: got %+v", name, r)
		}
	}
}

// The services of the demo refuse what they must, told by the operator's API.
func TestDemoServicesPassProbes(t *testing.T) {
	s := start(t, testConfig(t))
	m1, m2, _ := s.demo()
	for name, credential := range map[string]string{"m1": m1, "m2": m2} {
		svc, err := service.New(service.Config{Name: name, Server: s.url, Credential: client.Static(credential), Logger: slog.New(slog.DiscardHandler)})
		must(t, err)
		listener := httptest.NewServer(svc)
		t.Cleanup(func() { listener.Close(); _ = svc.Close() })
		s.operate("PATCH", "/services/"+name, `{"probe":"`+listener.URL+`/hello"}`)
		if r := s.operate("POST", "/services/"+name+"/probe", ""); r["outcome"] != "refused" || len(r["checks"].([]any)) != len(probe.Checks()) {
			t.Errorf("got %v", r)
		}
	}
	if all := s.operate("GET", "/probes?limit=1", ""); len(all["probes"].([]any)) != 1 || all["nextPageToken"] == nil {
		t.Errorf("got %v", all)
	} else if rest := s.operate("GET", "/probes?pageToken="+all["nextPageToken"].(string), ""); len(rest["probes"].([]any)) != 1 {
		t.Errorf("got %v", rest)
	}
	// m3 has no probe URL. A real name for the token for another service is the operator's to choose.
	if a := s.do(s.request("POST", s.admin+"/services/m3/probe", "", "Authorization", "Bearer "+s.token)); a.status != http.StatusConflict {
		t.Errorf("got %d %s", a.status, a.body)
	}
	broken := httptest.NewServer(callee{s, "everything"})
	t.Cleanup(broken.Close)
	s.operate("PATCH", "/services/m3", `{"probe":"`+broken.URL+`"}`)
	a := s.do(s.request("POST", s.admin+"/services/m3/probe", `{"other":"m2"}`, "Authorization", "Bearer "+s.token))
	if a.status != http.StatusOK || !strings.Contains(a.body, "m3 ACCEPTED a token for m2") {
		t.Errorf("got %d %s", a.status, a.body)
	}
	for _, other := range []string{"m3", "m9"} {
		if a := s.do(s.request("POST", s.admin+"/services/m3/probe", `{"other":"`+other+`"}`, "Authorization", "Bearer "+s.token)); a.status != http.StatusUnprocessableEntity {
			t.Errorf("%s: got %d %s", other, a.status, a.body)
		}
	}
	metrics := s.do(s.request("GET", strings.TrimSuffix(s.admin, "/admin/v1")+"/metrics", ""))
	if !strings.Contains(metrics.body, `watchword_probe_failures_total{check="another_audience",service="m3"} 1`) {
		t.Error("the metric does not count the failure")
	}
}

// Of two replicas one probes a service in an interval, and says what was wrong.
func TestReplicasShareTheScheduleOfProbes(t *testing.T) {
	url := pgtest.Start(t)
	a := replica(t, url, nil)
	b := replica(t, url, a)
	var probes atomic.Int64
	open := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" {
			probes.Add(1) // one request of each probe
		}
	}))
	t.Cleanup(open.Close)
	for _, name := range []string{"m1", "m2"} {
		a.operate("POST", "/services", `{"name":"`+name+`","probe":"`+open.URL+`"}`)
	}
	a.operate("POST", "/services", `{"name":"silent"}`)
	a.operate("POST", "/services", `{"name":"off","probe":"`+open.URL+`"}`)
	a.operate("PATCH", "/services/off", `{"disabled":true}`)
	must(t, b.s.directory.CatchUp(t.Context()))
	log := &bytes.Buffer{}
	logger := slog.New(slog.NewTextHandler(&lockedWriter{w: log}, nil))
	for _, step := range []struct {
		later time.Duration
		want  int64
	}{{0, 2}, {30 * time.Minute, 2}, {61 * time.Minute, 4}} {
		var both errgroup.Group
		for _, s := range []*server{a, b} {
			p := probe.New(s.s.issuer, s.s.db, probe.Options{Patience: time.Millisecond, Now: func() time.Time { return time.Now().Add(step.later) }})
			schedule := probe.Schedule{Prober: p, Snapshot: s.s.directory.Snapshot, Every: time.Hour, Logger: logger}
			both.Go(func() error { return schedule.Round(t.Context()) })
		}
		if err := both.Wait(); err != nil || probes.Load() != step.want {
			t.Errorf("after %s: %d probes, want %d; %v", step.later, probes.Load(), step.want, err)
		}
	}
	if !strings.Contains(log.String(), "a service accepted what it must refuse") || !strings.Contains(log.String(), "check=another_audience") {
		t.Errorf("the log says nothing of it: %s", log)
	}
}

// The server probes by itself when it is told to, and ends in good order meanwhile.
func TestServerProbesOnSchedule(t *testing.T) {
	cfg := testConfig(t)
	cfg.Probe.Every = time.Second
	s := start(t, cfg)
	probed := make(chan struct{}, 100)
	open := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { probed <- struct{}{} }))
	t.Cleanup(open.Close)
	s.operate("POST", "/services", `{"name":"m1","probe":"`+open.URL+`"}`)
	<-probed
}
