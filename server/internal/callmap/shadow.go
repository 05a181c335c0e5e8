package callmap

import (
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/policy"
)

// Before is the directory as it was when the plan was made.
func (p *Plan) Before(keep time.Duration) *directory.Snapshot {
	return directory.NewSnapshot(p.state, keep)
}

// Touched are the edges whose rule the plan changes and the services it changes, but for new ones, of
// which nothing was asked yet.
func (p *Plan) Touched() (edges []policy.Edge, services []directory.UID) {
	for _, c := range p.Rules {
		if c.Old != nil {
			edges = append(edges, c.Old.Edge)
		} else {
			edges = append(edges, c.New.Edge)
		}
	}
	for _, c := range p.Services {
		if c.Old != nil {
			services = append(services, c.Old.UID)
		}
	}
	return edges, services
}

// Declared ranges over the rules of the files that are there already, in no order.
func (p *Plan) Declared(files []*File) iter.Seq[RuleChange] {
	owners := map[string]bool{}
	for _, f := range files {
		owners[f.Owner] = true
	}
	changed := make(map[policy.Edge]*directory.Rule, len(p.Rules))
	for _, c := range p.Rules {
		if c.Old != nil {
			changed[c.Old.Edge] = c.New
		}
	}
	return func(yield func(RuleChange) bool) {
		for i := range p.state.Rules {
			r := &p.state.Rules[i]
			next, differs := changed[r.Edge]
			if !differs {
				next = r
			}
			if next != nil && owners[next.ManagedBy] && !yield(RuleChange{p.names[r.Caller], p.names[r.Target], r, next}) {
				return
			}
		}
	}
}

// Overlay is the plan as rules that are decided beside those in force: what it adds or changes, and
// where it leaves none. Its own shadow rules are among them. leftOut names what cannot be shadowed.
func (p *Plan) Overlay() (rules []directory.ShadowRule, leftOut []string) {
	overlay := map[policy.Edge]directory.ShadowRule{}
	absent := func(r *directory.Rule) {
		overlay[r.Edge] = directory.ShadowRule{Rule: directory.Rule{Edge: r.Edge, ManagedBy: r.ManagedBy}, Absent: true}
	}
	known, silenced := make(map[directory.UID]bool, len(p.state.Services)), map[directory.UID]bool{}
	for i := range p.state.Services {
		known[p.state.Services[i].UID] = true
	}
	for _, c := range p.Services {
		switch {
		case c.Old == nil: // nothing can be asked of it yet
		case c.New == nil, c.New.Disabled && !c.Old.Disabled:
			silenced[c.Old.UID] = true
		case c.Old.Disabled && !c.New.Disabled:
			leftOut = append(leftOut, c.New.Name+" would be enabled")
		case c.Old.Observe && !c.New.Observe: // what it would refuse is recorded already
		}
	}
	for i := range p.state.Rules {
		if r := &p.state.Rules[i]; silenced[r.Caller] || silenced[r.Target] {
			absent(r)
		}
	}
	for _, c := range p.Rules {
		switch {
		case c.New == nil:
			absent(c.Old)
		case !known[c.New.Caller] || !known[c.New.Target]:
		case silenced[c.New.Caller] || silenced[c.New.Target]:
		case c.Old == nil || !sameMeaning(c.Old, c.New):
			overlay[c.New.Edge] = directory.ShadowRule{Rule: *c.New}
		}
	}
	for _, r := range p.Shadow {
		if known[r.Caller] && known[r.Target] {
			overlay[r.Edge] = r
		}
	}
	for _, c := range p.Trusts {
		leftOut = append(leftOut, "trust "+c.Name()+" would be "+pastOps[c.op()])
	}
	for _, c := range p.Identities {
		leftOut = append(leftOut, "identity "+c.Service+" ("+c.words+") would be "+pastOps[c.op()])
	}
	rules = slices.SortedFunc(maps.Values(overlay), func(a, b directory.ShadowRule) int { return compareEdges(a.Edge, b.Edge) })
	return rules, leftOut
}

// sameMeaning reports whether two rules decide alike, regardless of their owners.
func sameMeaning(a, b *directory.Rule) bool {
	other := *b
	other.ManagedBy = a.ManagedBy
	return sameTerms(a, &other)
}
