package explain

import (
	"cmp"
	"slices"
	"strings"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/policy"
	"github.com/watchword-dev/watchword/server/internal/usage"
)

// ShadowReport adds up what was recorded to have come out otherwise.
type ShadowReport struct {
	s     *directory.Snapshot
	edges map[otherwiseKey]*api.Otherwise
}

type otherwiseKey struct {
	policy.Edge
	by, outcome string
	reason      policy.Reason
}

// NewShadowReport makes an empty report, with the names of s.
func NewShadowReport(s *directory.Snapshot) *ShadowReport {
	return &ShadowReport{s: s, edges: map[otherwiseKey]*api.Otherwise{}}
}

// Add one row. Of services that are gone nothing is reported.
func (r *ShadowReport) Add(row usage.Row) {
	if row.Would != "" {
		r.add(row, "observe", "refused", row.Would)
	}
	// What the rules in force say: an observing target does not make it a yes.
	ruled := row.Why
	if ruled == "" {
		ruled = row.Would
	}
	switch {
	case row.Shadow == "":
	case row.Shadow == policy.FewerScopes:
		r.add(row, "shadow", "fewer_scopes", row.Shadow)
	case row.Shadow == policy.Allowed:
		r.add(row, "shadow", "allowed", ruled)
	case ruled == "": // else both refuse, if not for the same reason
		r.add(row, "shadow", "refused", row.Shadow)
	}
}

func (r *ShadowReport) add(row usage.Row, by, outcome string, reason policy.Reason) {
	caller, ok1 := r.s.ServiceByUID(row.Caller)
	target, ok2 := r.s.ServiceByUID(row.Target)
	if !ok1 || !ok2 {
		return
	}
	k := otherwiseKey{row.Edge, by, outcome, reason}
	o := r.edges[k]
	if o == nil {
		o = &api.Otherwise{Caller: caller.Name, Target: target.Name, By: by, Outcome: outcome, Reason: string(reason)}
		r.edges[k] = o
	}
	o.Tokens += row.N
	if row.Last.After(o.Last) {
		o.Last = row.Last
	}
	o.Scopes = merged(o.Scopes, row.Scopes)
}

// merged adds scopes to a sorted list.
func merged(all []string, scopes string) []string {
	for s := range strings.FieldsSeq(scopes) {
		if i, found := slices.BinarySearch(all, s); !found {
			all = slices.Insert(all, i, s)
		}
	}
	return all
}

// Edges are what came together, that with the most tokens first.
func (r *ShadowReport) Edges() []api.Otherwise {
	all := make([]api.Otherwise, 0, len(r.edges))
	for _, o := range r.edges {
		all = append(all, *o)
	}
	slices.SortFunc(all, func(a, b api.Otherwise) int {
		return cmp.Or(cmp.Compare(b.Tokens, a.Tokens), cmp.Compare(a.Caller, b.Caller), cmp.Compare(a.Target, b.Target),
			cmp.Compare(a.By, b.By), cmp.Compare(a.Outcome, b.Outcome), cmp.Compare(a.Reason, b.Reason))
	})
	return all
}
