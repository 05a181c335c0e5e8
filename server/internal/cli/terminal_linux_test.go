package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// terminal opens a pseudoterminal. What is written to user is what its user types.
func terminal(t *testing.T) (user, tty *os.File) {
	t.Helper()
	user, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = user.Close() })
	if err := unix.IoctlSetPointerInt(int(user.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(user.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tty.Close() })
	return user, tty
}

// The first Ctrl-C cancels the context. A test that hangs shows a command that goes on waiting.
func TestCommandThatWaitsForTheTerminalSaysSoAndEndsWithItsContext(t *testing.T) {
	_, environ := testServer(t)
	if code, _, stderr := call(t, "", environ, strings.Fields("trust add prod --issuer https://token.actions.githubusercontent.com --preset github --jwks-uri https://127.0.0.1/x")...); code != 0 {
		t.Fatalf("trust add: %s", stderr)
	}
	if code, _, stderr := call(t, "", environ, "service", "create", "m1"); code != 0 {
		t.Fatalf("service create: %s", stderr)
	}
	const paste = "Paste the token, then press Ctrl-D:"
	for _, c := range []struct{ args, prompt, end string }{
		{"trust test", paste, "interrupted"},
		{"service create m2 --from-token", paste, "interrupted"},
		{"credential create m1 --from-token", paste, "interrupted"},
		{"why --token -", paste, "interrupted"},
		{"token inspect", paste, "interrupted"},
		{"token revoke", paste, "interrupted"},
		{"trust remove prod", "[y/N] ", "nothing was done"},
	} {
		_, tty := terminal(t)
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		ctx, interrupt := context.WithCancel(t.Context())
		ended := make(chan int, 1)
		go func() {
			code := Run(ctx, strings.Fields(c.args), environ, tty, w, w)
			_ = w.Close()
			ended <- code
		}()
		out := bufio.NewReader(r)
		said := ""
		for !strings.HasSuffix(said, c.prompt) {
			b, err := out.ReadByte()
			if err != nil {
				t.Fatalf("%s: got %q, want %q", c.args, said, c.prompt)
			}
			said += string(b)
		}
		interrupt()
		code := <-ended
		rest, err := io.ReadAll(out)
		if err != nil || code != 1 || !strings.Contains(string(rest), c.end) {
			t.Errorf("%s: got %d, %q, %v, want 1 and %q", c.args, code, rest, err, c.end)
		}
		_ = r.Close()
	}
	if code, stdout, stderr := call(t, "", environ, "trust", "show", "prod"); code != 0 {
		t.Errorf("the trust is gone: %s%s", stdout, stderr)
	}
}

func TestTokenIsReadFromTheTerminal(t *testing.T) {
	user, tty := terminal(t)
	if _, err := user.WriteString("no token\n\x04"); err != nil { // Ctrl-D
		t.Fatal(err)
	}
	var stderr strings.Builder
	if code := Run(t.Context(), []string{"trust", "test"}, nil, tty, &stderr, &stderr); code != 1 || !strings.Contains(stderr.String(), "standard input does not contain a token") {
		t.Errorf("got %d, %q", code, stderr.String())
	}
}
