package directory_test

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/server/internal/directory"
)

// inhabited is a directory with m1 and m2, by a clock that the test moves.
func inhabited(t *testing.T) (d *directory.Directory, now *time.Time) {
	t.Helper()
	now = new(time.Time)
	*now = time.Now().Truncate(time.Second)
	clock := func() time.Time { return *now }
	d = load(t, openAt(t, clock), directory.Options{Now: clock, Passing: clock})
	for _, n := range []string{"m1", "m2"} {
		if _, err := d.CreateService(t.Context(), operator, directory.NewService{Name: n}); err != nil {
			t.Fatal(err)
		}
	}
	return d, now
}

func add(t *testing.T, d *directory.Directory, service string, n directory.NewCredential) directory.Credential {
	t.Helper()
	c, err := d.AddCredential(t.Context(), operator, service, n)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// listed are the credentials of a service.
func listed(d *directory.Directory, service string) []*directory.Credential {
	s, _ := d.Snapshot().Service(service)
	return d.Snapshot().CredentialsOf(s.UID)
}

func TestCredentialOfEachKindIsKeptWhole(t *testing.T) {
	d, now := inhabited(t)
	for kind, material := range map[directory.Kind]string{
		directory.KindBootstrap: "", directory.KindSecret: strings.Repeat("0f", 32), directory.KindKey: `{"kty":"OKP","kid":"k1"}`,
		directory.KindJWKS: "https://m1.example/jwks", directory.KindCertificate: strings.Repeat("A", 43), directory.KindTLSSubject: "dns:m1.example",
	} {
		n := directory.NewCredential{
			Kind: kind, Material: material, Name: "one", TTL: time.Hour, NotBefore: now.Add(time.Minute), CIDR: netip.MustParsePrefix("10.0.0.0/8"),
		}
		c := add(t, d, "m1", n)
		want := directory.Credential{
			ID: c.ID, Service: c.Service, Kind: kind, Material: material, Name: "one", CIDR: n.CIDR, Version: 1,
			CreatedAt: now.UTC(), NotBefore: n.NotBefore.UTC(), ExpiresAt: n.NotBefore.Add(time.Hour).UTC(), Life: time.Hour,
		}
		got, ok := d.Snapshot().Credential(c.ID)
		if !ok || *got != want || c != want {
			t.Errorf("got %+v and %+v, want %+v", c, got, want)
		}
		for after, want := range map[time.Duration]string{0: "not_yet_valid", time.Minute: "", 61*time.Minute - 1: "", 61 * time.Minute: "expired"} {
			if why := c.Good(now.Add(after)); why != want {
				t.Errorf("%s after %s: got %q, want %q", kind, after, why, want)
			}
		}
	}
	if got := len(listed(d, "m1")); got != 6 || len(listed(d, "m2")) != 0 {
		t.Errorf("m1 has %d credentials", got)
	}
}

// PKJ-045.
func TestTwoKeysOfOneIDAreRefused(t *testing.T) {
	d, now := inhabited(t)
	key := func(service, material string) error {
		_, err := d.AddCredential(t.Context(), operator, service, directory.NewCredential{Kind: directory.KindKey, Material: material, TTL: time.Hour})
		return err
	}
	var first directory.Credential
	if err := key("m1", `{"kid":"a","alg":"ES256"}`); err != nil {
		t.Fatal(err)
	}
	first = *listed(d, "m1")[0]
	for _, material := range []string{`{"kid":"a","alg":"PS256"}`, `{"kid":"a","alg":"ES256"}`} {
		var invalid *directory.InvalidError
		if err := key("m1", material); !errors.As(err, &invalid) || invalid.Field != "jwk" || !strings.Contains(invalid.Problem, first.ID) {
			t.Errorf("%s: got %v", material, err)
		}
	}
	if err := errors.Join(key("m1", `{"kid":"b","alg":"ES256"}`), key("m2", `{"kid":"a","alg":"ES256"}`)); err != nil {
		t.Errorf("another id, another service: %v", err)
	}
	if _, err := d.RevokeCredential(t.Context(), operator, first.ID); err != nil {
		t.Fatal(err)
	}
	if err := key("m1", `{"kid":"a","alg":"PS256"}`); err != nil {
		t.Errorf("after the revocation of the other: %v", err)
	}
	*now = now.Add(time.Hour)
	if err := key("m1", `{"kid":"a","alg":"PS256"}`); err != nil {
		t.Errorf("after the end of the other: %v", err)
	}
}

func TestOfManyWhoAddOneKeyOneDoes(t *testing.T) {
	d, _ := inhabited(t)
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			_, err := d.AddCredential(t.Context(), operator, "m1", directory.NewCredential{Kind: directory.KindKey, Material: fmt.Sprintf(`{"kid":"a","n":%d}`, i)})
			if invalid := (*directory.InvalidError)(nil); err != nil && !errors.As(err, &invalid) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := len(listed(d, "m1")); got != 1 {
		t.Errorf("%d have the id", got)
	}
}

func TestServiceHasAHundredCredentialsAtMost(t *testing.T) {
	d, _ := inhabited(t)
	secret := func() (directory.Credential, error) {
		return d.AddCredential(t.Context(), operator, "m1", directory.NewCredential{Kind: directory.KindSecret, Material: directory.RandomID()})
	}
	var last directory.Credential
	for range directory.MaxCredentials {
		var err error
		if last, err = secret(); err != nil {
			t.Fatal(err)
		}
	}
	var invalid *directory.InvalidError
	if _, err := secret(); !errors.As(err, &invalid) || invalid.Field != "service" {
		t.Errorf("got %v", err)
	}
	add(t, d, "m1", directory.NewCredential{}) // found by its id
	add(t, d, "m2", directory.NewCredential{Kind: directory.KindSecret, Material: "x"})
	if _, err := d.RevokeCredential(t.Context(), operator, last.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := secret(); err != nil {
		t.Errorf("after a revocation: %v", err)
	}
}

// CAU-016: the new one takes over, the old one ends after the overlap, and two live at most.
func TestRotationLetsTheOldOneEndAfterTheOverlap(t *testing.T) {
	d, now := inhabited(t)
	n := 0
	remake := func(kind directory.Kind) (string, error) {
		if n++; kind != directory.KindSecret {
			return "", errors.New("asked for " + string(kind))
		}
		return fmt.Sprint("material ", n), nil
	}
	old := add(t, d, "m1", directory.NewCredential{Kind: directory.KindSecret, Material: "material 0", Name: "ci", TTL: 24 * time.Hour, CIDR: netip.MustParsePrefix("10.0.0.0/8")})
	other := add(t, d, "m1", directory.NewCredential{Kind: directory.KindSecret, Material: "other", Name: "laptop"})
	*now = now.Add(2 * time.Hour)
	fresh, ending, err := d.RotateCredential(t.Context(), operator, old.ID, time.Hour, remake)
	if err != nil {
		t.Fatal(err)
	}
	want := old
	want.ID, want.Material, want.CreatedAt, want.ExpiresAt = fresh.ID, "material 1", now.UTC(), now.Add(24*time.Hour).UTC()
	want.Replaces, want.Overlap = old.ID, time.Hour
	if fresh != want || fresh.ID == old.ID || ending != old {
		t.Errorf("got %+v for %+v, want %+v for %+v", fresh, ending, want, old)
	}
	*now = now.Add(2 * time.Hour)
	use := func(id string) { // as the services of two replicas do
		d.RecordUse(id, *now, "10.0.0.1")
		d.FlushUses(t.Context())
	}
	if use(old.ID); !stored(t, d, old.ID).ExpiresAt.Equal(old.ExpiresAt) {
		t.Error("the old one ends before the new one was used")
	}
	use(fresh.ID)
	if got := stored(t, d, old.ID); !got.ExpiresAt.Equal(now.Add(time.Hour)) || got.Version != 2 {
		t.Errorf("the old one is %+v", got)
	}
	goodAt := func(after time.Duration) (good []string) {
		for _, c := range listed(d, "m1") {
			if c.Good(now.Add(after)) == "" && c.ID != other.ID {
				good = append(good, c.Material)
			}
		}
		slices.Sort(good)
		return good
	}
	if got := fmt.Sprint(goodAt(0), goodAt(time.Hour-1), goodAt(time.Hour)); got != "[material 0 material 1] [material 0 material 1] [material 1]" {
		t.Errorf("good are %s", got)
	}
	*now = now.Add(time.Minute)
	if use(fresh.ID); !stored(t, d, old.ID).ExpiresAt.Equal(now.Add(59 * time.Minute)) {
		t.Error("a later use moved the end")
	}
	// A third one must wait, or take the place of one that is revoked.
	var invalid *directory.InvalidError
	for id, other := range map[string]string{fresh.ID: old.ID, old.ID: fresh.ID} {
		if _, _, err := d.RotateCredential(t.Context(), operator, id, time.Hour, remake); !errors.As(err, &invalid) || !strings.Contains(invalid.Problem, other) {
			t.Errorf("with two: got %v", err)
		}
	}
	if _, err := d.RevokeCredential(t.Context(), operator, old.ID); err != nil {
		t.Fatal(err)
	}
	newest, _, err := d.RotateCredential(t.Context(), operator, fresh.ID, 0, remake)
	if err != nil || newest.Name != "ci" {
		t.Errorf("without overlap: got %+v, %v", newest, err)
	}
	if use(newest.ID); stored(t, d, fresh.ID).Good(*now) != "expired" {
		t.Errorf("without overlap: got %+v", stored(t, d, fresh.ID))
	}
	// The old one never lives longer than it would have.
	short := add(t, d, "m2", directory.NewCredential{Kind: directory.KindSecret, Material: "short", TTL: time.Minute})
	if next, _, err := d.RotateCredential(t.Context(), operator, short.ID, time.Hour, remake); err != nil {
		t.Error(err)
	} else if use(next.ID); !stored(t, d, short.ID).ExpiresAt.Equal(short.ExpiresAt) {
		t.Errorf("got %+v", stored(t, d, short.ID))
	}
	for name, id := range map[string]string{"revoked": old.ID, "ended": fresh.ID} {
		if _, _, err := d.RotateCredential(t.Context(), operator, id, 0, remake); !errors.As(err, &invalid) {
			t.Errorf("a credential that is %s: got %v", name, err)
		}
	}
	if _, _, err := d.RotateCredential(t.Context(), operator, "absent", 0, remake); !errors.Is(err, directory.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
	for _, overlap := range []time.Duration{-1, 101 * 366 * 24 * time.Hour} {
		if _, _, err := d.RotateCredential(t.Context(), operator, newest.ID, overlap, remake); !errors.As(err, &invalid) || invalid.Field != "overlap" {
			t.Errorf("overlap %s: got %v", overlap, err)
		}
	}
	if _, _, err := d.RotateCredential(t.Context(), operator, add(t, d, "m2", directory.NewCredential{}).ID, 0, remake); err == nil {
		t.Error("material of the wrong kind was taken")
	}
}

// F28: however often the answer is lost, the old credential stays as it was, and its replacement has the full lifetime:
// also when the lost one was used before it was revoked.
func TestLostReplacementLeavesTheOldCredential(t *testing.T) {
	d, now := inhabited(t)
	old := add(t, d, "m1", directory.NewCredential{Kind: directory.KindSecret, Material: "0", TTL: 90 * 24 * time.Hour})
	for i := range 3 {
		*now = now.Add(time.Hour)
		fresh, _, err := d.RotateCredential(t.Context(), operator, old.ID, time.Hour, func(directory.Kind) (string, error) { return fmt.Sprint("new ", i), nil })
		if err != nil {
			t.Fatal(err)
		}
		if life := fresh.ExpiresAt.Sub(*now); life != 90*24*time.Hour {
			t.Errorf("replacement %d is valid for %s", i, life)
		}
		if i == 1 {
			d.RecordUse(fresh.ID, *now, "10.0.0.1")
			d.FlushUses(t.Context())
		}
		if _, err := d.RevokeCredential(t.Context(), operator, fresh.ID); err != nil {
			t.Fatal(err)
		}
		if got := stored(t, d, old.ID); i == 0 && *got != old {
			t.Errorf("after a replacement that nobody received the old one is %+v, want %+v", got, old)
		}
		*now = now.Add(-30 * time.Minute)
	}
}

// F28: of several rotations at once, on two replicas, one succeeds. The others name the credential that is in the way.
func TestOfConcurrentRotationsOneSucceeds(t *testing.T) {
	db := open(t)
	replicas := []*directory.Directory{load(t, db, directory.Options{}), load(t, db, directory.Options{})}
	if _, err := replicas[0].CreateService(t.Context(), operator, directory.NewService{Name: "m1"}); err != nil {
		t.Fatal(err)
	}
	old := add(t, replicas[0], "m1", directory.NewCredential{Kind: directory.KindSecret, Material: "0"})
	const each = 8
	errs := make(chan error, 2*each)
	for i := range 2 * each {
		go func() {
			_, _, err := replicas[i%2].RotateCredential(t.Context(), operator, old.ID, time.Hour, func(directory.Kind) (string, error) { return fmt.Sprint("new ", i), nil })
			errs <- err
		}()
	}
	succeeded := 0
	for range 2 * each {
		err := <-errs
		var invalid *directory.InvalidError
		if err == nil {
			succeeded++
		} else if !errors.As(err, &invalid) || !strings.Contains(invalid.Problem, "is the other") {
			t.Errorf("got %v", err)
		}
	}
	if all := listed(replicas[0], "m1"); succeeded != 1 || len(all) != 2 {
		t.Errorf("%d rotations succeeded, and there are %d credentials", succeeded, len(all))
	}
}

// stored is the credential of that id in the Snapshot.
func stored(t *testing.T, d *directory.Directory, id string) *directory.Credential {
	t.Helper()
	c, ok := d.Snapshot().Credential(id)
	if !ok {
		t.Fatalf("there is no credential %s", id)
	}
	return c
}

// A rotation that fails leaves the old one as it is, and no other.
func TestRotationThatFailsLeavesTheOldOne(t *testing.T) {
	b := &broken{Store: open(t)}
	d := load(t, b, directory.Options{})
	if _, err := d.CreateService(t.Context(), operator, directory.NewService{Name: "m1"}); err != nil {
		t.Fatal(err)
	}
	old := add(t, d, "m1", directory.NewCredential{Kind: directory.KindSecret, Material: "0"})
	made := errors.New("cannot be made")
	if _, _, err := d.RotateCredential(t.Context(), operator, old.ID, 0, func(directory.Kind) (string, error) { return "", made }); !errors.Is(err, made) {
		t.Errorf("got %v", err)
	}
	b.down.Store(true)
	if _, _, err := d.RotateCredential(t.Context(), operator, old.ID, 0, func(directory.Kind) (string, error) { return "1", nil }); !errors.Is(err, errDown) {
		t.Errorf("got %v", err)
	}
	b.down.Store(false)
	if err := d.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if all := listed(d, "m1"); len(all) != 1 || *all[0] != old {
		t.Errorf("got %d credentials", len(all))
	}
}

func TestWhatIsRevokedIsDeniedUntilNoTokenCanHangOnIt(t *testing.T) {
	d, now := inhabited(t)
	ctx := t.Context()
	const keep = 24 * time.Hour
	c := add(t, d, "m1", directory.NewCredential{})
	m1, _ := d.Snapshot().Service("m1")
	m2, _ := d.Snapshot().Service("m2")
	jti, unknown := directory.RandomID(), directory.RandomID()
	if _, err := d.RevokeCredential(ctx, operator, c.ID); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(
		d.RevokeToken(ctx, operator, jti, now.Add(time.Hour), "list/1"),
		d.RevokeToken(ctx, operator, unknown, time.Time{}, ""),
		d.RevokeToken(ctx, operator, directory.RandomID(), *now, ""), // has expired: nothing to say
		d.DeleteService(ctx, operator, "m2", 0),
	); err != nil {
		t.Fatal(err)
	}
	if _, err := d.UpdateService(ctx, operator, "m1", 0, func(s *directory.Service) { s.Disabled = true }); err != nil {
		t.Fatal(err)
	}
	before := d.Snapshot().Revision()
	// Again, with an end that is not later: the same.
	if err := errors.Join(d.RevokeToken(ctx, operator, jti, now.Add(time.Minute), "another/2"), d.RevokeToken(ctx, operator, unknown, now.AddDate(9, 0, 0), "")); err != nil {
		t.Fatal(err)
	}
	if after := d.Snapshot().Revision(); after != before {
		t.Errorf("revoking again made %d revisions", after-before)
	}
	want := map[string]directory.Denial{
		c.ID: {Until: now.Add(keep).UTC()}, unknown: {Until: now.Add(keep + time.Minute).UTC()},
		jti:                         {Until: now.Add(time.Hour + time.Minute).UTC(), Status: "list/1"},
		directory.FormatUID(m2.UID): {Until: now.Add(keep).UTC()}, directory.FormatUID(m1.UID): {},
	}
	if got := maps.Collect(d.Snapshot().Denials().All()); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	// F115: with a later end, until then.
	if err := d.RevokeToken(ctx, operator, jti, now.Add(2*time.Hour), "another/2"); err != nil {
		t.Fatal(err)
	}
	if got, _ := d.Snapshot().Denials().Find(jti); got != (directory.Denial{Until: now.Add(2*time.Hour + time.Minute).UTC(), Status: "list/1"}) {
		t.Errorf("with a later end: got %v", got)
	}
	for id := range want {
		if !d.Snapshot().Denied(id) {
			t.Errorf("%s is not denied", id)
		}
	}
	if _, err := d.UpdateService(ctx, operator, "m1", 0, func(s *directory.Service) { s.Disabled = false }); err != nil {
		t.Fatal(err)
	}
	if d.Snapshot().Denied(directory.FormatUID(m1.UID)) {
		t.Error("a service that is enabled again is denied")
	}
	// Loading later begins without what ended more than an hour ago.
	*now = now.Add(keep + time.Hour)
	if err := d.Load(ctx); err != nil {
		t.Fatal(err)
	}
	if got := maps.Collect(d.Snapshot().Denials().All()); len(got) != 1 || !d.Snapshot().Denied(unknown) {
		t.Errorf("a day later: got %v", got)
	}
}

// A token that another replica revoked meanwhile is no error, and in force here afterwards.
func TestTokenRevokedElsewhereIsDeniedHere(t *testing.T) {
	db := open(t)
	one, other := load(t, db, directory.Options{}), load(t, db, directory.Options{})
	jti := directory.RandomID()
	for _, d := range []*directory.Directory{one, other} {
		if err := d.RevokeToken(t.Context(), operator, jti, time.Time{}, ""); err != nil || !d.Snapshot().Denied(jti) {
			t.Errorf("got %v", err)
		}
	}
	if one.Snapshot().Revision() != 1 || other.Snapshot().Revision() != 1 {
		t.Errorf("got revisions %d and %d, want 1", one.Snapshot().Revision(), other.Snapshot().Revision())
	}
}
