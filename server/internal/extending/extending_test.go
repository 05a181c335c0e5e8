// Package extending_test adds things to the program where ARCHITECTURE.md says that they go, and looks for them in all
// places that should have them.
package extending_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	_ "github.com/watchword-dev/watchword/server/internal/cli" // go test answers from its cache only while the program is the same
)

// The lines that ARCHITECTURE.md, "Where a new thing goes", asks of a new authentication method, each below the line it
// follows. The method believes every client_id.
var newMethod = map[string][2]string{
	"../../../api/names.go": {
		"func AuthMethods() []Name {\n\treturn []Name{\n",
		"\t\t{\"on_its_word\", \"word\", \"Nothing but the name.\"},\n",
	},
	"../clientauth/clientauth.go": {
		"\t\t{true, newBootstrap(o)},\n",
		"\t\t{true, onItsWord{}},\n",
	},
	"../../../client/auth.go": {
		"func Methods() []Method {\n\treturn []Method{\n",
		"\t\t{\"on_its_word\", []string{\"ClientID\"}, func(i Identity) *Auth { return OnItsWord(i.ClientID) }},\n",
	},
}

// The files that it asks for.
var newFiles = map[string]string{
	"../clientauth/word.go": `package clientauth

import (
	"context"
	"time"

	"github.com/watchword-dev/watchword/server/internal/directory"
)

type onItsWord struct{}

func (onItsWord) Name() string { return "on_its_word" }

func (onItsWord) Presents(p *Presented) bool {
	return p.ClientID != "" && p.Basic == nil && p.Post == "" && p.Assertion == "" && p.Bearer == "" && p.Certificates == nil
}

func (onItsWord) Authenticate(_ context.Context, p *Presented, s *directory.Snapshot, _ time.Time) (Identity, *Failure) {
	svc, ok := s.Service(p.ClientID)
	if !ok {
		return Identity{}, &Failure{Reason: "unknown_client"}
	}
	return Identity{Service: svc}, nil
}
`,
	"../../../client/auth_word.go": `package client

import "context"

func OnItsWord(clientID string) *Auth {
	return newAuth("on_its_word", clientID, func(_ context.Context, r *tokenRequest) error {
		r.form.Set("client_id", clientID)
		return nil
	})
}
`,
}

// buildWith builds the program with lines and files that are not in the repository.
func buildWith(t *testing.T, lines map[string][2]string, files map[string]string) (program string) {
	t.Helper()
	dir := t.TempDir()
	replace := map[string]string{}
	put := func(name, text string) {
		t.Helper()
		real, err := filepath.Abs(name)
		if err != nil {
			t.Fatal(err)
		}
		replace[real] = filepath.Join(dir, strings.NewReplacer("/", "_", "..", "").Replace(name))
		if err := os.WriteFile(replace[real], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, l := range lines {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		before, after, found := strings.Cut(string(text), l[0])
		if !found {
			t.Fatalf("%s has not the line %q, below which a new method goes", name, l[0])
		}
		put(name, before+l[0]+l[1]+after)
	}
	for name, text := range files {
		put(name, text)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	program = filepath.Join(dir, "watchword")
	if out, err := exec.Command("go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", program, "../../cmd/watchword").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// A method that is added where ARCHITECTURE.md says is in the metadata, the OpenAPI document, the schema and the reader
// of call map files, and the flags; and it works.
func TestANewAuthenticationMethodGoesWhereArchitectureSays(t *testing.T) {
	program := buildWith(t, newMethod, newFiles)
	data := filepath.Join(t.TempDir(), "data")
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "WATCHWORD_DATA=" + data}

	free, err := net.Listen("tcp", "127.0.0.1:0") // its address names the issuer
	if err != nil {
		t.Fatal(err)
	}
	issuer := "http://" + free.Addr().String()
	_ = free.Close()
	serve := exec.Command(program, "serve", "--listen", free.Addr().String(), "--issuer", issuer, "--admin-listen", "127.0.0.1:0", "--shutdown-drain", "0s")
	serve.Env = env
	log, err := serve.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() {
		_ = serve.Process.Kill()
		<-ended
		_ = serve.Wait()
	})
	listening := regexp.MustCompile(`msg=listening for=operators url=(\S+)`)
	admin, lines := "", bufio.NewScanner(log)
	for lines.Scan() && !strings.Contains(lines.Text(), "msg=ready") {
		if found := listening.FindStringSubmatch(lines.Text()); found != nil {
			admin = found[1]
		}
	}
	go func() { // what it says later must not fill the pipe
		defer close(ended)
		for lines.Scan() {
		}
	}()
	env = append(env, "WATCHWORD_URL="+issuer, "WATCHWORD_ADMIN_URL="+admin)

	run := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(program, args...)
		cmd.Env = env
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("watchword %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	read := func(resp *http.Response, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	file := filepath.Join(t.TempDir(), "callmap.yaml")
	if err := os.WriteFile(file, []byte("version: 1\nservices: {m3: {auth: on_its_word}}\nrules: [{from: m3, to: m3, when: {auth: on_its_word}}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run("service", "create", "m1", "--auth-method", "word")
	run("service", "create", "m2")
	run("allow", "m1", "m2", "--auth", "word")
	run("apply", "-f", file, "--yes")
	for what, c := range map[string]struct {
		text string
		want string
		n    int
	}{
		"metadata":                {read(http.Get(issuer + "/.well-known/oauth-authorization-server")), `"on_its_word"`, 3}, // three endpoints
		"OpenAPI document":        {read(http.Get(admin + "/openapi.json")), `"on_its_word"`, 4},
		"schema of call map file": {run("callmap", "schema"), `"on_its_word"`, 5}, // of a service and a rule, one or a list, and of a test
		"service create --help":   {run("service", "create", "--help"), "word", 1},
		"allow --help":            {run("allow", "--help"), "word", 1},
		"why --help":              {run("why", "--help"), "word", 1},
		"token get --help":        {run("token", "get", "--help"), "word", 1},
		"service show":            {run("service", "show", "m1"), "on_its_word", 1},
		"why":                     {run("why", "m1", "m2", "--auth", "word"), "allowed: ", 1},
		"the token endpoint": {read(http.PostForm(issuer+"/oauth2/token", url.Values{
			"grant_type": {"client_credentials"}, "client_id": {"m1"}, "audience": {"m2"},
		})), `"access_token"`, 1},
		"token get": {run("token", "get", "--as", "m3", "--target", "m3", "--method", "word"), "eyJ", 1},
	} {
		if got := strings.Count(c.text, c.want); got < c.n {
			t.Errorf("%s has %q %d times, want %d: %s", what, c.want, got, c.n, c.text)
		}
	}
}
