package explain

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/policy"
)

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC) // a Tuesday

func uid(i int) (u directory.UID) {
	u[0], u[15] = byte(i+1), byte(i+1)
	return u
}

func name(i int) string { return fmt.Sprintf("m%d", i+1) }

const people = 4

var inside, outside = netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("192.0.2.1")

func someScopes(t *rapid.T, label string) []string {
	s := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b"}), 0, 2, rapid.ID).Draw(t, label)
	slices.Sort(s)
	return s
}

// someState draws a small directory with all that a rule can say.
func someState(t *rapid.T) *directory.State {
	st := &directory.State{Revision: 1}
	for i := range people {
		svc := directory.Service{UID: uid(i), Name: name(i), Version: 1}
		svc.Disabled = rapid.IntRange(0, 9).Draw(t, "disabled") == 0
		svc.Observe = rapid.IntRange(0, 7).Draw(t, "observe") == 0
		if rapid.IntRange(0, 7).Draw(t, "grants") == 0 {
			svc.GrantTypes = []string{"client_credentials"}
		}
		st.Services = append(st.Services, svc)
	}
	for caller := range people {
		for target := range people {
			if rapid.IntRange(0, 2).Draw(t, "rule") == 0 {
				st.Rules = append(st.Rules, someRule(t, caller, target))
			}
		}
	}
	return st
}

func someRule(t *rapid.T, caller, target int) directory.Rule {
	r := directory.Rule{Edge: policy.Edge{Caller: uid(caller), Target: uid(target)}, Scopes: someScopes(t, "scopes"), Version: 1}
	r.Exchange = rapid.SampledFrom([]policy.Exchange{"", policy.Delegate, policy.Delegate, policy.Impersonate}).Draw(t, "exchange")
	if rapid.IntRange(0, 5).Draw(t, "may act") == 0 {
		r.MayAct = uid(rapid.IntRange(0, people-1).Draw(t, "who"))
	}
	switch rapid.IntRange(0, 9).Draw(t, "ends") {
	case 0:
		r.Until = now
	case 1:
		r.Until = now.Add(time.Hour)
	}
	switch rapid.IntRange(0, 9).Draw(t, "when") {
	case 0:
		r.When = &policy.When{Methods: []string{"x"}}
	case 1:
		r.When = &policy.When{Bound: true}
	case 2:
		r.When = &policy.When{Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	case 3:
		r.When = &policy.When{Direct: true}
	}
	return r
}

func someCircumstances(t *rapid.T) policy.Circumstances {
	return policy.Circumstances{
		Method: rapid.SampledFrom([]string{"", "x", "y"}).Draw(t, "method"), Bound: rapid.Bool().Draw(t, "bound"),
		Address: rapid.SampledFrom([]netip.Addr{{}, inside, outside}).Draw(t, "address"),
	}
}
