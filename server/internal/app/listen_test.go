package app

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"

	"github.com/watchword-dev/watchword/server/internal/config"
)

// F105: with the proxy on the same machine, the listeners for services and SuperTokens clients require the PROXY
// protocol, and the commands and health checks of the operator get in as ever.
func TestProxyProtocolIsNotSpokenToOperators(t *testing.T) {
	cfg := testConfig(t)
	cfg.Proxy.Networks, cfg.Proxy.Protocol = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, true
	cfg.SuperTokens.APIKeys = []config.Secret{config.NewSecret("an-api-key-of-enough-characters-1")}
	s := start(t, cfg)
	get := func(url, header string) (status int) {
		c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			if err == nil {
				_, err = io.WriteString(conn, header)
			}
			return conn, err
		}}}
		resp, err := c.Get(url)
		if err != nil {
			return 0
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	const header = "PROXY TCP4 192.0.2.7 127.0.0.1 4660 443\r\n"
	for what, c := range map[string]struct {
		url    string
		direct bool
	}{
		"services":            {s.s.listeners[0].URL() + "/.well-known/jwks.json", false},
		"operators":           {s.s.listeners[1].URL() + "/readyz", true},
		"SuperTokens clients": {s.s.listeners[2].URL() + "/hello", false},
	} {
		if got := get(c.url, "") == http.StatusOK; got != c.direct {
			t.Errorf("%s, without the header: answered %v, want %v", what, got, c.direct)
		}
		if got := get(c.url, header) == http.StatusOK; got == c.direct {
			t.Errorf("%s, with the header: answered %v, want %v", what, got, !c.direct)
		}
	}
	s.service("m1")
}
