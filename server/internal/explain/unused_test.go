package explain

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/policy"
	"github.com/watchword-dev/watchword/server/internal/usage"
)

func TestUnusedIsWhatNobodyExercised(t *testing.T) {
	old, since := now.AddDate(-1, 0, 0), now.AddDate(0, 0, -90)
	st := &directory.State{}
	for i, n := range []string{"m1", "m2", "m3", "idle", "young"} {
		st.Services = append(st.Services, directory.Service{UID: uid(i), Name: n, CreatedAt: old})
	}
	st.Services[4].CreatedAt = now
	edge := func(from, to int) policy.Edge { return policy.Edge{Caller: uid(from), Target: uid(to)} }
	st.Rules = []directory.Rule{
		{Edge: edge(0, 1), Scopes: []string{"read", "write"}, CreatedAt: old, UpdatedAt: old},
		{Edge: edge(0, 2), CreatedAt: old, UpdatedAt: old, ManagedBy: "web"},
		{Edge: edge(2, 1), CreatedAt: old, UpdatedAt: old}, // only let through by its observing target
		{Edge: edge(1, 2), CreatedAt: now, UpdatedAt: now},
	}
	st.Credentials = []directory.Credential{
		{ID: "used", Service: uid(0), CreatedAt: old, ExpiresAt: now.AddDate(1, 0, 0), LastUsedAt: now.Add(-time.Hour)},
		{ID: "forgotten", Service: uid(0), CreatedAt: old, ExpiresAt: now.AddDate(1, 0, 0), LastUsedAt: since.Add(-time.Hour)},
		{ID: "never", Service: uid(3), CreatedAt: old, ExpiresAt: now.AddDate(1, 0, 0)},
		{ID: "revoked", Service: uid(3), CreatedAt: old, ExpiresAt: now.AddDate(1, 0, 0), RevokedAt: old},
		{ID: "fresh", Service: uid(3), CreatedAt: now, ExpiresAt: now.AddDate(1, 0, 0)},
	}
	rows := []usage.Row{
		{Use: usage.Use{Edge: edge(0, 1), Scopes: "read"}, N: 3, Last: now},
		{Use: usage.Use{Edge: edge(0, 1), Scopes: "write"}, N: 3, Last: since.Add(-time.Minute)},
		{Use: usage.Use{Edge: edge(0, 1), Scopes: "write", Why: policy.OutsideHours}, N: 3, Last: now},
		{Use: usage.Use{Edge: edge(2, 1), Would: policy.NotBound}, N: 3, Last: now},
		{Use: usage.Use{Edge: edge(0, 2), Why: policy.NotBound}, N: 3, Last: now},
	}
	s := directory.NewSnapshot(st, 0)
	tally := func(records time.Time) api.Unused {
		c := NewTally(st, since)
		for i := range rows {
			c.Add(&rows[i])
		}
		return c.Unused(s, records, now)
	}
	lines := func(u api.Unused) (all []string) {
		for _, i := range u.Items {
			all = append(all, fmt.Sprintf("%s %s: %s", i.Kind, i.What, i.Command))
		}
		return all
	}
	want := []string{
		"service idle: watchword service delete idle",
		"credential forgotten of m1: watchword credential revoke forgotten",
		"credential never of idle: watchword credential revoke never",
		`rule m1 -> m3: change the call map file of "web", and apply it`,
		"rule m3 -> m2: watchword disallow m3 m2",
		"scope m1 -> m2: write: watchword allow m1 m2 --scope read",
	}
	u := tally(since.Add(-time.Hour))
	if got := lines(u); !slices.Equal(got, want) || !u.Complete || u.Count != len(want) || u.Young != 3 {
		t.Errorf("got %q, %+v\nwant %q", got, u, want)
	}
	// A young server knows little, and says so.
	for _, records := range []time.Time{{}, now.AddDate(0, 0, -3)} {
		u := tally(records)
		for _, i := range u.Items {
			if i.Kind != "credential" && i.Command != "" {
				t.Errorf("records since %v: got the command %q", records, i.Command)
			}
		}
		if u.Complete || (u.RecordsSince == nil) != records.IsZero() {
			t.Errorf("records since %v: got %+v", records, u)
		}
	}
}

func TestImpactIsWhoGotTokens(t *testing.T) {
	st := &directory.State{Services: []directory.Service{{UID: uid(0), Name: "m1"}, {UID: uid(1), Name: "m2"}}}
	edge := policy.Edge{Caller: uid(0), Target: uid(1)}
	users := NewUsers(now.AddDate(0, 0, -30), nil)
	for _, r := range []usage.Row{
		{Use: usage.Use{Edge: edge, Scopes: "b", Method: "bootstrap", Credential: "c1", Network: usage.NetworkOf(inside)}, N: 2, Last: now},
		{Use: usage.Use{Edge: edge, Scopes: "a", Method: "private_key_jwt", Credential: "c2", Would: policy.NoRule}, N: 3, Last: now.Add(-time.Hour)},
		{Use: usage.Use{Edge: edge, Scopes: "c", Why: policy.NoRule}, N: 5, Last: now},
		{Use: usage.Use{Edge: policy.Edge{Caller: uid(0), Target: uid(9)}}, N: 5, Last: now}, // a service that is gone
	} {
		users.Add(&r)
	}
	i := users.Impact(directory.NewSnapshot(st, 0), "", "")
	if len(i.Affected) != 1 {
		t.Fatalf("got %+v", i)
	}
	a := i.Affected[0]
	if a.Caller != "m1" || a.Target != "m2" || a.Tokens != 5 || !a.Last.Equal(now) || !slices.Equal(a.Scopes, []string{"a", "b"}) ||
		!slices.Equal(a.Credentials, []string{"c1", "c2"}) || !slices.Equal(a.Networks, []string{"10.1.2.0/24"}) {
		t.Errorf("got %+v", a)
	}
}

func BenchmarkUnused(b *testing.B) {
	st, old := &directory.State{}, now.AddDate(-1, 0, 0)
	id := func(i int) (u directory.UID) {
		u[0], u[1], u[2], u[15] = byte(i), byte(i>>8), byte(i>>16), 1
		return u
	}
	const services, rules = 100_000, 1_000_000
	for i := range services {
		st.Services = append(st.Services, directory.Service{UID: id(i), Name: fmt.Sprintf("m%06d", i), CreatedAt: old})
	}
	for i := range rules {
		e := policy.Edge{Caller: id(i % services), Target: id((i%services*7 + i/services*7919 + 1) % services)}
		st.Rules = append(st.Rules, directory.Rule{Edge: e, Scopes: []string{"read", "write"}, CreatedAt: old, UpdatedAt: old})
	}
	s := directory.NewSnapshot(st, time.Hour)
	b.ReportAllocs()
	for b.Loop() {
		c, wants := NewTally(st, now.AddDate(0, 0, -90)), NewWants(now.AddDate(0, 0, -90))
		for i := range st.Rules {
			row := usage.Row{Use: usage.Use{Edge: st.Rules[i].Edge, Scopes: "read"}, N: 1, Last: now}
			if i%2 == 0 {
				row.Why, row.Scopes = policy.ScopeNotGranted, "delete"
			}
			c.Add(&row)
			wants.Add(&row)
		}
		if u := c.Unused(s, now.AddDate(0, 0, -100), now); u.Count != rules { // half of the rules, and a scope of the others
			b.Fatal(u.Count)
		}
		if out, _ := wants.Suggest(s, now, func(policy.Edge) string { return "" }); out.RuleCount != rules/2 {
			b.Fatal(out.RuleCount)
		}
	}
}
