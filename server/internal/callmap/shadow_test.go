package callmap

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/policy"
)

var shadowScopes = []string{"a", "b"}

func drawScopes(t *rapid.T) []string {
	s := rapid.SliceOfNDistinct(rapid.SampledFrom(shadowScopes), 0, 2, rapid.ID).Draw(t, "scopes")
	slices.Sort(s)
	return s
}

// drawState draws who may call whom among four services of one owner.
func drawState(t *rapid.T, label string) *directory.State {
	st := &directory.State{Revision: 3}
	for i := range 4 {
		st.Services = append(st.Services, directory.Service{
			UID: directory.UID{byte(i + 1)}, Name: fmt.Sprintf("m%d", i+1), Version: 1, ManagedBy: DefaultOwner,
			ServiceSettings: api.ServiceSettings{
				Disabled: rapid.IntRange(0, 9).Draw(t, label+" disabled") == 0,
				Observe:  rapid.IntRange(0, 5).Draw(t, label+" observe") == 0,
			},
		})
	}
	for _, caller := range st.Services {
		for _, target := range st.Services {
			if rapid.Bool().Draw(t, label+" rule") {
				continue
			}
			r := directory.Rule{Edge: policy.Edge{Caller: caller.UID, Target: target.UID}, Scopes: drawScopes(t), Version: 1, ManagedBy: DefaultOwner}
			r.Exchange = rapid.SampledFrom([]policy.Exchange{"", policy.Delegate}).Draw(t, label+" exchange")
			if rapid.IntRange(0, 3).Draw(t, label+" bound") == 0 {
				r.When = &policy.When{Bound: true}
			}
			if rapid.IntRange(0, 5).Draw(t, label+" ends") == 0 {
				r.Until = noon.Add(time.Hour)
			}
			st.Rules = append(st.Rules, r)
		}
	}
	return st
}

func drawQuestion(t *rapid.T, st *directory.State) directory.Question {
	who := rapid.IntRange(0, len(st.Services)-1)
	q := directory.Question{
		Caller: st.Services[who.Draw(t, "caller")].UID, Target: st.Services[who.Draw(t, "target")].Name,
		Scopes: drawScopes(t), At: noon.Add(time.Duration(rapid.IntRange(0, 2).Draw(t, "hours")) * time.Hour),
		With: policy.Circumstances{Bound: rapid.Bool().Draw(t, "bound")},
	}
	if rapid.IntRange(0, 3).Draw(t, "exchange") == 0 {
		q.Exchange, q.Within, q.With.Actors = policy.Delegate, shadowScopes, 1
	}
	return q
}

// What the shadow of a plan says is what would be decided once it is applied.
func TestShadowOfAPlanDecidesAsThePlanWould(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now, wanted := drawState(t, "now"), drawState(t, "wanted")
		f, err := Parse("callmap.yaml", Export(wanted, DefaultOwner))
		if err != nil {
			t.Fatal(err)
		}
		p, err := Make([]*File{f}, now, noon)
		if err != nil {
			t.Fatal(err)
		}
		overlay, leftOut := p.Overlay()
		shadowed := *now
		shadowed.Shadow = overlay
		before, after := directory.NewSnapshot(&shadowed, time.Hour), p.After(time.Hour)
		for range 20 {
			q := drawQuestion(t, now)
			was, want := before.Decide(q), after.Decide(q)
			if was.Target == nil || len(leftOut) > 0 {
				continue // who is disabled is asked nothing
			}
			got := was.Decision
			if was.Observed != "" {
				got.Reason = was.Observed
			}
			if was.Shadow != nil {
				got = *was.Shadow
			}
			ruled := want.Decision
			if want.Observed != "" {
				ruled.Reason, ruled.Scopes = want.Observed, nil
			}
			switch ruled.Reason {
			case policy.CallerDisabled, policy.TargetDisabled: // an overlay is of rules: it has none then
				ruled.Reason = policy.NoRule
			}
			if was.Otherwise() == "" && got.Allowed() && ruled.Allowed() {
				continue // more scopes are nothing that would break
			}
			if got.Allowed() != ruled.Allowed() || got.Allowed() && !slices.Equal(got.Scopes, ruled.Scopes) {
				t.Fatalf("%+v: the shadow says %s %v, the plan %s %v", q, got.Reason, got.Scopes, ruled.Reason, ruled.Scopes)
			}
		}
	})
}

// An overlay that says what the call map says finds nothing otherwise, observing targets or not.
func TestShadowOfTheCallMapItselfFindsNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		st := drawState(t, "now")
		for _, r := range st.Rules {
			st.Shadow = append(st.Shadow, directory.ShadowRule{Rule: r})
		}
		s := directory.NewSnapshot(st, time.Hour)
		for range 20 {
			q := drawQuestion(t, st)
			if v := s.Decide(q); v.Otherwise() != "" {
				t.Fatalf("%+v: got %s beside %s", q, v.Otherwise(), v.Reason)
			}
		}
	})
}

func TestPlanOfWhatIsThereHasNoShadow(t *testing.T) {
	p, err := Make([]*File{parse(t, example)}, &directory.State{}, noon)
	must(t, err)
	again, err := Make([]*File{parse(t, example)}, applied(p), noon)
	must(t, err)
	if rules, leftOut := again.Overlay(); len(rules)+len(leftOut) > 0 {
		t.Errorf("got %v, %v", rules, leftOut)
	}
	if rules, _ := p.Overlay(); len(rules) > 0 { // of services that are not there nothing can be asked
		t.Errorf("got %v", rules)
	}
	var declared []string
	for r := range again.Declared([]*File{parse(t, example)}) {
		declared = append(declared, r.Caller+" "+r.Target)
	}
	slices.Sort(declared)
	if !slices.Equal(declared, []string{"m1 ledger", "m1 m1", "m1 m2"}) {
		t.Errorf("got declared rules %q", declared)
	}
}
