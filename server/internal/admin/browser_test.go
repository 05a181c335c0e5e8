package admin

import (
	"context"
	"net"
	"net/http"
	"testing"
)

// ADM-011.
func TestPagesOfOtherSitesAreRefused(t *testing.T) {
	s := start(t)
	body := `{"name":"m1"}`
	for _, c := range []struct {
		name   string
		header []string
		want   int
	}{
		{"another site", []string{"Origin", "https://evil.test"}, http.StatusForbidden},
		{"another port of this machine", []string{"Origin", "http://127.0.0.1:3000"}, http.StatusForbidden},
		{"another name of this machine", []string{"Origin", "http://localhost:8010"}, http.StatusForbidden},
		{"a sandboxed frame", []string{"Origin", "null"}, http.StatusForbidden},
		{"a file", []string{"Origin", "file://"}, http.StatusForbidden},
		{"no origin at all", []string{"Origin", " "}, http.StatusForbidden},
		{"a broken origin", []string{"Origin", "http://[::1"}, http.StatusForbidden},
		{"the listener as user info", []string{"Origin", "http://127.0.0.1:8010@evil.test"}, http.StatusForbidden},
		{"a browser says cross-site", []string{"Sec-Fetch-Site", "cross-site"}, http.StatusForbidden},
		{"a browser says same-site", []string{"Sec-Fetch-Site", "same-site"}, http.StatusForbidden},
		{"a form", []string{"Content-Type", "application/x-www-form-urlencoded"}, http.StatusUnsupportedMediaType},
		{"a form with files", []string{"Content-Type", "multipart/form-data; boundary=x"}, http.StatusUnsupportedMediaType},
		{"plain text", []string{"Content-Type", "text/plain"}, http.StatusUnsupportedMediaType},
		{"plain text that says JSON", []string{"Content-Type", "text/plain; application/json"}, http.StatusUnsupportedMediaType},
		{"JSON of another kind", []string{"Content-Type", "application/vnd.x+json"}, http.StatusUnsupportedMediaType},
		{"JSON in Latin-1", []string{"Content-Type", "application/json; charset=iso-8859-1"}, http.StatusUnsupportedMediaType},
		{"no type", []string{"Content-Type", ""}, http.StatusUnsupportedMediaType},
		{"a broken type", []string{"Content-Type", "application/json;;"}, http.StatusUnsupportedMediaType},
	} {
		a := s.ask("POST", "/services", body, c.header...)
		a.wantProblem(c.name, c.want)
		for name := range a.Header() {
			if len(name) > 14 && name[:14] == "Access-Control" {
				t.Errorf("%s: got %s", c.name, name)
			}
		}
	}
	r := s.request("POST", "/admin/v1/services", body)
	r.Header["Content-Type"] = []string{"application/json", "text/plain"}
	s.do(r).wantProblem("two types", http.StatusUnsupportedMediaType)
	if _, ok := s.directory.Snapshot().Service("m1"); ok {
		t.Error("a refused page made a service")
	}
	s.ask("OPTIONS", "/services", "", "Origin", "https://evil.test", "Access-Control-Request-Method", "POST").wantProblem("preflight", http.StatusForbidden)
	s.ask("OPTIONS", "/services", "", "Access-Control-Request-Method", "POST").wantProblem("OPTIONS", http.StatusMethodNotAllowed)
	for _, header := range [][]string{
		{"Content-Type", "application/json; charset=UTF-8"},
		{"Origin", "http://127.0.0.1:8010", "Sec-Fetch-Site", "same-origin"},
		{"Sec-Fetch-Site", "none"},
	} {
		s.must("POST", "/services", body, header...)
		s.must("DELETE", "/services/m1", "")
	}
}

// ADM-012.
func TestListenerAnswersOnlyToItsOwnNames(t *testing.T) {
	s := start(t)
	arrivedAt := func(r *http.Request, address string) *http.Request {
		local, err := net.ResolveTCPAddr("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		return r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, local))
	}
	for host, want := range map[string]int{
		"127.0.0.1:8010":         http.StatusOK,
		"127.0.0.1":              http.StatusOK,
		"127.9.9.9:1":            http.StatusOK,
		"[::1]:8010":             http.StatusOK,
		"localhost:8010":         http.StatusOK,
		"LocalHost":              http.StatusOK,
		"admin.example.com":      http.StatusOK,
		"admin.example.com:443":  http.StatusOK,
		"10.0.0.5:8010":          http.StatusOK,
		"evil.test":              http.StatusMisdirectedRequest,
		"evil.test:8010":         http.StatusMisdirectedRequest,
		"127.0.0.1.evil.test":    http.StatusMisdirectedRequest,
		"localhost.evil.test":    http.StatusMisdirectedRequest,
		"evil.test@127.0.0.1":    http.StatusMisdirectedRequest,
		"x.admin.example.com":    http.StatusMisdirectedRequest,
		"10.0.0.6:8010":          http.StatusMisdirectedRequest,
		"0.0.0.0:8010":           http.StatusMisdirectedRequest,
		"2130706433":             http.StatusMisdirectedRequest,
		"0x7f.1":                 http.StatusMisdirectedRequest,
		"[::ffff:127.0.0.1]:80":  http.StatusOK,
		"[2001:db8::1]:8010":     http.StatusMisdirectedRequest,
		"":                       http.StatusMisdirectedRequest,
		"localhost\x00evil.test": http.StatusMisdirectedRequest,
	} {
		for _, target := range []string{"/admin/v1/services", "/openapi.json"} {
			r := s.request("GET", target, "")
			r.Host = host
			a := s.do(arrivedAt(r, "10.0.0.5:8010"))
			if a.Code != want {
				t.Errorf("Host %q, %s: got %d, want %d", host, target, a.Code, want)
			} else if want != http.StatusOK {
				a.wantProblem(host, want)
			}
		}
	}
}
