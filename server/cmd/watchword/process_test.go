package main

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// process is a server as its operator runs it.
type process struct {
	*testing.T
	cmd        *exec.Cmd
	data       string
	url, admin string
	stderr     *bufio.Scanner
	logged     string // so far, as far as it was read
	operator   string // the operator token
}

// startProcess starts a server on free ports and waits until it is ready. From then on nobody reads
// what it logs, unless the test does.
func startProcess(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{T: t, data: filepath.Join(t.TempDir(), "data")}
	args = append([]string{"serve", "--data", p.data, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--shutdown-drain", "0s"}, args...)
	p.cmd = exec.Command("watchword", args...)
	p.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "TMPDIR=" + os.TempDir()}
	reads, writes, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stderr = writes
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	writes.Close()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		reads.Close()
	})
	p.stderr = bufio.NewScanner(reads)
	p.until("msg=ready")
	token, err := os.ReadFile(filepath.Join(p.data, "operator.token"))
	if err != nil {
		t.Fatal(err)
	}
	p.operator = strings.TrimSpace(string(token))
	return p
}

// until reads the log to a line that contains text, and returns it.
func (p *process) until(text string) string {
	p.Helper()
	for p.stderr.Scan() {
		line := p.stderr.Text()
		if m := listening.FindStringSubmatch(line); m != nil && m[1] == "services" {
			p.url = m[2]
		} else if m != nil && m[1] == "operators" {
			p.admin = m[2]
		}
		if strings.Contains(line, text) {
			return line
		}
		p.logged += line + "\n"
	}
	p.Fatalf("the server ended before it logged %q; it logged:\n%s", text, p.logged)
	return ""
}

// do sends a request and returns status and body. A name and a value each are headers.
func (p *process) do(method, url, body string, header ...string) (int, string) {
	p.Helper()
	r, err := http.NewRequestWithContext(p.Context(), method, url, strings.NewReader(body))
	if err != nil {
		p.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		p.Fatal(err)
	}
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	if err != nil {
		p.Fatal(err)
	}
	return a.StatusCode, string(text)
}

// end ends the server as a supervisor does, and wants it to end in good order.
func (p *process) end() {
	p.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		p.Errorf("ended with %v", err)
	}
}

// F76: whoever takes the log, and takes nothing any more, holds up nothing.
func TestAStderrThatBlocksHoldsUpNothing(t *testing.T) {
	p := startProcess(t, "--log-level", "debug")
	// A pipe holds 64 KiB: each request logs some 200 bytes, and 1 MiB waits.
	for range 8000 {
		if status, body := p.do("POST", p.url+"/accesstoken", `{"target":"m1"}`, "Content-Type", "application/json"); status != 401 && status != 429 {
			t.Fatalf("got %d %s", status, body)
		}
	}
	if status, body := p.do("GET", p.admin+"/readyz", ""); status != 200 {
		t.Errorf("readyz: got %d %s", status, body)
	}
	status, body := p.do("GET", p.admin+"/metrics", "", "Authorization", "Bearer "+p.operator)
	if status != 200 || !strings.Contains(body, "watchword_log_lines_dropped_total ") || strings.Contains(body, "watchword_log_lines_dropped_total 0\n") {
		t.Errorf("metrics: got %d, and no dropped lines among %d bytes", status, len(body))
	}
	p.end()
}

// F78: SIGHUP has files read again, and ends nothing.
func TestSIGHUPReadsFilesAgain(t *testing.T) {
	p := startProcess(t)
	token := filepath.Join(p.data, "operator.token")
	if err := os.WriteFile(token, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	p.until("fewer than 32 characters")
	services := func(operator string) int {
		status, _ := p.do("GET", p.admin+"/admin/v1/services", "", "Authorization", "Bearer "+operator)
		return status
	}
	if got := services(p.operator); got != 200 {
		t.Errorf("a file that is no token: got %d for the old one", got)
	}
	for files := 0; files != 2; { // of the audit log
		list, err := filepath.Glob(filepath.Join(p.data, "audit", "*.jsonl"))
		if files = len(list); err != nil || files > 2 || t.Context().Err() != nil {
			t.Fatalf("got the files %v, %v; want a second one", list, err)
		}
		services(p.operator) // reading is recorded
	}
	another := strings.Repeat("another-", 5)
	if err := os.WriteFile(token, []byte(another), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	p.until("operator token reloaded")
	if old, now := services(p.operator), services(another); old != 401 || now != 200 {
		t.Errorf("got %d for the old token and %d for the new one", old, now)
	}
	p.end()
}
