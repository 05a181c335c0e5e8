package shell_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/watchword-dev/watchword/internal/shell"
)

// A real shell is the judge: it prints each word it was given between brackets.
func TestAShellReadsEachWordAsItIs(t *testing.T) {
	for _, word := range []string{
		"m1", "", "--out", "a b", "$(touch pwned)", "audience=$(touch${IFS}x)", "`id`", `"`, `'`, `\`, "'; id; '", "a;b", "a&b", "a|b", "a>b",
		"*", "~", "~root", "!!", "#x", "{a,b}", "$HOME", "$'x'", "é日", "https://m2.example.com/a?b=c&d", "=", "%", "-x", "a=b", "[a]", "(a)",
	} {
		line := shell.Command("printf", "[%s]", word, "end")
		out, err := exec.CommandContext(t.Context(), "sh", "-c", line).Output()
		if want := "[" + word + "][end]"; err != nil || string(out) != want {
			t.Errorf("%q was written as %s, and the shell read %q, %v", word, line, out, err)
		}
	}
}

func TestNothingUnseenIsWritten(t *testing.T) {
	for _, word := range []string{"a\nrm x", "a\x1b[2J", "a\u009b2J", "a\x7f", "a\u202eb", "a\x9bb", "a\x00b"} {
		line := shell.Command("echo", word)
		if strings.ContainsFunc(line, func(c rune) bool { return c < ' ' || c == 0x7f || c >= 0x80 }) {
			t.Errorf("%q: got %q", word, line)
		}
	}
}
