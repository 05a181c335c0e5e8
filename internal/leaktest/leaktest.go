// Package leaktest makes the tests of a package fail if they leave goroutines behind. It is not a module of others,
// because every module that the tests here require is in the module graph of programs that import the SDK.
package leaktest

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// patience is the time that goroutines have to end.
const patience = 5 * time.Second

// Main runs the tests of m and exits. The status is 1 when the tests pass and a goroutine that they
// started is still there after some seconds; it is printed with its stack.
func Main(m *testing.M) {
	status := m.Run()
	if status == 0 {
		if left := wait(patience); left != "" {
			fmt.Fprintf(os.Stderr, "leaktest: the tests left goroutines behind:\n\n%s\n", left)
			status = 1
		}
	}
	os.Exit(status)
}

// wait returns the stacks of the goroutines that are there besides the calling one and those of the runtime
// and the testing package, once there are none or the time is up.
func wait(limit time.Duration) string {
	pause := time.Millisecond
	for deadline := time.Now().Add(limit); ; pause *= 2 {
		left := others()
		if left == "" || time.Now().After(deadline) {
			return left
		}
		<-time.After(pause)
	}
}

func others() string {
	buf := make([]byte, 1<<20)
	stacks := strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n")
	var left []string
	for _, stack := range stacks[1:] { // the first is this one
		if !ownedByRuntime(stack) {
			left = append(left, stack)
		}
	}
	return strings.Join(left, "\n\n")
}

// ownedByRuntime reports whether the goroutine is one that a test binary has without any test.
func ownedByRuntime(stack string) bool {
	for _, frame := range []string{"os/signal.signal_recv", "os/signal.loop", "testing.tRunner(", "testing.(*M).", "runtime.ReadTrace", "runtime/pprof.", "internal/fuzz."} {
		if strings.Contains(stack, frame) && !strings.Contains(stack, "created by github.com/watchword-dev") {
			return true
		}
	}
	return false
}
