package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/watchword-dev/watchword/server/internal/spelling"
)

const maxFile = 1 << 20

// entry is the text of one setting, as a source gave it, and where.
type entry struct{ text, source string }

func readLimited(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%s is larger than 1 MiB", name)
	}
	return data, err
}

// parseYAML reads the one document in data into entries by key. name is for sources.
//
// It walks the tree of nodes rather than decode into a struct with KnownFields, because only
// nodes know their line, and a decoder stops telling one problem from the next.
func parseYAML(name string, data []byte) (map[string]entry, []Problem) {
	p := yamlFile{name: name, entries: map[string]entry{}}
	p.knowKeys()
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return p.entries, nil
	case err != nil:
		return nil, []Problem{syntaxProblem(name, err)}
	}
	switch err := dec.Decode(&more); {
	case err == nil:
		p.problem(&more, "", "begins a second document", "put everything into one document, without ---")
	case !errors.Is(err, io.EOF):
		return nil, []Problem{syntaxProblem(name, err)}
	}
	p.section("", doc.Content[0])
	return p.entries, p.problems
}

func syntaxProblem(name string, err error) Problem {
	return Problem{
		Source: name, Text: strings.TrimPrefix(err.Error(), "yaml: "),
		Fix: "write YAML as in the example of: watchword config print --help",
	}
}

type yamlFile struct {
	name     string
	entries  map[string]entry
	problems []Problem
	sections map[string]bool
	keys     []string
	known    map[string]bool
}

func (p *yamlFile) knowKeys() {
	p.sections, p.known = map[string]bool{"": true}, map[string]bool{}
	for _, s := range Settings() {
		for _, key := range []string{s.Key, s.FileKey} {
			if key == "" {
				continue
			}
			p.keys = append(p.keys, key)
			p.known[key] = true
			for i, c := range key {
				if c == '.' {
					p.sections[key[:i]] = true
				}
			}
		}
	}
}

func (p *yamlFile) problem(n *yaml.Node, key, text, fix string) {
	p.problems = append(p.problems, Problem{Key: key, Source: p.at(n), Text: text, Fix: fix})
}

func (p *yamlFile) at(n *yaml.Node) string { return fmt.Sprintf("%s:%d", p.name, n.Line) }

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// section reads the mapping at path.
func (p *yamlFile) section(path string, n *yaml.Node) {
	if isNull(n) {
		return // all of it commented out
	}
	if n.Kind != yaml.MappingNode {
		p.problem(n, path, "is not a section", "write its settings below it, indented, as key: value")
		return
	}
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		key := k.Value
		if path != "" {
			key = path + "." + key
		}
		switch first, again := lines[key]; {
		case k.Kind != yaml.ScalarNode || strings.Contains(k.Value, ".") || !p.known[key] && !p.sections[key]:
			p.unknown(k, key)
		case again:
			p.problem(k, key, fmt.Sprintf("is set a second time, first in line %d", first), "delete one of the two")
		case p.sections[key]:
			p.section(key, v)
		default:
			p.setting(key, v)
		}
		lines[key] = k.Line
	}
}

func (p *yamlFile) unknown(k *yaml.Node, key string) {
	if k.Kind != yaml.ScalarNode {
		p.problem(k, "", "the key is not a name", "write key: value")
		return
	}
	fix := "list all settings with: watchword config print"
	if near := spelling.Nearest(key, p.keys); near == key {
		fix = "put its parts on lines of their own, each indented below the one before"
	} else if near != "" {
		fix = "did you mean " + near + "?"
	}
	p.problem(k, key, "is not a setting", fix)
}

func (p *yamlFile) setting(key string, n *yaml.Node) {
	text, err := scalars(n)
	if err != nil {
		p.problem(n, key, err.Error(), "")
		return
	}
	p.entries[key] = entry{text, p.at(n)}
}

// scalars is the text of a scalar as it was written, or of a list of them with commas between.
func scalars(n *yaml.Node) (string, error) {
	switch {
	case isNull(n):
		return "", errors.New("has no value; give one or delete the line")
	case n.Kind == yaml.ScalarNode:
		return n.Value, nil
	case n.Kind == yaml.AliasNode:
		return "", errors.New("refers to an anchor; write the value itself")
	case n.Kind != yaml.SequenceNode:
		return "", errors.New("is a section; write one value after the colon")
	}
	items := make([]string, len(n.Content))
	for i, item := range n.Content {
		if item.Kind != yaml.ScalarNode || isNull(item) || strings.Contains(item.Value, ",") {
			return "", errors.New("has an item that is not one plain value; write each item on a line of its own after a dash")
		}
		items[i] = item.Value
	}
	return strings.Join(items, ","), nil
}
