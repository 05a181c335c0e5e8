package app

import (
	"net/http"
	"strings"
	"testing"
)

// JWK-002. What caches keep is the same whatever one client sends, and nobody is sent it twice.
func TestDocumentsAreForCaches(t *testing.T) {
	s := start(t, testConfig(t))
	// The first start publishes the key that comes next while it serves already.
	eventually(t, "two published keys", func() bool {
		return strings.Count(s.do(s.request("GET", s.url+"/.well-known/jwks.json", "")).body, `"kid"`) == 2
	})
	for _, path := range []string{"/.well-known/jwks.json", "/auth/jwt/jwks.json", "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"} {
		ask := func(method string, header http.Header) answer {
			r := s.request(method, s.url+path, "")
			r.Header = header
			return s.do(r)
		}
		want := ask("GET", nil)
		etag := want.header.Get("ETag")
		// Nothing an attacker sends may show in what a shared cache keeps.
		a := ask("GET", http.Header{
			"X-Forwarded-Host": {"evil.example"}, "Origin": {"https://evil.example"}, "Cookie": {"a=b"},
			"Accept": {"text/html"}, "Accept-Encoding": {"gzip"}, "Range": {"bytes=0-3"}, "If-Modified-Since": {"Mon, 30 Nov 2099 00:00:00 GMT"},
		})
		if a.status != http.StatusOK || a.body != want.body || etag == "" {
			t.Errorf("%s: got %d and %s", path, a.status, a.body)
		}
		for name, value := range map[string]string{
			"Cache-Control": "public, max-age=300", "Etag": etag, "Content-Type": "application/json",
			"Access-Control-Allow-Origin": "*", "Vary": "", "Set-Cookie": "", "X-Content-Type-Options": "nosniff",
		} {
			if got := strings.Join(a.header.Values(name), "|"); got != value {
				t.Errorf("%s: %s is %q, want %q", path, name, got, value)
			}
		}
		if a := ask("HEAD", nil); a.status != http.StatusOK || a.body != "" || a.header.Get("ETag") != etag {
			t.Errorf("HEAD %s: got %d %v", path, a.status, a.header)
		}
		for _, c := range []struct {
			ifNoneMatch []string
			status      int
		}{
			{[]string{etag}, 304},
			{[]string{"W/" + etag}, 304},
			{[]string{`"x", ` + etag}, 304},
			{[]string{`"x"`, etag}, 304},
			{[]string{"*"}, 304},
			{[]string{`"x"`}, 200},
			{[]string{strings.Trim(etag, `"`)}, 200},
			{nil, 200},
		} {
			a := ask("GET", http.Header{"If-None-Match": c.ifNoneMatch})
			if a.status != c.status || (a.body == "") != (c.status == 304) || a.header.Get("ETag") != etag || a.header.Get("Cache-Control") == "" {
				t.Errorf("%s, If-None-Match %q: got %d with %d bytes, want %d", path, c.ifNoneMatch, a.status, len(a.body), c.status)
			}
		}
		for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS"} {
			if a := ask(method, nil); a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: got %d, Allow %q", method, path, a.status, a.header.Get("Allow"))
			}
		}
	}
}
