package callmap

import (
	"maps"
	"slices"
	"strings"
)

func (p *planner) readGroups(files []*File) {
	byFolded := map[string]*Group{}
	for _, f := range files {
		for i := range f.Groups {
			g := &f.Groups[i]
			folded := strings.ToLower(g.Name)
			if first, twice := byFolded[folded]; twice { // perhaps in another case, which people take for the same
				p.problems.add(g.at, "group %q is at %s:%d already", first.Name, first.at.file.Name, first.at.Line)
				continue
			}
			byFolded[folded] = g
			p.groups[g.Name] = g
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.groups)) {
		p.expand(name, nil)
	}
}

// expand is the services of a group, sorted.
func (p *planner) expand(name string, within []string) []string {
	if members, done := p.expanded[name]; done {
		return members
	}
	g := p.groups[name]
	if slices.Contains(within, name) {
		p.problems.add(g.at, "group %q contains itself", name)
		return nil
	}
	members := p.union(g.Members, append(within, name))
	if len(g.Labels) > 0 {
		members = sortedSet(append(members, p.labelled(g.Labels)...))
	}
	if before := p.expandedMembers; before <= maxMembers {
		if p.expandedMembers += len(members); p.expandedMembers > maxMembers {
			p.problems.add(g.at, "with group %q, which has %d members, all groups have %d members; at most %d are accepted", name, len(members), p.expandedMembers, maxMembers)
		}
	}
	if p.expandedMembers > maxMembers {
		members = nil
	}
	p.expanded[name] = members
	return members
}

// union is the services that names stand for, sorted, each once.
func (p *planner) union(names []Name, within []string) (services []string) {
	type party struct {
		text  string
		group bool
	}
	seen := make(map[party]bool, len(names))
	for _, n := range names {
		if key := (party{n.Text, n.Group}); !seen[key] {
			seen[key] = true
			services = append(services, p.resolve(n, within)...)
		}
	}
	return sortedSet(services)
}

func sortedSet(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}

func (p *planner) labelled(labels []string) (names []string) {
	for name, s := range p.byName {
		has := func(l string) bool { _, found := slices.BinarySearch(s.Labels, l); return found }
		if !slices.ContainsFunc(labels, func(l string) bool { return !has(l) }) {
			names = append(names, name)
		}
	}
	return names
}

// resolve is the services a name stands for.
func (p *planner) resolve(n Name, within []string) []string {
	if !n.Group {
		if p.byName[n.Text] == nil {
			p.problems.add(n.at, "there is no service %q: declare it under services, or create it first", n.Text)
			return nil
		}
		return []string{n.Text}
	}
	if p.groups[n.Text] == nil {
		p.problems.add(n.at, "there is no group %q", n.Text)
		return nil
	}
	return p.expand(n.Text, within)
}

// all is the services that names stand for, each once.
func (p *planner) all(names []Name) []string {
	if len(names) == 1 {
		return p.resolve(names[0], nil)
	}
	return p.union(names, nil)
}

// Strangers are the services that files name in rules, groups and tests and do not declare, and the trusts that they name
// and do not declare, sorted: they have to be there already.
func Strangers(files []*File) (services, trusts []string) {
	declared, named := map[string]bool{}, map[string]bool{}
	note := func(parties ...Name) {
		for _, n := range parties {
			if !n.Group && n.Text != "" {
				named[n.Text] = true
			}
		}
	}
	for _, f := range files {
		for i := range f.Services {
			declared[f.Services[i].Name] = true
		}
		for i := range f.Groups {
			note(f.Groups[i].Members...)
		}
		for i := range f.Rules {
			note(f.Rules[i].From...)
			note(f.Rules[i].To...)
			note(f.Rules[i].MayAct)
		}
		for i := range f.Tests {
			note(f.Tests[i].From...)
			note(f.Tests[i].To...)
			note(Name{Text: f.Tests[i].With.OnBehalfOf})
		}
	}
	return undeclared(named, declared), strangeTrusts(files)
}

func undeclared(named, declared map[string]bool) (names []string) {
	for name := range named {
		if !declared[name] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func strangeTrusts(files []*File) []string {
	declared, named := map[string]bool{}, map[string]bool{}
	for _, f := range files {
		for i := range f.Trusts {
			declared[f.Trusts[i].Name] = true
		}
		for i := range f.Services {
			for _, id := range f.Services[i].Identities {
				named[id.Trust.Text] = true
			}
		}
		for i := range f.Tests {
			if as := f.Tests[i].As; as != nil {
				named[as.Trust.Text] = true
			}
		}
	}
	return undeclared(named, declared)
}
