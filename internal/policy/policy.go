// Package policy decides who may call whom. It does no I/O and reads no clock, and knows
// services only by their immutable ids: names, and whether a service is enabled, are the
// directory's.
package policy

import (
	"iter"
	"slices"
)

// ServiceID is a service's immutable identity. A name that is deleted and made again gets
// another one, so no rule survives it.
type ServiceID [16]byte

// Edge is a pair of caller and target, in this direction.
type Edge struct{ Caller, Target ServiceID }

// Rule allows one caller one target.
type Rule struct {
	Edge
	// Scopes the caller may have at the target: sorted, without repetition.
	Scopes []string
	// Until is when the rule ends, that moment excluded, in microseconds since 1970.
	// Zero: it does not end.
	Until int64
}

// Query asks whether Caller may have a token for Target.
type Query struct {
	Edge
	// Scopes asked for, sorted and without repetition. None asks for all the rule has
	// (RFC 6749, section 3.3: a pre-defined default value).
	Scopes []string
	// At is the moment of the question, in microseconds since 1970.
	At int64
}

// Reason says why a decision came out as it did. The text is for operators and the audit
// log, never for the caller.
type Reason string

// The reasons. Those about services are given by the directory, which resolves names
// before it asks.
const (
	Allowed         Reason = "allowed"
	NoRule          Reason = "no_rule"
	RuleEnded       Reason = "rule_ended"
	ScopeNotGranted Reason = "scope_not_granted"
	UnknownTarget   Reason = "unknown_target"
	TargetDisabled  Reason = "target_disabled"
	CallerDisabled  Reason = "caller_disabled"
)

// Decision is the answer to one Query.
type Decision struct {
	Reason Reason
	// Rule that allowed, or the one that came nearest. Nil when there is none.
	Rule *Rule
	// Scopes granted. Not to be changed by the caller: it may be the rule's own.
	Scopes []string
}

// Allowed says whether the answer is yes. The zero Decision is a no.
func (d Decision) Allowed() bool { return d.Reason == Allowed }

// CallMap is all rules, immutable. The zero value allows nothing.
type CallMap struct{ rules table }

// Compile makes a call map of n or so rules, much faster than n calls of With. Of two
// rules for one edge the later one counts.
func Compile(n int, rules iter.Seq[Rule]) CallMap { return CallMap{collect(n, rules)} }

// With returns a call map that has r, in place of any rule for the same edge.
func (m CallMap) With(r Rule) CallMap { return CallMap{m.rules.with(r)} }

// Without returns a call map that has no rule for e.
func (m CallMap) Without(e Edge) CallMap { return CallMap{m.rules.without(e)} }

// WithoutService returns a call map in which no rule names id. It looks at every rule, and
// compiles anew: a service may be the target of all others.
func (m CallMap) WithoutService(id ServiceID) CallMap {
	kept := 0
	for r := range m.All() {
		if r.Caller != id && r.Target != id {
			kept++
		}
	}
	if kept == m.Len() {
		return m
	}
	return Compile(kept, func(yield func(Rule) bool) {
		for r := range m.All() {
			if r.Caller != id && r.Target != id && !yield(r) {
				return
			}
		}
	})
}

// Rule returns the rule for e, or nil. It is not to be changed.
func (m CallMap) Rule(e Edge) *Rule { return m.rules.find(e) }

// All ranges over the rules, in no order.
func (m CallMap) All() iter.Seq[Rule] { return m.rules.all() }

// Len is the number of rules.
func (m CallMap) Len() int { return m.rules.n }

// Decide answers q. What no rule allows is refused; a service calling itself is no exception.
func (m CallMap) Decide(q Query) Decision {
	rule := m.rules.find(q.Edge)
	switch {
	case rule == nil:
		return Decision{Reason: NoRule}
	case rule.Until != 0 && q.At >= rule.Until:
		return Decision{Reason: RuleEnded, Rule: rule}
	case len(q.Scopes) == 0:
		return Decision{Reason: Allowed, Rule: rule, Scopes: rule.Scopes}
	case !subset(q.Scopes, rule.Scopes):
		return Decision{Reason: ScopeNotGranted, Rule: rule}
	default:
		return Decision{Reason: Allowed, Rule: rule, Scopes: q.Scopes}
	}
}

// subset says whether all of some are in all; both are sorted.
func subset(some, all []string) bool {
	for _, s := range some {
		i, found := slices.BinarySearch(all, s)
		if !found {
			return false
		}
		all = all[i:]
	}
	return true
}
