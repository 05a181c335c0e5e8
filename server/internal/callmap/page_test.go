package callmap

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the tables of docs/callmap.md")

// reference lists all members, as tables.
func reference() string {
	var b strings.Builder
	for _, part := range []struct {
		title string
		shape shape
	}{
		{"The file", fileObject.shape()},
		{"A trust", trustObject.shape()},
		{"A service", serviceObject.shape()},
		{"An `identity` of a service, and `as` of a test", identityObject.shape()},
		{"A group: either a list of services and groups, or", groupObject.shape()},
		{"A rule", ruleObject.shape()},
		{"`when` of a rule", whenObject.shape()},
		{"A test", testObject.shape()},
		{"`with` of a test", withObject.shape()},
	} {
		fmt.Fprintf(&b, "\n**%s**\n\n| member | value | meaning |\n|---|---|---|\n", part.title)
		for _, m := range part.shape.members {
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", m.name, inWords(m.shape), strings.ReplaceAll(m.doc, "|", `\|`))
		}
	}
	return b.String()
}

// inWords describes the values that a member may have.
func inWords(s shape) string {
	switch s.kind {
	case isBoolean:
		return "`true`, `false`"
	case isNumber:
		return "`1`"
	case isList:
		one := inWords(*s.item)
		if s.item.kind == isObject {
			return "a list"
		}
		if s.single {
			return one + "; or a list"
		}
		return "a list of " + one
	case isMap:
		if s.item.kind == isObject {
			return "by name"
		}
		return "`{name: value}`"
	case isObject:
		return "see below"
	}
	words := s.enum
	if words == nil {
		words = s.examples[:1]
	}
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = "`" + w + "`"
	}
	if s.enum == nil {
		return "as in " + quoted[0]
	}
	return strings.Join(quoted, ", ")
}

func TestPageListsEveryMember(t *testing.T) {
	const page, heading = "../../../docs/callmap.md", "\n## Reference\n"
	text, err := os.ReadFile(page)
	must(t, err)
	head, got, found := strings.Cut(string(text), heading)
	if !found {
		t.Fatalf("%s has no heading %q", page, heading)
	}
	if *update {
		must(t, os.WriteFile(page, []byte(head+heading+reference()), 0o644))
	} else if got != reference() {
		t.Errorf("the tables of %s are not what the code says: go test ./server/internal/callmap -run Page -update", page)
	}
}

// The tests of cmd/watchword run the commands of the page. This one reads the files that it shows.
func TestFilesOfThePageAreRead(t *testing.T) {
	text, err := os.ReadFile("../../../docs/callmap.md")
	must(t, err)
	blocks := strings.Split(string(text), "```yaml\n")[1:]
	for _, b := range blocks {
		yaml, _, _ := strings.Cut(b, "```")
		if _, err := Parse("callmap.md", WithVersion([]byte(yaml))); err != nil { // some are parts of a file
			t.Error(err)
		}
	}
	if len(blocks) < 2 {
		t.Errorf("the page shows %d files", len(blocks))
	}
}
