package base

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Answer writes text, as it is, to stdout.
func (c *CLI) Answer(text string) error {
	if _, err := io.WriteString(c.Stdout, text); err != nil {
		return Next(fmt.Errorf("write the answer: %w", PathError(err)), "The command itself succeeded. Only its answer could not be written.")
	}
	return nil
}

// PrintJSON writes v as the answer.
func (c *CLI) PrintJSON(v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return err
	}
	return c.Answer(Clean(b.String()))
}

// Printf writes lines of the answer.
func (c *CLI) Printf(format string, args ...any) error {
	return c.Answer(Clean(fmt.Sprintf(format, args...)) + "\n")
}

// PrintTable writes rows, the first of which is the header, as the answer.
func (c *CLI) PrintTable(rows [][]string) error {
	if len(rows) == 1 {
		c.Say("none")
		return nil
	}
	return c.printColumns(rows)
}

// PrintFields writes pairs of a name and a value as the answer, one pair a line. Pairs with an empty value
// are left out.
func (c *CLI) PrintFields(pairs ...string) error {
	var rows [][]string
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			rows = append(rows, pairs[i:i+2])
		}
	}
	return c.printColumns(rows)
}

func (c *CLI) printColumns(rows [][]string) error {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = Line(cmp.Or(cell, "-"))
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return c.Answer(b.String())
}

// Clean returns text that may have come from outside in a form in which it cannot act on a terminal:
// each character that does not print, but for the end of a line, as its escape in JSON. JSON stays
// what it was.
func Clean(text string) string { return escape(text, "\n") }

// Line is Clean for what has to stay on one line.
func Line(text string) string { return escape(text, "") }

func escape(text, kept string) string {
	shown := func(r rune) bool { return unicode.IsPrint(r) || strings.ContainsRune(kept, r) }
	if utf8.ValidString(text) && strings.IndexFunc(text, func(r rune) bool { return !shown(r) }) < 0 {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if shown(r) {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.AppendRune(nil, r) {
			fmt.Fprintf(&b, `\u%04x`, unit)
		}
	}
	return b.String()
}

// Moment formats t for people, in UTC. The zero time is empty.
func Moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04Z")
}

// MomentOf is Moment of a time that may be missing.
func MomentOf(t *time.Time) string {
	if t == nil {
		return ""
	}
	return Moment(*t)
}
