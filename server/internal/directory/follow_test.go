package directory_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/directory"
)

// Whatever is changed, and in whatever order, a snapshot that followed is the snapshot of
// all that is stored, here and on another replica.
func TestFollowingEndsWhereLoadingDoes(t *testing.T) {
	db := open(t)
	name := func(t *rapid.T, label string) string { return fmt.Sprintf("m%d", rapid.IntRange(0, 4).Draw(t, label)) }
	one, other := load(t, db, directory.Options{}), load(t, db, directory.Options{})
	rapid.Check(t, func(t *rapid.T) {
		ctx := context.Background()
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			d := rapid.SampledFrom([]*directory.Directory{one, other}).Draw(t, "replica")
			var err error
			switch rapid.IntRange(0, 12).Draw(t, "change") {
			case 0:
				_, err = d.CreateService(ctx, operator, directory.NewService{Name: name(t, "name"), ServiceSettings: api.ServiceSettings{Audiences: audiences(t)}})
			case 1:
				_, err = d.UpdateService(ctx, operator, name(t, "name"), 0, func(s *directory.Service) { s.Disabled = !s.Disabled })
			case 6:
				_, err = d.UpdateService(ctx, operator, name(t, "name"), 0, func(s *directory.Service) { s.Audiences = audiences(t) })
			case 7:
				err = d.RevokeToken(ctx, operator, directory.RandomID(), time.Time{}, "")
			case 2:
				err = d.DeleteService(ctx, operator, name(t, "name"), 0)
			case 3:
				_, _, err = d.Allow(ctx, operator, name(t, "caller"), name(t, "target"), directory.NewRule{}, 0)
			case 4:
				err = d.Disallow(ctx, operator, name(t, "caller"), name(t, "target"), 0)
			case 8:
				_, err = d.AddTrust(ctx, operator, trustName(t), trustOf(t))
			case 9:
				_, err = d.UpdateTrust(ctx, operator, trustName(t), 0, func(s *api.TrustSettings) { *s = trustOf(t) })
			case 10:
				err = d.RemoveTrust(ctx, operator, trustName(t), 0)
			case 11:
				err = applyTrusts(ctx, t, d)
			case 5, 12:
				var c directory.Credential
				n := directory.NewCredential{}
				switch rapid.SampledFrom([]string{"bootstrap", "secret", "workload", "workload"}).Draw(t, "kind") {
				case "secret":
					n.Kind, n.Material = directory.KindSecret, directory.RandomID()
				case "workload":
					n.Kind, n.Trust, n.Claims = directory.KindWorkload, trustName(t), map[string]string{"sub": rapid.SampledFrom(subjects).Draw(t, "sub")}
				}
				if c, err = d.AddCredential(ctx, operator, name(t, "name"), n); err == nil && rapid.Bool().Draw(t, "revoke") {
					_, err = d.RevokeCredential(ctx, operator, c.ID)
				}
			}
			// A trust that is not there, or claims that a service names twice.
			if _, refused := errors.AsType[*directory.InvalidError](err); err != nil && !refused && !errors.Is(err, directory.ErrNotFound) && !errors.Is(err, directory.ErrExists) {
				t.Fatal(err)
			}
		}
		for _, d := range []*directory.Directory{one, other} {
			if err := d.CatchUp(ctx); err != nil {
				t.Fatal(err)
			}
		}
		state, err := db.Load(ctx)
		if err != nil {
			t.Fatal(err)
		}
		want := directory.NewSnapshot(state, 24*time.Hour)
		for _, d := range []*directory.Directory{one, other} {
			same(t, d.Snapshot(), want, state)
		}
	})
}

// Few, so that they are taken, and meet.
var subjects, issuers = []string{"s1", "s2"}, []string{"https://a.example", "https://b.example", "https://c.example"}

func trustName(t *rapid.T) string {
	return rapid.SampledFrom([]string{"t1", "t2", "t3"}).Draw(t, "trust")
}

func trustOf(t *rapid.T) api.TrustSettings {
	return api.TrustSettings{Preset: "oidc", Issuer: rapid.SampledFrom(issuers).Draw(t, "issuer"), Disabled: rapid.Bool().Draw(t, "disabled")}
}

// applyTrusts adds or removes a trust with a credential, as a file does.
func applyTrusts(ctx context.Context, t *rapid.T, d *directory.Directory) error {
	if err := d.CatchUp(ctx); err != nil {
		return err
	}
	s := d.Snapshot()
	b := directory.Batch{Base: s.Revision()}
	tr := directory.Trust{ID: directory.NewTrustID(), Name: trustName(t), TrustSettings: trustOf(t)}
	if old, there := s.TrustByName(tr.Name); there {
		b.DeleteTrusts = []directory.Trust{*old}
	}
	b.PutTrusts = []directory.Trust{tr}
	for svc := range s.All() {
		b.PutCredentials = append(b.PutCredentials, directory.Credential{Service: svc.UID, Kind: directory.KindWorkload, Trust: tr.ID, Material: `{"sub":"s1"}`})
	}
	_, err := d.Apply(ctx, operator, b, "callmap.apply", "")
	return err
}

// audiences are few, so that services come to want the same.
func audiences(t *rapid.T) (some []string) {
	for _, a := range []string{"urn:a", "urn:b", "urn:c"} {
		if rapid.Bool().Draw(t, a) {
			some = append(some, a)
		}
	}
	return some
}

func same(t *rapid.T, got, want *directory.Snapshot, state *directory.State) {
	if d := cmp.Diff(maps.Collect(want.Denials().All()), maps.Collect(got.Denials().All())); d != "" {
		t.Fatalf("denials: %s", d)
	}
	for _, a := range []string{"urn:a", "urn:b", "urn:c", "m0", "m1", "m2", "m3", "m4"} {
		g, _ := got.Audience(a)
		w, _ := want.Audience(a)
		if d := cmp.Diff(w, g); d != "" {
			t.Fatalf("audience %s: %s", a, d)
		}
	}
	comparePrefixes := cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })
	for _, s := range state.Services {
		if d := cmp.Diff(want.CredentialsOf(s.UID), got.CredentialsOf(s.UID), comparePrefixes, cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("credentials of %s: %s", s.Name, d)
		}
	}
	if d := cmp.Diff(trustsIn(want), trustsIn(got), comparePrefixes); d != "" {
		t.Fatalf("trusts: %s", d)
	}
	if got.Revision() != want.Revision() {
		t.Fatalf("revision: got %d, want %d", got.Revision(), want.Revision())
	}
	gs, gc, gr := got.Counts()
	ws, wc, wr := want.Counts()
	if gs != ws || gc != wc || gr != wr {
		t.Fatalf("counts: got %d %d %d, want %d %d %d", gs, gc, gr, ws, wc, wr)
	}
	for _, s := range state.Services {
		byUID, _ := got.ServiceByUID(s.UID)
		byName, _ := got.Service(s.Name)
		if byUID == nil || byName != byUID || byUID.Disabled != s.Disabled || byUID.Version != s.Version {
			t.Fatalf("service %s: got %+v by uid, %+v by name", s.Name, byUID, byName)
		}
	}
	for _, r := range state.Rules {
		if got.Rule(r.Edge) == nil {
			t.Fatalf("a rule is missing")
		}
	}
	for _, c := range state.Credentials {
		if g, ok := got.Credential(c.ID); !ok || !g.RevokedAt.Equal(c.RevokedAt) {
			t.Fatalf("credential %s: got %+v", c.ID, g)
		}
	}
}

// trustsIn is all that a snapshot answers about trusts.
func trustsIn(s *directory.Snapshot) map[string]any {
	all := map[string]any{}
	for t := range s.Trusts() {
		all[t.ID], _ = s.Trust(t.ID)
		for _, sub := range subjects {
			all[sub+" of "+t.ID] = s.Workloads(t.ID, "sub", sub)
		}
	}
	for _, name := range []string{"t1", "t2", "t3"} {
		all[name], _ = s.TrustByName(name)
	}
	for _, issuer := range issuers {
		all[issuer], _ = s.TrustByIssuer(issuer)
	}
	return all
}

// An audience that moved is found at its owner, in whichever order a replica sees the two services.
func TestAudienceThatMovedIsFoundByWhoFollows(t *testing.T) {
	for _, first := range []string{"m1", "m2"} {
		db := open(t)
		one, other := load(t, db, directory.Options{}), load(t, db, directory.Options{})
		edit := func(name string, edit func(s *directory.Service)) {
			t.Helper()
			if _, err := one.UpdateService(t.Context(), operator, name, 0, edit); err != nil {
				t.Fatal(err)
			}
		}
		for _, n := range []directory.NewService{{Name: "m1", ServiceSettings: api.ServiceSettings{Audiences: []string{"urn:a"}}}, {Name: "m2"}} {
			if _, err := one.CreateService(t.Context(), operator, n); err != nil {
				t.Fatal(err)
			}
		}
		if err := other.CatchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		edit(first, func(s *directory.Service) { s.Description = "seen first" })
		edit("m1", func(s *directory.Service) { s.Audiences = nil })
		edit("m2", func(s *directory.Service) { s.Audiences = []string{"urn:a"} })
		if err := other.CatchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s, ok := other.Snapshot().Audience("urn:a"); !ok || s.Name != "m2" {
			t.Errorf("%s first: got %+v", first, s)
		}
	}
}

// F73: a replica of an older version follows a change of a kind it does not know by reading everything.
func TestAChangeOfAnUnknownKindIsFollowed(t *testing.T) {
	for _, subject := range []string{"rules-matching/m1", "rule/by-name/m1/m2", "service/m1", ""} {
		db := open(t)
		newer, older := load(t, db, directory.Options{}), load(t, db, directory.Options{})
		for _, name := range []string{"m1", "m2"} {
			if _, err := newer.CreateService(t.Context(), operator, directory.NewService{Name: name}); err != nil {
				t.Fatal(err)
			}
		}
		r, _, err := newer.Allow(t.Context(), operator, "m1", "m2", directory.NewRule{}, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := older.CatchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		if older.Snapshot().Rule(r.Edge) == nil {
			t.Fatal("the rule is not followed")
		}
		if _, err := db.DeleteRule(t.Context(), r.Edge, r.Version, directory.Change{At: time.Now(), Subject: subject}); err != nil {
			t.Fatal(err)
		}
		if err := older.CatchUp(t.Context()); err != nil {
			t.Fatalf("%q: %v", subject, err)
		}
		if older.Snapshot().Rule(r.Edge) != nil {
			t.Errorf("%q: the rule is still in force", subject)
		}
	}
}

// F114, F108: a key of the SuperTokens interface is no news for the directory, nor is it of a newer version. Nor are secrets
// that were sealed again.
func TestKeysAndSecretsAreNoNews(t *testing.T) {
	for _, subject := range []string{"supertokens/public", "supertokens", "secrets"} {
		t.Run(subject, func(t *testing.T) { isNoNews(t, subject) })
	}
}

func isNoNews(t *testing.T, subject string) {
	db := open(t)
	var log strings.Builder
	d := load(t, db, directory.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	svc := directory.Service{UID: directory.UID{1}, Name: "m1", Version: 1}
	if _, err := db.InsertService(t.Context(), svc, directory.Change{At: time.Now(), Subject: subject}); err != nil {
		t.Fatal(err)
	}
	if err := d.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, all := d.Snapshot().Service("m1"); all || log.Len() > 0 {
		t.Errorf("everything was read anew: %v; logged %q", all, log.String())
	}
}
