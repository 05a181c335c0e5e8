package keys

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// JWK-002.
func TestKeySetIsPublishedForCaches(t *testing.T) {
	now := start
	r := loaded(t, at(&now), Options{})
	server := httptest.NewServer(http.HandlerFunc(r.ServeJWKS))
	defer server.Close()
	ask := func(method string, header http.Header) (*http.Response, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, server.URL, nil)
		must(t, err)
		req.Header = header
		res, err := server.Client().Do(req)
		must(t, err)
		body, err := io.ReadAll(res.Body)
		must(t, err)
		must(t, res.Body.Close())
		return res, string(body)
	}
	want, etag, maxAge := r.JWKS()
	if maxAge != 5*time.Minute || maxAge > DefaultLead/2 {
		t.Errorf("max-age is %v", maxAge)
	}
	// Nothing an attacker sends may show in what a shared cache keeps.
	res, body := ask("GET", http.Header{
		"X-Forwarded-Host": {"evil.example"}, "Origin": {"https://evil.example"}, "Cookie": {"a=b"},
		"Accept": {"text/html"}, "Accept-Encoding": {"gzip"},
	})
	if res.StatusCode != http.StatusOK || body != string(want) {
		t.Errorf("got %s and %s", res.Status, body)
	}
	for name, value := range map[string]string{
		"Cache-Control": "public, max-age=300", "Etag": etag, "Content-Type": "application/json",
		"Access-Control-Allow-Origin": "*", "Vary": "", "Set-Cookie": "", "X-Content-Type-Options": "nosniff",
	} {
		if got := strings.Join(res.Header.Values(name), "|"); got != value {
			t.Errorf("%s is %q, want %q", name, got, value)
		}
	}
	if res, body := ask("HEAD", nil); res.StatusCode != http.StatusOK || body != "" || res.ContentLength != int64(len(want)) {
		t.Errorf("HEAD: %s, %d bytes announced, %q", res.Status, res.ContentLength, body)
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
		res, body := ask("GET", http.Header{"If-None-Match": c.ifNoneMatch})
		if res.StatusCode != c.status || (body == "") != (c.status == 304) || res.Header.Get("ETag") != etag || res.Header.Get("Cache-Control") == "" {
			t.Errorf("If-None-Match %q: got %s with %d bytes, want %d", c.ifNoneMatch, res.Status, len(body), c.status)
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS"} {
		if res, _ := ask(method, nil); res.StatusCode != http.StatusMethodNotAllowed || res.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: got %s, Allow %q", method, res.Status, res.Header.Get("Allow"))
		}
	}
}

func TestEntityTagChangesWithTheKeysOnly(t *testing.T) {
	now := start
	m := at(&now)
	r := loaded(t, m, Options{})
	body, etag, _ := r.JWKS()
	replica := loaded(t, m, Options{})
	if again, same, _ := replica.JWKS(); same != etag || !bytes.Equal(again, body) {
		t.Error("another replica publishes the same keys in other bytes")
	}
	_, err := r.Rotate(t.Context(), operator, UseCredential, "", false)
	must(t, err)
	if _, same, _ := r.JWKS(); same != etag {
		t.Error("the tag changed with a key that is not published")
	}
	_, err = r.Rotate(t.Context(), operator, UseAccess, "", true)
	must(t, err)
	must(t, r.step(t.Context()))
	if _, changed, _ := r.JWKS(); changed == etag {
		t.Error("the tag did not change with the keys")
	}
}

func TestRingThatIsNotLoadedPublishesNothing(t *testing.T) {
	now := start
	r := NewRing(at(&now), sealerOf(t, keyLine(1)), Options{})
	w := httptest.NewRecorder()
	r.ServeJWKS(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if w.Code != 503 || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("got %d, Cache-Control %q", w.Code, w.Header().Get("Cache-Control"))
	}
}

func TestMaxAgeIsLessThanHalfTheLead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lead := time.Duration(rapid.Int64Range(0, int64(48*time.Hour)).Draw(t, "lead"))
		r := NewRing(nil, nil, Options{Lead: lead})
		if r.maxAge < time.Minute || r.maxAge > 5*time.Minute || 2*r.maxAge > r.policy.Lead-spread {
			t.Errorf("lead %v: max-age is %v", r.policy.Lead, r.maxAge)
		}
	})
}
