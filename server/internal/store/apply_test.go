package store

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/policy"
)

// apply applies b on the revision that is stored.
func apply(t *testing.T, db *DB, b directory.Batch) (int64, error) {
	t.Helper()
	b.Base = revision(t, db)
	return db.Apply(t.Context(), b, noon.Add(time.Hour), change(directory.SubjectMany))
}

func mustApply(t *testing.T, db *DB, b directory.Batch) int64 {
	t.Helper()
	rev, err := apply(t, db, b)
	if err != nil {
		t.Fatal(err)
	}
	return rev
}

func load(t *testing.T, db *DB) *directory.State {
	t.Helper()
	s, err := db.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// fresh is a service to be made.
func fresh(name string, audiences ...string) directory.Service {
	s := newService(name)
	s.Version, s.Audiences = 0, audiences
	return s
}

func TestBatchIsAppliedAsOne(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		old := insert(t, db, "m1", "m2", "m3")
		kept, gone := allow(t, db, old[0], old[1], "read"), allow(t, db, old[1], old[0])
		allow(t, db, old[0], old[2])
		allow(t, db, old[2], old[0])
		addCredential(t, db, old[2], "00000000000000000000000000000003")
		m1, m4 := old[0], fresh("m4", "urn:m4")
		m1.Owner, m1.Labels, m1.ManagedBy, m1.Observe, m1.Probe, m1.DefaultTarget = "anna", []string{"team=web"}, "callmap", true, "http://m1/hello", "m2"
		kept.Scopes, kept.When, kept.ManagedBy = []string{"read", "write"}, &policy.When{Bound: true}, "callmap"
		added := newRule(m1, m4, "post")
		added.ManagedBy = "callmap"
		rev := mustApply(t, db, directory.Batch{
			PutServices: []directory.Service{m1, m4}, DeleteServices: []directory.Service{old[2]},
			PutRules: []directory.Rule{kept, added}, DeleteRules: []directory.Rule{gone},
		})
		m1.Version, m4.Version, kept.Version, added.Version = 2, 1, 2, 1
		got := load(t, db)
		want := &directory.State{
			Revision: rev, Services: []directory.Service{m1, old[1], m4}, Rules: []directory.Rule{kept, added},
			Revocations: []directory.Revocation{{ID: directory.FormatUID(old[2].UID), RevokedAt: noon, Until: noon.Add(time.Hour)}},
		}
		byName := cmpopts.SortSlices(func(a, b directory.Service) bool { return a.Name < b.Name })
		byEdge := cmpopts.SortSlices(func(a, b directory.Rule) bool { return bytes.Compare(a.Target[:], b.Target[:]) < 0 })
		if d := cmp.Diff(want, got, byName, byEdge, comparePrefixes, cmpopts.EquateEmpty()); d != "" {
			t.Error(d)
		}
		subjects, err := db.Subjects(t.Context(), rev)
		all := []string{
			directory.SubjectService(m1.UID), directory.SubjectService(m4.UID), directory.SubjectService(old[2].UID),
			directory.SubjectRule(kept.Edge), directory.SubjectRule(added.Edge), directory.SubjectRule(gone.Edge),
		}
		slices.Sort(all)
		if d := cmp.Diff(all, subjects); d != "" || err != nil {
			t.Errorf("%v %s", err, d)
		}
	})
}

// Whatever does not fit, nothing of the batch is there afterwards.
func TestBatchThatDoesNotFitChangesNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		old := insert(t, db, "m1", "m2")
		rule := allow(t, db, old[0], old[1])
		stale, staleRule, again := old[0], rule, newRule(old[0], old[1])
		stale.Version, staleRule.Version = 7, 7
		before := load(t, db)
		m3 := fresh("m3")
		for name, c := range map[string]struct {
			b    directory.Batch
			want error
		}{
			"a service changed in the meantime": {directory.Batch{PutServices: []directory.Service{m3, stale}}, directory.ErrConflict},
			"a service deleted meanwhile":       {directory.Batch{DeleteServices: []directory.Service{stale}}, directory.ErrConflict},
			"a rule changed in the meantime":    {directory.Batch{PutServices: []directory.Service{m3}, PutRules: []directory.Rule{staleRule}}, directory.ErrConflict},
			"a rule made meanwhile":             {directory.Batch{PutRules: []directory.Rule{newRule(old[1], old[1]), again}}, directory.ErrConflict},
			"a rule deleted meanwhile":          {directory.Batch{DeleteRules: []directory.Rule{staleRule}}, directory.ErrConflict},
			"a name that is taken":              {directory.Batch{PutServices: []directory.Service{fresh("m9"), fresh("m1")}}, directory.ErrExists},
			"one audience for two":              {directory.Batch{PutServices: []directory.Service{fresh("m8", "urn:a"), fresh("m9", "urn:a")}}, directory.ErrExists},
			"a rule of a service not there":     {directory.Batch{PutRules: []directory.Rule{newRule(old[0], m3)}}, nil},
			"a shadow of a service not there":   {directory.Batch{Shadow: &[]directory.ShadowRule{{Rule: newRule(old[0], m3)}}}, nil},
		} {
			if _, err := apply(t, db, c.b); err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("%s: got %v, want %v", name, err, c.want)
			}
			if d := cmp.Diff(before, load(t, db), comparePrefixes, cmpopts.EquateEmpty()); d != "" {
				t.Errorf("%s: %s", name, d)
			}
		}
		// Another change came since the plan.
		b := directory.Batch{Base: revision(t, db) - 1, PutServices: []directory.Service{m3}}
		if _, err := db.Apply(t.Context(), b, noon.Add(time.Hour), change(directory.SubjectMany)); !errors.Is(err, directory.ErrConflict) {
			t.Errorf("got %v on an old revision, want ErrConflict", err)
		}
		b.Base += 2
		if _, err := db.Apply(t.Context(), b, noon.Add(time.Hour), change(directory.SubjectMany)); !errors.Is(err, directory.ErrConflict) {
			t.Errorf("got %v on a revision that is not there, want ErrConflict", err)
		}
		revision(t, db) // has no gap
	})
}

func TestAudiencesChangeHandsInOneBatch(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		a, b, c := fresh("m1", "urn:a"), fresh("m2", "urn:b"), fresh("m3", "urn:c")
		mustApply(t, db, directory.Batch{PutServices: []directory.Service{a, b, c}})
		a.Version, b.Version, c.Version = 1, 1, 1
		a.Audiences, b.Audiences = []string{"urn:b", "urn:c"}, []string{"urn:a"}
		mustApply(t, db, directory.Batch{PutServices: []directory.Service{a, b}, DeleteServices: []directory.Service{c}})
		s := directory.NewSnapshot(load(t, db), time.Hour)
		for audience, owner := range map[string]string{"urn:a": "m2", "urn:b": "m1", "urn:c": "m1"} {
			if svc, ok := s.Audience(audience); !ok || svc.Name != owner {
				t.Errorf("%s: got %+v", audience, svc)
			}
		}
		if _, err := apply(t, db, directory.Batch{PutServices: []directory.Service{fresh("m4", "urn:c")}}); !errors.Is(err, directory.ErrExists) {
			t.Errorf("got %v", err)
		}
	})
}

func TestShadowIsStoredWhole(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		s := insert(t, db, "m1", "m2", "m3")
		full := directory.ShadowRule{Rule: directory.Rule{
			Edge: policy.Edge{Caller: s[0].UID, Target: s[1].UID}, Scopes: []string{"a", "b"}, Exchange: policy.Delegate, MayAct: s[2].UID,
			Until: noon.AddDate(1, 0, 0), When: &policy.When{Methods: []string{"private_key_jwt"}, Direct: true},
		}}
		none := directory.ShadowRule{Rule: directory.Rule{Edge: policy.Edge{Caller: s[0].UID, Target: s[2].UID}}, Absent: true}
		mustApply(t, db, directory.Batch{Shadow: &[]directory.ShadowRule{full, none}})
		want := []directory.ShadowRule{full, none}
		if d := cmp.Diff(want, load(t, db).Shadow, comparePrefixes, cmpopts.EquateEmpty()); d != "" {
			t.Error(d)
		}
		// It goes with the services it is about, and another one takes its place.
		if _, err := db.DeleteService(t.Context(), s[2].UID, 1, gone(s[2].UID), change("x")); err != nil {
			t.Fatal(err)
		}
		if got := load(t, db).Shadow; len(got) != 1 {
			t.Errorf("got %+v", got)
		}
		mustApply(t, db, directory.Batch{Shadow: &[]directory.ShadowRule{}})
		if got, err := db.Shadow(t.Context()); err != nil || len(got) != 0 {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}

func TestAppliedFilesAreKept(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		var all []directory.Applied
		for i := range 5 {
			a := directory.Applied{
				At: noon.Add(time.Duration(i) * time.Second), Author: "anna", Reason: "größer", ManagedBy: "callmap", Summary: fmt.Sprint(i),
				Document: bytes.Repeat([]byte{0, byte(i), '\n'}, 100_000),
			}
			a.Revision = mustApply(t, db, directory.Batch{PutServices: []directory.Service{fresh(fmt.Sprint("m", i))}, Applied: &a})
			insert(t, db, fmt.Sprint("by-hand", i))
			all = append(all, a)
		}
		got, err := db.ReadApplied(t.Context(), all[3].Revision)
		if d := cmp.Diff(all[3], got); d != "" || err != nil {
			t.Errorf("%v %s", err, d)
		}
		slices.Reverse(all)
		for i := range all {
			all[i].Document = nil
		}
		first, err := db.ListApplied(t.Context(), 0, 2)
		if err != nil {
			t.Fatal(err)
		}
		rest, err := db.ListApplied(t.Context(), first[1].Revision, 100)
		if d := cmp.Diff(all, append(first, rest...)); d != "" || err != nil {
			t.Errorf("%v %s", err, d)
		}
		if _, err := db.ReadApplied(t.Context(), all[0].Revision+1); !errors.Is(err, directory.ErrNotFound) {
			t.Errorf("got %v of a revision in which nothing was applied", err)
		}
	})
}

// A replica is, after a batch of any size, what one that loads everything is.
func TestReplicasFollowBatches(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		here, there := directory.New(db, nil, directory.Options{}), directory.New(db, nil, directory.Options{})
		for _, d := range []*directory.Directory{here, there} {
			if err := d.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		by := directory.Author{Actor: "anna"}
		put := func(n int, prefix string, shadow bool) {
			t.Helper()
			b := directory.Batch{Base: here.Snapshot().Revision()}
			for i := range n {
				b.PutServices = append(b.PutServices, fresh(fmt.Sprint(prefix, i)))
			}
			rule := newRule(b.PutServices[0], b.PutServices[1], "read")
			b.PutRules = []directory.Rule{rule}
			if shadow {
				b.Shadow = &[]directory.ShadowRule{{Rule: directory.Rule{Edge: rule.Edge}, Absent: true}}
			}
			rev, err := here.Apply(t.Context(), by, b, "test", "because")
			if err != nil {
				t.Fatal(err)
			}
			changes, err := db.ChangesAfter(t.Context(), rev-1, 1)
			wantSubject := directory.SubjectMany
			if n > 1000 {
				wantSubject = directory.SubjectEverything
			}
			if err != nil || changes[0].Subject != wantSubject || changes[0].Detail["reason"] != "because" {
				t.Errorf("got %+v, %v", changes, err)
			}
			if err := there.CatchUp(t.Context()); err != nil {
				t.Fatal(err)
			}
			for name, d := range map[string]*directory.Directory{"the one that applied": here, "the other": there} {
				s := d.Snapshot()
				services, _, _ := s.Counts()
				v := s.Decide(directory.Question{Caller: rule.Caller, Target: fmt.Sprint(prefix, 1), At: noon})
				want := policy.Reason("")
				if shadow {
					want = policy.NoRule
				}
				if s.Revision() != rev || services != len(load(t, db).Services) || !v.Allowed() || v.Otherwise() != want {
					t.Errorf("%s: got %d services on %d, %s, otherwise %q", name, services, s.Revision(), v.Reason, v.Otherwise())
				}
			}
		}
		put(2, "few", true)
		put(1001, "many", false)
		put(3, "more", true)
	})
}
