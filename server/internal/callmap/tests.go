package callmap

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/issuer"
	"github.com/watchword-dev/watchword/server/internal/trust"
)

// checkTests says of names in tests that there is nobody of that name. A test of what is gone
// would pass for ever.
func (p *planner) checkTests() {
	asked := 0
	for i := range p.plan.tests {
		t := &p.plan.tests[i]
		callers := len(p.all(t.From))
		if t.As != nil {
			callers = 1
			p.checkToken(t)
		}
		if asked += callers * len(p.all(t.To)); asked > maxTests {
			p.problems.add(t.at, "with this test, the files require %d decisions; at most %d are accepted: use smaller groups", asked, maxTests)
			return
		}
		if c := t.With.OnBehalfOf; c != "" && p.byName[c] == nil {
			p.problems.add(t.at, "there is no service %q", c)
		}
	}
}

// checkToken reads the claims of the token of a test.
func (p *planner) checkToken(t *Test) {
	tr := p.findTrust(t.As)
	if tr == nil || tr.Preset == "" {
		return
	}
	var err error
	if t.token, err = trust.Suppose(&tr.TrustSettings, claimsOf(t.As.Claims)); err != nil {
		p.problems.add(t.As.place(err), "%s", problemOf(err))
	}
	methods := []string{api.WorkloadJWT}
	if tr.Preset == trust.SPIFFE {
		methods = []string{api.SPIFFEJWT, api.SPIFFEX509}
	}
	if t.With.Auth != "" && !slices.Contains(methods, t.With.Auth) {
		p.problems.add(t.at, "a token of the trust %q is not presented by %s: write %s, or leave auth out", tr.Name, t.With.Auth, strings.Join(methods, " or "))
	}
}

// Test runs the tests of the files as requests are decided, on the directory as it would be after the plan.
func (p *Plan) Test(after *issuer.Rehearser, now time.Time) (results []api.CallMapTest) {
	for i := range p.tests {
		t := &p.tests[i]
		callers, targets := p.members(t.From), p.members(t.To)
		if t.As != nil {
			callers = []string{""}
		}
		for _, caller := range callers {
			for _, target := range targets {
				results = append(results, t.run(after, caller, target, now))
			}
		}
	}
	return results
}

// run asks for one decision. The empty caller is the one that the token of the test proves.
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
	if t.As != nil {
		r.From = "token of " + t.As.Trust.Text
		id, failure := after.Vouched(t.As.Trust.Text, t.token, q.Address, q.At)
		if failure != nil {
			r.Reason = failure.Reason
			for _, f := range failure.Findings {
				if !f.Met {
					r.Claims = append(r.Claims, f)
				}
			}
			return r
		}
		r.From += " (" + id.Service.Name + ")"
		q.Caller, q.Credential, q.Method = id.Service.Name, id.CredentialID, cmp.Or(q.Method, id.Method)
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
