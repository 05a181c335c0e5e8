package config

import (
	"fmt"
	"strings"
)

// Problem is one thing wrong with a configuration.
type Problem struct {
	// Key is the setting's path in the file. Empty when it is about no one setting.
	Key string `json:"key,omitempty"`
	// Source says where the value came from: file:line, a variable or a flag.
	Source string `json:"source,omitempty"`
	// Text is what is wrong, and Fix what to do about it.
	Text string `json:"problem"`
	Fix  string `json:"fix,omitempty"`
}

func (p Problem) String() string {
	var b strings.Builder
	switch {
	case p.Key != "" && p.Source != "":
		fmt.Fprintf(&b, "%s (%s): ", p.Key, p.Source)
	case p.Key != "" || p.Source != "":
		fmt.Fprintf(&b, "%s: ", p.Key+p.Source)
	}
	b.WriteString(p.Text)
	if p.Fix != "" {
		b.WriteString("; " + p.Fix)
	}
	return b.String()
}

// Error is every problem of a configuration, never none.
type Error struct{ Problems []Problem }

func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = "  " + p.String()
	}
	noun := "problem"
	if len(lines) > 1 {
		noun = "problems"
	}
	return fmt.Sprintf("%d configuration %s:\n%s", len(lines), noun, strings.Join(lines, "\n"))
}
