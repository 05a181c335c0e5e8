package app

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/watchword-dev/watchword/internal/needs"
)

// traced starts the server of kill_test.go under strace, and returns what ends both and reads the system
// calls.
func traced(t *testing.T, s *server) (there *server, calls func() []string) {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		needs.Missing(t, "strace is not installed, so this test cannot run: apt-get install strace")
	}
	file := filepath.Join(t.TempDir(), "calls")
	cmd := exec.CommandContext(t.Context(), strace, "-f", "-y", "-s", "4096", "-e", "trace=read,write,fsync,fdatasync", "-o", file, os.Args[0])
	cmd.Env = append(os.Environ(), serveEnv+"="+s.cfg.Data)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	end := func() {
		// strace writes down what it saw when what it started has ended.
		children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", cmd.Process.Pid, cmd.Process.Pid))
		for child := range strings.FieldsSeq(string(children)) {
			if pid, err := strconv.Atoi(child); err == nil {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		_ = cmd.Wait()
	}
	t.Cleanup(end)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the server did not start: %v", err)
	}
	urls := strings.Fields(line)
	there = &server{t: t, cfg: s.cfg, url: urls[0], admin: urls[1] + "/admin/v1", token: s.token, client: &http.Client{}}
	return there, func() []string {
		end()
		text, err := os.ReadFile(file)
		must(t, err)
		return strings.Split(string(text), "\n")
	}
}

var (
	syncBegins = regexp.MustCompile(`^(\d+) +f(?:data)?sync\(\d+<([^>]*)>( <unfinished)?`)
	syncEnds   = regexp.MustCompile(`^(\d+) +<\.\.\. f(?:data)?sync resumed>\) += 0`)
)

// syncedBefore returns the names of the files that were synced between the arrival of the request with id
// and its answer.
func syncedBefore(t *testing.T, calls []string, id string) (files map[string]bool) {
	t.Helper()
	var pending map[string]string // file by thread
	for _, call := range calls {
		switch {
		case strings.Contains(call, "read") && strings.Contains(call, id):
			files, pending = map[string]bool{}, map[string]string{}
		case files == nil:
		case strings.Contains(call, "write(") && strings.Contains(call, "HTTP/1.1 20") && strings.Contains(call, id):
			return files
		default:
			if m := syncBegins.FindStringSubmatch(call); m != nil {
				pending[m[1]] = filepath.Base(m[2])
				if m[3] == "" && strings.HasSuffix(call, "= 0") {
					files[pending[m[1]]] = true
				}
			} else if m := syncEnds.FindStringSubmatch(call); m != nil {
				files[pending[m[1]]] = true
			}
		}
	}
	t.Fatalf("the answer to %s is not among %d system calls", id, len(calls))
	return nil
}

// FLT-005: what is acknowledged is on the disk. The database and the audit log are synced before the answer
// to a change is written, and the audit log before that to a request for a token.
func TestDiskIsSyncedBeforeTheAnswer(t *testing.T) {
	cfg := testConfig(t)
	s := start(t, cfg)
	m1, _, _ := s.demo()
	must(t, s.stop())
	s, calls := traced(t, s)
	for i, r := range []*http.Request{
		s.request("PUT", s.admin+"/rules/m3/m2", "{}", "Authorization", "Bearer "+s.token),
		s.request("POST", s.url+"/accesstoken", `{"target":"m2"}`, "Authorization", "Bearer "+m1),
	} {
		r.Header.Set("X-Request-Id", fmt.Sprintf("flt-005-%d", i))
		if a := s.do(r); a.status >= 300 {
			t.Fatalf("got %d %s", a.status, a.body)
		}
	}
	all := calls()
	audit := filepath.Base(glob(t, filepath.Join(cfg.Audit.Dir, "*.jsonl"))[0])
	for id, want := range map[string][]string{"flt-005-0": {"watchword.db-wal", audit}, "flt-005-1": {audit}} {
		synced := syncedBefore(t, all, id)
		for _, file := range want {
			if !synced[file] {
				t.Errorf("%s: %s was not synced before the answer, only %v", id, file, synced)
			}
		}
	}
}
