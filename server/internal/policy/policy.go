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
	// Until is when the rule ends, that moment excluded, in microseconds since 1970.
	// Zero: it does not end.
	Until int64
	// Terms are what else the rule says. Many rules say the same, and share them. Nil: nothing.
	Terms *Terms
}

// Terms of a rule. They are immutable: rules share them.
type Terms struct {
	// Scopes the caller may have at the target: sorted, without repetition.
	Scopes []string
	// Exchange is what the caller may do with the token of another that it received.
	Exchange Exchange
	// MayAct is the one service that may exchange the tokens this rule gives (RFC 8693, section
	// 4.4). Zero: their audience may.
	MayAct ServiceID
	// When are the conditions under which the rule counts. Nil: always.
	When *When
	// Absent, in an overlay, says that there is to be no rule for this edge.
	Absent bool
}

// Exchange is what a rule allows of token exchange (RFC 8693).
type Exchange string

// The degrees of Exchange, each of which includes those before it.
const (
	NoExchange  Exchange = ""            // the caller calls as itself only
	Delegate    Exchange = "delegate"    // on behalf of another, and the token says so (act)
	Impersonate Exchange = "impersonate" // as another, without a trace in the token
)

var noTerms = &Terms{}

// terms are never nil, those of no rule included.
func (r *Rule) terms() *Terms {
	if r == nil || r.Terms == nil {
		return noTerms
	}
	return r.Terms
}

// Scopes the caller may have at the target. Not to be changed.
func (r *Rule) Scopes() []string { return r.terms().Scopes }

// Exchange is what the rule allows of token exchange.
func (r *Rule) Exchange() Exchange { return r.terms().Exchange }

// MayAct is the service that may exchange the tokens this rule gives, or zero.
func (r *Rule) MayAct() ServiceID { return r.terms().MayAct }

// Query asks whether Caller may have a token for Target.
type Query struct {
	Edge
	// Scopes asked for, sorted and without repetition. None asks for all the rule has
	// (RFC 6749, section 3.3: a pre-defined default value).
	Scopes []string
	// Exchange is set when Caller would call on behalf of another, or as another.
	Exchange Exchange
	// Within are the scopes of the token that is exchanged: what is granted is among them,
	// whatever the rule has. Looked at only with Exchange.
	Within []string
	// At is the moment of the question, in microseconds since 1970.
	At int64
	// With is how the question is asked, for rules that have conditions.
	With Circumstances
}

// Reason is why a decision came out as it did. The text is for operators and the audit
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

	ExchangeNotAllowed   Reason = "exchange_not_allowed"
	ImpersonateForbidden Reason = "impersonation_not_allowed"
	ScopeNotInToken      Reason = "scope_not_in_subject_token"

	// FewerScopes is no reason of a decision, but how two that allow can differ: who names no scope
	// gets fewer of them.
	FewerScopes Reason = "fewer_scopes"

	// Conditions of the rule that do not hold.
	MethodNotAllowed  Reason = "condition_method"
	NotBound          Reason = "condition_bound"
	NetworkNotAllowed Reason = "condition_network"
	OutsideHours      Reason = "condition_hours"
	NotDirect         Reason = "condition_chain"
)

// Decision is the answer to one Query.
type Decision struct {
	Reason Reason
	// Rule that allowed, or the one that came nearest. Nil when there is none.
	Rule *Rule
	// Scopes granted. Not to be changed by the caller: it may be the rule's own.
	Scopes []string
}

// Allowed reports whether the answer is yes. The zero Decision is a no.
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
	return decide(rule, q)
}

// Decide answers q as a call map that has this rule alone; nil is no rule. It is for rules that are
// not in force, to see what they would do.
func (r *Rule) Decide(q Query) Decision { return decide(r, q) }

func decide(rule *Rule, q Query) Decision {
	switch {
	case rule == nil, rule.terms().Absent:
		return Decision{Reason: NoRule}
	case rule.Until != 0 && q.At >= rule.Until:
		return Decision{Reason: RuleEnded, Rule: rule}
	}
	if why := rule.terms().When.fails(&q); why != "" {
		return Decision{Reason: why, Rule: rule}
	}
	switch {
	case q.Exchange != NoExchange:
		return decideExchange(rule, q)
	case len(q.Scopes) == 0:
		return Decision{Reason: Allowed, Rule: rule, Scopes: rule.Scopes()}
	case !subset(q.Scopes, rule.Scopes()):
		return Decision{Reason: ScopeNotGranted, Rule: rule}
	default:
		return Decision{Reason: Allowed, Rule: rule, Scopes: q.Scopes}
	}
}

// DecideOver answers q as if the rules of overlay stood in the place of those m has for the same
// edges, and reports whether overlay has one for this edge at all.
func (m CallMap) DecideOver(overlay CallMap, q Query) (d Decision, over bool) {
	if rule := overlay.rules.find(q.Edge); rule != nil {
		return decide(rule, q), true
	}
	return m.Decide(q), false
}

// decideExchange: the actor's rule must allow exchange, and scopes only shrink (RFC 8693,
// section 2.1; RFC 9700, section 2.3).
func decideExchange(rule *Rule, q Query) Decision {
	allowed := rule.Exchange()
	switch {
	case allowed == NoExchange:
		return Decision{Reason: ExchangeNotAllowed, Rule: rule}
	case q.Exchange == Impersonate && allowed != Impersonate:
		return Decision{Reason: ImpersonateForbidden, Rule: rule}
	case len(q.Scopes) == 0:
		return Decision{Reason: Allowed, Rule: rule, Scopes: intersection(rule.Scopes(), q.Within)}
	case !subset(q.Scopes, q.Within):
		return Decision{Reason: ScopeNotInToken, Rule: rule}
	case !subset(q.Scopes, rule.Scopes()):
		return Decision{Reason: ScopeNotGranted, Rule: rule}
	}
	return Decision{Reason: Allowed, Rule: rule, Scopes: q.Scopes}
}

// intersection of two sorted lists.
func intersection(a, b []string) (both []string) {
	for _, s := range a {
		if _, found := slices.BinarySearch(b, s); found {
			both = append(both, s)
		}
	}
	return both
}

// subset reports whether all of some are in all; both are sorted.
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
