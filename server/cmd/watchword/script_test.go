package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// checkout is the root of the repository.
const checkout = "../../.."

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"watchword": main})
}

// TestScripts runs testdata: the command line against the real server. Beside testscript's own
// commands the scripts have
//
//	serve [flags]        start watchword serve on free ports, wait until it is ready, and have
//	                     WATCHWORD_ADMIN_URL and WATCHWORD_URL name it
//	shutdown             end it as a supervisor does, and want exit code 0
//	take NAME REGEXP     set NAME to the first group of REGEXP in the last stdout
//	mode PERM FILE       want these permissions
//	callee NAME [--open] run a service to probe: see callee_test.go
//	platform ...         an issuer of tokens: see platform_test.go
//	[unshare]            whether a script may mount file systems in a namespace of its own
//	authority            make certificates, and have programs trust them: see authority_test.go
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("WATCHWORD_DATA", filepath.Join(e.WorkDir, "data"))
			examples, err := filepath.Abs(filepath.Join(checkout, "examples"))
			if err != nil {
				return err
			}
			e.Setenv("EXAMPLES", examples)
			e.Setenv("GORACE", "atexit_sleep_ms=0") // else each command takes a second more under -race
			e.Values[server{}] = &server{}
			e.Values[platform{}] = &platform{}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"serve":    func(ts *testscript.TestScript, _ bool, args []string) { serverOf(ts).start(ts, args) },
			"shutdown": func(ts *testscript.TestScript, _ bool, _ []string) { ts.Check(serverOf(ts).stop()) },
			"take":     take,
			"mode":     mode,

			"authority": authority,
			"callee":    callee,
			"platform":  vouch,
		},
		Condition: func(name string) (bool, error) {
			if name != "unshare" {
				return false, fmt.Errorf("there is no condition %q", name)
			}
			err := exec.Command("unshare", "-rm", "true").Run()
			if err != nil && os.Getenv("WWTEST") == "all" {
				return false, fmt.Errorf("this machine makes no user namespaces: %w", err)
			}
			return err == nil, nil
		},
	})
}

func take(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: take NAME REGEXP")
	}
	found := regexp.MustCompile(args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if len(found) != 2 {
		ts.Fatalf("%s is not in stdout", args[1])
	}
	ts.Setenv(args[0], found[1])
}

func mode(ts *testscript.TestScript, _ bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := strconv.FormatUint(uint64(info.Mode().Perm()), 8); got != args[0] {
		ts.Fatalf("%s has mode %s", args[1], got)
	}
}

// server is the one a script runs.
type server struct{ cmd *exec.Cmd }

func serverOf(ts *testscript.TestScript) *server { return ts.Value(server{}).(*server) }

var listening = regexp.MustCompile(`msg=listening for="?([A-Za-z ]+)"? url=(\S+)`)

// start runs the server until its log says that it is ready.
func (s *server) start(ts *testscript.TestScript, args []string) {
	// OAuth clients know the server by its issuer URL, so the port is chosen before it starts.
	public, scheme := freeAddress(ts), "http"
	if slices.Contains(args, "--tls-cert-file") {
		scheme = "https"
	}
	args = append([]string{"serve", "--listen", public, "--issuer", scheme + "://" + public, "--admin-listen", "127.0.0.1:0", "--supertokens-listen", "127.0.0.1:0"}, args...)
	s.cmd = exec.Command("watchword", args...)
	s.cmd.Dir = ts.Getenv("WORK")
	// Not all of this process's environment: it may have variables for tests, which the server
	// would refuse.
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "WATCHWORD_DATA"} {
		s.cmd.Env = append(s.cmd.Env, name+"="+ts.Getenv(name))
	}
	stderr, err := s.cmd.StderrPipe()
	ts.Check(err)
	ts.Check(s.cmd.Start())
	ts.Defer(func() { _ = s.stop() })
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		ts.Logf("server: %s", lines.Text())
		if found := listening.FindStringSubmatch(lines.Text()); found != nil {
			ts.Setenv(map[string]string{"services": "WATCHWORD_URL", "operators": "WATCHWORD_ADMIN_URL"}[found[1]], found[2])
		}
		if regexp.MustCompile(`msg=ready`).MatchString(lines.Text()) {
			go func() {
				for lines.Scan() { // so that the server never waits for a reader
				}
			}()
			return
		}
	}
	ts.Fatalf("the server did not start: %v", s.cmd.Wait())
}

// freeAddress is one that nobody listened at a moment ago.
func freeAddress(ts *testscript.TestScript) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Check(l.Close())
	return l.Addr().String()
}

func (s *server) stop() error {
	if s.cmd == nil || s.cmd.ProcessState != nil {
		return nil
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return s.cmd.Wait()
}
