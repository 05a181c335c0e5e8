package base

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
)

// PrintJSON writes v as the answer.
func (c *CLI) PrintJSON(v any) error {
	enc := json.NewEncoder(c.Stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// Printf writes a line of the answer.
func (c *CLI) Printf(format string, args ...any) error {
	_, err := fmt.Fprintln(c.Stdout, Clean(fmt.Sprintf(format, args...)))
	return err
}

// PrintTable writes rows, the first of which is the header, as the answer.
func (c *CLI) PrintTable(rows [][]string) error {
	if len(rows) == 1 {
		c.Say("none")
		return nil
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			row[i] = strings.ReplaceAll(Clean(cell), "\n", " ")
			if cell == "" {
				row[i] = "-"
			}
		}
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprint(c.Stdout, b.String())
	return err
}

// PrintFields writes names and values in turn, one pair a line, as the answer. Empty values
// are left out.
func (c *CLI) PrintFields(pairs ...string) error {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			fmt.Fprintf(w, "%s\t%s\n", pairs[i], strings.ReplaceAll(Clean(pairs[i+1]), "\n", " "))
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprint(c.Stdout, b.String())
	return err
}

// Moment writes t for people, in UTC. The zero time is nothing.
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

// Or is s, or instead if s is empty.
func Or(s, instead string) string {
	if s == "" {
		return instead
	}
	return s
}
