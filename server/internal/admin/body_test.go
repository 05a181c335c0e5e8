package admin

import (
	"net/http"
	"testing"
)

// F88: a body is refused where there is none, so that nobody believes it had an effect.
func TestBodyOfAnOperationWithoutOneIsRefused(t *testing.T) {
	s := start(t)
	s.services("m1")
	for _, r := range [][2]string{{"GET", "/services"}, {"GET", "/credentials"}, {"DELETE", "/services/m1"}, {"POST", "/credentials/0f1e2d3c4b5a69788796a5b4c3d2e1f0/revoke"}, {"POST", "/keys/reseal"}} {
		a := s.ask(r[0], r[1], `{"name":"m1"}`)
		if a.wantProblem(r[0]+" "+r[1], http.StatusBadRequest); a.members()["code"] != "unexpected_body" {
			t.Errorf("%s %s: got %s", r[0], r[1], a.Body)
		}
	}
	s.must("GET", "/services/m1", "")
	s.must("POST", "/keys/reseal", "")
}
