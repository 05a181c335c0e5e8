package interop

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/watchword-dev/watchword/internal/needs"
)

// stamp says, inside node_modules, what it was installed from.
var stamp = filepath.Join("node_modules", ".installed-from")

var install = sync.OnceValues(func() (what string, err error) {
	node, err := exec.LookPath("node")
	if err != nil {
		return "These tests run real Node.js clients: install Node.js 20 or later with npm (on Debian: apt-get install nodejs npm)", err
	}
	if out, err := exec.Command(node, "-e", "process.exit(parseInt(process.versions.node) >= 20 ? 0 : 1)").CombinedOutput(); err != nil {
		return "Node.js is older than 20\n" + string(out), err
	}
	var lock []byte
	for _, name := range []string{"package.json", "package-lock.json"} {
		b, err := os.ReadFile(name)
		if err != nil {
			return "read what to install", err
		}
		lock = append(lock, b...)
	}
	sum := sha256.Sum256(lock)
	want := []byte(hex.EncodeToString(sum[:]))
	if got, err := os.ReadFile(stamp); err == nil && bytes.Equal(got, want) {
		return "", nil
	}
	out, err := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund").CombinedOutput()
	if err != nil {
		return "npm ci, which needs the npm registry, failed\n" + string(out), err
	}
	return "write " + stamp, os.WriteFile(stamp, want, 0o644)
})

// process is a program that talks in lines of JSON.
type process struct {
	in  io.Writer
	out *bufio.Scanner
}

// installed fails the test unless what the clients on Node.js need is there.
func installed(t *testing.T) {
	t.Helper()
	what, err := install()
	if errors.Is(err, exec.ErrNotFound) {
		needs.Missing(t, what)
	} else if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// node starts a script of the folder node. It ends with the test.
func node(t *testing.T, env []string, script string, args ...string) *process {
	t.Helper()
	installed(t)
	return start(t, env, "node", append([]string{filepath.Join("node", script)}, args...)...)
}

// start starts a program. It ends with the test.
func start(t *testing.T, env []string, name string, args ...string) *process {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(os.Environ(), env...)
	stderr := &bytes.Buffer{}
	cmd.Stderr = stderr
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	t.Cleanup(func() {
		cmd.Wait() // the test's context has ended and the process with it
		if stderr.Len() > 0 {
			t.Logf("%s %v says on stderr:\n%s", name, args, stderr)
		}
	})
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	return &process{in: in, out: lines}
}

// read reads one line into v.
func (p *process) read(t *testing.T, v any) {
	t.Helper()
	if !p.out.Scan() {
		t.Fatalf("the process ended: %v", p.out.Err())
	}
	if err := json.Unmarshal(p.out.Bytes(), v); err != nil {
		t.Fatalf("line %q: %v", p.out.Text(), err)
	}
}

func (p *process) write(t *testing.T, v any) {
	t.Helper()
	must(t, json.NewEncoder(p.in).Encode(v))
}
