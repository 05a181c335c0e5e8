//go:build unix

package main

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/watchword-dev/watchword/server/internal/pages"
)

// TestPages runs the documentation as a reader does: README.md first, then the pages in the order
// in which docs/index.md names them, each in an empty folder. Package pages says how.
//
// F15, F65 (docs/oauth.md has a server with one issuer), F66.
func TestPages(t *testing.T) {
	for _, p := range pages.Read(t, checkout) {
		if p.RunBy != "" || !slices.ContainsFunc(p.Blocks, func(b pages.Block) bool { return b.Runs }) {
			continue
		}
		t.Run(p.Name, func(t *testing.T) { p.Run(t) })
	}
}

// A page is left out here only if server/interop has the test that it names, which runs it.
func TestPagesThatNeedMoreThanAServerAreRunElsewhere(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(checkout, "server/interop/*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pages.Read(t, checkout) {
		test := fmt.Sprintf("func %s(t *testing.T) {\n\trunPage(t, %q,", p.RunBy, p.Name)
		if p.RunBy != "" && !slices.ContainsFunc(files, func(file string) bool { return strings.Contains(readText(t, file), test) }) {
			t.Errorf("%s: server/interop has no test that begins with %q", p.Name, test)
		}
	}
}

// A command that nobody runs is soon wrong, so every block of commands is run or says why not.
func TestEveryCommandInThePagesIsRunOrSaysWhyNot(t *testing.T) {
	all := pages.Read(t, checkout)
	command := regexp.MustCompile(`(?m)^(\$ |(sudo |[A-Z_]+=\S+ )*(watchword|curl|go|make|npm|npx|apt|apt-get|docker|git|export|cp|cat|openssl) )`)
	for _, p := range all {
		for i, b := range p.Blocks {
			where := fmt.Sprintf("%s:%d", p.Name, b.Line)
			isOutput := i > 0 && b.Lang == "text" && p.Blocks[i-1].Output == b.Text
			switch {
			case b.Lang == "":
				t.Errorf("%s: say what the block is: sh for commands, text for output", where)
			case slices.Contains([]string{"bash", "console", "shell"}, b.Lang):
				t.Errorf("%s: commands are in blocks of sh, their output in blocks of text", where)
			case b.Lang != "sh" && !isOutput && command.MatchString(b.Text):
				t.Errorf("%s: %q looks like a command in a block that is not run", where, command.FindString(b.Text))
			case b.Lang == "sh" && !b.Runs:
				checkNames(t, where, b.Text)
			}
		}
	}
	index := readText(t, filepath.Join(checkout, "docs/index.md"))
	for _, p := range all {
		listed := strings.HasPrefix(p.Name, "docs/clients/") && path.Base(p.Name) != "README.md" // by the README.md there, as server/interop checks
		if p.Name != "docs/index.md" && !listed && !strings.Contains(index, "]("+pages.LinkTo(p.Name)+")") {
			t.Errorf("docs/index.md does not name %s", p.Name)
		}
	}
}

// Links between the pages lead somewhere.
func TestLinksOfThePagesAreGood(t *testing.T) {
	link, code := regexp.MustCompile(`\]\(([^):# ]*)(#[^) ]*)?\)`), regexp.MustCompile("(?ms)^```.*?^```$")
	for _, p := range pages.Read(t, checkout) {
		for _, m := range link.FindAllStringSubmatch(code.ReplaceAllString(readText(t, filepath.Join(checkout, p.Name)), ""), -1) {
			file := p.Name
			if m[1] != "" {
				file = path.Join(path.Dir(p.Name), m[1])
			}
			if _, err := os.Stat(filepath.Join(checkout, file)); err != nil {
				t.Errorf("%s: %v", p.Name, err)
			} else if m[2] != "" && !slices.Contains(anchors(readText(t, filepath.Join(checkout, file))), m[2]) {
				t.Errorf("%s: %s has no heading for %s", p.Name, file, m[2])
			}
		}
	}
}

// anchors are what GitHub makes of the headings of a page.
func anchors(text string) (all []string) {
	drop := regexp.MustCompile(`[^\w\- ]`)
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		all = append(all, "#"+strings.ReplaceAll(drop.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-"))
	}
	return all
}

// checkNames wants the folders and the make targets that commands name, where those are not run.
func checkNames(t *testing.T, where, commands string) {
	t.Helper()
	for _, m := range regexp.MustCompile(`(?m)^go .* (\./[\w/]+)`).FindAllStringSubmatch(commands, -1) {
		if _, err := os.Stat(filepath.Join(checkout, m[1])); err != nil {
			t.Errorf("%s: %v", where, err)
		}
	}
	makefile := readText(t, filepath.Join(checkout, "Makefile"))
	for _, m := range regexp.MustCompile(`(?m)^make (\w+)`).FindAllStringSubmatch(commands, -1) {
		if !strings.Contains(makefile, "\n"+m[1]+":") {
			t.Errorf("%s: the Makefile has no target %s", where, m[1])
		}
	}
}

func readText(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
