package interop

import (
	"net/http"
	"strings"
	"testing"
)

func (o *oauth) checkIntrospection(t *testing.T, g got) {
	t.Helper()
	if i := g.Introspection; !i.Active || i.Subject != "m1" || i.ClientID != "m1" {
		t.Errorf("introspection: %+v", i)
	}
	if g.Revoked.Active || g.Revoked.Subject != "" {
		t.Errorf("introspection of a revoked token: %+v", g.Revoked)
	}
}

func TestModelContextProtocol(t *testing.T) {
	// Its schema of the metadata asks for an authorization endpoint, which no machine goes to.
	o := startOAuth(t, "WATCHWORD_OAUTH_AUTHORIZATION_ENDPOINT=true")
	address := strings.Replace(listening(t, nodeClient(t, o.client(), "mcp-server")), "http:", "https:", 1) + "/mcp"
	o.admin(t, http.MethodPatch, "/services/m2", map[string]any{"audiences": []string{address}}, nil)
	g := run(t, nodeClient(t, o.client("MCP_URL="+address), "mcp-client"))
	for _, how := range []string{"secret", "key"} {
		if g.Said[how] != "Hello to m1!" {
			t.Errorf("with a %s: %q", how, g.Said[how])
		}
		if c := o.check(t, how, g.Tokens[how], address); c.ClientID != "m1" {
			t.Errorf("with a %s: %+v", how, c)
		}
	}
}

func TestAuthlib(t *testing.T) {
	o := startOAuth(t)
	g := run(t, python(t, o.client(), "authlib_client.py"))
	o.checkAll(t, g.Tokens, "basic", "post", "privateKeyJwt")
	o.checkIntrospection(t, g)
	if g.Seen.Subject != "m1" {
		t.Errorf("m2 sees %+v", g.Seen)
	}
}
