package base

import (
	"bytes"
	"testing"
)

func TestTextFromOutsideCannotCommandTheTerminal(t *testing.T) {
	for in, want := range map[string]string{
		"m1": "m1", "a\tb": `a\u0009b`, "\x1b[2Jx": `\u001b[2Jx`, "é日": "é日", "\x7f": `\u007f`, "a\x9bb": "a\ufffdb", "\U000e0041": `\udb40\udc41`, "\u200f": `\u200f`, "\u202ex": `\u202ex`, "\u009b1m": `\u009b1m`, "a\nb": "a\nb",
	} {
		if got := Clean(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	var out bytes.Buffer
	c := &CLI{Stdout: &out}
	if err := c.PrintTable([][]string{{"NAME"}, {"a\nb\x1b[2J"}}); err != nil || out.String() != "NAME\na\\u000ab\\u001b[2J\n" {
		t.Errorf("a table: got %q, %v", out.String(), err)
	}
}
