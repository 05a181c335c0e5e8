package interop

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/watchword-dev/watchword/internal/needs"
)

// got is what the clients print.
type got struct {
	Metadata      map[string]any
	SameMetadata  bool
	Tokens        map[string]tokenAnswer
	DPoPTries     int
	Seen          tokenClaims
	AsBearer      string
	Calls         map[string]string
	Said          map[string]string
	Introspection introspection
	Signed        introspection `json:"signedIntrospection"`
	Revoked       introspection
}

type introspection struct {
	Active   bool
	Subject  string `json:"sub"`
	ClientID string `json:"client_id"`
}

// run runs a client to its end and reads what it printed.
func run(t *testing.T, p *process) (g got) {
	t.Helper()
	p.read(t, &g)
	return g
}

func nodeClient(t *testing.T, env []string, name string) *process {
	t.Helper()
	installed(t)
	return start(t, env, "node", filepath.Join("clients", name+".mjs"))
}

// goClient starts a command of the module golang, all of which are built by the first test that asks.
func goClient(t *testing.T, env []string, name string) *process {
	t.Helper()
	dir, err := buildGo()
	must(t, err)
	return start(t, env, filepath.Join(dir, name))
}

var buildGo = sync.OnceValues(func() (string, error) {
	dir, err := filepath.Abs(filepath.Join(built.dir, "golang"))
	if err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-o", dir+string(filepath.Separator), "./...")
	cmd.Dir = "golang"
	cmd.Env = append(cmd.Environ(), "GOWORK=off") // a module of its own
	cmd.Stderr = os.Stderr
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	return dir, cmd.Run()
})

// python starts a script under Debian's Python, whatever else is called python3 here: its packages
// are for that one.
func python(t *testing.T, env []string, name string, args ...string) *process {
	t.Helper()
	const interpreter = "/usr/bin/python3"
	if err := exec.Command(interpreter, "-c", "import authlib, requests_oauthlib").Run(); err != nil {
		needs.Missing(t, "Debian's python3-authlib and python3-requests-oauthlib are not installed: "+err.Error())
	}
	return start(t, env, interpreter, append([]string{filepath.Join("clients", name)}, args...)...)
}

func TestSimpleOAuth2(t *testing.T) {
	o := startOAuth(t)
	g := run(t, nodeClient(t, o.client(), "simple-oauth2"))
	o.checkAll(t, g.Tokens, "basic", "looseBasic", "post")
	o.mustBe(t, g.Tokens["basic"], false) // it was given back
	o.mustBe(t, g.Tokens["post"], true)
}

func TestXOAuth2ClientCredentials(t *testing.T) {
	o := startOAuth(t)
	g := run(t, goClient(t, o.client(), "clientcredentials"))
	o.checkAll(t, g.Tokens, "basic", "post", "auto")
}

func TestRequestsOAuthlib(t *testing.T) {
	o := startOAuth(t)
	g := run(t, python(t, o.client(), "requests_oauthlib_client.py"))
	o.checkAll(t, g.Tokens, "basic", "post")
}

// mustBe fails unless the server says that a token is active, or not.
func (o *oauth) mustBe(t *testing.T, token tokenAnswer, active bool) {
	t.Helper()
	body := o.post(t, "m2", "/oauth2/introspect", map[string][]string{"token": {token.AccessToken}})
	if strings.Contains(body, `"active":true`) != active {
		t.Errorf("introspection says %s, want active %v", body, active)
	}
}
