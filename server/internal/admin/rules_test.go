package admin

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/api"
)

// POL-001.
func TestFreshServerHasNoServicesAndNoRules(t *testing.T) {
	s := start(t)
	if a := s.must("GET", "/services", ""); strings.TrimSpace(a.Body.String()) != `{"services":[]}` {
		t.Errorf("got %s", a.Body)
	}
	if a := s.must("GET", "/rules", ""); strings.TrimSpace(a.Body.String()) != `{"rules":[]}` {
		t.Errorf("got %s", a.Body)
	}
	s.services("m1", "m2")
	for _, pair := range [][2]string{{"m1", "m2"}, {"m2", "m1"}, {"m1", "m1"}} {
		if s.decide(pair[0], pair[1]) {
			t.Errorf("%v is allowed without a rule", pair)
		}
	}
}

func TestPutRuleSaysTheSameHoweverOften(t *testing.T) {
	s := start(t)
	s.services("m1", "m2")
	first := s.must("PUT", "/rules/m1/m2", `{"scopes":["write","read","read"],"until":"2999-01-01T01:00:00+01:00"}`)
	if first.Code != http.StatusCreated || first.Header().Get("ETag") != `"1"` {
		t.Errorf("got %d %v, want 201", first.Code, first.Header())
	}
	var r api.Rule
	first.into(&r)
	if strings.Join(r.Scopes, " ") != "read write" || r.Until == nil || !r.Until.Equal(time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("got %+v", r)
	}
	again := s.must("PUT", "/rules/m1/m2", `{"scopes":["read","write"],"until":"2999-01-01T00:00:00Z"}`)
	if again.Code != http.StatusOK || again.Body.String() != first.Body.String() {
		t.Errorf("got %d %s, want 200 and %s", again.Code, again.Body, first.Body)
	}
	if a := s.must("GET", "/rules/m1/m2", ""); a.Body.String() != first.Body.String() {
		t.Errorf("got %s, want %s", a.Body, first.Body)
	}
	if a := s.must("PUT", "/rules/m1/m2", ""); a.Code != http.StatusOK || strings.Contains(a.Body.String(), "until") || !strings.Contains(a.Body.String(), `"scopes":[]`) {
		t.Errorf("without a body: got %d %s, want a rule without scopes and end", a.Code, a.Body)
	}
	if !s.decide("m1", "m2") || s.decide("m2", "m1") {
		t.Error("the rule is not in force as it stands")
	}
}

func TestDeletingARuleThatIsNotThereSucceeds(t *testing.T) {
	s := start(t)
	s.services("m1", "m2")
	s.must("PUT", "/rules/m1/m2", `{}`)
	for range 2 {
		if a := s.must("DELETE", "/rules/m1/m2", ""); a.Code != http.StatusNoContent {
			t.Errorf("got %d, want 204", a.Code)
		}
	}
	s.ask("GET", "/rules/m1/m2", "").wantProblem("read a rule that is gone", http.StatusNotFound)
	for _, edge := range []string{"m1/zz", "zz/m2", "zz/zz"} {
		for _, method := range []string{"GET", "PUT", "DELETE"} {
			s.ask(method, "/rules/"+edge, "").wantProblem(method+" "+edge, http.StatusNotFound)
		}
	}
}

func TestRuleThatBreaksARuleIsRefused(t *testing.T) {
	s := start(t)
	s.services("m1", "m2")
	for body, want := range map[string]int{
		`{"scopes":["read write"]}`:        http.StatusUnprocessableEntity,
		`{"scopes":[""]}`:                  http.StatusUnprocessableEntity,
		`{"scopes":["a\"b"]}`:              http.StatusUnprocessableEntity,
		`{"scopes":["caf\u00e9"]}`:         http.StatusUnprocessableEntity,
		`{"scopes":["a\nb"]}`:              http.StatusUnprocessableEntity,
		`{"scopes":"read"}`:                http.StatusBadRequest,
		`{"scopes":[1]}`:                   http.StatusBadRequest,
		`{"until":"2001-01-01T00:00:00Z"}`: http.StatusUnprocessableEntity,
		`{"until":"tomorrow"}`:             http.StatusBadRequest,
		`{"until":0}`:                      http.StatusBadRequest,
		`{"scopes":["` + strings.Join(strings.Split(strings.Repeat("a", 65), ""), `","`) + `"]}`: http.StatusUnprocessableEntity,
		`{"scopes":["` + strings.Repeat("a", 5000) + `"]}`:                                       http.StatusUnprocessableEntity,
	} {
		s.ask("PUT", "/rules/m1/m2", body).wantProblem(body, want)
	}
	if s.decide("m1", "m2") {
		t.Error("a refused rule is in force")
	}
}

// POL-002, NAT-022: after the 2xx of the delete no decision on this node allows.
func TestNoDecisionAllowsAfterTheDeleteWasAnswered(t *testing.T) {
	s := start(t)
	s.services("m1", "m2")
	var (
		deleted atomic.Bool
		turn    sync.RWMutex // held while the rule comes and goes between rounds
		stop    = make(chan struct{})
		wg      sync.WaitGroup
		allowed atomic.Int64
	)
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				turn.RLock()
				after := deleted.Load()
				if s.decide("m1", "m2") {
					allowed.Add(1)
					if after {
						t.Error("allowed after the delete was answered")
					}
				}
				turn.RUnlock()
			}
		})
	}
	for range 20 {
		turn.Lock()
		deleted.Store(false)
		s.must("PUT", "/rules/m1/m2", `{}`)
		turn.Unlock()
		s.must("DELETE", "/rules/m1/m2", "")
		deleted.Store(true)
		if s.decide("m1", "m2") {
			t.Fatal("allowed after the delete was answered")
		}
	}
	close(stop)
	wg.Wait()
	if allowed.Load() == 0 {
		t.Error("nothing was ever allowed, so the test proves nothing")
	}
}

func TestDisabledDeletedAndMadeAgainServicesLoseTheirRules(t *testing.T) {
	s := start(t)
	s.services("m1", "m2")
	s.must("PUT", "/rules/m1/m2", `{}`)
	for _, name := range []string{"m1", "m2"} {
		s.must("PATCH", "/services/"+name, `{"disabled":true}`)
		if s.decide("m1", "m2") {
			t.Errorf("allowed while %s is disabled", name)
		}
		s.must("PATCH", "/services/"+name, `{"disabled":false}`)
		if !s.decide("m1", "m2") {
			t.Errorf("not allowed after %s was enabled", name)
		}
	}
	s.must("DELETE", "/services/m2", "")
	s.services("m2")
	if s.decide("m1", "m2") {
		t.Error("a service made again inherited a rule")
	}
	s.ask("GET", "/rules/m1/m2", "").wantProblem("the rule", http.StatusNotFound)
}
