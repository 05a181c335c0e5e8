package admin

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/watchword-dev/watchword/api"
)

func TestServiceIsMadeReadChangedAndDeleted(t *testing.T) {
	s := start(t)
	made := s.must("POST", "/services", `{"name":"m1","description":"Takes orders.","tokenTtlSeconds":300,"algorithm":"EdDSA"}`)
	if made.Code != http.StatusCreated || made.Header().Get("ETag") != `"1"` || made.Header().Get("Location") != "/admin/v1/services/m1" {
		t.Errorf("got %d %v, want 201, ETag and Location", made.Code, made.Header())
	}
	m := made.members()
	names := []string{"uid", "name", "managedBy", "version", "createdAt", "updatedAt"}
	for _, member := range settings {
		names = append(names, member.Name)
	}
	for _, name := range names { // each is there, with an empty list where there is none
		if value, ok := m[name]; !ok || value == nil || len(m) != len(names) {
			t.Errorf("got members %v, want %s among %d that are not null", m, name, len(names))
		}
	}
	if a := s.must("GET", "/services/m1", ""); a.Body.String() != made.Body.String() || a.Header().Get("ETag") != `"1"` {
		t.Errorf("got %s, want what was made: %s", a.Body, made.Body)
	}
	var changed api.Service
	a := s.must("PATCH", "/services/m1", `{"disabled":true,"tokenTtlSeconds":0}`)
	if a.into(&changed); !changed.Disabled || changed.TokenTTLSeconds != 0 || changed.Description != "Takes orders." || changed.Version != 2 || a.Header().Get("ETag") != `"2"` {
		t.Errorf("got %+v", changed)
	}
	if a := s.must("PATCH", "/services/m1", `{}`); a.Header().Get("ETag") != `"2"` {
		t.Errorf("an empty change made version %s", a.Header().Get("ETag"))
	}
	if a := s.must("DELETE", "/services/m1", ""); a.Code != http.StatusNoContent || a.Body.Len() != 0 {
		t.Errorf("got %d %s, want 204 and no body", a.Code, a.Body)
	}
	s.ask("GET", "/services/m1", "").wantProblem("read what was deleted", http.StatusNotFound)
	s.ask("DELETE", "/services/m1", "").wantProblem("delete what was deleted", http.StatusNotFound)
}

func TestServiceThatBreaksARuleIsRefusedAndTheFieldNamed(t *testing.T) {
	s := start(t)
	s.services("m1")
	for body, want := range map[string]struct {
		status int
		field  string
	}{
		`{"name":"m1"}`:          {http.StatusConflict, ""},
		`{}`:                     {http.StatusUnprocessableEntity, "body"},
		`{"name":""}`:            {http.StatusUnprocessableEntity, "body.name"},
		`{"name":"-m"}`:          {http.StatusUnprocessableEntity, "body.name"},
		`{"name":"a b"}`:         {http.StatusUnprocessableEntity, "body.name"},
		`{"name":"auth-server"}`: {http.StatusUnprocessableEntity, "body.name"},
		`{"name":"` + strings.Repeat("a", 129) + `"}`:             {http.StatusUnprocessableEntity, "body.name"},
		`{"name":"m2","algorithm":"none"}`:                        {http.StatusUnprocessableEntity, "body.algorithm"},
		`{"name":"m2","algorithm":"HS256"}`:                       {http.StatusUnprocessableEntity, "body.algorithm"},
		`{"name":"m2","tokenTtlSeconds":-1}`:                      {http.StatusUnprocessableEntity, "body.tokenTtlSeconds"},
		`{"name":"m2","tokenTtlSeconds":86401}`:                   {http.StatusUnprocessableEntity, "body.tokenTtlSeconds"},
		`{"name":"m2","tokenTtlSeconds":9223372036854775807}`:     {http.StatusUnprocessableEntity, "body.tokenTtlSeconds"},
		`{"name":"m2","tokenTtlSeconds":99999999999999999999999}`: {http.StatusBadRequest, "body.tokenTtlSeconds"},
		`{"name":"m2","description":"a\u0000b"}`:                  {http.StatusUnprocessableEntity, "body.description"},
	} {
		a := s.ask("POST", "/services", body)
		a.wantProblem(body, want.status)
		if want.field == "" {
			continue
		}
		var p struct {
			Errors []struct{ Location, Message string }
		}
		if a.into(&p); len(p.Errors) != 1 || p.Errors[0].Location != want.field || p.Errors[0].Message == "" {
			t.Errorf("%s: got errors %+v, want one at %s", body, p.Errors, want.field)
		}
		if strings.Contains(a.Body.String(), `"value"`) {
			t.Errorf("%s: the value is echoed: %s", body, a.Body)
		}
	}
	if _, ok := s.directory.Snapshot().Service("m2"); ok {
		t.Error("a refused service was made")
	}
}

// POL-007.
func TestStaleVersionChangesNothing(t *testing.T) {
	s := start(t)
	s.services("m1", "m2")
	s.must("PATCH", "/services/m1", `{"description":"second"}`, "If-Match", `"1"`)
	s.must("PUT", "/rules/m1/m2", `{"scopes":["read"]}`, "If-None-Match", "*")
	s.must("PUT", "/rules/m1/m2", `{"scopes":["write"]}`, "If-Match", `"1"`)
	for _, c := range []struct{ method, target, body, header, value string }{
		{"PATCH", "/services/m1", `{"description":"lost"}`, "If-Match", `"1"`},
		{"PATCH", "/services/m1", `{"description":"lost"}`, "If-Match", `"3"`},
		{"PATCH", "/services/m1", `{"description":"lost"}`, "If-Match", `W/"2"`},
		{"DELETE", "/services/m1", "", "If-Match", `"1"`},
		{"PUT", "/rules/m1/m2", `{"scopes":["lost"]}`, "If-Match", `"1"`},
		{"PUT", "/rules/m1/m2", `{"scopes":["lost"]}`, "If-None-Match", "*"},
		{"PUT", "/rules/m2/m1", `{"scopes":["lost"]}`, "If-Match", `"1"`},
		{"PUT", "/rules/m2/m1", `{"scopes":["lost"]}`, "If-Match", `*`},
		{"DELETE", "/rules/m1/m2", "", "If-Match", `"1"`},
		{"DELETE", "/rules/m2/m1", "", "If-Match", `"1"`},
		{"DELETE", "/rules/m2/m1", "", "If-Match", `*`},
	} {
		s.ask(c.method, c.target, c.body, c.header, c.value).wantProblem(fmt.Sprint(c), http.StatusPreconditionFailed)
	}
	for _, bad := range []string{"1", `"0"`, `"-2"`, `"01"`, `"1", "2"`, `"1`, `""`, `"99999999999999999999"`, `"x"`} {
		s.ask("PATCH", "/services/m1", `{"description":"lost"}`, "If-Match", bad).wantProblem("If-Match "+bad, http.StatusBadRequest)
	}
	s.ask("PUT", "/rules/m1/m2", `{}`, "If-None-Match", `"2"`).wantProblem("If-None-Match with a version", http.StatusBadRequest)
	s.ask("PUT", "/rules/m1/m2", `{}`, "If-None-Match", "*", "If-Match", "*").wantProblem("both", http.StatusBadRequest)
	var service api.Service
	if s.must("GET", "/services/m1", "").into(&service); service.Version != 2 || service.Description != "second" {
		t.Errorf("got %+v, want the second version untouched", service)
	}
	var rule api.Rule
	if s.must("GET", "/rules/m1/m2", "").into(&rule); rule.Version != 2 || strings.Join(rule.Scopes, " ") != "write" {
		t.Errorf("got %+v, want the second version untouched", rule)
	}
	s.must("PATCH", "/services/m1", `{"description":"third"}`, "If-Match", `*`)
	s.must("DELETE", "/rules/m1/m2", "", "If-Match", `"2"`)
	s.must("DELETE", "/services/m1", "", "If-Match", `"3"`)
}

// POL-007: of many who change the same version, one does.
func TestNoUpdateIsLost(t *testing.T) {
	s := start(t)
	s.services("m1")
	var granted, stale atomic.Int64
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			switch a := s.ask("PATCH", "/services/m1", fmt.Sprintf(`{"description":"%d"}`, i), "If-Match", `"1"`); a.Code {
			case http.StatusOK:
				granted.Add(1)
			case http.StatusPreconditionFailed:
				stale.Add(1)
			default:
				t.Errorf("got %d %s", a.Code, a.Body)
			}
		})
	}
	wg.Wait()
	if granted.Load() != 1 || stale.Load() != 19 {
		t.Errorf("got %d granted and %d stale, want 1 and 19", granted.Load(), stale.Load())
	}
}
