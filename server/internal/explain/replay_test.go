package explain

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/policy"
	"github.com/watchword-dev/watchword/server/internal/usage"
)

// world has services m1 to m4, the last two for other tests' questions, and these rules.
func world(rules ...directory.Rule) *directory.Snapshot {
	st := &directory.State{Revision: 1, Rules: rules}
	for i := range people {
		st.Services = append(st.Services, directory.Service{UID: uid(i), Name: name(i), Version: 1})
	}
	return directory.NewSnapshot(st, time.Hour)
}

func rule(caller, target int, scopes ...string) directory.Rule {
	return directory.Rule{Edge: policy.Edge{Caller: uid(caller), Target: uid(target)}, Scopes: scopes, Version: 1}
}

func counted(caller, target int, n int64, scopes string) usage.Row {
	return usage.Row{
		Day: usage.DayOf(now), N: n, Last: now,
		Use: usage.Use{Edge: policy.Edge{Caller: uid(caller), Target: uid(target)}, Scopes: scopes, Method: "bootstrap", Network: usage.NetworkOf(inside)},
	}
}

// admitted is for callers that may use everything.
func admitted(*directory.Snapshot, *directory.Service, usage.Row) string { return "" }

func replayed(before, after *directory.Snapshot, rows ...usage.Row) Replayed {
	var edges []policy.Edge
	for _, r := range rows {
		edges = append(edges, r.Edge)
	}
	r := NewReplay(before, after, admitted, edges, nil, now)
	for _, row := range rows {
		r.Add(usage.Filter{}, row)
	}
	return r.Result()
}

func TestReplayFindsWhatWouldBeRefused(t *testing.T) {
	before := world(rule(0, 1, "read", "write"), rule(0, 2), rule(1, 2))
	after := world(rule(0, 1, "read"), rule(1, 2))
	got := replayed(before, after, counted(0, 1, 5, "read"), counted(0, 1, 2, "read write"), counted(0, 2, 14112, ""), counted(1, 2, 7, ""))
	if got.Looked != 14126 || got.Refused != 14114 || len(got.Edges) != 2 || len(got.Notes) != 0 {
		t.Fatalf("got %+v", got)
	}
	const first = "in the last 30 days 14,112 tokens for m1 -> m3 would have been refused: there is no rule m1 -> m3"
	if s := Sentence(got.Edges[0], 30); s != first {
		t.Errorf("got %q, want %q", s, first)
	}
	if e := got.Edges[1]; e.Tokens != 2 || e.Reason != string(policy.ScopeNotGranted) || !slices.Equal(e.Scopes, []string{"read", "write"}) {
		t.Errorf("got %+v", e)
	}
}

// What is refused already is not the plan's doing; nor are counts of refusals tokens.
func TestReplayBlamesThePlanForItsOwnOnly(t *testing.T) {
	refused := counted(0, 1, 9, "")
	refused.Why = policy.NoRule
	if got := replayed(world(), world(), counted(0, 1, 3, ""), refused); got.Refused != 0 || got.Looked != 3 {
		t.Errorf("got %+v", got)
	}
}

func TestReplayTellsServicesThatGo(t *testing.T) {
	before := world(rule(0, 1), rule(1, 0))
	st := &directory.State{Services: []directory.Service{{UID: uid(0), Name: name(0)}}}
	// The edge is another one of m1, whose rows are then chosen by caller and by target.
	r := NewReplay(before, directory.NewSnapshot(st, time.Hour), admitted, []policy.Edge{{Caller: uid(0), Target: uid(3)}}, []directory.UID{uid(1)}, now)
	var rows int
	for _, f := range r.Filters(1, 2) {
		for _, row := range []usage.Row{counted(0, 1, 2, ""), counted(1, 0, 3, ""), counted(1, 1, 1, "")} {
			if (f.Caller == directory.UID{} || f.Caller == row.Caller) && (f.Target == directory.UID{} || f.Target == row.Target) {
				rows++
				r.Add(f, row)
			}
		}
	}
	got := r.Result()
	if rows != 5 || got.Looked != 6 || got.Refused != 5 { // m2 -> m2 had no rule
		t.Errorf("got %+v of %d rows", got, rows)
	}
	if got.Edges[0].Reason != string(policy.CallerDisabled) || got.Edges[1].Reason != string(policy.UnknownTarget) {
		t.Errorf("got %+v", got.Edges)
	}
}

func TestHoursAndNarrowNetworksAreNotReplayedAndThatIsSaid(t *testing.T) {
	hours, err := directory.ParseHours("Sat,Sun 03:00-03:05")
	if err != nil {
		t.Fatal(err)
	}
	night := rule(0, 1, "read")
	night.When = &policy.When{Hours: hours}
	got := replayed(world(rule(0, 1, "read")), world(night), counted(0, 1, 5, "read"))
	if got.Refused != 0 || len(got.Notes) != 1 || !strings.Contains(got.Notes[0], "hours") {
		t.Errorf("got %+v", got)
	}
	night.Scopes = nil
	if got := replayed(world(rule(0, 1, "read")), world(night), counted(0, 1, 5, "read")); got.Refused != 5 {
		t.Errorf("got %+v: hours hide nothing else", got)
	}
	near := rule(0, 1)
	near.When = &policy.When{Networks: []netip.Prefix{netip.MustParsePrefix("10.1.2.128/25")}}
	if got := replayed(world(rule(0, 1)), world(near), counted(0, 1, 5, "")); got.Refused != 0 || len(got.Notes) != 1 {
		t.Errorf("got %+v", got)
	}
	near.When = &policy.When{Networks: []netip.Prefix{netip.MustParsePrefix("10.9.0.0/16")}}
	if got := replayed(world(rule(0, 1)), world(near), counted(0, 1, 5, "")); got.Refused != 5 || got.Edges[0].Reason != string(policy.NetworkNotAllowed) {
		t.Errorf("got %+v", got)
	}
}

// A count of what the decision allowed, replayed on the same directory, is allowed: whatever was asked,
// the replay asks the same.
func TestReplayOfTheSameDirectoryRefusesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := directory.NewSnapshot(someState(t), time.Hour)
		q := directory.Question{
			Caller: uid(rapid.IntRange(0, people-1).Draw(t, "caller")), Target: name(rapid.IntRange(0, people-1).Draw(t, "target")),
			Scopes: someScopes(t, "asked"), At: now, With: someCircumstances(t),
		}
		if rapid.Bool().Draw(t, "on behalf") {
			q.Exchange, q.Within, q.With.Actors = policy.Delegate, someScopes(t, "within"), 1
		}
		v := s.Decide(q)
		if v.Target == nil {
			return
		}
		row := usage.Row{Day: usage.DayOf(now), N: 1, Last: now, Use: usage.Use{
			Edge: policy.Edge{Caller: q.Caller, Target: v.Target.UID}, Scopes: strings.Join(v.Scopes, " "), Method: q.With.Method,
			Bound: q.With.Bound, Exchange: q.Exchange, Actors: q.With.Actors, Network: usage.NetworkOf(q.With.Address),
		}}
		if !v.Allowed() {
			return
		}
		r := NewReplay(s, s, admitted, []policy.Edge{row.Edge}, nil, now)
		if why, _ := r.decide(s, row, v.Target.Name); why != "" {
			t.Fatalf("%+v: allowed (%s), replayed %s", q, v.Observed, why)
		}
		// And on another directory it comes out as that decides, for whoever names the scopes.
		other := directory.NewSnapshot(someState(t), time.Hour)
		q.Scopes, q.Within = v.Scopes, v.Scopes
		want := ""
		if v := other.Decide(q); !v.Allowed() {
			want = string(v.Reason)
		}
		if got, _ := r.decide(other, row, v.Target.Name); got != want {
			t.Fatalf("%+v: replayed %s, decided %s", q, got, want)
		}
	})
}

func TestShadowReportTellsApartWhoWouldHaveRefused(t *testing.T) {
	s := world()
	r := NewShadowReport(s)
	plan := counted(0, 1, 5, "read")
	plan.Shadow = policy.NoRule
	observed := counted(0, 2, 3, "")
	observed.Would, observed.Shadow = policy.NoRule, policy.Allowed
	refused := counted(1, 2, 2, "")
	refused.Why, refused.Shadow = policy.ScopeNotGranted, policy.NoRule // refused either way
	fewer := counted(1, 3, 1, "read write")
	fewer.Shadow = policy.FewerScopes
	gone := counted(9, 1, 1, "")
	gone.Shadow = policy.NoRule
	for _, row := range []usage.Row{plan, plan, observed, refused, fewer, gone} {
		r.Add(row)
	}
	var got []string
	for _, o := range r.Edges() {
		got = append(got, strings.Join([]string{o.Caller, o.Target, o.By, o.Outcome, o.Reason}, " "))
	}
	want := []string{"m1 m2 shadow refused no_rule", "m1 m3 observe refused no_rule", "m1 m3 shadow allowed no_rule", "m2 m4 shadow fewer_scopes fewer_scopes"}
	if !slices.Equal(got, want) || r.Edges()[0].Tokens != 10 {
		t.Errorf("got %q, want %q", got, want)
	}
}
