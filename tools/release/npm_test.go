package main

import (
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// registry serves packages as registry.npmjs.org does. Packages for other platforms may be looked up, and not
// fetched.
func registry(t *testing.T) *httptest.Server {
	t.Helper()
	packages := map[string][]byte{}
	out := dist(t)
	for _, name := range []string{"watchword", "@watchword/cli-linux-x64"} {
		packages[name] = []byte(read(t, out, npmFile(name, version)))
	}
	r := &release{version: version}
	for _, p := range platforms {
		if packages[p.npmName()] != nil {
			continue
		}
		content, err := r.npmProgram(built{p, []byte("a program for " + p.String())})
		if err != nil {
			t.Fatal(err)
		}
		packages[p.npmName()] = content
	}
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		name, err := url.PathUnescape(strings.TrimPrefix(q.URL.EscapedPath(), "/"))
		if err != nil {
			t.Error(err)
		}
		if found, ok := packages[strings.TrimPrefix(name, "-/")]; ok && strings.HasPrefix(name, "-/") {
			if name != "-/watchword" && name != "-/@watchword/cli-linux-x64" {
				t.Errorf("npm fetched %s", name)
			}
			_, _ = w.Write(found)
			return
		}
		content, ok := packages[name]
		if !ok {
			t.Errorf("npm asked for %s", name)
			http.NotFound(w, q)
			return
		}
		described := packageJSON(t, content)
		sum := sha512.Sum512(content)
		described["dist"] = map[string]string{"tarball": server.URL + "/-/" + name, "integrity": "sha512-" + base64.StdEncoding.EncodeToString(sum[:])}
		answer := map[string]any{"name": name, "dist-tags": map[string]string{"latest": version}, "versions": map[string]any{version: described}}
		if err := json.NewEncoder(w).Encode(answer); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	return server
}

// packageJSON takes package.json out of a package.
func packageJSON(t *testing.T, content []byte) map[string]any {
	t.Helper()
	file := filepath.Join(t.TempDir(), "package.tgz")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	var described map[string]any
	fromJSON(t, command(t, "", "tar", "-xzOf", file, "package/package.json"), &described)
	return described
}

// In an empty folder, with nothing in npm's cache, and ended in each of the ways in which people end it.
func TestNpxRunsTheDemoAndEndsIt(t *testing.T) {
	t.Parallel()
	needs(t, "npx", "script")
	server := registry(t)
	empty, temporary := t.TempDir(), t.TempDir()
	env := []string{
		"npm_config_registry=" + server.URL, "npm_config_cache=" + t.TempDir(), "npm_config_update_notifier=false", "npm_config_audit=false",
		"TMPDIR=" + temporary, "HOME=" + t.TempDir(),
	}
	wantBuild(t, command(t, empty, "env", append(env, "npx", "--yes", "watchword", "version", "--json")...))
	// Exit codes pass through.
	if out, err := tried(empty, "env", append(env, "npx", "--yes", "watchword", "nonsense")...); err == nil || !strings.Contains(err.Error(), "exit status 2") {
		t.Errorf("got %v, %s", err, out)
	}

	for _, c := range []struct {
		name string
		args []string // before those of the demo
		end  func(*process) error
	}{
		{"a script ends what it started, of which npx dies", []string{"npx", "--yes", "watchword"}, func(p *process) error {
			return p.cmd.Process.Signal(syscall.SIGTERM)
		}},
		{"a supervisor ends all processes", []string{"setsid", "npx", "--yes", "watchword"}, func(p *process) error {
			return syscall.Kill(-p.cmd.Process.Pid, syscall.SIGTERM)
		}},
		{"Ctrl-C in a terminal", []string{"sh", "-c", `exec script --quiet --command "npx --yes watchword $*" /dev/null`, "sh"}, func(p *process) error {
			_, err := p.stdin.Write([]byte{3})
			return err
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := demo(t, env, empty, c.args[0], c.args[1:]...)
			wantRules(t, command(t, empty, "env", append(env, "sh", "-c", p.rules)...))
			if err := c.end(p); err != nil {
				t.Fatal(err)
			}
			p.wait()
			if !strings.Contains(p.output.String(), "The demo has ended.") {
				t.Errorf("it said %s", p.output)
			}
			if left, err := filepath.Glob(filepath.Join(temporary, "watchword-demo-*")); err != nil || len(left) > 0 {
				t.Errorf("it left %q, %v", left, err)
			}
		})
	}
	if left, err := os.ReadDir(empty); err != nil || len(left) > 0 {
		t.Errorf("it left %v in the folder, %v", left, err)
	}
}
