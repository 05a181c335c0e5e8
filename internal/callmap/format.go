package callmap

import (
	"bytes"
	"encoding/json"
	"slices"

	"go.yaml.in/yaml/v3"
)

// order of the parts of a file, and of the members of its entries.
var order = func() map[string]int {
	order := map[string]int{}
	for i, name := range []string{
		"version", "managed-by", "services", "groups", "rules", "tests",
		"description", "owner", "labels", "members", "audiences", "token-life", "algorithm", "auth", "grants", "binding",
		"token-endpoint-audience", "multiple-targets", "default-target", "enforce", "probe", "disabled",
		"from", "to", "scopes", "exchange", "may-act", "until", "when", "with", "shadow", "expect",
	} {
		order[name] = i
	}
	return order
}()

// Format writes a file in the one layout: parts and members in their order, two spaces, comments
// kept. A file that cannot be read is Problems.
func Format(name string, text []byte) ([]byte, error) {
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
	sortMembers(doc.Content[0])
	for i := 0; i+1 < len(doc.Content[0].Content); i += 2 {
		sortEntries(doc.Content[0].Content[i+1])
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
	return b.Bytes(), nil
}

// sortEntries puts the members of each service, group, rule or test in order, and leaves the
// entries themselves as they stand: people group them.
func sortEntries(part *yaml.Node) {
	for i, n := range part.Content {
		if part.Kind == yaml.SequenceNode || i%2 == 1 {
			if n.Tag == "!!null" { // which the library would write as an empty text
				n.Kind, n.Tag, n.Value, n.Style = yaml.MappingNode, "!!map", "", yaml.FlowStyle
			}
			sortMembers(n)
		}
	}
}

func sortMembers(n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		return
	}
	pairs := slices.Collect(slices.Chunk(n.Content, 2))
	slices.SortStableFunc(pairs, func(a, b []*yaml.Node) int { return order[a[0].Value] - order[b[0].Value] })
	n.Content = slices.Concat(pairs...)
}

func jsonText(s string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string cannot fail
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}
