package reason

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/errors.md again")

const head = `# Errors and reasons

Each error code, and each reason of a decision in the audit log: what it means, and what to do. Answers, ` + "`watchword why`" + ` and
the errors of the SDK have the same texts, which are in ` + "`internal/reason`" + `. ` + "`go test ./internal/reason -update`" + ` writes this page.
`

// page is docs/errors.md.
func page() string {
	var b strings.Builder
	b.WriteString(head)
	for _, g := range table {
		var links []string
		for _, e := range g.Entries {
			links = append(links, fmt.Sprintf("[%s](#%s)", e.Name, e.Name))
		}
		fmt.Fprintf(&b, "\n[%s](#%s):\n%s\n", g.Title, strings.ReplaceAll(strings.ToLower(g.Title), " ", "-"), wrap(strings.Join(links, ", ")))
	}
	for _, g := range table {
		fmt.Fprintf(&b, "\n## %s\n%s\n", g.Title, wrap(g.About))
		for _, e := range g.Entries {
			fmt.Fprintf(&b, "\n### `%s`\nSeen: %s.\n\n%s\n\n%s\n", e.Name, strings.Join(seen(e), ", "), wrap(strings.TrimSpace(e.Means+" "+e.More)), wrap("What to do: "+e.Do))
		}
	}
	return b.String()
}

// wrap breaks lines that are longer than those of the other pages.
func wrap(s string) string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(s) {
		if line != "" && len(line)+1+len(word) > 120 {
			lines, line = append(lines, line), ""
		}
		line = strings.TrimSpace(line + " " + word)
	}
	return strings.Join(append(lines, line), "\n")
}

func seen(e Entry) (where []string) {
	for _, a := range []struct {
		status int
		at     string
	}{
		{e.OAuth, "`/oauth2/*`"}, {e.AccessToken, "`/accesstoken`"}, {e.Resource, "a service with `verify`"}, {e.Operator, "the operator API"},
	} {
		if a.status != 0 {
			where = append(where, fmt.Sprintf("%d from %s", a.status, a.at))
		}
	}
	if e.Recorded {
		where = append(where, "audit log")
	}
	return where
}

func TestPageIsFresh(t *testing.T) {
	const file = "../../" + Page
	if *update {
		if err := os.WriteFile(file, []byte(page()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != page() {
		t.Errorf("%s is not what the table says: run go test ./internal/reason -update, and read the difference", Page)
	}
}
