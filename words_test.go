package watchword_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// privateWords are terms that only the authors understood, and what to write instead. CONTRIBUTING.md has the rules.
var privateWords = []struct {
	private *regexp.Regexp
	plain   string
}{
	{word(`(plain )?doors?`), "endpoint, listener or interface"},
	{word(`(hang|hangs|hung) on`), "depends on"},
	{word(`(say|says|said) whether`), "reports whether"},
	{word(`who(ever)? guess(es)?`), "who does what, and what happens then"},
	{word(`the house`), "the repository, or the packages"},
	{word(`worth nothing`), "what it needs"},
	{word(`held against`), "compared with"},
	{word(`hears? of`), "learns of"},
	{word(`(prove|proves|proved|proving) (itself|themselves)`), "authenticates"},
	{word(`to the letter`), "exactly"},
	{word(`some \d[\d,]*`), "about"},
	{word(`thrice`), "three times"},
	{word(`passed over`), "ignored"},
	{word(`cannot be had`), "cannot be fetched"},
	{word(`(is|are|not|no longer) good`), "is valid"},
	{word(`good (for|until|from|now|here)`), "valid"},
	{word(`anew`), "again"},
	{word(`mend(s|ed)?`), "correct"},
	{word(`for a while`), "for how long, with the unit"},
	{word(`made again`), "created again"},
	{word(`unless said otherwise`), "the default is"},
	{word(`in the place of`), "instead of, or replaces"},
	{word(`who asks`), "the caller"},
	{word(`came of it`), "the result"},
	{word(`all the same`), "nevertheless"},
}

func word(pattern string) *regexp.Regexp {
	return regexp.MustCompile(`(?i)\b(?:` + strings.ReplaceAll(pattern, " ", `\s+`) + `)\b`)
}

// Users read the documentation, the OpenAPI document, the comments and texts of the packages that they import, and the
// texts of the program.
func TestPlainWords(t *testing.T) {
	read := 0
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		switch name := d.Name(); {
		case err != nil:
			return err
		case d.IsDir() && (name == "node_modules" || name == "dist" || strings.HasPrefix(name, ".") && file != "."):
			return filepath.SkipDir
		case file == "CONTRIBUTING.md", file == "words_test.go": // they name the private words
		case strings.HasPrefix(file, "server/") && strings.HasSuffix(file, "_test.go"): // nobody but us reads them
		case strings.HasSuffix(file, ".md"), file == "server/internal/admin/openapi.json":
			text, err := os.ReadFile(file)
			checkWords(t, file, 1, string(text))
			read++
			return err
		case strings.HasSuffix(file, ".go"):
			read++
			return checkGo(t, file)
		}
		return nil
	})
	if err != nil || read < 100 {
		t.Errorf("read %d files: %v", read, err)
	}
}

// checkGo checks the comments and strings of a Go file, and of one of the server only the strings, which users read. In
// the tag of a field, only doc is prose.
func checkGo(t *testing.T, file string) error {
	t.Helper()
	files := token.NewFileSet()
	f, err := parser.ParseFile(files, file, nil, parser.ParseComments)
	if err != nil {
		return err
	}
	if strings.HasPrefix(file, "server/") {
		f.Comments = nil
	}
	for _, c := range f.Comments {
		checkWords(t, file, files.Position(c.Pos()).Line, c.Text())
	}
	tags := map[*ast.BasicLit]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Field:
			tags[n.Tag] = true
		case *ast.BasicLit:
			text := n.Value
			if tags[n] {
				tag, _ := strconv.Unquote(text)
				text = reflect.StructTag(tag).Get("doc")
			}
			checkWords(t, file, files.Position(n.Pos()).Line, text)
		}
		return true
	})
	return nil
}

// checkWords reports the private words in a text that begins in this line.
func checkWords(t *testing.T, file string, line int, text string) {
	t.Helper()
	for _, w := range privateWords {
		for _, found := range w.private.FindAllStringIndex(text, -1) {
			at := line + strings.Count(text[:found[0]], "\n")
			t.Errorf("%s:%d: %q is not plain; write: %s", file, at, text[found[0]:found[1]], w.plain)
		}
	}
}
