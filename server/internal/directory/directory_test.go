package directory_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/policy"
	"github.com/watchword-dev/watchword/server/internal/store"
)

var operator = directory.Author{Actor: "operator", RequestID: "r1"}

func open(t testing.TB) *store.DB {
	t.Helper()
	return openAt(t, nil)
}

// openAt opens one on a machine whose clock says now.
func openAt(t testing.TB, now func() time.Time) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), store.Options{DataDir: t.TempDir(), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func load(t testing.TB, s directory.Store, o directory.Options) *directory.Directory {
	t.Helper()
	d := directory.New(s, nil, o)
	if err := d.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d
}

// decide asks by name, as an endpoint does.
func decide(d *directory.Directory, caller, target string) policy.Reason {
	s := d.Snapshot()
	c, ok := s.Service(caller)
	if !ok {
		return policy.CallerDisabled
	}
	got := s.Decide(directory.Question{Caller: c.UID, Target: target, At: time.Now()})
	return got.Reason
}

// CAU-015, for rules and credentials.
func TestNameMadeAgainInheritsNothing(t *testing.T) {
	d := load(t, open(t), directory.Options{})
	ctx := t.Context()
	for _, n := range []string{"m1", "m2"} {
		if _, err := d.CreateService(ctx, operator, directory.NewService{Name: n}); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := d.Allow(ctx, operator, "m1", "m2", directory.NewRule{}, 0); err != nil {
		t.Fatal(err)
	}
	c, err := d.AddCredential(ctx, operator, "m1", directory.NewCredential{})
	if err != nil {
		t.Fatal(err)
	}
	if got := decide(d, "m1", "m2"); got != policy.Allowed {
		t.Fatalf("got %s", got)
	}
	for _, n := range []string{"m1", "m2"} {
		if err := d.DeleteService(ctx, operator, n, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := d.CreateService(ctx, operator, directory.NewService{Name: n}); err != nil {
			t.Fatal(err)
		}
		if got := decide(d, "m1", "m2"); got != policy.NoRule {
			t.Errorf("after %s was made again: got %s", n, got)
		}
	}
	if _, ok := d.Snapshot().Credential(c.ID); ok {
		t.Error("the old credential is still there")
	}
}

func TestInputThatBreaksARuleIsRefusedByField(t *testing.T) {
	d := load(t, open(t), directory.Options{
		Reserved: []string{"auth-server", "https://auth.example/t1"}, MaxTokenTTL: time.Hour,
		AuthMethods: []string{"private_key_jwt"}, GrantTypes: []string{"client_credentials"},
	})
	ctx := t.Context()
	if _, err := d.CreateService(ctx, operator, directory.NewService{Name: "m1"}); err != nil {
		t.Fatal(err)
	}
	create := func(s directory.NewService) error { _, err := d.CreateService(ctx, operator, s); return err }
	credential := func(c directory.NewCredential) error { _, err := d.AddCredential(ctx, operator, "m1", c); return err }
	allow := func(r directory.NewRule) error { _, _, err := d.Allow(ctx, operator, "m1", "m1", r, 0); return err }
	for _, c := range []struct {
		field string
		err   error
	}{
		{"name", create(directory.NewService{})},
		{"name", create(directory.NewService{Name: "auth-server"})},
		{"name", create(directory.NewService{Name: "-m"})},
		{"name", create(directory.NewService{Name: "a b"})},
		{"name", create(directory.NewService{Name: "a/b"})},
		{"name", create(directory.NewService{Name: "__proto__"})},
		{"name", create(directory.NewService{Name: "m\u00e4"})},
		{"name", create(directory.NewService{Name: strings.Repeat("m", 129)})},
		{"description", create(directory.NewService{Name: "m9", ServiceSettings: api.ServiceSettings{Description: "a\x00b"}})},
		{"description", create(directory.NewService{Name: "m9", ServiceSettings: api.ServiceSettings{Description: "\xff"}})},
		{"description", create(directory.NewService{Name: "m9", ServiceSettings: api.ServiceSettings{Description: strings.Repeat("x", 1025)}})},
		{"tokenTtlSeconds", create(directory.NewService{Name: "m9", ServiceSettings: api.ServiceSettings{TokenTTLSeconds: 7200}})},
		{"tokenTtlSeconds", create(directory.NewService{Name: "m9", ServiceSettings: api.ServiceSettings{TokenTTLSeconds: -1}})},
		{"tokenTtlSeconds", create(directory.NewService{Name: "m9", ServiceSettings: api.ServiceSettings{TokenTTLSeconds: math.MaxInt64}})},
		{"audiences", create(directory.NewService{Name: "m9", ServiceSettings: api.ServiceSettings{Audiences: make([]string, 17)}})},
		{"authMethods", create(directory.NewService{Name: "m9", ServiceSettings: api.ServiceSettings{AuthMethods: []string{"private_key_jwt", "guess"}}})},
		{"authMethods", create(directory.NewService{Name: "m9", ServiceSettings: api.ServiceSettings{AuthMethods: []string{""}}})},
		{"grantTypes", create(directory.NewService{Name: "m9", ServiceSettings: api.ServiceSettings{GrantTypes: []string{"password"}}})},
		{"binding", create(directory.NewService{Name: "m9", ServiceSettings: api.ServiceSettings{Binding: "tls"}})},
		{"exchange", allow(directory.NewRule{Exchange: "swap"})},
		{"kind", credential(directory.NewCredential{Kind: "password", Material: "x"})},
		{"kind", credential(directory.NewCredential{Kind: directory.KindSecret})},
		{"kind", credential(directory.NewCredential{Material: "x"})},
		{"kind", credential(directory.NewCredential{Kind: directory.KindKey, Material: strings.Repeat("x", 4097)})},
		{"kind", credential(directory.NewCredential{Kind: directory.KindTLSSubject, Material: "dn:\x00"})},
		{"notBefore", credential(directory.NewCredential{NotBefore: time.Now().Add(-time.Hour), TTL: time.Minute})},
		{"notBefore", credential(directory.NewCredential{NotBefore: time.Now().AddDate(300, 0, 0)})},
		{"ttl", credential(directory.NewCredential{TTL: 101 * 366 * 24 * time.Hour})},
		{"ttl", credential(directory.NewCredential{TTL: -1})},
		{"name", credential(directory.NewCredential{Name: "a\x01b"})},
		{"cidr", credential(directory.NewCredential{CIDR: netip.MustParsePrefix("10.1.2.3/8")})},
		{"scope", allow(directory.NewRule{Scopes: []string{`a"b`}})},
		{"until", allow(directory.NewRule{Until: time.Now().Add(-time.Second)})},
	} {
		if invalid, ok := errors.AsType[*directory.InvalidError](c.err); !ok || invalid.Field != c.field {
			t.Errorf("got %v, want a refusal of %s", c.err, c.field)
		}
	}
}

// F25, F35: names that are read as the identity of a service, as a name of the server or as another service's.
func TestNameThatIsReadAsAnotherIsRefused(t *testing.T) {
	d := load(t, open(t), directory.Options{Reserved: []string{"auth-server"}})
	gone, err := d.CreateService(t.Context(), operator, directory.NewService{Name: "m1"})
	if err != nil {
		t.Fatal(err)
	}
	uid := directory.FormatUID(gone.UID)
	for _, name := range []string{uid, strings.ToUpper(uid), "Auth-Server"} {
		var invalid *directory.InvalidError
		if _, err := d.CreateService(t.Context(), operator, directory.NewService{Name: name}); !errors.As(err, &invalid) || invalid.Field != "name" {
			t.Errorf("%s: got %v", name, err)
		}
		if err := d.CheckService(directory.Service{Name: name}); !errors.As(err, &invalid) {
			t.Errorf("%s in a call map: got %v", name, err)
		}
	}
	if _, err := d.CreateService(t.Context(), operator, directory.NewService{Name: "M1"}); !errors.Is(err, directory.ErrExists) {
		t.Errorf("M1 beside m1: got %v", err)
	}
	for _, name := range []string{"svc_orders", uid + "0", uid[1:]} {
		if _, err := d.CreateService(t.Context(), operator, directory.NewService{Name: name}); err != nil {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestVersionsKeepOneFromOverwritingTheOther(t *testing.T) { // POL-007
	d := load(t, open(t), directory.Options{})
	ctx := t.Context()
	s, err := d.CreateService(ctx, operator, directory.NewService{Name: "m1"})
	if err != nil {
		t.Fatal(err)
	}
	describe := func(version int64, text string) error {
		_, err := d.UpdateService(ctx, operator, "m1", version, func(s *directory.Service) { s.Description = text })
		return err
	}
	if err := describe(s.Version, "first"); err != nil {
		t.Fatal(err)
	}
	if err := describe(s.Version, "second"); !errors.Is(err, directory.ErrConflict) {
		t.Errorf("update from an old version: got %v, want ErrConflict", err)
	}
	if err := d.DeleteService(ctx, operator, "m1", s.Version); !errors.Is(err, directory.ErrConflict) {
		t.Errorf("delete of an old version: got %v, want ErrConflict", err)
	}
	r, created, err := d.Allow(ctx, operator, "m1", "m1", directory.NewRule{}, directory.MustNotExist)
	if err != nil || !created {
		t.Fatalf("got %v %v", created, err)
	}
	if _, _, err := d.Allow(ctx, operator, "m1", "m1", directory.NewRule{}, directory.MustNotExist); !errors.Is(err, directory.ErrConflict) {
		t.Errorf("second creation: got %v, want ErrConflict", err)
	}
	before := d.Snapshot().Revision()
	if _, created, err := d.Allow(ctx, operator, "m1", "m1", directory.NewRule{}, 0); err != nil || created || d.Snapshot().Revision() != before {
		t.Errorf("allowing what is allowed: got created %v, revision %d after %d, %v", created, d.Snapshot().Revision(), before, err)
	}
	if err := d.Disallow(ctx, operator, "m1", "m1", r.Version+1); !errors.Is(err, directory.ErrConflict) {
		t.Errorf("disallow of another version: got %v, want ErrConflict", err)
	}
}

// broken fails on demand.
type broken struct {
	directory.Store
	down atomic.Bool
}

var errDown = errors.New("store is away")

func (b *broken) ChangesAfter(ctx context.Context, revision int64, limit int) ([]directory.Change, error) {
	if b.down.Load() {
		return nil, errDown
	}
	return b.Store.ChangesAfter(ctx, revision, limit)
}

// POL-013, FLT-016: what is older than the bound decides nothing, and fresh word ends that.
func TestSnapshotThatIsTooOldIsNotFresh(t *testing.T) {
	b := &broken{Store: open(t)}
	now := time.Now()
	d := load(t, b, directory.Options{MaxStaleness: 30 * time.Second, Now: func() time.Time { return now }})
	b.down.Store(true)
	now = now.Add(30 * time.Second)
	if err := d.CatchUp(t.Context()); !errors.Is(err, errDown) {
		t.Fatalf("got %v", err)
	}
	if err := d.Fresh(); err != nil {
		t.Errorf("at the bound: got %v", err)
	}
	now = now.Add(time.Millisecond)
	if err := d.Fresh(); !errors.Is(err, directory.ErrStale) {
		t.Errorf("past the bound: got %v, want ErrStale", err)
	}
	b.down.Store(false)
	if err := d.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := d.Fresh(); err != nil {
		t.Errorf("after word from the store: got %v", err)
	}
}

// A change whose following failed is not reported as made.
func TestChangeThatIsNotInForceIsAnError(t *testing.T) {
	b := &broken{Store: open(t)}
	d := load(t, b, directory.Options{})
	b.down.Store(true)
	if _, err := d.CreateService(t.Context(), operator, directory.NewService{Name: "m1"}); !errors.Is(err, errDown) || !strings.Contains(err.Error(), "not yet in force") {
		t.Errorf("got %v", err)
	}
	b.down.Store(false)
	if err := d.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, ok := d.Snapshot().Service("m1"); !ok {
		t.Error("the stored change was lost")
	}
}

func TestUseIsStoredOnceASecondAndForEachPlace(t *testing.T) {
	db := open(t)
	d := load(t, db, directory.Options{})
	ctx := t.Context()
	if _, err := d.CreateService(ctx, operator, directory.NewService{Name: "m1"}); err != nil {
		t.Fatal(err)
	}
	c, err := d.AddCredential(ctx, operator, "m1", directory.NewCredential{})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now().Truncate(time.Microsecond)
	used := func() string {
		d.FlushUses(ctx)
		got, err := db.ReadCredential(ctx, c.ID)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(got.LastUsedAt.Sub(at), " ", got.LastUsedFrom)
	}
	d.RecordUse(c.ID, at, "10.0.0.1")
	d.RecordUse(c.ID, at.Add(time.Millisecond), "10.0.0.1")
	if got := used(); got != "0s 10.0.0.1" {
		t.Errorf("got %s", got)
	}
	d.RecordUse(c.ID, at.Add(2*time.Millisecond), "10.0.0.2")
	if got := used(); got != "2ms 10.0.0.2" {
		t.Errorf("another place: got %s", got)
	}
	d.RecordUse(c.ID, at.Add(2*time.Second), "10.0.0.2")
	if got := used(); got != "2s 10.0.0.2" {
		t.Errorf("later: got %s", got)
	}
}

// counted says how often it was asked for changes.
type counted struct {
	directory.Store
	asked atomic.Int64
}

func (c *counted) ChangesAfter(context.Context, int64, int) ([]directory.Change, error) {
	c.asked.Add(1)
	return nil, nil
}

func (c *counted) PurgeRevocations(context.Context, time.Time, time.Time) error { return nil }

func (c *counted) Now(context.Context) (time.Time, error) { return time.Now(), nil }

// F08: of credentials that were used nothing is kept once it is stored.
func TestUsesAreForgottenWhenTheyAreStored(t *testing.T) {
	d := load(t, open(t), directory.Options{})
	now := time.Now()
	for i := range 1000 {
		d.RecordUse(fmt.Sprint(i), now, "192.0.2.1")
	}
	if n := d.RememberedUses(); n != 1000 {
		t.Fatalf("%d are remembered before they are stored, want 1000", n)
	}
	d.FlushUses(t.Context())
	if n := d.RememberedUses(); n != 0 {
		t.Errorf("%d are remembered after they were stored", n)
	}
}

func TestPollingIsTheFloor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &counted{}
		d := directory.New(c, nil, directory.Options{Poll: 500 * time.Millisecond})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second+time.Millisecond)
		defer cancel()
		if err := d.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if got := c.asked.Load(); got != 20 {
			t.Errorf("asked %d times in 10 s, want 20", got)
		}
	})
}

func FuzzParseName(f *testing.F) {
	for _, s := range []string{"m1", "", "a.b_c-d", "-a", "a\x00", "__proto__"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, err := directory.ParseName(s)
		if err == nil && (name != s || strings.ContainsAny(s, "\"\\/ \x00%<>&'") || len(s) > 128) {
			t.Errorf("accepted %q", s)
		}
	})
}

func FuzzParseScopes(f *testing.F) {
	for _, s := range []string{"read", "", "a b a", "a  b", "a\"b", "\x7f"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		scopes, err := directory.ParseScopes(s)
		if err != nil {
			return
		}
		for i, scope := range scopes {
			if scope == "" || strings.ContainsAny(scope, " \"\\\n\x7f") || i > 0 && scopes[i-1] >= scope {
				t.Errorf("%q gave %q", s, scopes)
			}
		}
	})
}

func TestUIDIsReadAsItWasWritten(t *testing.T) {
	want := directory.UID{0: 1, 15: 0xff}
	if got, err := directory.ParseUID(directory.FormatUID(want)); err != nil || got != want {
		t.Errorf("got %v, %v", got, err)
	}
	good := directory.FormatUID(want)
	for _, s := range []string{"", "svc_", good[4:], good + "00", good[:35], "svc_" + strings.Repeat("0", 10_000), "svc_" + strings.Repeat("x", 32), strings.Repeat("a", 10_000)} {
		if got, err := directory.ParseUID(s); err == nil || got != (directory.UID{}) {
			t.Errorf("%.50q: got %v, want an error", s, got)
		}
	}
}
