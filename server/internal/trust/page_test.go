package trust_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/server/internal/trust"
)

var update = flag.Bool("update", false, "write docs/platforms.md")

const page = "../../../docs/platforms.md"

const begin, end = "<!-- Written from the table in server/internal/trust by: go generate ./server/internal/trust -->\n", "<!-- end of the table -->\n"

func code(all ...string) string {
	var quoted []string
	for _, s := range all {
		if s == "" {
			quoted = append(quoted, "none")
		} else {
			quoted = append(quoted, "`"+s+"`")
		}
	}
	return strings.Join(quoted, ", ")
}

func life(d time.Duration) string {
	if d%time.Hour == 0 {
		return strings.TrimSuffix(fmt.Sprintf("%d hours", d/time.Hour), map[bool]string{true: "s"}[d == time.Hour])
	}
	if d > time.Hour {
		return fmt.Sprintf("%d hours %d minutes", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%d minutes", d/time.Minute)
}

// list is texts as part of a sentence.
func list(last string, texts []string) string {
	if len(texts) < 2 {
		return strings.Join(texts, "")
	}
	return strings.Join(texts[:len(texts)-1], ", ") + " " + last + " " + texts[len(texts)-1]
}

// mustPin is what a rule has to pin, as a sentence.
func mustPin(p *trust.Preset) string {
	var groups []string
	for _, group := range p.Required {
		text := list("or", quote(group))
		if len(group) > 1 {
			text = "one of " + text
		}
		groups = append(groups, text)
	}
	text := list("and", groups)
	if p.Customer != "" && !strings.Contains(text, "`"+p.Customer+"`") {
		text += "; where several customers share the issuer, also `" + p.Customer + "`"
	}
	return text
}

func tables() string {
	var b strings.Builder
	b.WriteString("## Presets\n| preset | platform | a rule must pin | longest lifetime | accepted | tested with |\n|---|---|---|---|---|---|\n")
	for _, p := range trust.Presets() {
		accepted, tested := "again and again", "recorded claims, from the documentation"
		if p.Once {
			accepted = "once"
		}
		if p.Real != "" {
			tested = "the real " + p.Real
		}
		fmt.Fprintf(&b, "| [`%s`](#%s) | %s | %s | %s | %s | %s |\n", p.Name, anchor(p.Title), p.Title, mustPin(p), life(p.MaxLifetime), accepted, tested)
	}
	b.WriteString("\nThe lifetime, the algorithms, and whether a token is accepted once can be set for each trust. Presets that are tested\n" +
		"with recorded claims have never seen a token of the real platform, because a test cannot start the platform.\n\n" +
		"In the tables below, *only ever this one's* means that nobody can get the same value after the workload is gone, and\n" +
		"*proposed* means that a rule that is proposed from a token pins the claim if the token has it.\n")
	for _, p := range trust.Presets() {
		fmt.Fprintf(&b, "\n## %s\n%s\n\n", p.Title, p.Doc)
		fmt.Fprintf(&b, "- Preset: `%s`. Issuer: %s.\n", p.Name, issuer(p))
		fmt.Fprintf(&b, "- A rule must pin %s.\n", mustPin(p))
		fmt.Fprintf(&b, "- Algorithms: %s. `typ`: %s.\n", code(p.Algorithms...), code(p.Types...))
		if p.Ask != "" {
			fmt.Fprintf(&b, "- To request a token for an audience: `%s`\n", p.Ask)
		}
		for _, f := range p.Fixed {
			fmt.Fprintf(&b, "- Every token must have `%s`: `%s`. %s\n", f.Claim, f.Value, f.Hint)
		}
		for _, d := range p.Denied {
			fmt.Fprintf(&b, "- `%s` %s is refused unless the rule names it. %s\n", d.Claim, list("or", quote(d.Values)), d.Why)
		}
		for _, f := range p.Forbidden {
			fmt.Fprintf(&b, "- No rule can pin `%s`: %s.\n", f.At, f.Why)
		}
		for _, trap := range p.Traps {
			fmt.Fprintf(&b, "- %s\n", trap)
		}
		var perRun []string
		b.WriteString("\n| claim | meaning | only ever this one's | proposed |\n|---|---|---|---|\n")
		for _, c := range p.Claims {
			if c.PerRun {
				perRun = append(perRun, c.Name)
				continue
			}
			doc := c.Doc
			if c.At != "" {
				doc += " At `" + c.At + "`."
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", c.Name, doc, yes[c.Unique], yes[c.Propose])
		}
		if len(perRun) > 0 {
			fmt.Fprintf(&b, "\nA rule may also pin these, but they may differ with the next token: %s.\n", list("and", quote(perRun)))
		}
		fmt.Fprintf(&b, "\nSources: %s.\n", strings.Join(p.Sources, "; "))
	}
	return b.String()
}

var yes = map[bool]string{true: "yes", false: "no"}

func quote(all []string) (quoted []string) {
	for _, s := range all {
		quoted = append(quoted, "`"+s+"`")
	}
	return quoted
}

func issuer(p *trust.Preset) string {
	if strings.Contains(p.Issuer, "`") {
		return p.Issuer
	}
	return "`" + p.Issuer + "`"
}

// anchor is the place of a title in a page.
func anchor(title string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-':
			return r
		}
		return -1
	}, strings.ToLower(title))
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
	want := before + begin + "\n" + tables() + "\n" + end + after
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want != string(old) {
		t.Error("docs/platforms.md is not what the table says; write it with: go generate ./server/internal/trust")
	}
}
