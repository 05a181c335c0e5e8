package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// bench is what all measurements share.
type bench struct {
	ctx    context.Context
	o      options
	dir    string
	binary string
	procs  []*exec.Cmd
}

func newBench(ctx context.Context, o options) (*bench, error) {
	dir, err := os.MkdirTemp("", "watchword-bench-")
	if err != nil {
		return nil, err
	}
	b := &bench{ctx: ctx, o: o, dir: dir, binary: filepath.Join(dir, "watchword")}
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", b.binary, "./cmd/watchword")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return b, fmt.Errorf("build the server: %w", err)
	}
	return b, nil
}

func (b *bench) close() {
	for _, p := range b.procs {
		p.Process.Kill()
		p.Wait()
	}
	os.RemoveAll(b.dir)
}

// server is a running watchword.
type server struct {
	cmd                    *exec.Cmd
	data, public, operator string
	token                  string
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// serve starts the server on data and waits until it is ready.
func (b *bench) serve(data string, args ...string) (*server, error) {
	s := &server{data: filepath.Join(b.dir, data)}
	var err error
	if s.public, err = freeAddress(); err != nil {
		return nil, err
	}
	if s.operator, err = freeAddress(); err != nil {
		return nil, err
	}
	s.cmd = exec.CommandContext(b.ctx, b.binary, append([]string{"serve", "--data", s.data, "--listen", s.public, "--admin-listen", s.operator}, args...)...)
	log, err := os.Create(s.data + ".log")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	s.cmd.Stderr = log
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	b.procs = append(b.procs, s.cmd)
	for deadline := time.Now().Add(2 * time.Minute); ; {
		if resp, err := http.Get("http://" + s.operator + "/readyz"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				break
			}
		}
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(s.data + ".log")
			return nil, fmt.Errorf("the server is not ready:\n%s", text)
		}
		time.Sleep(20 * time.Millisecond)
	}
	token, err := os.ReadFile(filepath.Join(s.data, "operator.token"))
	s.token = strings.TrimSpace(string(token))
	return s, err
}

func (s *server) stop() error {
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
		return err
	}
	return s.cmd.Wait()
}

// operate calls the admin API.
func (s *server) operate(method, path, body string) (map[string]any, error) {
	r, err := http.NewRequest(method, "http://"+s.operator+"/admin/v1"+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+s.token)
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		return nil, errors.Join(err, fmt.Errorf("%s %s: %s %s", method, path, resp.Status, raw))
	}
	var m map[string]any
	return m, json.Unmarshal(raw, &m)
}

// three makes the services of the demo, with m2's tokens signed by alg, and returns a
// credential of m1.
func (s *server) three(alg string) (string, error) {
	for _, n := range []string{"m1", "m2", "m3"} {
		if _, err := s.operate("POST", "/services", `{"name":"`+n+`","algorithm":"`+alg+`"}`); err != nil {
			return "", err
		}
	}
	if _, err := s.operate("PUT", "/rules/m1/m2", `{"scopes":[]}`); err != nil {
		return "", err
	}
	c, err := s.operate("POST", "/services/m1/credentials", `{}`)
	if err != nil {
		return "", err
	}
	return c["token"].(string), nil
}

// ceiling starts a bare handler of the kind, which signs by alg and answers bytes bytes. What is
// verified is so with the key, a JWK.
func (b *bench) ceiling(kind, alg string, bytes int, key []byte) (*exec.Cmd, string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, "", err
	}
	cmd := exec.CommandContext(b.ctx, self, "ceiling", kind, alg, strconv.Itoa(bytes), string(key))
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, "", err
	}
	b.procs = append(b.procs, cmd)
	address, err := bufio.NewReader(out).ReadString('\n')
	return cmd, strings.TrimSpace(address), err
}

// resident is a process's resident memory in MiB, and peakResident the most it had (Linux).
func resident(pid int) (float64, error)     { return statusMiB(pid, "VmRSS") }
func peakResident(pid int) (float64, error) { return statusMiB(pid, "VmHWM") }

func statusMiB(pid int, name string) (float64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(raw)) {
		var kib float64
		if _, err := fmt.Sscanf(line, name+": %f kB", &kib); err == nil {
			return kib / 1024, nil
		}
	}
	return 0, errors.New("no " + name)
}

// processorTime is what a process has used so far, in ticks of 10 ms (Linux, proc(5)).
func processorTime(pid int) (time.Duration, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The second field is the program's name, in parentheses, and may hold anything.
	fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	if len(fields) < 13 {
		return 0, errors.New("unexpected /proc/pid/stat")
	}
	user, err := strconv.Atoi(fields[11])
	if err != nil {
		return 0, err
	}
	system, err := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond, err
}
