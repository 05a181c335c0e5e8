package callmap

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/spelling"
)

// reader turns the nodes of one file into what they say, and notes what is wrong.
type reader struct {
	file     *File
	problems Problems
}

func (r *reader) at(n *yaml.Node) Position { return Position{r.file, n.Line, n.Column} }

func (r *reader) bad(n *yaml.Node, format string, args ...any) {
	r.problems.add(r.at(n), format, args...)
}

// near suggests what may have been meant.
func near(got string, names []string) string {
	if name := spelling.Nearest(got, names); name != "" {
		return "; did you mean " + name + "?"
	}
	return "; it may have " + strings.Join(names, ", ")
}

// each reads a list, or one thing as a list of one.
func (r *reader) each(n *yaml.Node, read func(*yaml.Node)) {
	if n.Kind != yaml.SequenceNode {
		read(n)
		return
	}
	for _, item := range n.Content {
		if item.Kind == yaml.AliasNode {
			r.bad(item, "aliases are not read: write it out")
			continue
		}
		read(item)
	}
}

// list reads a list and nothing else.
func (r *reader) list(n *yaml.Node, what string, read func(*yaml.Node)) {
	if n.Kind != yaml.SequenceNode {
		r.bad(n, "%s must be a list", what)
		return
	}
	r.each(n, read)
}

// text reads a scalar as it is written: 010 stays 010.
func (r *reader) text(n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		r.bad(n, "must be text")
		return ""
	}
	return n.Value
}

func (r *reader) texts(n *yaml.Node) (all []string) {
	r.each(n, func(n *yaml.Node) { all = append(all, r.text(n)) })
	return all
}

func (r *reader) boolean(n *yaml.Node) bool {
	if n.Tag != "!!bool" {
		r.bad(n, "must be true or false")
	}
	return n.Value == "true"
}

// moment reads a day, which begins at midnight UTC, or an RFC 3339 time.
func (r *reader) moment(n *yaml.Node) time.Time {
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, n.Value); err == nil {
			return t.UTC()
		}
	}
	r.bad(n, "%q is not a date: write 2027-01-01 or 2027-01-01T12:00:00Z", n.Value)
	return time.Time{}
}

// seconds reads 15m, 90s, 2h.
func (r *reader) seconds(n *yaml.Node) int64 {
	d, err := time.ParseDuration(n.Value)
	switch {
	case err != nil || d < 0:
		r.bad(n, "%q is not a duration such as 15m", n.Value)
	case d%time.Second != 0:
		r.bad(n, "%q is not whole seconds", n.Value)
	}
	return int64(d / time.Second)
}

// name reads the name of a service.
func (r *reader) name(n *yaml.Node) Name {
	s := r.text(n)
	if _, err := directory.ParseName(s); err != nil && s != "" {
		r.problems.addError(r.at(n), err)
	}
	return Name{Text: s, at: r.at(n)}
}

const groupPrefix = "group:"

// party reads the name of a service or, as in group:web, of a group.
func (r *reader) party(n *yaml.Node) Name {
	if group, ok := strings.CutPrefix(n.Value, groupPrefix); ok && n.Kind == yaml.ScalarNode {
		if _, err := directory.ParseName(group); err != nil {
			r.problems.addError(r.at(n), err)
		}
		return Name{Text: group, Group: true, at: r.at(n)}
	}
	return r.name(n)
}

func (r *reader) parties(n *yaml.Node) (all []Name) {
	r.each(n, func(n *yaml.Node) { all = append(all, r.party(n)) })
	if len(all) == 0 {
		r.bad(n, "must name a service")
	}
	return all
}

// labels reads {team: web, tier: "1"} as sorted name=value.
func (r *reader) labels(n *yaml.Node) (all []string) {
	if n.Kind != yaml.MappingNode {
		r.bad(n, "labels must be a mapping, as in {team: web}")
		return nil
	}
	seen := make(map[string]bool, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		for _, part := range []*yaml.Node{key, value} {
			if part.Kind != yaml.ScalarNode || !directory.IsLabel(part.Value) {
				r.bad(part, "labels have only letters, digits, '.', '_', '-' and '/', 1 to 63 of them")
			}
		}
		if seen[key.Value] {
			r.bad(key, "%q is there twice", key.Value)
		}
		seen[key.Value] = true
		all = append(all, key.Value+"="+value.Value)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// address reads the address of a caller.
func (r *reader) address(n *yaml.Node) string {
	if _, err := netip.ParseAddr(n.Value); err != nil {
		r.bad(n, "%q is not an address such as 10.1.2.3", n.Value)
	}
	return n.Value
}
