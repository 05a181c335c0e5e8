package interop

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the code that is tested into docs/clients")

// shown is a code block of a page, with the comment before it that says which file it shows.
var shown = regexp.MustCompile("(?s)<!-- server/interop/(\\S+) -->\n```(\\w+)\n(.*?)```\n")

// What a reader copies from docs/clients is what the tests here ran.
func TestPagesShowTheCodeThatRan(t *testing.T) {
	index, err := os.ReadFile("../../docs/clients/README.md")
	must(t, err)
	pages, err := filepath.Glob("../../docs/clients/*.md")
	must(t, err)
	seen := map[string]bool{}
	for _, page := range pages {
		for _, file := range showCode(t, page) {
			seen[file] = true
		}
		if name := filepath.Base(page); name != "README.md" && !strings.Contains(string(index), "("+name+")") {
			t.Errorf("the index does not name %s", name)
		}
	}
	for _, pattern := range []string{"clients/*", "golang/*/main.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, %v", pattern, files, err)
		}
		for _, file := range files {
			if !seen[filepath.ToSlash(file)] {
				t.Errorf("no page of docs/clients shows server/interop/%s", file)
			}
		}
	}
}

// showCode compares the code blocks of a page with the files they show, and names those.
func showCode(t *testing.T, page string) (files []string) {
	t.Helper()
	text, err := os.ReadFile(page)
	must(t, err)
	wanted := shown.ReplaceAllStringFunc(string(text), func(block string) string {
		m := shown.FindStringSubmatch(block)
		code, err := os.ReadFile(filepath.FromSlash(m[1]))
		if err != nil {
			t.Errorf("%s: %v", page, err)
			return block
		}
		files = append(files, m[1])
		return "<!-- server/interop/" + m[1] + " -->\n```" + m[2] + "\n" + string(code) + "```\n"
	})
	switch {
	case wanted == string(text):
	case *update:
		must(t, os.WriteFile(page, []byte(wanted), 0o644))
	default:
		t.Errorf("%s does not show the code as it is: go test ./server/interop -run Pages -update", page)
	}
	return files
}
