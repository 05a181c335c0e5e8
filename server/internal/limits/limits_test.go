package limits_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/watchword-dev/watchword/server/internal/limits"
)

var update = flag.Bool("update", false, "write docs/limits.md")

const page = "../../../docs/limits.md"

const begin, end = "<!-- Written from the table in server/internal/limits by: go generate ./server/internal/limits -->\n", "<!-- end of the table -->\n"

func cell(s string) string {
	if s == "" {
		return "none of its own"
	}
	return s
}

func tables() string {
	var b strings.Builder
	for _, callers := range limits.Table() {
		fmt.Fprintf(&b, "## %s\n%s\n\n", callers.Who, callers.Note)
		b.WriteString("| resource | one caller | all callers | who gives way first | what the refused gets to know | metric | test |\n|---|---|---|---|---|---|---|\n")
		for _, row := range callers.Rows {
			metric := "nothing is kept"
			if row.Metric != "" {
				metric = "`" + row.Metric + "`"
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | `%s` |\n", row.Resource, cell(row.Each), cell(row.All), row.Yields, row.Hears, metric, row.Test)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func TestPageIsThatOfTheTable(t *testing.T) {
	old, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(old), begin)
	_, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("%s has no place for the table, between %q and %q", page, begin, end)
	}
	want := before + begin + "\n" + tables() + end + after
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want != string(old) {
		t.Error("docs/limits.md is not what the table says; write it with: go generate ./server/internal/limits")
	}
}

// The subtests of TestAttacks are looked at in package app.
func TestEachRowHasItsTest(t *testing.T) {
	for _, callers := range limits.Table() {
		for _, row := range callers.Rows {
			if row.Resource == "" || row.Each+row.All == "" || row.Yields == "" || row.Hears == "" {
				t.Errorf("%+v is not complete", row)
			}
			folder, name, _ := strings.Cut(row.Test, ".")
			name, _, _ = strings.Cut(name, "/")
			files, err := filepath.Glob("../" + folder + "/*_test.go")
			if err != nil {
				t.Fatal(err)
			}
			found := false
			function := regexp.MustCompile(`(?m)^func ` + regexp.QuoteMeta(name) + `\(`)
			for _, file := range files {
				text, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				found = found || function.Match(text)
			}
			if !found {
				t.Errorf("%s: there is no test %s in server/internal/%s", row.Resource, name, folder)
			}
		}
	}
}
