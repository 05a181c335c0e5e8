package watchword_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	// So that go test answers from its cache only while these are the same.
	_ "github.com/watchword-dev/watchword/api"
	_ "github.com/watchword-dev/watchword/client"
	"github.com/watchword-dev/watchword/internal/needs"
	_ "github.com/watchword-dev/watchword/operator"
	_ "github.com/watchword-dev/watchword/verify"
)

// A program of others that has dependencies of its own, each older than the one that the server requires.
var older = map[string]string{
	"github.com/jackc/pgx/v5":             "v5.7.0",
	"github.com/prometheus/client_golang": "v1.20.0",
	"github.com/spf13/cobra":              "v1.8.0",
}

// sdk are the packages that others import.
var sdk = []string{"api", "client", "operator", "verify"}

// Whoever imports the SDK gets two modules with it, and keeps the versions of their own.
func TestTheSDKBringsTwoModulesAndRaisesNothing(t *testing.T) {
	alone := modulesOf(t, older, nil)
	with := modulesOf(t, older, sdk)
	var brought []string
	for path, version := range with {
		switch was, had := alone[path]; {
		case !had:
			brought = append(brought, path)
		case was != version:
			t.Errorf("the SDK moves %s from %s to %s", path, was, version)
		}
	}
	slices.Sort(brought)
	want := []string{"github.com/go-jose/go-jose/v4", "github.com/go-json-experiment/json", strings.TrimSuffix(module, "/")}
	if !slices.Equal(brought, want) {
		t.Errorf("the SDK brings the modules %v, want %v", brought, want)
	}
	for path, version := range older {
		if with[path] != version {
			t.Errorf("got %s %s, want %s as required", path, with[path], version)
		}
	}
	t.Logf("a module with %d modules of its own has %d with the SDK", len(alone), len(with))
}

func TestTheSDKAloneIsFourModules(t *testing.T) {
	all := modulesOf(t, nil, sdk)
	if len(all) != 4 { // with the one that imports it
		t.Errorf("got %v", slices.Sorted(maps.Keys(all)))
	}
}

// modulesOf makes a module that requires modules and imports them and packages of this one, and returns the versions
// of all modules that it then has.
func modulesOf(t *testing.T, requires map[string]string, packages []string) map[string]string {
	t.Helper()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.ReadFile("go.mod"); err != nil { // for the same reason
		t.Fatal(err)
	}
	dir := t.TempDir()
	mod, program := "module example.com/callee\n\ngo 1.26.0\n", "package main\n\n"
	for path, version := range requires {
		mod += fmt.Sprintf("require %s %s\n", path, version)
		program += fmt.Sprintf("import _ %q\n", strings.Replace(path, "client_golang", "client_golang/prometheus", 1))
	}
	if len(packages) > 0 {
		own := strings.TrimSuffix(module, "/")
		mod += fmt.Sprintf("require %s v0.0.0\nreplace %s => %s\n", own, own, here)
	}
	for _, p := range packages {
		program += fmt.Sprintf("import _ %q\n", module+p)
	}
	for name, text := range map[string]string{"go.mod": mod, "main.go": program + "\nfunc main() {}\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err == nil {
			return string(out)
		}
		text := fmt.Sprintf("go %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
		if strings.Contains(text, "dial tcp") || strings.Contains(text, "module lookup disabled") {
			needs.Missing(t, "modules are neither in the cache nor to be had from the module proxy: "+text)
		}
		t.Fatal(text)
		return ""
	}
	run("mod", "tidy")
	if requires == nil {
		run("build", "-o", os.DevNull, ".")
	}
	all := map[string]string{}
	for line := range strings.Lines(run("list", "-m", "all")) {
		if path, version, _ := strings.Cut(strings.TrimSpace(line), " "); path != "" {
			all[path], _, _ = strings.Cut(version, " ")
		}
	}
	return all
}
