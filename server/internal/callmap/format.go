package callmap

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/watchword-dev/watchword/server/internal/directory"
)

// Format writes a file in the one layout: parts and members in their order, two spaces, comments
// kept. A file that cannot be read is Problems.
func Format(name string, text []byte) ([]byte, error) {
	text = WithVersion(text)
	if _, err := Parse(name, text); err != nil {
		return nil, err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, err
	}
	if len(doc.Content) == 0 {
		return text, nil
	}
	arrange(doc.Content[0], fileObject.shape())
	if !bytes.ContainsRune(text, colon) {
		shield(&doc)
	}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(&doc); err != nil {
		return nil, err
	}
	if err := enc.Close(); err != nil {
		return nil, err
	}
	return bytes.ReplaceAll(b.Bytes(), []byte("group"+string(colon)), []byte(groupPrefix)), nil
}

// colon stands in for the one of group:web while the library writes, which would quote it within
// braces though YAML does not ask for that. It is of the private use area.
const colon = '\ue03a'

func shield(n *yaml.Node) {
	if name, ok := strings.CutPrefix(n.Value, groupPrefix); ok && n.Kind == yaml.ScalarNode {
		if _, err := directory.ParseName(name); err == nil {
			n.Value, n.Style = "group"+string(colon)+name, 0
		}
	}
	for _, c := range n.Content {
		shield(c)
	}
}

// arrange puts the members of each object in the order of their table, and leaves the entries of
// lists and maps as they stand: people group them.
func arrange(n *yaml.Node, s shape) {
	switch {
	case n.Kind == yaml.SequenceNode && s.orList != nil:
		s = *s.orList
		fallthrough
	case n.Kind == yaml.SequenceNode && s.kind == isList:
		for _, item := range n.Content {
			arrange(item, *s.item)
		}
	case n.Kind == yaml.MappingNode && s.kind == isList && s.single:
		arrange(n, *s.item)
	case n.Kind == yaml.MappingNode && s.kind == isMap:
		for i := 1; i < len(n.Content); i += 2 {
			arrange(n.Content[i], *s.item)
		}
	case n.Kind == yaml.MappingNode && s.kind == isObject:
		arrangeMembers(n, s)
	case n.Tag == "!!null" && s.empty: // which the library would write as an empty text
		n.Kind, n.Tag, n.Value, n.Style = yaml.MappingNode, "!!map", "", yaml.FlowStyle
	}
}

func arrangeMembers(n *yaml.Node, s shape) {
	names := s.names()
	pairs := slices.Collect(slices.Chunk(n.Content, 2))
	slices.SortStableFunc(pairs, func(a, b []*yaml.Node) int {
		return slices.Index(names, a[0].Value) - slices.Index(names, b[0].Value)
	})
	n.Content = slices.Concat(pairs...)
	for i := 0; i+1 < len(n.Content); i += 2 {
		arrange(n.Content[i+1], s.members[slices.Index(names, n.Content[i].Value)].shape)
	}
}

func jsonText(s string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string cannot fail
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}
