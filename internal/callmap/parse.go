package callmap

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/watchword-dev/watchword/internal/directory"
	"github.com/watchword-dev/watchword/internal/policy"
)

// Parse reads one file. The error is Problems, with every mistake in its place.
func Parse(name string, text []byte) (*File, error) {
	f := &File{Name: name, Owner: DefaultOwner, lines: strings.Split(string(text), "\n")}
	r := &reader{file: f}
	root, err := document(text)
	switch {
	case err != nil:
		r.problems.add(place(f, err), "%s", strings.TrimPrefix(err.Error(), "yaml: "))
	case root != nil:
		r.root(root)
	}
	if err := r.problems.err(); err != nil {
		return nil, err
	}
	return f, nil
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
	return doc.Content[0], nil
}

var yamlLine = regexp.MustCompile(`^yaml: line (\d+):`)

// place finds the line in an error of the YAML library.
func place(f *File, err error) Position {
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		n, _ := strconv.Atoi(m[1])
		return Position{f, n, 1}
	}
	return Position{file: f}
}

func (r *reader) root(n *yaml.Node) {
	f := r.file
	r.object(n, "a call map", map[string]func(*yaml.Node){
		"version": func(n *yaml.Node) {
			if n.Value != "1" {
				r.bad(n, "this Watchword reads version 1")
			}
		},
		"managed-by": func(n *yaml.Node) {
			if f.Owner = r.text(n); !directory.IsLabel(f.Owner) {
				r.bad(n, "an owner has only letters, digits, '.', '_', '-' and '/', 1 to 63 of them")
			}
		},
		"services": func(n *yaml.Node) { r.named(n, "services", r.service) },
		"groups":   func(n *yaml.Node) { r.named(n, "groups", r.group) },
		"rules":    func(n *yaml.Node) { r.list(n, "rules", r.rule) },
		"tests":    func(n *yaml.Node) { r.list(n, "tests", r.test) },
	})
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

var empty = &yaml.Node{Kind: yaml.MappingNode}

func (r *reader) service(name Name, n *yaml.Node) {
	s := Service{at: name.at}
	s.Name, s.ManagedBy = name.Text, r.file.Owner
	if n.Tag == "!!null" {
		n = empty // "m1:" alone is a service of which nothing more is said
	}
	r.object(n, "a service", map[string]func(*yaml.Node){
		"description":             func(n *yaml.Node) { s.Description = r.text(n) },
		"owner":                   func(n *yaml.Node) { s.Owner = r.text(n) },
		"labels":                  func(n *yaml.Node) { s.Labels = r.labels(n) },
		"audiences":               func(n *yaml.Node) { s.Audiences = sorted(r.texts(n)) },
		"token-life":              func(n *yaml.Node) { s.TokenTTL = r.duration(n) },
		"algorithm":               func(n *yaml.Node) { s.Algorithm = r.text(n) },
		"auth":                    func(n *yaml.Node) { s.AuthMethods = sorted(r.texts(n)) },
		"grants":                  func(n *yaml.Node) { s.GrantTypes = sorted(r.texts(n)) },
		"binding":                 func(n *yaml.Node) { s.Binding = directory.Binding(r.text(n)) },
		"probe":                   func(n *yaml.Node) { s.Probe = r.text(n) },
		"disabled":                func(n *yaml.Node) { s.Disabled = r.boolean(n) },
		"default-target":          func(n *yaml.Node) { s.DefaultTarget = r.text(n) },
		"multiple-targets":        func(n *yaml.Node) { s.MultipleTargets = r.boolean(n) },
		"token-endpoint-audience": func(n *yaml.Node) { s.TokenEndpointAudience = r.boolean(n) },
		"enforce": func(n *yaml.Node) {
			switch r.text(n) {
			case "enforce":
			case "observe":
				s.Observe = true
			default:
				r.bad(n, "enforce is enforce or observe")
			}
		},
	})
	r.file.Services = append(r.file.Services, s)
}

func (r *reader) group(name Name, n *yaml.Node) {
	g := Group{Name: name.Text, at: name.at}
	if n.Kind == yaml.MappingNode {
		r.object(n, "a group", map[string]func(*yaml.Node){
			"members": func(n *yaml.Node) { g.Members = r.parties(n) },
			"labels":  func(n *yaml.Node) { g.Labels = r.labels(n) },
		})
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
	r.object(n, "a rule", map[string]func(*yaml.Node){
		"from":     func(n *yaml.Node) { rule.From = r.parties(n) },
		"to":       func(n *yaml.Node) { rule.To = r.parties(n) },
		"scopes":   func(n *yaml.Node) { rule.Scopes = r.scopes(n) },
		"until":    func(n *yaml.Node) { rule.Until = r.moment(n) },
		"may-act":  func(n *yaml.Node) { rule.MayAct = r.name(n) },
		"shadow":   func(n *yaml.Node) { rule.Shadow = r.boolean(n) },
		"when":     func(n *yaml.Node) { rule.When = r.when(n) },
		"exchange": func(n *yaml.Node) { rule.Exchange = r.exchange(n) },
	})
	if len(r.problems) == before && (rule.From == nil || rule.To == nil) {
		r.bad(n, "a rule says from whom to whom: {from: m1, to: m2}")
	}
	r.file.Rules = append(r.file.Rules, rule)
}

func (r *reader) exchange(n *yaml.Node) string {
	s := r.text(n)
	if s != string(policy.Delegate) && s != string(policy.Impersonate) {
		r.bad(n, "exchange is delegate or impersonate")
	}
	return s
}

func (r *reader) scopes(n *yaml.Node) []string {
	scopes, err := directory.ParseScopes(strings.Join(r.texts(n), " "))
	if err != nil {
		r.problems.addError(r.at(n), err)
	}
	return scopes
}

func (r *reader) when(n *yaml.Node) (c directory.Conditions) {
	r.object(n, "when", map[string]func(*yaml.Node){
		"auth":     func(n *yaml.Node) { c.Auth = r.texts(n) },
		"bound":    func(n *yaml.Node) { c.Bound = r.boolean(n) },
		"networks": func(n *yaml.Node) { c.Networks = r.texts(n) },
		"hours":    func(n *yaml.Node) { c.Hours = r.text(n) },
		"chain":    func(n *yaml.Node) { c.Chain = r.text(n) },
	})
	if _, err := c.Compile(); err != nil {
		r.problems.addError(r.at(n), err)
	}
	return c
}

func (r *reader) test(n *yaml.Node) {
	t := Test{at: r.at(n)}
	expected := false
	before := len(r.problems)
	r.object(n, "a test", map[string]func(*yaml.Node){
		"from":   func(n *yaml.Node) { t.From = r.parties(n) },
		"to":     func(n *yaml.Node) { t.To = r.parties(n) },
		"scopes": func(n *yaml.Node) { t.Scopes = r.scopes(n) },
		"with":   func(n *yaml.Node) { t.With = r.circumstances(n) },
		"expect": func(n *yaml.Node) {
			expected = true
			if t.Allow = n.Value == "allow"; !t.Allow && n.Value != "deny" {
				r.bad(n, "expect is allow or deny")
			}
		},
	})
	if len(r.problems) == before && (t.From == nil || t.To == nil || !expected) {
		r.bad(n, "a test says what is to come out: {from: m1, to: m2, expect: deny}")
	}
	r.file.Tests = append(r.file.Tests, t)
}

func (r *reader) circumstances(n *yaml.Node) (c Circumstances) {
	r.object(n, "with", map[string]func(*yaml.Node){
		"auth":         func(n *yaml.Node) { c.Auth = r.text(n) },
		"bound":        func(n *yaml.Node) { c.Bound = r.boolean(n) },
		"network":      func(n *yaml.Node) { c.Network = r.address(n) },
		"at":           func(n *yaml.Node) { c.At = r.moment(n) },
		"on-behalf-of": func(n *yaml.Node) { c.OnBehalfOf = r.name(n).Text },
	})
	return c
}

func sorted(s []string) []string {
	slices.Sort(s)
	return slices.Compact(s)
}
