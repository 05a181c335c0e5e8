package web

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
)

// F63. The address of a client behind proxies is the rightmost that is not a proxy's, and nobody else can say what it
// is.
func TestAddressOfAClientBehindProxies(t *testing.T) {
	networks := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, c := range []struct {
		header, from string
		lines        []string
		want         string
	}{
		{"X-Forwarded-For", "10.0.0.1:5", []string{"192.0.2.7"}, "192.0.2.7"},
		{"X-Forwarded-For", "10.0.0.1:5", []string{"192.0.2.7:4711"}, "192.0.2.7"},
		{"X-Forwarded-For", "10.0.0.1:5", []string{"1.1.1.1, 192.0.2.7"}, "192.0.2.7"},
		{"X-Forwarded-For", "10.0.0.1:5", []string{"1.1.1.1", "192.0.2.7"}, "192.0.2.7"},
		{"X-Forwarded-For", "10.0.0.1:5", []string{"1.1.1.1, 192.0.2.7, 10.9.9.9"}, "192.0.2.7"},
		{"X-Forwarded-For", "10.0.0.1:5", []string{"10.1.1.1, 10.9.9.9"}, "10.1.1.1"},
		{"X-Forwarded-For", "10.0.0.1:5", []string{"192.0.2.7, unknown"}, "10.0.0.1"},
		{"X-Forwarded-For", "10.0.0.1:5", []string{"192.0.2.7, unknown, 10.9.9.9"}, "10.9.9.9"},
		{"X-Forwarded-For", "10.0.0.1:5", []string{""}, "10.0.0.1"},
		{"X-Forwarded-For", "10.0.0.1:5", nil, "10.0.0.1"},
		{"X-Forwarded-For", "10.0.0.1:5", []string{"::ffff:192.0.2.7"}, "192.0.2.7"},
		{"X-Forwarded-For", "[fd00::1]:5", []string{"2001:db8::7"}, "2001:db8::7"},
		{"X-Forwarded-For", "[fd00::1]:5", []string{"[2001:db8::7]:80"}, "2001:db8::7"},
		{"X-Forwarded-For", "192.0.2.9:5", []string{"1.1.1.1"}, "192.0.2.9"}, // not a proxy
		{"", "10.0.0.1:5", []string{"1.1.1.1"}, "10.0.0.1"},
		{"Forwarded", "10.0.0.1:5", []string{`for=1.1.1.1, for=192.0.2.7;proto=https;by=10.0.0.1`}, "192.0.2.7"},
		{"Forwarded", "10.0.0.1:5", []string{`proto=https;For="[2001:db8::7]:4711"`}, "2001:db8::7"},
		{"Forwarded", "10.0.0.1:5", []string{`for=192.0.2.7, for=_hidden`}, "10.0.0.1"},
		{"Forwarded", "10.0.0.1:5", []string{`for="1.1.1.1, for=192.0.2.7"`}, "192.0.2.7"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = c.from
		for _, line := range c.lines {
			r.Header.Add("X-Forwarded-For", line)
			r.Header.Add("Forwarded", line)
		}
		peer := Address(r)
		Proxies{networks, c.header}.Resolve(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if got := Address(r); got.String() != c.want {
				t.Errorf("%s %q from %s: got %s, want %s", c.header, c.lines, c.from, got, c.want)
			}
			if Peer(r) != peer {
				t.Errorf("the peer is %s, not %s", Peer(r), peer)
			}
		})).ServeHTTP(httptest.NewRecorder(), r)
	}
}
