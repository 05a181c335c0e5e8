package callmap

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/directory"
)

// Parse reads one file. The error is Problems, with every mistake in its place.
func Parse(name string, text []byte) (*File, error) {
	f := &File{Name: name, Owner: DefaultOwner, lines: strings.Split(string(text), "\n")}
	r := &reader{file: f}
	root, err := document(text)
	switch {
	case err != nil:
		r.syntax(f, text, err)
	case root == nil:
		r.problems.add(Position{f, 1, 1}, "the file has no content; a call map begins with version: 1")
	default:
		fileObject.read(r, f, root)
		if root.Kind == yaml.MappingNode && !has(root, "version") {
			r.bad(root, "a call map has a version: begin the file with version: 1, or run: watchword callmap fmt -w")
		}
	}
	if err := r.problems.err(); err != nil {
		return nil, err
	}
	return f, nil
}

// ParseAll reads all files. The error is Problems, with every mistake of all files.
func ParseAll(files []api.CallMapFile) ([]*File, error) {
	parsed := make([]*File, 0, len(files))
	var problems Problems
	for _, f := range files {
		p, err := Parse(f.Name, []byte(f.Text))
		if more, ok := AsProblems(err); ok {
			problems = append(problems, more...)
			continue
		}
		parsed = append(parsed, p)
	}
	return parsed, problems.err()
}

func has(mapping *yaml.Node, key string) bool {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return true
		}
	}
	return false
}

// WithVersion is a file with a version, which was not required before. A file that cannot be read, or has no
// content, is left as it is.
func WithVersion(text []byte) []byte {
	root, err := document(text)
	if err != nil || root == nil || root.Kind != yaml.MappingNode || len(root.Content) == 0 || has(root, "version") {
		return text
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	line := lines[root.Line-1]
	before, inLine := bytes.Join(lines[:root.Line-1], nil), line[:root.Column-1]
	after := text[len(before)+len(inLine):]
	if root.Style&yaml.FlowStyle != 0 {
		return slices.Concat(before, inLine, []byte("{version: 1, "), after[1:])
	}
	return slices.Concat(before, inLine, []byte("version: 1\n"), inLine, after)
}

// document reads the one YAML document of text; nil when there is none.
func document(text []byte) (*yaml.Node, error) {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var doc yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, err
	}
	var more yaml.Node
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, errors.New("yaml: one file has one document: remove the second '---'")
	}
	if doc.Content[0].Tag == "!!null" {
		return nil, nil
	}
	return doc.Content[0], nil
}

var (
	yamlLine   = regexp.MustCompile(`^yaml: line (\d+): `)
	yamlAnchor = regexp.MustCompile(`unknown anchor '(.*)' referenced`)
)

// syntax reports an error of the YAML library with its line. The library does not tell the line of a character or an
// anchor that is not allowed.
func (r *reader) syntax(f *File, text []byte, err error) {
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		n, _ := strconv.Atoi(m[1])
		r.problems.add(Position{f, n, 1}, "%s", strings.TrimPrefix(err.Error(), m[0]))
		return
	}
	at := bytes.IndexFunc(text, func(c rune) bool {
		return c == utf8.RuneError || c != '\t' && c != '\n' && c != '\r' && unicode.IsControl(c)
	})
	if m := yamlAnchor.FindStringSubmatch(err.Error()); m != nil {
		at = bytes.Index(text, []byte("*"+m[1]))
	}
	where := Position{file: f}
	if at >= 0 {
		where = Position{f, 1 + bytes.Count(text[:at], []byte("\n")), at - bytes.LastIndexByte(text[:at], '\n')}
	}
	r.problems.add(where, "%s", strings.TrimPrefix(err.Error(), "yaml: "))
}

// named reads a mapping of names to things.
func (r *reader) named(n *yaml.Node, what string, read func(name Name, n *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		r.bad(n, "%s must be a mapping of names, as in {m1: {description: takes orders}}", what)
		return
	}
	seen := make(map[string]bool, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		name := r.name(n.Content[i])
		if seen[name.Text] {
			r.bad(n.Content[i], "%q is there twice", name.Text)
			continue
		}
		seen[name.Text] = true
		read(name, n.Content[i+1])
	}
}

func (r *reader) service(name Name, n *yaml.Node) {
	s := Service{keepsDisabled: true, at: name.at}
	s.Name, s.ManagedBy = name.Text, r.file.Owner
	if n.Tag != "!!null" { // "m1:" alone is a service of which nothing more is said
		serviceObject.read(r, &s, n)
	}
	r.file.Services = append(r.file.Services, s)
}

func (r *reader) group(name Name, n *yaml.Node) {
	g := Group{Name: name.Text, at: name.at}
	if n.Kind == yaml.MappingNode {
		groupObject.read(r, &g, n)
		if len(g.Members) == 0 && len(g.Labels) == 0 {
			r.bad(n, "a group has members or labels")
		}
	} else {
		g.Members = r.parties(n)
	}
	r.file.Groups = append(r.file.Groups, g)
}

func (r *reader) rule(n *yaml.Node) {
	rule := Rule{at: r.at(n)}
	before := len(r.problems)
	ruleObject.read(r, &rule, n)
	if len(r.problems) == before && (rule.From == nil || rule.To == nil) {
		r.bad(n, "a rule must have a caller and a target: {from: m1, to: m2}")
	}
	r.file.Rules = append(r.file.Rules, rule)
}

func (r *reader) scopes(n *yaml.Node) []string {
	scopes, err := directory.ParseScopes(strings.Join(r.texts(n), " "))
	if err != nil {
		r.problems.addError(r.at(n), err)
	}
	return scopes
}

func (r *reader) when(n *yaml.Node) (c api.Conditions) {
	before := len(r.problems)
	whenObject.read(r, &c, n)
	if _, err := directory.CompileWhen(c); err != nil && len(r.problems) == before {
		r.problems.addError(r.at(n), err)
	}
	return c
}

func (r *reader) test(n *yaml.Node) {
	t := Test{at: r.at(n)}
	before := len(r.problems)
	testObject.read(r, &t, n)
	switch {
	case len(r.problems) > before:
	case t.To == nil || !t.expected:
		r.bad(n, "a test must have an expected decision: {from: m1, to: m2, expect: deny}")
	case (t.From == nil) == (t.As == nil):
		r.bad(n, "a test has a caller: either from: m1, or as: {trust: prod, claims: {sub: ...}}")
	}
	r.file.Tests = append(r.file.Tests, t)
}

func sorted(s []string) []string {
	slices.Sort(s)
	return slices.Compact(s)
}
