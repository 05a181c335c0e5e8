package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/keys"
	"github.com/watchword-dev/watchword/server/internal/policy"
	"github.com/watchword-dev/watchword/server/internal/supertokens"
	"github.com/watchword-dev/watchword/server/internal/usage"
)

// everything is what the dumps in testdata hold, as this version reads it.
type everything struct {
	State        *directory.State
	Changes      []directory.Change
	Keys         []keys.Record
	RingVersion  int64
	SuperTokens  []supertokens.SigningKey
	Applications []supertokens.SigningKey
	Secret       []byte
	Applied      []directory.Applied
	Usage        []usage.Row
	Used         string // of the names "a" and "b", which the newest dumps hold: see use
}

// fill makes what the newest dumps were made of.
func fill(t *testing.T, db *DB) {
	t.Helper()
	ctx := t.Context()
	check := func(_ any, err error) {
		t.Helper()
		must(t, err)
	}
	want := dumped2()
	for i, s := range want.State.Services {
		check(db.InsertService(ctx, s, want.Changes[i]))
	}
	for i, c := range want.State.Credentials[:2] {
		check(db.InsertCredential(ctx, c, want.Changes[2+i]))
	}
	for i, r := range want.State.Rules {
		r.Version = 0
		check(db.PutRule(ctx, r, want.Changes[4+i]))
	}
	check(nil, db.SaveKeys(ctx, 0, want.Keys, nil, want.Changes[6]))
	check(db.InsertSigningKey(ctx, want.SuperTokens[0], time.Time{}, want.Changes[7]))
	check(db.InsertSigningKey(ctx, want.Applications[0], time.Time{}, want.Changes[8]))
	check(db.InsertCredential(ctx, want.State.Credentials[2], want.Changes[9]))
	check(db.InsertRevocation(ctx, want.State.Revocations[0], want.Changes[10]))
	check(db.PutSecret(ctx, "oauth", want.Secret))
	use(t, db, "a")
	use(t, db, "b")
	fillCallMap(t, db)
}

// fillCallMap adds what schemas 3 and 12 have: what a call map file says beyond rules, the shadow, usage, trusts.
func fillCallMap(t *testing.T, db *DB) {
	t.Helper()
	state := load(t, db)
	i := slices.IndexFunc(state.Services, func(s directory.Service) bool { return s.Name == "m2" })
	m2, rule := state.Services[i], state.Rules[0]
	m2.Owner, m2.Labels, m2.ManagedBy, m2.Observe, m2.Probe, m2.DefaultTarget = "anna", []string{"team=web"}, "callmap", true, "http://m2/hello", "m1"
	rule.ManagedBy, rule.When = "callmap", &policy.When{Bound: true}
	prod := newTrust("prod", "https://prod.example")
	prod.Version = 0
	workload := newWorkload(m2, prod, "3333333333333333dddddddddddddddd")
	workload.Withheld = prod.Issuer
	a := directory.Applied{At: noon, Author: "anna", Reason: "größer", ManagedBy: "callmap", Summary: "all", Document: []byte{0, 1, 255}}
	mustApply(t, db, directory.Batch{
		PutServices: []directory.Service{m2}, PutRules: []directory.Rule{rule}, Applied: &a,
		PutTrusts: []directory.Trust{prod}, PutCredentials: []directory.Credential{workload},
		Shadow: &[]directory.ShadowRule{{Rule: directory.Rule{Edge: rule.Edge}, Absent: true}},
	})
	addUsage(t, db, usage.Row{Day: 20000, Use: newUse(m2.UID, m2.UID), N: 3, Last: noon})
}

// dumped1 is what the dumps of schema 1 hold.
func dumped1() everything {
	m1 := directory.Service{
		UID: directory.UID{1, 15: 1}, Name: "m1", ServiceSettings: api.ServiceSettings{Description: "größer 'quoted'\n2nd line", TokenTTLSeconds: 600, Algorithm: "EdDSA"},
		Version: 1, CreatedAt: noon, UpdatedAt: noon,
	}
	m2 := directory.Service{UID: directory.UID{2, 15: 2}, Name: "m2", ServiceSettings: api.ServiceSettings{Disabled: true}, Version: 1, CreatedAt: noon, UpdatedAt: noon.Add(time.Hour)}
	c1, c2 := newCredential(m1, "0123456789abcdef0123456789abcdef"), newCredential(m2, "fedcba9876543210fedcba9876543210")
	c1.CIDR, c1.LastUsedAt, c1.LastUsedFrom = netip.MustParsePrefix("192.0.2.0/24"), noon.Add(time.Second), "192.0.2.7"
	c2.RevokedAt, c2.ExpiresAt = noon, noon.AddDate(100, 0, 0)
	c1.Life, c2.Life = c1.ExpiresAt.Sub(noon), c2.ExpiresAt.Sub(noon)
	r1, r2 := newRule(m1, m2, "read", "write"), newRule(m2, m2)
	r1.Until, r1.Version, r2.Version = noon.AddDate(1, 0, 0), 1, 1
	active, retired := newKey("kid-active"), newKey("kid-retired")
	active.State = keys.StateActive
	retired.State, retired.RetiredAt, retired.DropAt, retired.RevokedAt = keys.StateRetiring, noon, noon.Add(time.Hour), noon.Add(time.Minute)
	at := noon.Truncate(time.Millisecond)
	e := everything{
		State: &directory.State{
			Revision: 9, Services: []directory.Service{m1, m2}, Credentials: []directory.Credential{c1, c2}, Rules: []directory.Rule{r1, r2},
		},
		Keys: []keys.Record{active, retired}, RingVersion: 1,
		SuperTokens:  []supertokens.SigningKey{signingKey("public", "s-1", true, at)},
		Applications: []supertokens.SigningKey{signingKey("m2m-auth", "d-1", false, at)},
		Used:         "++",
	}
	for i, subject := range []string{
		directory.SubjectService(m1.UID), directory.SubjectService(m2.UID), directory.SubjectCredential(c1.ID), directory.SubjectCredential(c2.ID),
		directory.SubjectRule(r1.Edge), directory.SubjectRule(r2.Edge), directory.SubjectKeys, "supertokens", "supertokens",
	} {
		c := change(subject)
		c.Revision = int64(i + 1)
		e.Changes = append(e.Changes, c)
	}
	return e
}

// dumped2 is what the dumps of schema 2 hold: all of the above, and what OAuth needs.
func dumped2() everything {
	e := dumped1()
	m1, m2 := &e.State.Services[0], &e.State.Services[1]
	m1.Audiences = []string{"https://m1.example/", "urn:example:m1"}
	m1.AuthMethods, m1.GrantTypes = []string{"private_key_jwt", "tls_client_auth"}, []string{"client_credentials"}
	m1.Binding, m1.TokenEndpointAudience = api.BindingDPoP, true
	m2.Binding, m2.MultipleTargets = api.BindingRequired, true
	key := newCredential(*m1, "1111111111111111ffffffffffffffff")
	key.Kind, key.Material, key.NotBefore = directory.KindKey, `{"kty":"OKP","crv":"Ed25519"}`, noon.Add(time.Minute)
	key.Life = key.ExpiresAt.Sub(key.NotBefore)
	e.State.Rules[0].Exchange, e.State.Rules[0].MayAct = policy.Delegate, m2.UID
	e.State.Rules[1].Exchange = policy.Impersonate
	e.State.Credentials = append(e.State.Credentials, key)
	e.State.Revocations = []directory.Revocation{{ID: "2222222222222222eeeeeeeeeeeeeeee", RevokedAt: noon, Until: noon.Add(time.Hour), Status: "list/7"}}
	for _, subject := range []string{directory.SubjectCredential(key.ID), directory.SubjectRevocation(e.State.Revocations[0].ID)} {
		c := change(subject)
		c.Revision = int64(len(e.Changes) + 1)
		e.Changes = append(e.Changes, c)
	}
	e.State.Revision = int64(len(e.Changes))
	e.Secret, e.Used = []byte{0, 255, 39, 0}, "--"
	return e
}

func readEverything(t *testing.T, db *DB) (e everything) {
	t.Helper()
	check := func(err error) {
		t.Helper()
		must(t, err)
	}
	var err error
	e.State, err = db.Load(t.Context())
	check(err)
	e.Changes, err = db.ChangesAfter(t.Context(), 0, 100)
	check(err)
	e.Keys, e.RingVersion, err = db.LoadKeys(t.Context())
	check(err)
	e.SuperTokens, err = db.SigningKeys(t.Context(), "public")
	check(err)
	e.Applications, err = db.SigningKeys(t.Context(), "m2m-auth")
	check(err)
	e.Secret, err = db.Secret(t.Context(), "oauth")
	check(err)
	e.Used = use(t, db, "a", "b")
	e.Applied, err = db.ListApplied(t.Context(), 0, 100)
	check(err)
	e.Usage = listUsage(t, db, usage.Filter{})
	return e
}

// restore makes a database of a dump in testdata.
func restore(t *testing.T, o Options, dump string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", dump))
	must(t, err)
	if o.DatabaseURL != "" {
		conn, err := pgx.Connect(t.Context(), o.DatabaseURL)
		must(t, err)
		defer conn.Close(context.WithoutCancel(t.Context()))
		if _, err := conn.PgConn().Exec(t.Context(), string(text)).ReadAll(); err != nil {
			t.Fatal(err)
		}
		return
	}
	db, err := sql.Open("sqlite", sqliteURL(filepath.Join(o.DataDir, sqliteFile), "rwc", "_journal_mode=WAL"))
	must(t, err)
	defer db.Close()
	if _, err := db.Exec(string(text)); err != nil {
		t.Fatal(err)
	}
}

// A database of each schema there was is brought forward with all that is in it.
func TestOldSchemasAreBroughtForward(t *testing.T) {
	for schema, want := range map[string]everything{"schema1": dumped1(), "schema2": dumped2()} {
		t.Run(schema, func(t *testing.T) {
			onBoth(t, func(t *testing.T, o Options) {
				engine := "sqlite"
				if o.DatabaseURL != "" {
					engine = "postgres"
				}
				restore(t, o, schema+"."+engine+".sql")
				db := open(t, o)
				if d := cmp.Diff(want, readEverything(t, db), comparePrefixes); d != "" {
					t.Error(d)
				}
				// And it takes what the newest schema has.
				newest := readEverything(t, db)
				fillCallMap(t, db)
				if e := readEverything(t, db); len(e.Applied) != 1 || len(e.Usage) != 1 || len(e.State.Shadow) != 1 || len(e.State.Trusts) != 1 ||
					len(e.State.Credentials) != len(newest.State.Credentials)+1 || e.State.Revision != newest.State.Revision+1 {
					t.Errorf("got %+v", e)
				}
				last := want.State.Revision + 1
				m3 := insert(t, db, "m3")[0]
				if got := revision(t, db); got != last+1 {
					t.Errorf("got revision %d, want %d", got, last+1)
				}
				// An audience has the owner it had.
				_, err := update(t, db, m3, "urn:example:m1")
				if taken := len(want.State.Services[0].Audiences) > 0; errors.Is(err, directory.ErrExists) != taken {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

// tomorrow is the migrations with one more.
func tomorrow(t *testing.T) fs.FS {
	t.Helper()
	all := fstest.MapFS{}
	names, err := fs.Glob(migrations(), "*.sql")
	must(t, err)
	for _, name := range names {
		text, err := fs.ReadFile(migrations(), name)
		must(t, err)
		all[name] = &fstest.MapFile{Data: text}
	}
	maps.Copy(all, fstest.MapFS{"99999_tomorrow.sql": {Data: []byte(`-- +goose Up
ALTER TABLE services ADD COLUMN landlord TEXT COLLATE "C" NOT NULL DEFAULT 'nobody';
CREATE TABLE owners (name TEXT NOT NULL PRIMARY KEY, since BIGINT NOT NULL) /* STRICT */;
`)}})
	return all
}

// A newer program changes the schema under the data; the older one then refuses, and leaves
// everything as it is.
func TestNewerSchemaIsRefused(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		fill(t, db)
		before := readEverything(t, db)
		db.Close()

		newer := o
		newer.migrations = tomorrow(t)
		db = open(t, newer)
		if d := cmp.Diff(before, readEverything(t, db), comparePrefixes); d != "" {
			t.Errorf("the migration changed %s", d)
		}
		db.Close()

		path := filepath.Join(o.DataDir, sqliteFile)
		content, _ := os.ReadFile(path)
		_, err := Open(t.Context(), o)
		if err == nil || !strings.Contains(err.Error(), "schema 99999") || !strings.Contains(err.Error(), "newer version") {
			t.Errorf("got %v", err)
		}
		if after, _ := os.ReadFile(path); !bytes.Equal(content, after) {
			t.Error("the refused file was changed")
		}
		db = open(t, newer)
		insert(t, db, "m3")
	})
}

// A migration that fails leaves the schema before it.
func TestFailedMigrationChangesNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		fill(t, db)
		before := readEverything(t, db)
		db.Close()
		broken := o
		files := tomorrow(t).(fstest.MapFS)
		files["99999_tomorrow.sql"].Data = append(files["99999_tomorrow.sql"].Data, "ALTER TABLE absent ADD COLUMN x BIGINT;\n"...)
		broken.migrations = files
		if _, err := Open(t.Context(), broken); err == nil || !strings.Contains(err.Error(), "schema 99999") {
			t.Errorf("got %v", err)
		}
		db = open(t, o)
		if d := cmp.Diff(before, readEverything(t, db), comparePrefixes); d != "" {
			t.Error(d)
		}
	})
}
