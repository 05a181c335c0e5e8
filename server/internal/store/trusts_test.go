package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/directory"
)

func newTrust(name, issuer string) directory.Trust {
	return directory.Trust{
		ID: "trust_" + name, Name: name, Generation: "generation-" + name, Version: 1, CreatedAt: noon, UpdatedAt: noon, KeysAt: noon,
		TrustSettings: api.TrustSettings{Preset: "kubernetes", Issuer: issuer, JWKS: "{\"keys\":[\"größer \\\"\n\"]}", Algorithms: []string{"ES256", "RS256"}},
	}
}

func addTrust(t *testing.T, db *DB, name, issuer string) directory.Trust {
	t.Helper()
	tr := newTrust(name, issuer)
	if _, err := db.InsertTrust(t.Context(), tr, change(directory.SubjectTrust(tr.ID))); err != nil {
		t.Fatal(err)
	}
	return tr
}

func newWorkload(s directory.Service, tr directory.Trust, id string) directory.Credential {
	c := newCredential(s, id)
	c.Kind, c.Trust, c.ManagedBy, c.Material = directory.KindWorkload, tr.ID, "callmap", `{"uid":"`+id+`"}`
	return c
}

func addWorkload(t *testing.T, db *DB, s directory.Service, tr directory.Trust, id string) directory.Credential {
	t.Helper()
	c := newWorkload(s, tr, id)
	if _, err := db.InsertCredential(t.Context(), c, change(directory.SubjectCredential(id))); err != nil {
		t.Fatal(err)
	}
	return c
}

func withdrawal(tr directory.Trust) directory.Revocation {
	return directory.Revocation{ID: tr.Generation, RevokedAt: noon.Add(time.Minute), Until: noon.Add(time.Hour)}
}

func TestTrustIsReadBackWhole(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		s := insert(t, db, "m1")[0]
		all := newTrust("prod", "https://prod.example")
		all.TrustSettings = api.TrustSettings{
			Preset: "spiffe", Issuer: "spiffe://prod.example", Audience: "https://a.example", JWKSURI: "https://k.example", JWKS: "{}", Authorities: "PEM",
			EndpointID: "spiffe://prod.example/e", Algorithms: []string{"RS256"}, MaxLifetimeSeconds: 60, Once: "never", Disabled: true,
		}
		all.ManagedBy = "callmap"
		if _, err := db.InsertTrust(t.Context(), all, change(directory.SubjectTrust(all.ID))); err != nil {
			t.Fatal(err)
		}
		other := addTrust(t, db, "staging", "https://staging.example")
		c := addWorkload(t, db, s, all, "c1")
		addWorkload(t, db, s, other, "c2")
		addCredential(t, db, s, "c3")
		db.Close()

		db = open(t, o)
		if d := cmp.Diff([]directory.Trust{all, other}, load(t, db).Trusts); d != "" {
			t.Error(d)
		}
		got, err := db.ReadTrust(t.Context(), all.ID)
		if d := cmp.Diff(all, got); d != "" || err != nil {
			t.Error(d, err)
		}
		if _, err := db.ReadTrust(t.Context(), "trust_x\x00"); !errors.Is(err, directory.ErrNotFound) {
			t.Errorf("got %v", err)
		}
		for after, want := range map[string]string{"": "prod staging", "prod": "staging", "staging": ""} {
			listed, err := db.ListTrusts(t.Context(), after, 9)
			if got := strings.TrimSpace(names(listed, func(tr directory.Trust) string { return tr.Name })); got != want || err != nil {
				t.Errorf("after %q: got %q, %v", after, got, err)
			}
		}
		if first, err := db.ListTrusts(t.Context(), "", 1); err != nil || len(first) != 1 {
			t.Errorf("got %v, %v", first, err)
		}
		mine, err := db.ListCredentials(t.Context(), directory.CredentialFilter{Trust: all.ID}, "", 9)
		if d := cmp.Diff([]directory.Credential{c}, mine, comparePrefixes); d != "" || err != nil {
			t.Error(d, err)
		}
	})
}

func TestNamesAndIssuersOfTrustsAreUnique(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		prod := addTrust(t, db, "prod", "https://prod.example")
		staging := addTrust(t, db, "staging", "https://staging.example")
		refused := func(err error, want string) {
			t.Helper()
			if !errors.Is(err, directory.ErrExists) || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %s", err, want)
			}
		}
		insert := func(tr directory.Trust) error {
			_, err := db.InsertTrust(t.Context(), tr, change("trust/x"))
			return err
		}
		refused(insert(newTrust("PROD", "https://other.example")), `name "prod"`)
		refused(insert(newTrust("other", "https://prod.example")), `issuer "https://prod.example"`)
		if err := insert(newTrust("other", "https://PROD.example")); err != nil { // issuers are compared as they are
			t.Error(err)
		}
		staging.Issuer = prod.Issuer
		_, err := db.UpdateTrust(t.Context(), staging, nil, change("trust/x"))
		refused(err, `issuer "https://prod.example"`)
	})
}

func TestThereAreAtMostAThousandTrusts(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		var b directory.Batch
		for i := range directory.MaxTrusts {
			tr := newTrust(fmt.Sprint("t", i), fmt.Sprintf("https://t%d.example", i))
			tr.Version = 0
			b.PutTrusts = append(b.PutTrusts, tr)
		}
		mustApply(t, db, b)
		more := newTrust("more", "https://more.example")
		if _, err := db.InsertTrust(t.Context(), more, change("trust/x")); !errors.Is(err, directory.ErrTooMany) {
			t.Errorf("got %v", err)
		}
		more.Version = 0
		if _, err := apply(t, db, directory.Batch{PutTrusts: []directory.Trust{more}}); !errors.Is(err, directory.ErrTooMany) {
			t.Errorf("got %v", err)
		}
		first := b.PutTrusts[0]
		first.Version = 1
		mustApply(t, db, directory.Batch{PutTrusts: []directory.Trust{more}, DeleteTrusts: []directory.Trust{first}})
	})
}

func TestChangeOfATrustNeedsTheStoredVersion(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		tr := addTrust(t, db, "prod", "https://prod.example")
		gone := withdrawal(tr)
		tr.Generation, tr.Audience, tr.UpdatedAt, tr.KeysAt = "another", "https://a.example", noon.Add(time.Minute), time.Time{}
		rev, err := db.UpdateTrust(t.Context(), tr, &gone, change(directory.SubjectMany))
		must(t, err)
		subjects, err := db.Subjects(t.Context(), rev)
		if want := []string{directory.SubjectRevocation(gone.ID), directory.SubjectTrust(tr.ID)}; !slices.Equal(subjects, want) || err != nil {
			t.Errorf("got %v, %v", subjects, err)
		}
		if _, err := db.ReadRevocation(t.Context(), gone.ID); err != nil {
			t.Error(err)
		}
		tr.Version = 2
		if got, err := db.ReadTrust(t.Context(), tr.ID); err != nil || !cmp.Equal(got, tr) {
			t.Error(cmp.Diff(tr, got), err)
		}
		before := load(t, db)
		absent := newTrust("absent", "https://absent.example")
		for _, c := range []struct {
			tr   directory.Trust
			want error
		}{{directory.Trust{ID: tr.ID, Name: tr.Name, Version: 1, TrustSettings: tr.TrustSettings, Generation: "third"}, directory.ErrConflict}, {absent, directory.ErrNotFound}} {
			_, err1 := db.UpdateTrust(t.Context(), c.tr, &directory.Revocation{ID: "x", RevokedAt: noon, Until: noon}, change(directory.SubjectMany))
			_, err2 := db.DeleteTrust(t.Context(), c.tr.ID, c.tr.Version, withdrawal(c.tr), change(directory.SubjectMany))
			_, err3 := apply(t, db, directory.Batch{PutTrusts: []directory.Trust{c.tr}})
			_, err4 := apply(t, db, directory.Batch{DeleteTrusts: []directory.Trust{c.tr}})
			for i, err := range []error{err1, err2, err3, err4} {
				if !errors.Is(err, c.want) {
					t.Errorf("%s, %d: got %v", c.tr.Name, i, err)
				}
			}
		}
		if d := cmp.Diff(before, load(t, db)); d != "" {
			t.Error(d)
		}
	})
}

// FED-015.
func TestTrustThatIsDeletedTakesItsCredentialsWithIt(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		s := insert(t, db, "m1")[0]
		prod, staging := addTrust(t, db, "prod", "https://prod.example"), addTrust(t, db, "staging", "https://staging.example")
		gone := withdrawal(prod)
		live, kept := addWorkload(t, db, s, prod, "live"), addWorkload(t, db, s, staging, "kept")
		ended, revoked := newWorkload(s, prod, "ended"), newWorkload(s, prod, "revoked")
		ended.ExpiresAt, revoked.RevokedAt = gone.RevokedAt, noon
		bootstrap := addCredential(t, db, s, "bootstrap")
		for _, c := range []directory.Credential{ended, revoked} {
			if _, err := db.InsertCredential(t.Context(), c, change("credential/x")); err != nil {
				t.Fatal(err)
			}
		}
		rev, err := db.DeleteTrust(t.Context(), prod.ID, prod.Version, gone, change(directory.SubjectMany))
		must(t, err)
		live.RevokedAt, live.Version = gone.RevokedAt, 2
		state := load(t, db)
		slices.SortFunc(state.Credentials, func(a, b directory.Credential) int { return strings.Compare(a.ID, b.ID) })
		if d := cmp.Diff([]directory.Credential{bootstrap, ended, kept, live, revoked}, state.Credentials, comparePrefixes); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff([]directory.Trust{staging}, state.Trusts); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff([]directory.Revocation{gone}, state.Revocations); d != "" {
			t.Error(d)
		}
		subjects, err := db.Subjects(t.Context(), rev)
		want := []string{directory.SubjectCredential("live"), directory.SubjectRevocation(gone.ID), directory.SubjectTrust(prod.ID)}
		if !slices.Equal(subjects, want) || err != nil {
			t.Errorf("got %v, %v", subjects, err)
		}
		late := newWorkload(s, prod, "late")
		if _, err := db.InsertCredential(t.Context(), late, change("credential/late")); !errors.Is(err, directory.ErrNotFound) {
			t.Errorf("got %v", err)
		}
		if _, err := apply(t, db, directory.Batch{PutCredentials: []directory.Credential{late}}); !errors.Is(err, directory.ErrNotFound) {
			t.Errorf("got %v", err)
		}
	})
}

func TestNamesAndIssuersMoveBetweenTheTrustsOfABatch(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		a, b := addTrust(t, db, "a", "https://a.example"), addTrust(t, db, "b", "https://b.example")
		gone := addTrust(t, db, "gone", "https://gone.example")
		a.Issuer, b.Issuer = b.Issuer, a.Issuer
		again := newTrust("GONE", gone.Issuer)
		again.Version = 0
		s := fresh("m1")
		c := newWorkload(s, again, "c1")
		rev := mustApply(t, db, directory.Batch{
			PutTrusts: []directory.Trust{a, b, again}, DeleteTrusts: []directory.Trust{gone}, Withdrawn: []directory.Revocation{withdrawal(gone)},
			PutServices: []directory.Service{s}, PutCredentials: []directory.Credential{c},
		})
		a.Version, b.Version, again.Version = 2, 2, 1
		state := load(t, db)
		slices.SortFunc(state.Trusts, func(a, b directory.Trust) int { return strings.Compare(a.ID, b.ID) })
		if d := cmp.Diff([]directory.Trust{again, a, b}, state.Trusts); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff([]directory.Credential{c}, state.Credentials, comparePrefixes); d != "" {
			t.Error(d)
		}
		subjects, err := db.Subjects(t.Context(), rev)
		want := []string{
			directory.SubjectCredential("c1"), directory.SubjectRevocation(gone.Generation), directory.SubjectService(s.UID),
			directory.SubjectTrust(again.ID), directory.SubjectTrust(a.ID), directory.SubjectTrust(b.ID), directory.SubjectTrust(gone.ID),
		}
		if slices.Sort(want); !slices.Equal(subjects, want) || err != nil {
			t.Errorf("got %v, %v", subjects, err)
		}

		c.RevokedAt = noon
		mustApply(t, db, directory.Batch{RevokeCredentials: []directory.Credential{c}})
		if got, err := db.ReadCredential(t.Context(), "c1"); err != nil || !got.RevokedAt.Equal(noon) || got.Version != 2 {
			t.Errorf("got %+v, %v", got, err)
		}
		_, err = apply(t, db, directory.Batch{RevokeCredentials: []directory.Credential{c}})
		if !errors.Is(err, directory.ErrConflict) {
			t.Errorf("got %v", err)
		}
		again.Version, again.ID = 0, "trust_another"
		if _, err := apply(t, db, directory.Batch{PutTrusts: []directory.Trust{again}}); !errors.Is(err, directory.ErrExists) || !strings.Contains(err.Error(), `name "GONE"`) {
			t.Errorf("got %v", err)
		}
	})
}

func TestCredentialsOfTrustsAreCounted(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		services := insert(t, db, "m1", "m2")
		prod, idle := addTrust(t, db, "prod", "https://prod.example"), addTrust(t, db, "idle", "https://idle.example")
		addTrust(t, db, "empty", "https://empty.example")
		for i, s := range services {
			addWorkload(t, db, s, prod, fmt.Sprint("p", i))
			addWorkload(t, db, s, idle, fmt.Sprint("i", i))
		}
		addCredential(t, db, services[0], "secret")
		later := noon.Add(time.Minute)
		if err := db.RecordUse(t.Context(), []directory.Use{{Credential: "p0", At: later}}); err != nil {
			t.Fatal(err)
		}
		got, err := db.TrustUses(t.Context(), later, later)
		want := map[string]directory.TrustUses{
			prod.ID: {Credentials: 2, Services: 2, Unmatched: 1, Example: "p1"}, idle.ID: {Credentials: 2, Services: 2, Unmatched: 2, Example: "i0"},
		}
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Error(d, err)
		}
		// Those made since then may be matched yet, and those that have ended do not count.
		if got, err := db.TrustUses(t.Context(), later, noon); err != nil || got[idle.ID].Unmatched != 0 {
			t.Errorf("got %v, %v", got, err)
		}
		if got, err := db.TrustUses(t.Context(), noon.Add(200*365*24*time.Hour), later); err != nil || len(got) != 0 {
			t.Errorf("got %v, %v", got, err)
		}
	})
}
