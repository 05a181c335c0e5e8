package directory_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/store"
	"github.com/watchword-dev/watchword/server/internal/store/pgtest"
)

const uid, otherUID = "0b1f7a3e-2f6c-4d0a-9e57-1c2d3e4f5a6b", "1c2d3e4f-2f6c-4d0a-9e57-0b1f7a3e5a6b"

var cluster = api.TrustSettings{Preset: "kubernetes", Issuer: "https://cluster.example"}

func addTrust(t *testing.T, d *directory.Directory, name string, s api.TrustSettings) directory.Trust {
	t.Helper()
	tr, err := d.AddTrust(t.Context(), operator, name, s)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func workload(trust, uid string) directory.NewCredential {
	return directory.NewCredential{Kind: directory.KindWorkload, Trust: trust, Claims: map[string]string{"uid": uid, "sub": "system:serviceaccount:shop:m1"}}
}

func TestTrustIsKeptWhole(t *testing.T) {
	d, now := inhabited(t)
	given := cluster
	given.Algorithms, given.JWKS = []string{"RS256", "ES256"}, `{"keys":[{"kty":"RSA"}]}`
	tr := addTrust(t, d, "prod", given)
	settings := given
	settings.Algorithms = []string{"ES256", "RS256"}
	want := directory.Trust{
		ID: tr.ID, Name: "prod", TrustSettings: settings, Generation: tr.Generation, Version: 1,
		CreatedAt: now.UTC(), UpdatedAt: now.UTC(), KeysAt: now.UTC(),
	}
	if d := cmp.Diff(want, tr); d != "" {
		t.Error(d)
	}
	for _, id := range []string{tr.ID, tr.Generation} {
		if random, ok := strings.CutPrefix(id, "trust_"); !ok || len(random) != 32 {
			t.Errorf("got %q", id)
		}
	}
	if tr.ID == tr.Generation {
		t.Error("the trust is its generation")
	}
	if given.Algorithms[0] != "RS256" {
		t.Error("the settings of the caller were changed")
	}
	s := d.Snapshot()
	byID, _ := s.Trust(tr.ID)
	byName, _ := s.TrustByName("prod")
	byIssuer, _ := s.TrustByIssuer("https://cluster.example")
	for _, got := range []*directory.Trust{byID, byName, byIssuer} {
		if d := cmp.Diff(&want, got); d != "" {
			t.Error(d)
		}
	}
	if _, ok := s.TrustByIssuer("https://cluster.example/"); ok {
		t.Error("an issuer is found by another spelling")
	}
	if got := addTrust(t, d, "any", api.TrustSettings{Issuer: "https://any.example"}); got.Preset != "oidc" || !got.KeysAt.IsZero() {
		t.Errorf("got %+v", got)
	}
}

func TestTrustThatBreaksARuleIsRefusedByField(t *testing.T) {
	db := open(t)
	d := load(t, db, directory.Options{Issuer: "https://auth.example"})
	addTrust(t, d, "prod", cluster)
	for _, c := range []struct {
		name, field string
		edit        func(*api.TrustSettings)
	}{
		{"-x", "name", nil},
		{"x", "preset", func(s *api.TrustSettings) { s.Preset = "kubernets" }},
		{"x", "issuer", func(s *api.TrustSettings) { s.Issuer = "https://auth.example" }},
		{"x", "audience", func(s *api.TrustSettings) { s.Audience = s.Issuer }},
	} {
		s := cluster
		s.Issuer = "https://x.example"
		if c.edit != nil {
			c.edit(&s)
		}
		_, err := d.AddTrust(t.Context(), operator, c.name, s)
		if invalid, ok := errors.AsType[*directory.InvalidError](err); !ok || invalid.Field != c.field {
			t.Errorf("%s: got %v", c.field, err)
		}
		if c.edit == nil {
			continue
		}
		_, err = d.UpdateTrust(t.Context(), operator, "prod", 0, c.edit)
		if invalid, ok := errors.AsType[*directory.InvalidError](err); !ok || invalid.Field != c.field {
			t.Errorf("%s, changed: got %v", c.field, err)
		}
	}
	for issuer, name := range map[string]string{"https://x.example": "PROD", cluster.Issuer: "x"} {
		s := cluster
		s.Issuer = issuer
		want := map[string]string{"PROD": `name "prod"`, "x": `issuer "https://cluster.example"`}[name]
		if _, err := d.AddTrust(t.Context(), operator, name, s); !errors.Is(err, directory.ErrExists) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	_, err := d.UpdateTrust(t.Context(), operator, "prod", 7, func(s *api.TrustSettings) { s.Disabled = true })
	if err2 := d.RemoveTrust(t.Context(), operator, "prod", 7); !errors.Is(err, directory.ErrConflict) || !errors.Is(err2, directory.ErrConflict) {
		t.Errorf("got %v, %v", err, err2)
	}
	_, err = d.UpdateTrust(t.Context(), operator, "absent", 0, func(*api.TrustSettings) {})
	if err2 := d.RemoveTrust(t.Context(), operator, "absent", 0); !errors.Is(err, directory.ErrNotFound) || !errors.Is(err2, directory.ErrNotFound) {
		t.Errorf("got %v, %v", err, err2)
	}
}

// authority is the certificate of one, in PEM.
func authority(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// FED-015: tokens do not outlive what they were issued for.
func TestTokensOfATrustThatAcceptsLessAreDenied(t *testing.T) {
	a, b := authority(t), authority(t)
	const k1, k2 = `{"kty":"EC","kid":"k1","x":"1"}`, `{"kty":"EC","kid":"k2","x":"2"}`
	full := cluster
	full.JWKS, full.MaxLifetimeSeconds, full.Algorithms = `{"keys":[`+k1+`,`+k2+`]}`, 3600, []string{"ES256", "RS256"}
	fetched := cluster
	fetched.JWKSURI = "https://keys.example"
	once := api.TrustSettings{Preset: "github", Issuer: "https://token.actions.githubusercontent.com", Once: "never"}
	domain := api.TrustSettings{Preset: "spiffe", Issuer: "spiffe://example.org", JWKS: `{"keys":[]}`, Authorities: a + b}
	for _, c := range []struct {
		what   string
		old    api.TrustSettings
		denied bool
		edit   func(*api.TrustSettings)
	}{
		{"another issuer", full, true, func(s *api.TrustSettings) { s.Issuer = "https://other.example" }},
		{"another audience", full, true, func(s *api.TrustSettings) { s.Audience = "https://other.example" }},
		{"one algorithm less", full, true, func(s *api.TrustSettings) { s.Algorithms = []string{"ES256"} }},
		{"one algorithm more", full, false, func(s *api.TrustSettings) { s.Algorithms = []string{"RS256", "ES384", "ES256"} }},
		{"the algorithms of the preset", full, false, func(s *api.TrustSettings) { s.Algorithms = nil }},
		{"some algorithms of the preset", cluster, true, func(s *api.TrustSettings) { s.Algorithms = []string{"RS256"} }},
		{"a shorter life", full, true, func(s *api.TrustSettings) { s.MaxLifetimeSeconds = 3599 }},
		{"a longer life", full, false, func(s *api.TrustSettings) { s.MaxLifetimeSeconds = 3601 }},
		{"the life of the preset, which is longer", full, false, func(s *api.TrustSettings) { s.MaxLifetimeSeconds = 0 }},
		{"a shorter life than that of the preset", cluster, true, func(s *api.TrustSettings) { s.MaxLifetimeSeconds = 3600 }},
		{"a key less", full, true, func(s *api.TrustSettings) { s.JWKS = `{"keys":[` + k2 + `]}` }},
		{"another key of that id", full, true, func(s *api.TrustSettings) {
			s.JWKS = `{"keys":[` + k1 + `,` + strings.Replace(k2, `"2"`, `"3"`, 1) + `]}`
		}},
		{"a key more", full, false, func(s *api.TrustSettings) { s.JWKS = `{"keys":[` + k2 + `,{"kty":"RSA"},` + k1 + `]}` }},
		{"keys that are written differently", full, false, func(s *api.TrustSettings) {
			s.JWKS = `{"keys":[{"x": "1", "kty": "EC", "kid": "k1"}, ` + k2 + `]}`
		}},
		{"keys that are fetched", full, true, func(s *api.TrustSettings) { s.JWKS = "" }},
		{"keys that are fetched elsewhere", fetched, true, func(s *api.TrustSettings) { s.JWKSURI = "https://others.example" }},
		{"keys that are discovered", fetched, true, func(s *api.TrustSettings) { s.JWKSURI = "" }},
		{"keys that are uploaded", cluster, true, func(s *api.TrustSettings) { s.JWKS = `{"keys":[` + k1 + `]}` }},
		{"once only, as the preset says", once, true, func(s *api.TrustSettings) { s.Once = "" }},
		{"again and again", api.TrustSettings{Preset: once.Preset, Issuer: once.Issuer}, false, func(s *api.TrustSettings) { s.Once = "never" }},
		{"a bound for X.509-SVIDs, which had none", domain, true, func(s *api.TrustSettings) { s.MaxLifetimeSeconds = 24 * 3600 }},
		{"an authority less", domain, true, func(s *api.TrustSettings) { s.Authorities = a }},
		{"the same authorities", domain, false, func(s *api.TrustSettings) { s.Authorities = b + "\n" + a }},
		{"a bundle that is fetched", domain, true, func(s *api.TrustSettings) {
			s.JWKSURI, s.EndpointID = "https://bundle.example", "spiffe://example.org/spire/server"
		}},
		{"nothing", full, true, func(s *api.TrustSettings) { s.Disabled = true }},
	} {
		t.Run(c.what, func(t *testing.T) {
			d, now := inhabited(t)
			old := addTrust(t, d, "prod", c.old)
			*now = now.Add(time.Hour)
			got, err := d.UpdateTrust(t.Context(), operator, "prod", 0, c.edit)
			if err != nil {
				t.Fatal(err)
			}
			denial, denied := d.Snapshot().Denials().Find(old.Generation)
			if denied != c.denied || (got.Generation != old.Generation) != c.denied {
				t.Errorf("denied: %v, generation %q after %q", denied, got.Generation, old.Generation)
			}
			if want := now.Add(24 * time.Hour); denied && !denial.Until.Equal(want) {
				t.Errorf("denied until %v, want %v", denial.Until, want)
			}
			if in, _ := d.Snapshot().Trust(old.ID); !cmp.Equal(*in, got) || got.Version != 2 || !got.UpdatedAt.Equal(*now) || !got.CreatedAt.Equal(old.CreatedAt) {
				t.Errorf("got %+v, in force is %+v", got, in)
			}
			// Keys that are uploaded have the time at which they were.
			want := old.KeysAt
			if got.JWKS != old.JWKS {
				want = now.UTC()
			}
			if got.JWKS == "" {
				want = time.Time{}
			}
			if !got.KeysAt.Equal(want) {
				t.Errorf("the keys are of %v, want %v", got.KeysAt, want)
			}
			if d.Snapshot().Denied(got.Generation) {
				t.Error("the generation in force is denied")
			}
		})
	}
}

// The claims of a credential are those of another workload if another issuer signs them.
func TestIssuerIsNotChangedUnderCredentials(t *testing.T) {
	d, now := inhabited(t)
	tr := addTrust(t, d, "prod", cluster)
	const issuer = "https://other.example"
	change := func(s *api.TrustSettings) { s.Issuer = issuer }
	changed := tr
	changed.Issuer = issuer
	refused := func(what string, want bool) {
		t.Helper()
		_, err := d.UpdateTrust(t.Context(), operator, "prod", 0, change)
		_, err2 := d.Apply(t.Context(), operator, directory.Batch{Base: d.Snapshot().Revision(), PutTrusts: []directory.Trust{changed}}, "callmap.apply", "")
		for _, err := range []error{err, err2} {
			invalid, is := errors.AsType[*directory.InvalidError](err)
			if is != want || want && (invalid.Field != "issuer" || !strings.Contains(invalid.Error(), "1")) {
				t.Errorf("%s: got %v", what, err)
			}
		}
	}
	c, err := d.AddCredential(t.Context(), operator, "m1", workload("prod", uid))
	if err != nil {
		t.Fatal(err)
	}
	refused("with a credential", true)
	if _, err := d.UpdateTrust(t.Context(), operator, "prod", 0, func(s *api.TrustSettings) { s.MaxLifetimeSeconds = 60 }); err != nil {
		t.Errorf("another setting: %v", err)
	}
	changed.Version++
	// In one change, a file may take away the credential, and give the service one for the new issuer.
	next := directory.Credential{Service: c.Service, Kind: directory.KindWorkload, Trust: tr.ID, Material: `{"uid":"` + otherUID + `"}`}
	b := directory.Batch{Base: d.Snapshot().Revision(), PutTrusts: []directory.Trust{changed}, RevokeCredentials: []directory.Credential{c}, PutCredentials: []directory.Credential{next}}
	if _, err := d.Apply(t.Context(), operator, b, "callmap.apply", ""); err != nil {
		t.Fatal(err)
	}
	for _, c := range d.Snapshot().Workloads(tr.ID, "uid", otherUID) {
		if _, err := d.RevokeCredential(t.Context(), operator, c.ID); err != nil {
			t.Fatal(err)
		}
	}
	*now = now.Add(time.Second)
	if got, err := d.UpdateTrust(t.Context(), operator, "prod", 0, func(s *api.TrustSettings) { s.Issuer = cluster.Issuer }); err != nil || got.Issuer != cluster.Issuer {
		t.Errorf("without credentials: %+v, %v", got, err)
	}
}

func TestTrustThatIsDisabledDeniesNothingMoreWhenItIsChanged(t *testing.T) {
	d, _ := inhabited(t)
	addTrust(t, d, "prod", cluster)
	edit := func(edit func(*api.TrustSettings)) directory.Trust {
		t.Helper()
		tr, err := d.UpdateTrust(t.Context(), operator, "prod", 0, edit)
		if err != nil {
			t.Fatal(err)
		}
		return tr
	}
	disabled := edit(func(s *api.TrustSettings) { s.Disabled = true })
	denials := d.Snapshot().DenialsEdition()
	if same := edit(func(s *api.TrustSettings) { s.Disabled = true }); same.Version != disabled.Version {
		t.Errorf("got version %d", same.Version)
	}
	edit(func(s *api.TrustSettings) { s.Audience = "https://other.example" })
	if enabled := edit(func(s *api.TrustSettings) { s.Disabled = false }); enabled.Generation != disabled.Generation || d.Snapshot().DenialsEdition() != denials {
		t.Errorf("got %+v", enabled)
	}
}

// replicas runs a claim about two directories of one database.
func replicas(t *testing.T, claim func(t *testing.T, one, other *directory.Directory)) {
	t.Helper()
	t.Run("SQLite", func(t *testing.T) {
		db := open(t)
		claim(t, load(t, db, directory.Options{}), load(t, db, directory.Options{}))
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		url := pgtest.Start(t)
		var both [2]*directory.Directory
		for i := range both {
			db, err := store.Open(t.Context(), store.Options{DatabaseURL: url, Timeout: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = db.Close() })
			both[i] = load(t, db, directory.Options{})
		}
		claim(t, both[0], both[1])
	})
}

// FED-015.
func TestTrustThatIsDisabledOrRemovedElsewhereIsSoHere(t *testing.T) {
	replicas(t, func(t *testing.T, one, other *directory.Directory) {
		if _, err := one.CreateService(t.Context(), operator, directory.NewService{Name: "m1"}); err != nil {
			t.Fatal(err)
		}
		prod := addTrust(t, one, "prod", cluster)
		staging := addTrust(t, one, "staging", api.TrustSettings{Preset: "kubernetes", Issuer: "https://staging.example"})
		c, kept := add(t, one, "m1", workload("prod", uid)), add(t, one, "m1", workload("staging", uid))
		follow := func() *directory.Snapshot {
			t.Helper()
			if err := other.CatchUp(t.Context()); err != nil {
				t.Fatal(err)
			}
			return other.Snapshot()
		}
		if s := follow(); len(s.Workloads(prod.ID, "uid", uid)) != 1 || s.Denied(prod.Generation) {
			t.Fatal("the trust is not followed")
		}
		disabled, err := one.UpdateTrust(t.Context(), operator, "prod", 0, func(s *api.TrustSettings) { s.Disabled = true })
		if err != nil {
			t.Fatal(err)
		}
		s := follow()
		if got, ok := s.TrustByIssuer(prod.Issuer); !ok || !got.Disabled || !s.Denied(prod.Generation) || s.Denied(disabled.Generation) || s.Denied(c.ID) {
			t.Errorf("disabled: got %+v, denied %v", got, s.Denied(prod.Generation))
		}
		if err := one.RemoveTrust(t.Context(), operator, "prod", disabled.Version); err != nil {
			t.Fatal(err)
		}
		for _, s := range []*directory.Snapshot{one.Snapshot(), follow()} {
			_, byID := s.Trust(prod.ID)
			_, byName := s.TrustByName("prod")
			_, byIssuer := s.TrustByIssuer(prod.Issuer)
			revoked, _ := s.Credential(c.ID)
			if byID || byName || byIssuer || !s.Denied(disabled.Generation) || !s.Denied(c.ID) || revoked.RevokedAt.IsZero() || len(s.Workloads(prod.ID, "uid", uid)) != 0 {
				t.Errorf("removed: found %v %v %v, denied %v, credential denied %v", byID, byName, byIssuer, s.Denied(disabled.Generation), s.Denied(c.ID))
			}
			if s.Denied(staging.Generation) || s.Denied(kept.ID) || len(s.Workloads(staging.ID, "uid", uid)) != 1 {
				t.Error("another trust was affected")
			}
		}
		// Made again under the same name, it is another.
		again := addTrust(t, other, "prod", cluster)
		if again.ID == prod.ID || len(other.Snapshot().Workloads(again.ID, "uid", uid)) != 0 {
			t.Errorf("got %+v", again)
		}
	})
}

func TestRemovalOfATrustWithMoreCredentialsThanAreFollowedOneByOne(t *testing.T) {
	db := open(t)
	one, other := load(t, db, directory.Options{}), load(t, db, directory.Options{})
	tr := directory.Trust{ID: directory.NewTrustID(), Name: "prod", TrustSettings: cluster}
	b := directory.Batch{PutTrusts: []directory.Trust{tr}}
	for i := range 1100 {
		svc := directory.Service{UID: directory.UID{1, byte(i), byte(i >> 8)}, Name: fmt.Sprint("m", i)}
		claims := map[string]string{"uid": fmt.Sprintf("%08x-2f6c-4d0a-9e57-1c2d3e4f5a6b", i)}
		b.PutServices = append(b.PutServices, svc)
		b.PutCredentials = append(b.PutCredentials, directory.Credential{Service: svc.UID, Kind: directory.KindWorkload, Trust: tr.ID, Material: directory.FormatClaims(claims)})
	}
	if _, err := one.Apply(t.Context(), operator, b, "callmap.apply", ""); err != nil {
		t.Fatal(err)
	}
	if err := other.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := one.RemoveTrust(t.Context(), operator, "prod", 0); err != nil {
		t.Fatal(err)
	}
	if err := other.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, d := range []*directory.Directory{one, other} {
		if n := d.Snapshot().Denials().Len(); n != 1101 {
			t.Errorf("%d are denied", n)
		}
	}
}

func TestWorkloadCredentialsAreFoundByTheirClaims(t *testing.T) {
	d, now := inhabited(t)
	prod := addTrust(t, d, "prod", cluster)
	staging := addTrust(t, d, "staging", api.TrustSettings{Preset: "kubernetes", Issuer: "https://staging.example"})
	domain := addTrust(t, d, "domain", api.TrustSettings{Preset: "spiffe", Issuer: "spiffe://example.org", JWKS: `{"keys":[]}`})
	n := workload("prod", uid)
	n.CIDR, n.Name = netip.MustParsePrefix("10.0.0.0/8"), "the pods"
	c := add(t, d, "m1", n)
	want := directory.Credential{
		ID: c.ID, Service: c.Service, Kind: directory.KindWorkload, Name: "the pods", Trust: prod.ID, CIDR: n.CIDR, Version: 1,
		Material:  `{"sub":"system:serviceaccount:shop:m1","uid":"` + uid + `"}`,
		CreatedAt: now.UTC(), ExpiresAt: now.Add(directory.MaxCredentialTTL).UTC(), Life: directory.MaxCredentialTTL,
	}
	comparePrefixes := cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })
	if d := cmp.Diff(want, c, comparePrefixes); d != "" {
		t.Error(d)
	}
	same, other := add(t, d, "m2", workload("prod", uid)), add(t, d, "m1", workload("prod", otherUID))
	elsewhere := add(t, d, "m1", workload("staging", uid))
	exact := add(t, d, "m1", directory.NewCredential{Kind: directory.KindWorkload, Trust: "domain", Claims: map[string]string{"sub": "spiffe://example.org/a/b"}})
	below := add(t, d, "m1", directory.NewCredential{Kind: directory.KindWorkload, Trust: "domain", Claims: map[string]string{"sub": "spiffe://example.org/a/"}})
	add(t, d, "m1", directory.NewCredential{})
	// A long and a short name of a claim are the same.
	long := workload("staging", otherUID)
	long.Claims = map[string]string{"/kubernetes.io/serviceaccount/uid": otherUID}
	short := add(t, d, "m2", long)
	if short.Material != `{"uid":"`+otherUID+`"}` {
		t.Errorf("got %s", short.Material)
	}
	found := func(tr directory.Trust, claim, value string, want ...directory.Credential) {
		t.Helper()
		var got, ids []string
		for _, c := range d.Snapshot().Workloads(tr.ID, claim, value) {
			got = append(got, c.ID)
		}
		for _, c := range want {
			ids = append(ids, c.ID)
		}
		if slices.Sort(ids); !slices.Equal(got, ids) {
			t.Errorf("%s %s %s: got %v, want %v", tr.Name, claim, value, got, ids)
		}
	}
	found(prod, "uid", uid, c, same)
	found(prod, "uid", otherUID, other)
	found(prod, "sub", "system:serviceaccount:shop:m1", c, same, other)
	found(prod, "sub", "system:serviceaccount:shop:m2")
	found(staging, "uid", uid, elsewhere)
	found(domain, "sub", "spiffe://example.org/a/b", exact)
	found(domain, "sub", "", below)

	// One that is revoked is found for as long as others are, for the audit log.
	if _, err := d.RevokeCredential(t.Context(), operator, other.ID); err != nil {
		t.Fatal(err)
	}
	found(prod, "uid", otherUID, other)
	if err := d.DeleteService(t.Context(), operator, "m2", 0); err != nil {
		t.Fatal(err)
	}
	found(prod, "uid", uid, c)
	found(staging, "uid", otherUID)
	*now = now.Add(25 * time.Hour)
	if err := d.Forget(t.Context()); err != nil {
		t.Fatal(err)
	}
	found(prod, "uid", otherUID)
	found(prod, "uid", uid, c)
	if ending := d.Snapshot().Ending(c.ExpiresAt.Add(-time.Minute), time.Hour); len(ending) != 0 {
		t.Errorf("%d are reported as ending", len(ending))
	}
	_, _, err := d.RotateCredential(t.Context(), operator, c.ID, 0, func(directory.Kind) (string, error) { return "", nil })
	if invalid, ok := errors.AsType[*directory.InvalidError](err); !ok || !strings.Contains(invalid.Problem, "nothing to rotate") {
		t.Errorf("got %v", err)
	}
}

// FED-006.
func TestWorkloadCredentialThatBreaksARuleIsRefusedByField(t *testing.T) {
	d, _ := inhabited(t)
	addTrust(t, d, "prod", cluster)
	addTrust(t, d, "staging", api.TrustSettings{Preset: "kubernetes", Issuer: "https://staging.example"})
	first := add(t, d, "m1", workload("prod", uid))
	many := workload("prod", otherUID)
	for i := range 4 {
		many.Claims["/"+strings.Repeat(string(rune('a'+i)), 200)] = strings.Repeat("x", 1000)
	}
	wild := workload("prod", uid)
	wild.Claims["sub"] = "*"
	nothing := workload("prod", uid)
	nothing.Claims = nil
	name := workload("prod", uid)
	delete(name.Claims, "uid")
	kind := workload("prod", uid)
	kind.Kind, kind.Material = directory.KindSecret, "x"
	long := workload("prod", otherUID)
	long.TTL = 2 * directory.MaxCredentialTTL
	for _, c := range []struct {
		what, field, problem string
		n                    directory.NewCredential
	}{
		{"the same claims", "claims", first.ID, workload("prod", uid)},
		{"no such trust", "trust", "absent", workload("absent", uid)},
		{"no trust", "trust", "", workload("", uid)},
		{"only a name", "claims", "uid", name},
		{"a wildcard", "claims", "wildcard", wild},
		{"no claims", "claims", "", nothing},
		{"too long", "claims", "4096", many},
		{"another kind", "trust", "workload", kind},
		{"too long a life", "ttl", "", long},
	} {
		_, err := d.AddCredential(t.Context(), operator, "m1", c.n)
		if invalid, ok := errors.AsType[*directory.InvalidError](err); !ok || invalid.Field != c.field || !strings.Contains(invalid.Problem, c.problem) {
			t.Errorf("%s: got %v", c.what, err)
		}
	}
	// The same claims may be those of another service, or of another trust, and of one that was revoked.
	add(t, d, "m2", workload("prod", uid))
	add(t, d, "m1", workload("staging", uid))
	if _, err := d.RevokeCredential(t.Context(), operator, first.ID); err != nil {
		t.Fatal(err)
	}
	add(t, d, "m1", workload("prod", uid))
}

func TestAtMostAHundredCredentialsAreFoundByOneClaim(t *testing.T) {
	d, _ := inhabited(t)
	prod := addTrust(t, d, "prod", api.TrustSettings{Issuer: "https://any.example"})
	b := directory.Batch{Base: d.Snapshot().Revision()}
	credential := func(i int) directory.Credential {
		s := directory.Service{UID: directory.UID{1, byte(i)}, Name: fmt.Sprint("n", i)}
		b.PutServices = append(b.PutServices, s)
		return directory.Credential{Service: s.UID, Kind: directory.KindWorkload, Trust: prod.ID, Material: `{"sub":"s"}`}
	}
	for i := range directory.MaxAnchored {
		b.PutCredentials = append(b.PutCredentials, credential(i))
	}
	more := b
	more.PutServices, more.PutCredentials = slices.Clone(b.PutServices), append(slices.Clone(b.PutCredentials), credential(200))
	refused := func(err error) {
		t.Helper()
		if invalid, ok := errors.AsType[*directory.InvalidError](err); !ok || invalid.Field != "claims" {
			t.Errorf("got %v", err)
		}
	}
	_, err := d.Apply(t.Context(), operator, more, "callmap.apply", "")
	refused(err)
	if _, err := d.Apply(t.Context(), operator, b, "callmap.apply", ""); err != nil {
		t.Fatal(err)
	}
	n := directory.NewCredential{Kind: directory.KindWorkload, Trust: "prod", Claims: map[string]string{"sub": "s"}}
	_, err = d.AddCredential(t.Context(), operator, "m1", n)
	refused(err)
	if _, err := d.RevokeCredential(t.Context(), operator, d.Snapshot().Workloads(prod.ID, "sub", "s")[0].ID); err != nil {
		t.Fatal(err)
	}
	add(t, d, "m1", n)
}

func TestWorkloadCredentialsCountAmongTheHundredOfAService(t *testing.T) {
	d, _ := inhabited(t)
	addTrust(t, d, "prod", api.TrustSettings{Issuer: "https://any.example"})
	for i := range directory.MaxCredentials {
		add(t, d, "m1", directory.NewCredential{Kind: directory.KindWorkload, Trust: "prod", Claims: map[string]string{"sub": fmt.Sprint("s", i)}})
	}
	_, err := d.AddCredential(t.Context(), operator, "m1", directory.NewCredential{Kind: directory.KindSecret, Material: "x"})
	if invalid, ok := errors.AsType[*directory.InvalidError](err); !ok || invalid.Field != "service" {
		t.Errorf("got %v", err)
	}
}

// What a file owns can be disabled and revoked by hand, in an emergency, and nothing else.
func TestTrustOfAFileIsOnlyDisabledByHand(t *testing.T) {
	d, _ := inhabited(t)
	m1, _ := d.Snapshot().Service("m1")
	tr := directory.Trust{ID: directory.NewTrustID(), Name: "prod", TrustSettings: cluster, ManagedBy: "callmap"}
	c := directory.Credential{ID: directory.RandomID(), Service: m1.UID, Kind: directory.KindWorkload, Trust: tr.ID, Material: `{"uid":"` + uid + `"}`, ManagedBy: "callmap"}
	b := directory.Batch{Base: d.Snapshot().Revision(), PutTrusts: []directory.Trust{tr}, PutCredentials: []directory.Credential{c}}
	if _, err := d.Apply(t.Context(), operator, b, "callmap.apply", ""); err != nil {
		t.Fatal(err)
	}
	if got, ok := d.Snapshot().Credential(c.ID); !ok || got.ManagedBy != "callmap" || got.Life != directory.MaxCredentialTTL {
		t.Errorf("got %+v", got)
	}
	_, err := d.UpdateTrust(t.Context(), operator, "prod", 0, func(s *api.TrustSettings) { s.Disabled, s.Audience = true, "https://a.example" })
	if err2 := d.RemoveTrust(t.Context(), operator, "prod", 0); !errors.Is(err, directory.ErrManaged) || !errors.Is(err2, directory.ErrManaged) {
		t.Errorf("got %v, %v", err, err2)
	}
	if got, err := d.UpdateTrust(t.Context(), operator, "prod", 0, func(s *api.TrustSettings) { s.Disabled = true }); err != nil || got.ManagedBy != "callmap" {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := d.RevokeCredential(t.Context(), operator, c.ID); err != nil || !d.Snapshot().Denied(c.ID) {
		t.Errorf("got %v", err)
	}
}

// A file takes over a credential that was made by hand, as it is, and lets go of it when it revokes it.
func TestFileAdoptsACredential(t *testing.T) {
	replicas(t, func(t *testing.T, one, other *directory.Directory) {
		if _, err := one.CreateService(t.Context(), operator, directory.NewService{Name: "m1"}); err != nil {
			t.Fatal(err)
		}
		addTrust(t, one, "prod", cluster)
		c := add(t, one, "m1", workload("prod", uid))
		apply := func(b directory.Batch) error {
			b.Base = one.Snapshot().Revision()
			_, err := one.Apply(t.Context(), operator, b, "callmap.apply", "")
			return errors.Join(err, other.CatchUp(t.Context()))
		}
		adopted := directory.Credential{ID: c.ID, Version: c.Version, ManagedBy: "callmap"}
		if err := apply(directory.Batch{AdoptCredentials: []directory.Credential{adopted}}); err != nil {
			t.Fatal(err)
		}
		comparePrefixes := cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })
		want := c
		want.ManagedBy, want.Version = "callmap", 2
		for _, d := range []*directory.Directory{one, other} {
			got, _ := d.Snapshot().Credential(c.ID)
			if diff := cmp.Diff(&want, got, comparePrefixes); diff != "" || d.Snapshot().Denied(c.ID) {
				t.Errorf("denied: %v; %s", d.Snapshot().Denied(c.ID), diff)
			}
		}
		if err := apply(directory.Batch{AdoptCredentials: []directory.Credential{adopted}}); !errors.Is(err, directory.ErrConflict) {
			t.Errorf("got %v", err)
		}
		if err := apply(directory.Batch{RevokeCredentials: []directory.Credential{want}}); err != nil {
			t.Fatal(err)
		}
		if got, _ := other.Snapshot().Credential(c.ID); got.ManagedBy != "" || got.RevokedAt.IsZero() || !other.Snapshot().Denied(c.ID) {
			t.Errorf("got %+v", got)
		}
	})
}

func TestBatchOfTrustsAndCredentialsIsInForceEverywhere(t *testing.T) {
	replicas(t, func(t *testing.T, one, other *directory.Directory) {
		apply := func(b directory.Batch) error {
			t.Helper()
			b.Base = one.Snapshot().Revision()
			_, err := one.Apply(t.Context(), operator, b, "callmap.apply", "")
			return err
		}
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		a, b := addTrust(t, one, "a", api.TrustSettings{Issuer: "https://a.example"}), addTrust(t, one, "b", api.TrustSettings{Issuer: "https://b.example"})
		svc, err := one.CreateService(t.Context(), operator, directory.NewService{Name: "m1"})
		must(err)
		sub := func(trust string) directory.Credential {
			return directory.Credential{Service: svc.UID, Kind: directory.KindWorkload, Trust: trust, Material: `{"sub":"s"}`}
		}
		must(apply(directory.Batch{PutCredentials: []directory.Credential{sub(a.ID), sub(b.ID)}}))
		must(other.CatchUp(t.Context()))
		ofA, ofB := one.Snapshot().Workloads(a.ID, "sub", "s")[0], one.Snapshot().Workloads(b.ID, "sub", "s")[0]

		// a is removed and another has its name, b has its issuer, and c has that of b.
		again := directory.Trust{ID: directory.NewTrustID(), Name: "a", TrustSettings: api.TrustSettings{Issuer: b.Issuer}}
		moved := b
		moved.Issuer = a.Issuer
		batch := directory.Batch{
			DeleteTrusts: []directory.Trust{{ID: a.ID, Version: a.Version}}, PutTrusts: []directory.Trust{moved, again},
			PutCredentials: []directory.Credential{sub(again.ID)}, RevokeCredentials: []directory.Credential{{ID: ofB.ID, Version: ofB.Version}},
		}
		must(apply(batch))
		must(other.CatchUp(t.Context()))
		for _, d := range []*directory.Directory{one, other} {
			s := d.Snapshot()
			named, _ := s.TrustByName("a")
			first, _ := s.TrustByIssuer("https://a.example")
			second, _ := s.TrustByIssuer("https://b.example")
			if named == nil || named.ID != again.ID || first == nil || first.ID != b.ID || second != named || first.Generation == b.Generation {
				t.Errorf("got %+v by name, %+v and %+v by issuer", named, first, second)
			}
			for _, id := range []string{a.Generation, b.Generation, ofA.ID, ofB.ID} {
				if !s.Denied(id) {
					t.Errorf("%s is not denied", id)
				}
			}
			if found := s.Workloads(again.ID, "sub", "s"); len(found) != 1 || s.Denied(found[0].ID) || s.Denied(named.Generation) {
				t.Errorf("found %d credentials", len(found))
			}
			if n := s.Denials().Len(); n != 4 {
				t.Errorf("%d are denied", n)
			}
		}

		// What does not fit is refused, and changes nothing.
		before := one.Snapshot().Revision()
		current, _ := one.Snapshot().TrustByName("a")
		renamed, changed, old := *current, *current, moved
		renamed.Name, changed.Preset, changed.Issuer = "other", "kubernetes", "https://k.example"
		for what, c := range map[string]struct {
			b    directory.Batch
			want error
		}{
			"a trust of an old version":      {directory.Batch{PutTrusts: []directory.Trust{old}}, directory.ErrConflict},
			"a trust that is gone":           {directory.Batch{DeleteTrusts: []directory.Trust{a}}, directory.ErrNotFound},
			"a credential that was revoked":  {directory.Batch{RevokeCredentials: []directory.Credential{*ofB}}, directory.ErrConflict},
			"a credential that is not there": {directory.Batch{RevokeCredentials: []directory.Credential{{ID: "absent"}}}, directory.ErrNotFound},
			"a credential without a trust":   {directory.Batch{PutCredentials: []directory.Credential{sub(a.ID)}}, directory.ErrNotFound},
			"a taken issuer":                 {directory.Batch{PutTrusts: []directory.Trust{{Name: "x", TrustSettings: api.TrustSettings{Issuer: b.Issuer}}}}, directory.ErrExists},
			"another name":                   {directory.Batch{PutTrusts: []directory.Trust{renamed}}, nil},
			"another preset":                 {directory.Batch{PutTrusts: []directory.Trust{changed}}, nil},
			"the same claims":                {directory.Batch{PutCredentials: []directory.Credential{sub(again.ID)}}, nil},
			"a kind that is not workload":    {directory.Batch{PutCredentials: []directory.Credential{{Service: svc.UID, Trust: b.ID, Kind: directory.KindSecret, Material: "x"}}}, nil},
		} {
			err := apply(c.b)
			if _, invalid := errors.AsType[*directory.InvalidError](err); c.want == nil && !invalid || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("%s: got %v", what, err)
			}
		}
		if after := one.Snapshot().Revision(); after != before {
			t.Errorf("%d changes were made", after-before)
		}
		// It was planned on what has changed since.
		_, err = one.Apply(t.Context(), operator, directory.Batch{Base: before - 1, PutTrusts: []directory.Trust{moved}}, "callmap.apply", "")
		if !errors.Is(err, directory.ErrConflict) {
			t.Errorf("got %v", err)
		}
	})
}
