package main

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// The output of the demo is a script. It runs as it is printed, although watchword is in no folder of PATH, and so does
// the command in the answer to m3. The demo logs nothing.
func TestTourOfTheDemoRunsAsItIsPrinted(t *testing.T) {
	program, err := exec.LookPath("watchword")
	if err != nil {
		t.Fatal(err)
	}
	environment := []string{"PATH=/usr/bin:/bin", "HOME=" + t.TempDir(), "TMPDIR=" + t.TempDir(), "GORACE=atexit_sleep_ms=0"}
	cmd := exec.Command(program, "demo", "--port", fmt.Sprint(freePorts(t, 0, 1, 2, 3, 10)))
	cmd.Env = environment
	var logged bytes.Buffer
	cmd.Stderr = &logged
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	var tour strings.Builder
	for buffer := make([]byte, 4096); !strings.Contains(tour.String(), "probe --all\n"); {
		n, err := output.Read(buffer)
		tour.Write(buffer[:n])
		if err != nil {
			t.Fatalf("the demo ended: %v\n%s%s", err, tour.String(), logged.String())
		}
	}

	sh := func(script string) string {
		shell := exec.Command("sh", "-eu")
		shell.Env, shell.Stdin = environment, strings.NewReader(script)
		answer, err := shell.CombinedOutput()
		if err != nil {
			t.Errorf("%v\n%s\n%s", err, script, answer)
		}
		return string(answer)
	}
	answer := sh(tour.String())
	for _, want := range []string{"Hello to m1 from m2! 200\n", "accessToken", "m3 refused all tokens that it must refuse"} {
		if !strings.Contains(answer, want) {
			t.Errorf("the answers have no %q:\n%s\n%s", want, tour.String(), answer)
		}
	}
	why := regexp.MustCompile(`an operator sees why with: (watchword why [0-9a-f]{32}) 401`).FindStringSubmatch(answer)
	if why == nil {
		t.Fatalf("the answer to m3 has no command:\n%s", answer)
	}
	// The setup is what comes before the first empty line after the export.
	before, rest, _ := strings.Cut(tour.String(), "export ")
	setup, _, _ := strings.Cut(rest, "\n\n")
	if answer := sh(before + "export " + setup + "\n" + why[1]); !strings.Contains(answer, "refused: there is no rule m3 -> m2") {
		t.Errorf("%s: got %s", why[1], answer)
	}

	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, output)
	if err := cmd.Wait(); err != nil || logged.String() != "The demo has ended.\n" {
		t.Errorf("the demo ended with %v and logged:\n%s", err, logged.String())
	}
}

// freePorts returns a port that is free together with those at the given offsets from it.
func freePorts(t *testing.T, offsets ...int) int {
	t.Helper()
	isFree := func(port int) bool {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		return err == nil && l.Close() == nil
	}
search:
	for range 1000 {
		first := 10000 + rand.IntN(20000) // below the ports from which the system chooses
		for _, offset := range offsets {
			if !isFree(first + offset) {
				continue search
			}
		}
		return first
	}
	t.Fatal("no free ports")
	return 0
}
