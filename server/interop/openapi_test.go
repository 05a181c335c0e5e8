package interop

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/internal/needs"
)

// document writes the OpenAPI document of a running server to a file.
func (s *server) document(t *testing.T) string {
	t.Helper()
	resp, err := http.Get(s.operators + "/openapi.json")
	must(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("GET /openapi.json: %d, %v", resp.StatusCode, err)
	}
	file := filepath.Join(t.TempDir(), "openapi.json")
	must(t, os.WriteFile(file, text, 0o600))
	return file
}

// operatorToken reads the token that the server made.
func (s *server) operatorToken(t *testing.T) string {
	t.Helper()
	token, err := os.ReadFile(filepath.Join(s.data(), "operator.token"))
	must(t, err)
	return strings.TrimSpace(string(token))
}

// tool runs a program of node_modules in a folder, and fails the test with what it printed.
func tool(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	program, err := filepath.Abs(filepath.Join("node_modules", ".bin", name))
	must(t, err)
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "REDOCLY_TELEMETRY=off", "REDOCLY_SUPPRESS_UPDATE_NOTICE=true")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// F48: warnings count as well.
func TestOpenAPIDocumentIsCleanForRedocly(t *testing.T) {
	installed(t)
	file := startServer(t).document(t)
	tool(t, t.TempDir(), "redocly", "lint", "--extends", "recommended-strict", file)
}

// F48: what the document says is what a client in TypeScript compiles with, and what a real server does.
func TestTypeScriptClientOfTheOperatorAPI(t *testing.T) {
	installed(t)
	s := startServer(t)
	dir := t.TempDir()
	modules, err := filepath.Abs("node_modules")
	must(t, err)
	must(t, os.Symlink(modules, filepath.Join(dir, "node_modules")))
	must(t, os.CopyFS(dir, os.DirFS("typescript")))
	tool(t, dir, "openapi-typescript", s.document(t), "--output", "api.d.ts")
	tool(t, dir, "tsc", "--project", ".")
	must(t, os.Rename(filepath.Join(dir, "operator.js"), filepath.Join(dir, "operator.mjs")))
	type failure struct {
		Status   int
		Code, At string
	}
	type result struct {
		Names, Scopes, Networks, Listed []string
		Kind                            string
		Days                            float64
		HasToken                        bool
		Errors                          []failure
	}
	var got result
	env := []string{"OPERATORS=" + s.operators, "OPERATOR_TOKEN=" + s.operatorToken(t)}
	start(t, env, "node", filepath.Join(dir, "operator.mjs")).read(t, &got)
	want := result{
		Names: []string{"web", "shop", "stock"}, Scopes: []string{"read"}, Networks: []string{"10.0.0.0/8"},
		Listed: []string{"shop", "stock", "web"}, Kind: "bootstrap", Days: 90, HasToken: true,
		Errors: []failure{{409, "exists", ""}, {404, "service_not_found", ""}, {422, "invalid_request", "body.tokenTtlSeconds"}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// Schemathesis makes requests from the OpenAPI document, good and bad ones, and chains of them. No answer is a 500, every
// answer is as the document has it, and none is given without the operator token. The requests are the same each time;
// `make fuzz` runs it with others, for as long as FUZZTIME says, and begins with those it once found something with.
func TestOperatorAPIIsAsItsDocumentSays(t *testing.T) {
	program, err := filepath.Abs(".venv/bin/schemathesis")
	must(t, err)
	if _, err := os.Stat(program); err != nil {
		needs.Missing(t, "Schemathesis is not installed: run scripts/needs")
	}
	s := startServer(t)
	for _, name := range []string{"m1", "m2", "m3"} { // those of the examples
		s.run(t, "service", "create", name)
	}
	s.run(t, "allow", "m1", "m2", "--scope", "read")
	// With one worker: Python 3.11 fails now and then if two threads parse Python at once (github.com/python/cpython, issue
	// 106905), which Hypothesis does.
	args := []string{
		"--config-file", "schemathesis.toml", "run", s.operators + "/openapi.json", "--no-color", "--continue-on-failure", "--workers", "1",
	}
	if long := os.Getenv("FUZZTIME"); long != "" {
		d, err := time.ParseDuration(long)
		must(t, err)
		cache, err := os.UserCacheDir()
		must(t, err)
		args = append(args, "--max-time", strconv.Itoa(int(d.Seconds())), "--generation-database", filepath.Join(cache, "watchword-schemathesis"))
	} else {
		args = append(args, "--max-time", "30", "--max-examples", "20", "--seed", "1", "--generation-database", "none")
	}
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = "schemathesis"
	cmd.Env = append(os.Environ(), "OPERATOR_TOKEN="+s.operatorToken(t), "SCHEMATHESIS_HOOKS=hooks", "PYTHONPATH=.", "PYTHONDONTWRITEBYTECODE=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("schemathesis: %v\n%s", err, out)
	}
	if !regexp.MustCompile(`Tested: +\d`).Match(out) {
		t.Fatalf("nothing was tested:\n%s", out)
	}
	t.Logf("%s", out[bytes.Index(out, []byte("= SUMMARY ="))+1:])
}

// must ends the test if something failed that has to succeed.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
