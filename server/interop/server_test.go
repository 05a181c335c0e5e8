package interop

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const apiKey = "interop-key-0123456789"

// built is the folder of the program under test, made when the first test asks.
var built struct {
	sync.Once
	dir string
	err error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built.dir != "" {
		os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

// program builds the program, once for all tests.
func program(t *testing.T) string {
	t.Helper()
	built.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "interop"); built.err != nil {
			return
		}
		out, err := exec.Command("go", "build", "-o", filepath.Join(built.dir, "watchword"), "../cmd/watchword").CombinedOutput()
		if err != nil {
			built.err = fmt.Errorf("%w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatalf("build watchword: %v", built.err)
	}
	return filepath.Join(built.dir, "watchword")
}

// server is watchword serve, on a data folder and on ports of its own.
type server struct {
	env []string // how the command line finds it

	public, operators string // URLs
	core              string // URL of the SuperTokens interface, with the base path of an app
	pid               int
	log               *logged
	ended             <-chan struct{} // closed when it wrote its last line
}

// startServer starts it with settings beside those all tests need, as NAME=value.
func startServer(t *testing.T, settings ...string) *server {
	t.Helper()
	s := &server{env: append(os.Environ(), "WATCHWORD_DATA="+filepath.Join(t.TempDir(), "data"))}
	cmd := exec.CommandContext(t.Context(), program(t), "serve")
	// A test that ends tells it to stop as an operator would.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
	cmd.Env = append(slices.Clone(s.env), "WATCHWORD_LOG_FORMAT=json",
		"WATCHWORD_LISTEN=127.0.0.1:0", "WATCHWORD_ADMIN_LISTEN=127.0.0.1:0", "WATCHWORD_SUPERTOKENS_LISTEN=127.0.0.1:0",
		"WATCHWORD_SUPERTOKENS_API_KEYS="+apiKey, "WATCHWORD_SUPERTOKENS_TRUST_BOOTSTRAP=true")
	cmd.Env = append(cmd.Env, settings...) // of two the last counts
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start watchword serve: %v", err)
	}
	s.pid = cmd.Process.Pid
	lines := bufio.NewScanner(stderr)
	s.awaitReady(t, lines)
	s.log = &logged{}
	ended := make(chan struct{})
	s.ended = ended
	go func() {
		defer close(ended)
		for lines.Scan() {
			s.log.add(lines.Text() + "\n")
		}
	}()
	t.Cleanup(func() {
		<-ended
		cmd.Wait() // its error is that the context ended
		if code := cmd.ProcessState.ExitCode(); code != 0 {
			t.Errorf("watchword serve ended with %d:\n%s", code, s.log)
		}
	})
	s.env = append(s.env, "WATCHWORD_ADMIN_URL="+s.operators)
	return s
}

// logged is what a server logged after its start.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.WriteString(line)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// awaitReady reads from the log where the server listens.
func (s *server) awaitReady(t *testing.T, lines *bufio.Scanner) {
	t.Helper()
	var seen strings.Builder
	for lines.Scan() {
		seen.WriteString(lines.Text() + "\n")
		var line struct{ Msg, For, URL string }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			continue // not a line of the log; it is in seen
		}
		switch line.For {
		case "services":
			s.public = line.URL
		case "operators":
			s.operators = line.URL
		case "SuperTokens clients":
			s.core = line.URL + "/appid-m2m-auth"
		}
		if line.Msg == "ready" && s.public != "" && s.operators != "" && s.core != "" {
			return
		}
	}
	t.Fatalf("watchword serve did not become ready:\n%s", &seen)
}

// data returns the data folder.
func (s *server) data() string {
	for _, e := range s.env {
		if folder, ok := strings.CutPrefix(e, "WATCHWORD_DATA="); ok {
			return folder
		}
	}
	return ""
}

// run runs a command of the operator's.
func (s *server) run(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program(t), args...)
	cmd.Env = s.env
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("watchword %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// client is the environment of a process that is a client of the interface.
func (s *server) client(more ...string) []string {
	return append([]string{"CORE=" + s.core, "API_KEY=" + apiKey}, more...)
}
