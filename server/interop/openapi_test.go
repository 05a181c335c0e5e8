package interop

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// document writes the OpenAPI document of a running server to a file.
func (s *server) document(t *testing.T) string {
	t.Helper()
	resp, err := http.Get(s.operators + "/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("GET /openapi.json: %d, %v", resp.StatusCode, err)
	}
	file := filepath.Join(t.TempDir(), "openapi.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// tool runs a program of node_modules in a folder, and fails the test with what it printed.
func tool(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	program, err := filepath.Abs(filepath.Join("node_modules", ".bin", name))
	if err != nil {
		t.Fatal(err)
	}
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
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(dir, os.DirFS("typescript")); err != nil {
		t.Fatal(err)
	}
	tool(t, dir, "openapi-typescript", s.document(t), "--output", "api.d.ts")
	tool(t, dir, "tsc", "--project", ".")
	if err := os.Rename(filepath.Join(dir, "operator.js"), filepath.Join(dir, "operator.mjs")); err != nil {
		t.Fatal(err)
	}
	token, err := os.ReadFile(filepath.Join(s.data(), "operator.token"))
	if err != nil {
		t.Fatal(err)
	}
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
	env := []string{"OPERATORS=" + s.operators, "OPERATOR_TOKEN=" + strings.TrimSpace(string(token))}
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
