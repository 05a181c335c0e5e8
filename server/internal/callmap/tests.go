package callmap

import (
	"net/netip"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/issuer"
)

// checkTests says of names in tests that there is nobody of that name. A test of what is gone
// would pass for ever.
func (p *planner) checkTests() {
	asked := 0
	for _, t := range p.plan.tests {
		if asked += len(p.all(t.From)) * len(p.all(t.To)); asked > maxTests {
			p.problems.add(t.at, "with this test, the files require %d decisions; at most %d are accepted: use smaller groups", asked, maxTests)
			return
		}
		if c := t.With.OnBehalfOf; c != "" && p.byName[c] == nil {
			p.problems.add(t.at, "there is no service %q", c)
		}
	}
}

// Test runs the tests of the files as requests are decided, on the directory as it would be after the plan.
func (p *Plan) Test(after *issuer.Rehearser, now time.Time) (results []api.CallMapTest) {
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

func (t *Test) run(after *issuer.Rehearser, caller, target string, now time.Time) api.CallMapTest {
	r := api.CallMapTest{File: t.at.file.Name, Line: t.at.Line, From: caller, To: target, Scopes: t.Scopes, Expect: "deny", Got: "deny"}
	if t.Allow {
		r.Expect = "allow"
	}
	q := issuer.Rehearsal{
		Caller: caller, Targets: []string{target}, Scopes: t.Scopes, Method: t.With.Auth, Key: t.With.Bound, Certificate: t.With.Bound,
		OnBehalfOf: t.With.OnBehalfOf, At: now,
	}
	if !t.With.At.IsZero() {
		q.At = t.With.At
	}
	if t.With.Network != "" {
		q.Address = netip.MustParseAddr(t.With.Network) // checked when it was read
	}
	out := after.Rehearse(q.AtEndpoint())
	// What an observing target lets through is not allowed.
	if r.Reason = out.Reason; out.Verdict.Observed != "" {
		r.Reason = string(out.Verdict.Observed)
	} else if out.Allowed() {
		r.Got = "allow"
	}
	return r
}
