package callmap

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// member is one member of a mapping in the file. The tables of them are all there is to know of the
// file's names: the reader, the formatter and the published schema range over them.
type member[T any] struct {
	name  string
	doc   string
	shape shape
	read  func(r *reader, into *T, n *yaml.Node)
}

// object is a mapping with members of fixed names.
type object[T any] struct {
	what     string // as messages call it
	members  []member[T]
	required []string
	either   []string // exactly one of them is required
}

// read reads a mapping: each member by its function, none twice, no other.
func (o *object[T]) read(r *reader, into *T, n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		r.bad(n, "%s must be a mapping, as in {name: value}", o.what)
		return
	}
	var seen uint64 // a bit a member
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		m := slices.IndexFunc(o.members, func(m member[T]) bool { return m.name == key.Value })
		switch {
		case key.Kind != yaml.ScalarNode || m < 0:
			r.bad(key, "%s has no %q%s", o.what, key.Value, near(key.Value, o.shape().names()))
		case seen>>m&1 == 1:
			r.bad(key, "%q is there twice", key.Value)
		case value.Kind == yaml.AliasNode:
			r.bad(value, "aliases are not read: write it out")
		default:
			seen |= 1 << m
			o.members[m].shape.check(r, value)
			o.members[m].read(r, into, value)
		}
	}
}

// shape is what such a mapping looks like.
func (o *object[T]) shape() shape {
	s := shape{kind: isObject, required: o.required, either: o.either}
	for _, m := range o.members {
		s.members = append(s.members, named{m.name, m.doc, m.shape})
	}
	return s
}

// kind of a value in the file.
type kind int

const (
	isText kind = iota
	isBoolean
	isNumber
	isList
	isObject
	isMap // of names that people choose
)

// shape is what a value looks like: enough to put members in order and to tell an editor what may
// stand there. What values mean is the reader's to say.
type shape struct {
	kind     kind
	enum     []string
	pattern  string
	examples []string
	members  []named  // of an object
	required []string // of them
	either   []string // exactly one of them is required
	// item of a list or a map.
	item *shape
	// single: one item may stand for a list of one.
	single bool
	// orList: a list of items may stand in the place of the object.
	orList *shape
	// empty: it may be left empty.
	empty bool
}

// check holds a word, or a list of them, against those that may stand there.
func (s *shape) check(r *reader, n *yaml.Node) {
	if s.kind == isList && n.Kind == yaml.SequenceNode {
		for _, item := range n.Content {
			s.item.check(r, item)
		}
		return
	}
	if s.kind == isList {
		s = s.item
	}
	if s.enum != nil && n.Kind == yaml.ScalarNode && !slices.Contains(s.enum, n.Value) {
		r.bad(n, "%q is not %s", n.Value, strings.Join(s.enum, " or "))
	}
}

type named struct {
	name, doc string
	shape     shape
}

func (s shape) names() (names []string) {
	for _, m := range s.members {
		names = append(names, m.name)
	}
	return names
}

func text(examples ...string) shape       { return shape{examples: examples} }
func oneOf(values ...string) shape        { return shape{enum: values} }
func listOf(item shape) shape             { return shape{kind: isList, item: &item} }
func oneOrMore(item shape) shape          { return shape{kind: isList, item: &item, single: true} }
func mapOf(item shape) shape              { return shape{kind: isMap, item: &item} }
func (s shape) matching(p string) shape   { s.pattern = p; return s }
func (s shape) orEmpty() shape            { s.empty = true; return s }
func (s shape) orListOf(item shape) shape { list := oneOrMore(item); s.orList = &list; return s }

var yesOrNo = shape{kind: isBoolean}
