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
	var members []string
	for _, m := range g.Members {
		members = append(members, p.resolve(m, append(within, name))...)
	}
	if len(g.Labels) > 0 {
		members = append(members, p.labelled(g.Labels)...)
	}
	slices.Sort(members)
	members = slices.Compact(members)
	p.expanded[name] = members
	return members
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
			p.problems.add(n.at, "there is no service %q: name it under services, or make it first", n.Text)
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
	var services []string
	for _, n := range names {
		services = append(services, p.resolve(n, nil)...)
	}
	slices.Sort(services)
	return slices.Compact(services)
}

// services is resolve for names that were checked.
func (p *planner) services(n Name) []string { return p.resolve(n, nil) }

// Strangers are the services that files name in rules, groups and tests and do not declare, sorted:
// they have to be there already.
func Strangers(files []*File) (names []string) {
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
	for name := range named {
		if !declared[name] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
