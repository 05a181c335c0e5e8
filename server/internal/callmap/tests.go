package callmap

import (
	"net/netip"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/policy"
)

// checkTests says of names in tests that there is nobody of that name. A test of what is gone
// would pass for ever.
func (p *planner) checkTests() {
	asked := 0
	for _, t := range p.plan.tests {
		if asked += len(p.all(t.From)) * len(p.all(t.To)); asked > maxTests {
			p.problems.add(t.at, "with this test, the files ask for %d decisions; at most %d are accepted: use smaller groups", asked, maxTests)
			return
		}
		if c := t.With.OnBehalfOf; c != "" && p.byName[c] == nil {
			p.problems.add(t.at, "there is no service %q", c)
		}
	}
}

// Test runs the tests of the files against the directory as it would be after the plan.
func (p *Plan) Test(after *directory.Snapshot, now time.Time) (results []api.CallMapTest) {
	for _, t := range p.tests {
		targets := p.members(t.To)
		for _, caller := range p.members(t.From) {
			for _, target := range targets {
				results = append(results, t.run(after, caller, target, now))
			}
		}
	}
	return results
}

func (t *Test) run(s *directory.Snapshot, caller, target string, now time.Time) api.CallMapTest {
	r := api.CallMapTest{File: t.at.file.Name, Line: t.at.Line, From: caller, To: target, Scopes: t.Scopes, Expect: "deny", Got: "deny"}
	if t.Allow {
		r.Expect = "allow"
	}
	q := directory.Question{Target: target, Scopes: t.Scopes, At: now, With: policy.Circumstances{Method: t.With.Auth, Bound: t.With.Bound}}
	if svc, ok := s.Service(caller); ok {
		q.Caller = svc.UID
	}
	if !t.With.At.IsZero() {
		q.At = t.With.At
	}
	if t.With.Network != "" {
		q.With.Address = netip.MustParseAddr(t.With.Network) // checked when it was read
	}
	if t.With.OnBehalfOf != "" {
		q.Exchange, q.Within, q.With.Actors = policy.Delegate, t.Scopes, 1
	}
	v := s.Decide(q)
	// What an observing target lets through is not allowed.
	if r.Reason = string(v.Reason); v.Observed != "" {
		r.Reason = string(v.Observed)
	} else if v.Allowed() {
		r.Got = "allow"
	}
	return r
}
