package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
)

// printJSON writes v as the answer.
func (c *cli) printJSON(v any) error {
	enc := json.NewEncoder(c.stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// printf writes a line of the answer.
func (c *cli) printf(format string, args ...any) error {
	_, err := fmt.Fprintln(c.stdout, clean(fmt.Sprintf(format, args...)))
	return err
}

// printTable writes rows, the first of which is the header, as the answer.
func (c *cli) printTable(rows [][]string) error {
	if len(rows) == 1 {
		c.say("none")
		return nil
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			row[i] = strings.ReplaceAll(clean(cell), "\n", " ")
			if cell == "" {
				row[i] = "-"
			}
		}
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprint(c.stdout, b.String())
	return err
}

// printFields writes names and values in turn, one pair a line, as the answer. Empty values
// are left out.
func (c *cli) printFields(pairs ...string) error {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			fmt.Fprintf(w, "%s\t%s\n", pairs[i], strings.ReplaceAll(clean(pairs[i+1]), "\n", " "))
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprint(c.stdout, b.String())
	return err
}

// moment writes t for people, in UTC. The zero time is nothing.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04Z")
}

func momentOf(t *time.Time) string {
	if t == nil {
		return ""
	}
	return moment(*t)
}
