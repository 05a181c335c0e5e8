package callmap

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/policy"
)

// Summary is one line about the plan.
func (p *Plan) Summary() string {
	text := tally("services", p.Services) + "; " + tally("rules", p.Rules)
	if len(p.Trusts) > 0 {
		text += "; " + tally("trusts", p.Trusts)
	}
	if len(p.Identities) > 0 {
		text += "; " + tally("identities", p.Identities)
	}
	if p.ShadowChanged {
		text += fmt.Sprintf("; shadow: %d rules", len(p.Shadow))
	}
	return text
}

// change is one change of a plan.
type change interface{ op() int }

func (c TrustChange) op() int    { return opOf(c.Old != nil, c.New != nil) }
func (c ServiceChange) op() int  { return opOf(c.Old != nil, c.New != nil) }
func (c IdentityChange) op() int { return opOf(c.Old != nil, c.New != nil) }
func (c RuleChange) op() int     { return opOf(c.Old != nil, c.New != nil) }

// counts are how many of changes add, change and remove.
func counts[C change](changes []C) (n [3]int) {
	for _, c := range changes {
		n[c.op()]++
	}
	return n
}

func tally[C change](what string, changes []C) string {
	n := counts(changes)
	return fmt.Sprintf("%s: %d added, %d changed, %d removed", what, n[added], n[changed], n[removed])
}

const (
	added = iota
	changed
	removed
)

func opOf(before, after bool) int {
	switch {
	case !before:
		return added
	case after:
		return changed
	}
	return removed
}

var (
	ops     = []string{added: "add", changed: "change", removed: "remove"}
	pastOps = []string{added: "added", changed: "changed", removed: "removed"}
)

// Changes are all lines of the plan, at most limit (0: all).
func (p *Plan) Changes(limit int) (all []api.PlannedChange) {
	add := func(op int, kind, what, text string) {
		all = append(all, api.PlannedChange{Op: ops[op], Kind: kind, What: what, Text: text})
	}
	full := func() bool { return limit > 0 && len(all) >= limit }
	for i := 0; i < len(p.Trusts) && !full(); i++ {
		add(p.Trusts[i].op(), "trust", p.Trusts[i].Name(), trustDifference(p.Trusts[i]))
	}
	for i := 0; i < len(p.Services) && !full(); i++ {
		add(p.Services[i].op(), "service", p.Services[i].Name(), serviceDifference(p.Services[i].Old, p.Services[i].New))
	}
	for i := 0; i < len(p.Identities) && !full(); i++ {
		add(p.Identities[i].op(), "identity", p.Identities[i].Service, p.Identities[i].text())
	}
	for i := 0; i < len(p.Rules) && !full(); i++ {
		c := p.Rules[i]
		add(c.op(), "rule", c.Caller+" -> "+c.Target, p.ruleDifference(c.Old, c.New))
	}
	for _, c := range p.shadowChanges() {
		if full() {
			return all
		}
		all = append(all, c)
	}
	return all
}

// shadowChanges are the rules of the overlay that come, change or go, by name.
func (p *Plan) shadowChanges() (all []api.PlannedChange) {
	index := func(rules []directory.ShadowRule) map[policy.Edge]directory.ShadowRule {
		m := make(map[policy.Edge]directory.ShadowRule, len(rules))
		for _, r := range rules {
			m[r.Edge] = r
		}
		return m
	}
	before, after := index(p.state.Shadow), index(p.Shadow)
	add := func(op string, r directory.ShadowRule) {
		text := strings.TrimPrefix(ruleTerms(&r.Rule, p.names, false), ", ")
		if r.Absent {
			text = "no rule"
		}
		all = append(all, api.PlannedChange{Op: op, Kind: "shadow", What: p.names[r.Caller] + " -> " + p.names[r.Target], Text: text})
	}
	for e, r := range after {
		if old, was := before[e]; !was || !sameShadow(old, r) {
			add(ops[opOf(was, true)], r)
		}
	}
	for e, r := range before {
		if _, is := after[e]; !is {
			add("remove", r)
		}
	}
	slices.SortFunc(all, func(a, b api.PlannedChange) int { return cmp.Compare(a.What, b.What) })
	return all
}

// serviceDifference is each member that is another one.
func serviceDifference(old, next *directory.Service) string {
	switch {
	case old == nil:
		return strings.Join(settingsText(next), ", ")
	case next == nil:
		return "with its credentials"
	}
	text := difference(settingsText(old), settingsText(next))
	return adopted(text, old.ManagedBy, next.ManagedBy)
}

func (p *Plan) ruleDifference(old, next *directory.Rule) string {
	terms := func(r *directory.Rule) []string {
		if text := strings.TrimPrefix(ruleTerms(r, p.names, false), ", "); text != "" {
			return splitMembers(text)
		}
		return nil
	}
	switch {
	case old == nil:
		return strings.Join(terms(next), ", ")
	case next == nil:
		return strings.Join(terms(old), ", ")
	}
	return adopted(difference(terms(old), terms(next)), old.ManagedBy, next.ManagedBy)
}

func adopted(text, before, after string) string {
	if before == after {
		return text
	}
	if after == "" {
		return "stays, since it is disabled, and belongs to no file now"
	}
	take := "belonged to no file, now belongs to " + after + " now"
	if text == "" {
		return take
	}
	return text + "; " + take
}

// difference of two lists of "name: value".
func difference(old, next []string) string {
	var parts []string
	value := func(members []string, name string) (string, bool) {
		for _, m := range members {
			if v, ok := strings.CutPrefix(m, name+": "); ok {
				return v, true
			}
		}
		return "none", false
	}
	for _, m := range old {
		name, before, _ := strings.Cut(m, ": ")
		if after, _ := value(next, name); after != before {
			parts = append(parts, name+": "+before+" => "+after)
		}
	}
	for _, m := range next {
		name, after, _ := strings.Cut(m, ": ")
		if _, was := value(old, name); !was {
			parts = append(parts, name+": none => "+after)
		}
	}
	return strings.Join(parts, ", ")
}

// splitMembers splits "a: b, c: [d, e]" at the commas outside brackets and quotes.
func splitMembers(s string) (parts []string) {
	depth, quoted, start := 0, false, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			depth++
		case c == ']' || c == '}':
			depth--
		case c == ',' && depth == 0:
			parts = append(parts, strings.TrimSpace(s[start:i]))
			start = i + 1
		}
	}
	return append(parts, strings.TrimSpace(s[start:]))
}

// Ended are the rules of the files whose date is past: they are applied and allow nothing.
func (p *Plan) Ended(now time.Time) (all []string) {
	for _, c := range p.Rules {
		if c.New != nil && !c.New.Until.IsZero() && !c.New.Until.After(now) {
			all = append(all, c.Caller+" -> "+c.Target)
		}
	}
	slices.Sort(all)
	return all
}
