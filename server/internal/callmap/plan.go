package callmap

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/policy"
)

// Plan is what would change if files were applied.
type Plan struct {
	// Base is the revision of the directory that it was made from.
	Base       int64
	Trusts     []TrustChange    // by name
	Services   []ServiceChange  // by name
	Identities []IdentityChange // by service
	Rules      []RuleChange     // by caller, then target
	// Withheld are sentences about trusts that stay disabled, and identities of the files that stay revoked, because a hand
	// did that.
	Withheld []string
	// Shadow is the overlay that the files ask for. ShadowChanged: it is another one than today's.
	Shadow        []directory.ShadowRule
	ShadowChanged bool
	// Removed is how many trusts, services, identities and rules are removed. RemovesMany: the operator who applies the plan must repeat
	// the number.
	Removed     int
	RemovesMany bool

	state   *directory.State
	now     time.Time
	names   map[directory.UID]string
	members func([]Name) []string
	tests   []Test
}

// ServiceChange is a service before and after. Nil: there is none.
type ServiceChange struct {
	Old, New *directory.Service
	at       Position
}

// RuleChange is a rule before and after. Nil: there is none.
type RuleChange struct {
	Caller, Target string
	Old, New       *directory.Rule
}

// Empty reports whether nothing would change.
func (p *Plan) Empty() bool {
	return len(p.Trusts)+len(p.Services)+len(p.Identities)+len(p.Rules) == 0 && !p.ShadowChanged
}

// planner makes a plan.
type planner struct {
	plan     *Plan
	now      time.Time
	problems Problems

	owners   map[string]bool // whose parts the files are
	trusts   map[string]*directory.Trust
	byIssuer map[string]*directory.Trust // that are stored
	byName   map[string]*directory.Service
	groups   map[string]*Group
	expanded map[string][]string
	rules    map[policy.Edge]*directory.Rule
	wanted   map[policy.Edge]wantedRule
	shadow   map[policy.Edge]wantedRule // of the overlay

	expandedMembers, expandedRules int // how many so far, those named twice counted twice
}

// A few lines can name each service with each other, so what they come to is counted while it is written out.
const (
	// MaxRules is how many rules files may come to, with those of the shadow.
	MaxRules = 1 << 20
	// maxMembers is how many members all groups together may have.
	maxMembers = 4 << 20
	// maxTests is how many decisions the tests may ask for.
	maxTests = 100_000
)

type wantedRule struct {
	rule directory.Rule
	at   Position
}

// Make plans what files ask for, from the state that is there. The error is Problems.
//
// What a file names and somebody made by hand becomes the file's. What another owner has is left
// alone, and to name it is a mistake. What an owner of these files had and they do not name is
// removed; all else stays.
func Make(files []*File, state *directory.State, now time.Time) (*Plan, error) {
	now = now.UTC().Truncate(time.Microsecond)
	p := &planner{
		plan:   &Plan{Base: state.Revision, state: state, now: now, names: make(map[directory.UID]string, len(state.Services))},
		now:    now,
		owners: map[string]bool{}, trusts: make(map[string]*directory.Trust, len(state.Trusts)), byIssuer: map[string]*directory.Trust{}, groups: map[string]*Group{}, expanded: map[string][]string{},
		byName: make(map[string]*directory.Service, len(state.Services)),
		rules:  make(map[policy.Edge]*directory.Rule, len(state.Rules)),
		wanted: make(map[policy.Edge]wantedRule, len(state.Rules)),
		shadow: map[policy.Edge]wantedRule{},
	}
	for i := range state.Services {
		p.byName[state.Services[i].Name] = &state.Services[i]
		p.plan.names[state.Services[i].UID] = state.Services[i].Name
	}
	for i := range state.Rules {
		p.rules[state.Rules[i].Edge] = &state.Rules[i]
	}
	for _, step := range []func([]*File){p.planTrusts, p.planServices, p.planIdentities, p.checkNames, p.checkAudiences, p.readGroups, p.readRules} {
		step(files)
	}
	p.planRules()
	p.planShadow()
	for _, f := range files {
		p.plan.tests = append(p.plan.tests, f.Tests...)
	}
	p.plan.members = p.all
	p.checkTests()
	p.countRemoved()
	if err := p.problems.err(); err != nil {
		return nil, err
	}
	return p.plan, nil
}

func (p *planner) planServices(files []*File) {
	wanted := map[string]Position{}
	for _, f := range files {
		for _, s := range f.Services {
			if first, twice := wanted[s.Name]; twice {
				p.problems.add(s.at, "service %q is at %s:%d already", s.Name, first.file.Name, first.Line)
				continue
			}
			wanted[s.Name] = s.at
			p.planService(s)
		}
	}
	for i := range p.plan.state.Services {
		old := &p.plan.state.Services[i]
		if _, stays := wanted[old.Name]; !stays && old.ManagedBy != "" && p.owners[old.ManagedBy] {
			p.plan.Services = append(p.plan.Services, ServiceChange{Old: old})
			delete(p.byName, old.Name)
		}
	}
	slices.SortFunc(p.plan.Services, func(a, b ServiceChange) int { return cmp.Compare(a.Name(), b.Name()) })
}

func (p *planner) planService(s Service) {
	next := s.Service
	old := p.byName[s.Name]
	if old == nil {
		rand.Read(next.UID[:])
		next.CreatedAt, next.UpdatedAt = p.now, p.now
		p.plan.names[next.UID] = next.Name
		p.byName[next.Name] = &next
		p.plan.Services = append(p.plan.Services, ServiceChange{New: &next, at: s.at})
		return
	}
	if old.ManagedBy != "" && old.ManagedBy != s.ManagedBy {
		p.problems.add(s.at, "service %q belongs to %q; this file is of %q", s.Name, old.ManagedBy, s.ManagedBy)
		return
	}
	if s.keepsDisabled { // in an emergency it is disabled by hand, and the next apply must not undo that
		next.Disabled = old.Disabled
	}
	next.UID, next.Version, next.CreatedAt, next.UpdatedAt = old.UID, old.Version, old.CreatedAt, old.UpdatedAt
	if next.Equal(*old) {
		return
	}
	next.UpdatedAt = p.now
	p.byName[next.Name] = &next
	p.plan.Services = append(p.plan.Services, ServiceChange{old, &next, s.at})
}

// checkNames: people take names that differ in case only for one.
func (p *planner) checkNames([]*File) {
	folded := func(s *directory.Service) []string { return []string{strings.ToLower(s.Name)} }
	p.clashes(folded, func(c ServiceChange, _, other string) {
		if c.Old == nil {
			p.problems.add(c.at, "service %q differs from %q in case only", c.New.Name, other)
		}
	})
}

// checkAudiences: a token names its target by one of them, so there must not be two that have it.
func (p *planner) checkAudiences([]*File) {
	p.clashes(func(s *directory.Service) []string { return s.Audiences }, func(c ServiceChange, audience, other string) {
		p.problems.add(c.at, "the audience %q of %q is one of %q too", audience, c.New.Name, other)
	})
}

// clashes finds what a service of the plan has, of those things that belong to one service, and another has too.
func (p *planner) clashes(things func(*directory.Service) []string, found func(c ServiceChange, thing, other string)) {
	wanted := map[string][]string{} // the names of who has it
	for _, c := range p.plan.Services {
		if c.New != nil {
			for _, t := range things(c.New) {
				wanted[t] = nil
			}
		}
	}
	for name, s := range p.byName {
		for _, t := range things(s) {
			if owners, is := wanted[t]; is {
				wanted[t] = append(owners, name)
			}
		}
	}
	for _, c := range p.plan.Services {
		if c.New == nil {
			continue
		}
		for _, t := range things(c.New) {
			for _, other := range slices.Sorted(slices.Values(wanted[t])) {
				if other != c.New.Name {
					found(c, t, other)
					break
				}
			}
		}
	}
}

// Check holds the trusts and services of the plan against what the directory takes. The error is Problems.
func (p *Plan) Check(d interface {
	CheckTrust(directory.Trust) error
	CheckService(directory.Service) error
},
) error {
	var problems Problems
	for _, c := range p.Trusts {
		if c.New == nil {
			continue
		}
		if err := d.CheckTrust(*c.New); err != nil {
			at := c.at
			if wrong, ok := errors.AsType[*directory.InvalidError](err); ok {
				at = c.place(wrong.Field)
			}
			problems.add(at, "trust %q: %s", c.New.Name, inFile(err))
		}
	}
	for _, c := range p.Services {
		if c.New == nil {
			continue
		}
		if err := d.CheckService(*c.New); err != nil {
			problems.add(c.at, "service %q: %s", c.New.Name, inFile(err))
		}
	}
	return problems.err()
}

// inFile names the member that is wrong as the file does.
func inFile(err error) string {
	if wrong, ok := errors.AsType[*directory.InvalidError](err); ok {
		if i := slices.IndexFunc(settings, func(m api.ServiceMember) bool { return m.Name == wrong.Field }); i >= 0 {
			return settings[i].File + " " + wrong.Problem
		}
		if i := slices.IndexFunc(trustSettings, func(s trustSetting) bool { return s.name == wrong.Field }); i >= 0 {
			return trustSettings[i].file + " " + settingNames.Replace(wrong.Problem)
		}
	}
	return err.Error()
}

// Name of the service.
func (c ServiceChange) Name() string {
	if c.New != nil {
		return c.New.Name
	}
	return c.Old.Name
}

func (p *planner) readRules(files []*File) {
	for _, f := range files {
		for i := range f.Rules {
			p.readRule(f, &f.Rules[i])
		}
	}
}

func (p *planner) readRule(f *File, r *Rule) {
	when, err := directory.CompileWhen(r.When)
	if err != nil {
		p.problems.addError(r.at, err)
		return
	}
	terms := directory.Rule{Scopes: r.Scopes, Exchange: policy.Exchange(r.Exchange), When: when, Until: r.Until, ManagedBy: f.Owner}
	if r.MayAct.Text != "" {
		svc := p.byName[r.MayAct.Text]
		if svc == nil {
			p.problems.add(r.MayAct.at, "there is no service %q", r.MayAct.Text)
			return
		}
		terms.MayAct = svc.UID
	}
	wanted := p.wanted
	if r.Shadow {
		wanted = p.shadow
	}
	if p.expandedRules > MaxRules {
		return // and that was said
	}
	callers, targets := p.all(r.From), p.all(r.To)
	if p.expandedRules += len(callers) * len(targets); p.expandedRules > MaxRules {
		p.problems.add(r.at, "with this rule, from %d services to %d, the files have %d rules; at most %d are accepted: use smaller groups", len(callers), len(targets), p.expandedRules, MaxRules)
		return
	}
	for _, caller := range callers {
		for _, target := range targets {
			terms.Edge = policy.Edge{Caller: p.byName[caller].UID, Target: p.byName[target].UID}
			if first, twice := wanted[terms.Edge]; twice && !sameTerms(&first.rule, &terms) {
				whose := ""
				if first.rule.ManagedBy != terms.ManagedBy {
					whose = fmt.Sprintf(": it is of %q there, and of %q here", first.rule.ManagedBy, terms.ManagedBy)
				}
				p.problems.add(r.at, "%s -> %s is at %s:%d already, on other terms%s", caller, target, first.at.file.Name, first.at.Line, whose)
				return
			}
			wanted[terms.Edge] = wantedRule{terms, r.at}
		}
	}
}

// sameTerms reports whether two rules say the same of their edge.
func sameTerms(a, b *directory.Rule) bool {
	return slices.Equal(a.Scopes, b.Scopes) && a.Exchange == b.Exchange && a.MayAct == b.MayAct && a.Until.Equal(b.Until) &&
		a.ManagedBy == b.ManagedBy && directory.FormatWhen(a.When) == directory.FormatWhen(b.When)
}

func (p *planner) planRules() {
	p.plan.Rules = make([]RuleChange, 0, max(0, len(p.wanted)-len(p.rules)))
	for e, w := range p.wanted {
		old, next := p.rules[e], w.rule
		switch {
		case old == nil:
			next.CreatedAt = p.now
		case old.ManagedBy != "" && old.ManagedBy != next.ManagedBy:
			p.problems.add(w.at, "the rule %s -> %s belongs to %q; this file is of %q", p.plan.names[e.Caller], p.plan.names[e.Target], old.ManagedBy, next.ManagedBy)
			continue
		case sameTerms(old, &next):
			continue
		default:
			next.Version, next.CreatedAt = old.Version, old.CreatedAt
		}
		next.UpdatedAt = p.now
		p.plan.Rules = append(p.plan.Rules, p.ruleChange(e, old, &next))
	}
	for i := range p.plan.state.Rules {
		old := &p.plan.state.Rules[i]
		if _, stays := p.wanted[old.Edge]; !stays && old.ManagedBy != "" && p.owners[old.ManagedBy] {
			p.plan.Rules = append(p.plan.Rules, p.ruleChange(old.Edge, old, nil))
		}
	}
	slices.SortFunc(p.plan.Rules, func(a, b RuleChange) int {
		return cmp.Or(strings.Compare(a.Caller, b.Caller), strings.Compare(a.Target, b.Target))
	})
}

func (p *planner) ruleChange(e policy.Edge, old, next *directory.Rule) RuleChange {
	return RuleChange{p.plan.names[e.Caller], p.plan.names[e.Target], old, next}
}

// planShadow: of the overlay too, an owner of these files has what they say, and the others keep
// theirs.
func (p *planner) planShadow() {
	for _, w := range p.shadow {
		p.plan.Shadow = append(p.plan.Shadow, directory.ShadowRule{Rule: w.rule})
	}
	for _, r := range p.plan.state.Shadow {
		w, taken := p.shadow[r.Edge]
		switch {
		case p.owners[r.ManagedBy] || !p.stays(r.Caller) || !p.stays(r.Target):
		case taken:
			p.problems.add(w.at, "the shadow rule %s -> %s belongs to %q; this file is of %q",
				p.plan.names[r.Caller], p.plan.names[r.Target], r.ManagedBy, w.rule.ManagedBy)
		default:
			p.plan.Shadow = append(p.plan.Shadow, r)
		}
	}
	slices.SortFunc(p.plan.Shadow, func(a, b directory.ShadowRule) int { return compareEdges(a.Edge, b.Edge) })
	p.plan.ShadowChanged = !slices.EqualFunc(p.plan.Shadow, p.plan.state.Shadow, sameShadow)
}

func sameShadow(a, b directory.ShadowRule) bool {
	return a.Edge == b.Edge && a.Absent == b.Absent && sameTerms(&a.Rule, &b.Rule)
}

// stays reports whether the service is not removed by the plan.
func (p *planner) stays(uid directory.UID) bool {
	svc := p.byName[p.plan.names[uid]]
	return svc != nil && svc.UID == uid
}

func compareEdges(a, b policy.Edge) int {
	return cmp.Or(slices.Compare(a.Caller[:], b.Caller[:]), slices.Compare(a.Target[:], b.Target[:]))
}

// countRemoved: a file that was cut off, or generated from nothing, must not end the credentials of all. So a plan
// removes many if it removes all services or all trusts that the files own, or a quarter of all that they own, if that is
// ten or more.
func (p *planner) countRemoved() {
	services, trusts := counts(p.plan.Services)[removed], counts(p.plan.Trusts)[removed]
	var ownServices, ownTrusts, own int
	// An identity with other claims takes the place of one.
	lost := map[string]int{}
	for _, c := range p.plan.Identities {
		switch c.op() {
		case added:
			lost[c.Service]--
		case removed:
			lost[c.Service]++
		}
	}
	p.plan.Removed = services + trusts + counts(p.plan.Rules)[removed]
	for _, n := range lost {
		p.plan.Removed += max(0, n)
	}
	for _, s := range p.plan.state.Services {
		ownServices += p.owns(s.ManagedBy)
	}
	for _, t := range p.plan.state.Trusts {
		ownTrusts += p.owns(t.ManagedBy)
	}
	for _, r := range p.plan.state.Rules {
		own += p.owns(r.ManagedBy)
	}
	for _, c := range p.plan.state.Credentials {
		if c.RevokedAt.IsZero() {
			own += p.owns(c.ManagedBy)
		}
	}
	own += ownServices + ownTrusts
	p.plan.RemovesMany = services > 0 && services == ownServices || trusts > 0 && trusts == ownTrusts ||
		p.plan.Removed >= 10 && 4*p.plan.Removed >= own
}

// owns is 1 if what belongs to owner is that of the files, and else 0.
func (p *planner) owns(owner string) int {
	if owner != "" && p.owners[owner] {
		return 1
	}
	return 0
}

// Batch is the plan as the directory applies it.
func (p *Plan) Batch() directory.Batch {
	b := directory.Batch{Base: p.Base}
	for _, c := range p.Trusts {
		if c.New != nil {
			b.PutTrusts = append(b.PutTrusts, *c.New)
		} else {
			b.DeleteTrusts = append(b.DeleteTrusts, *c.Old)
		}
	}
	for _, c := range p.Identities {
		switch {
		case c.New == nil:
			b.RevokeCredentials = append(b.RevokeCredentials, *c.Old)
		case c.Old == nil:
			b.PutCredentials = append(b.PutCredentials, *c.New)
		default:
			b.AdoptCredentials = append(b.AdoptCredentials, *c.New)
		}
	}
	deleted := map[directory.UID]bool{}
	for _, c := range p.Services {
		if c.New != nil {
			b.PutServices = append(b.PutServices, *c.New)
		} else {
			b.DeleteServices = append(b.DeleteServices, *c.Old)
			deleted[c.Old.UID] = true
		}
	}
	for _, c := range p.Rules {
		if c.New != nil {
			b.PutRules = append(b.PutRules, *c.New)
		} else if !deleted[c.Old.Caller] && !deleted[c.Old.Target] { // those go with their service
			b.DeleteRules = append(b.DeleteRules, *c.Old)
		}
	}
	if p.ShadowChanged {
		shadow := append([]directory.ShadowRule{}, p.Shadow...)
		b.Shadow = &shadow
	}
	return b
}

// After is the directory as it would be, to ask it what it would decide.
func (p *Plan) After(keep time.Duration) *directory.Snapshot {
	next := *p.state
	services := make(map[directory.UID]directory.Service, len(next.Services))
	for _, s := range next.Services {
		services[s.UID] = s
	}
	for _, c := range p.Services {
		if c.New != nil {
			services[c.New.UID] = *c.New
		} else {
			delete(services, c.Old.UID)
		}
	}
	next.Services = slices.Collect(maps.Values(services))
	next.Rules = make([]directory.Rule, 0, len(p.state.Rules)+len(p.Rules))
	changed := map[policy.Edge]bool{} // only of what is there: a first plan has a million new ones
	for _, c := range p.Rules {
		if c.Old != nil {
			changed[c.Old.Edge] = true
		}
		if c.New != nil {
			next.Rules = append(next.Rules, *c.New)
		}
	}
	for _, r := range p.state.Rules {
		if !changed[r.Edge] {
			next.Rules = append(next.Rules, r)
		}
	}
	next.Shadow = p.Shadow
	next.Trusts, next.Credentials = p.identitiesAfter()
	return directory.NewSnapshot(&next, keep)
}
