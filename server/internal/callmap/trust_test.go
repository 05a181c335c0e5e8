package callmap_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/callmap"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/issuer"
	"github.com/watchword-dev/watchword/server/internal/store"
)

const (
	prod = "trusts:\n  prod: {preset: kubernetes, issuer: 'https://k', audience: 'https://auth.example.com'}\n"
	uid1 = "0b9d1c5e-7a64-4e0c-8f0a-5a7d0e2f9b11"
	uid2 = "0b9d1c5e-7a64-4e0c-8f0a-5a7d0e2f9b22"
)

func pod(uid string) string {
	return fmt.Sprintf("{trust: prod, claims: {sub: 'system:serviceaccount:shop:m1', uid: %s}}", uid)
}

// world is a directory on a real store, to which files are applied.
type world struct {
	*testing.T
	*directory.Directory
	db *store.DB
}

func newWorld(t *testing.T) *world {
	t.Helper()
	db, err := store.Open(t.Context(), store.Options{DataDir: t.TempDir()})
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	now := noon
	d := directory.New(db, nil, directory.Options{Now: func() time.Time { now = now.Add(time.Microsecond); return now }})
	must(t, d.Load(t.Context()))
	return &world{t, d, db}
}

var operator = directory.Author{Actor: "operator"}

func (w *world) state() *directory.State {
	w.Helper()
	s, err := w.db.Load(w.Context())
	must(w.T, err)
	return s
}

// plan is what a file would change, in words.
func (w *world) plan(text string) (*callmap.Plan, []string) {
	w.Helper()
	p := plan(w.T, w.state(), read(w.T, "callmap.yaml", "version: 1\n"+text))
	var lines []string
	for _, c := range p.Changes(0) {
		lines = append(lines, c.String())
	}
	return p, lines
}

// apply applies a file, and checks what its plan says.
func (w *world) apply(text string, want ...string) *callmap.Plan {
	w.Helper()
	p, got := w.plan(text)
	if diff := cmp.Diff(want, got); diff != "" {
		w.Errorf("the plan of\n%s\nis not as wanted:\n%s", text, diff)
	}
	if !p.Empty() {
		_, err := w.Directory.Apply(w.Context(), operator, p.Batch(), "callmap.apply", "a test")
		must(w.T, err)
	}
	return p
}

// valid are the credentials of a service that have not ended.
func (w *world) valid(service string) (all []directory.Credential) {
	svc, _ := w.Snapshot().Service(service)
	for _, c := range w.state().Credentials {
		if c.Service == svc.UID && !c.Ended(noon) {
			all = append(all, c)
		}
	}
	return all
}

func TestTrustsAndIdentitiesArePlannedInWordsAndAppliedOnce(t *testing.T) {
	w := newWorld(t)
	const also = "services: {m1: {identity: "
	w.apply(prod+also+pod(uid1)+"}, m2: }\n",
		"+ trust prod  kubernetes, https://k, audience: \"https://auth.example.com\"",
		"+ service m1",
		"+ service m2",
		"+ identity m1  prod: the service account system:serviceaccount:shop:m1, with the uid "+uid1)
	first := w.valid("m1")
	if len(first) != 1 || first[0].ManagedBy != callmap.DefaultOwner || first[0].Kind != directory.KindWorkload || first[0].ExpiresAt.Before(noon.AddDate(99, 0, 0)) {
		t.Fatalf("got %+v, want one credential that does not end", first)
	}

	// Applied again, nothing changes. A changed claim is another credential, and the other one is revoked.
	w.apply(prod + also + pod(uid1) + "}, m2: }\n")
	if diff := cmp.Diff(first, w.valid("m1"), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	p := w.apply(prod+also+pod(uid2)+"}, m2: }\n",
		"- identity m1  prod: the service account system:serviceaccount:shop:m1, with the uid "+uid1,
		"+ identity m1  prod: the service account system:serviceaccount:shop:m1, with the uid "+uid2)
	if p.Removed != 0 {
		t.Errorf("an identity that is replaced counts as %d that are removed", p.Removed)
	}
	if now := w.valid("m1"); len(now) != 1 || now[0].ID == first[0].ID {
		t.Errorf("got %+v, want another credential", now)
	}
	w.apply(prod+also+pod(uid1)+"}, m2: }\n", // and it comes back, since no hand revoked it
		"- identity m1  prod: the service account system:serviceaccount:shop:m1, with the uid "+uid2,
		"+ identity m1  prod: the service account system:serviceaccount:shop:m1, with the uid "+uid1)

	// A trust that accepts less ends what depends on it, and one that accepts more does not.
	before, _ := w.Snapshot().TrustByName("prod")
	longer := strings.Replace(prod, "}\n", ", max-lifetime: 48h}\n", 1)
	w.apply(longer+also+pod(uid1)+"}, m2: }\n", "~ trust prod  max-lifetime: none => 48h0m0s")
	if now, _ := w.Snapshot().TrustByName("prod"); now.Generation != before.Generation || now.ID != before.ID {
		t.Errorf("got %+v from %+v", now, before)
	}
	w.apply(prod+also+pod(uid1)+"}, m2: }\n", "~ trust prod  max-lifetime: 48h0m0s => none; tokens that were obtained through it end")
	if now, _ := w.Snapshot().TrustByName("prod"); now.Generation == before.Generation || !w.Snapshot().Denied(before.Generation) {
		t.Errorf("got %+v from %+v", now, before)
	}

	// Identities may be in a file without their trust.
	_, err := callmap.Make([]*callmap.File{read(t, "b.yaml", "version: 1\nmanaged-by: b\nservices: {m3: {identity: "+pod(uid2)+"}}\n")}, w.state(), noon)
	must(t, err)
	p = w.apply("services: {m2: }\n",
		"- trust prod",
		"- service m1  with its credentials")
	if p.Removed != 2 || !p.RemovesMany {
		t.Errorf("the last trust of the files is removed with %d things, many: %v", p.Removed, p.RemovesMany)
	}
}

// The claims of a credential are those of another workload if another issuer signs them.
func TestIssuerIsNotChangedUnderCredentials(t *testing.T) {
	w := newWorld(t)
	w.apply(prod+"services: {m1: {identity: "+pod(uid1)+"}}\n",
		"+ trust prod  kubernetes, https://k, audience: \"https://auth.example.com\"", "+ service m1",
		"+ identity m1  prod: the service account system:serviceaccount:shop:m1, with the uid "+uid1)
	other := strings.Replace(prod, "https://k", "https://other", 1)
	file := read(t, "callmap.yaml", "version: 1\n"+other+"services: {m1: {identity: "+pod(uid1)+"}}\n")
	if _, err := callmap.Make([]*callmap.File{file}, w.state(), noon); err == nil || !strings.Contains(err.Error(), `the issuer of trust "prod" cannot be changed`) {
		t.Errorf("got %v", err)
	}
	w.apply(other+"services: {m1: {identity: "+pod(uid2)+"}}\n",
		"~ trust prod  issuer: \"https://k\" => \"https://other\"; tokens that were obtained through it end",
		"- identity m1  prod: the service account system:serviceaccount:shop:m1, with the uid "+uid1,
		"+ identity m1  prod: the service account system:serviceaccount:shop:m1, with the uid "+uid2)
}

func TestRemovingAnIdentityRevokesIt(t *testing.T) {
	w := newWorld(t)
	w.apply(prod+"services: {m1: {identity: ["+pod(uid1)+", "+pod(uid2)+"]}}\n",
		"+ trust prod  kubernetes, https://k, audience: \"https://auth.example.com\"", "+ service m1",
		"+ identity m1  prod: the service account system:serviceaccount:shop:m1, with the uid "+uid1,
		"+ identity m1  prod: the service account system:serviceaccount:shop:m1, with the uid "+uid2)
	p := w.apply(prod+"services: {m1: {identity: "+pod(uid2)+"}}\n", "- identity m1  prod: the service account system:serviceaccount:shop:m1, with the uid "+uid1)
	if p.Removed != 1 || p.RemovesMany {
		t.Errorf("got %d removed, many: %v", p.Removed, p.RemovesMany)
	}
	if left := w.valid("m1"); len(left) != 1 || !strings.Contains(left[0].Material, uid2) {
		t.Errorf("got %+v", left)
	}
	// With its trust, an identity goes too, and so do those that were made by hand.
	_, err := w.AddCredential(t.Context(), operator, "m1", directory.NewCredential{Kind: directory.KindWorkload, Trust: "prod", Claims: map[string]string{"uid": uid1}})
	must(t, err)
	p = w.apply("services: {m1: }\n", "- trust prod  with 2 credentials", "- identity m1  prod: the service account system:serviceaccount:shop:m1, with the uid "+uid2)
	if !p.RemovesMany {
		t.Error("the only trust of a file is removed without a question")
	}
	if left := w.valid("m1"); len(left) > 0 {
		t.Errorf("got %+v", left)
	}
}

func TestCredentialsMadeByHandStayUntilAFileNamesThem(t *testing.T) {
	w := newWorld(t)
	byHand := func(claims map[string]string, network string) directory.Credential {
		n := directory.NewCredential{Kind: directory.KindWorkload, Trust: "prod", Claims: claims}
		if network != "" {
			n.CIDR = netip.MustParsePrefix(network)
		}
		c, err := w.AddCredential(t.Context(), operator, "m1", n)
		must(t, err)
		return c
	}
	const bare = prod + "services: {m1: }\n"
	w.apply(bare, "+ trust prod  kubernetes, https://k, audience: \"https://auth.example.com\"", "+ service m1")
	one, other := byHand(map[string]string{"uid": uid1}, ""), byHand(map[string]string{"uid": uid2}, "10.0.0.0/8")
	w.apply(bare)
	if len(w.valid("m1")) != 2 {
		t.Error("a plan took away what was made by hand")
	}

	// The export has the one that a file can say, and applying it changes nothing but whose it is.
	exported := string(callmap.Export(w.state(), ""))
	if !strings.Contains(exported, uid1) || strings.Contains(exported, uid2) {
		t.Errorf("got\n%s", exported)
	}
	body := strings.TrimPrefix(exported, "version: 1\n")
	w.apply(body, "~ identity m1  prod: with the uid "+uid1+"; belonged to no file, now belongs to callmap now")
	w.apply(body)
	for _, c := range w.valid("m1") {
		if owner := map[string]string{one.ID: callmap.DefaultOwner, other.ID: ""}[c.ID]; c.ManagedBy != owner || !c.RevokedAt.IsZero() {
			t.Errorf("got %+v, want it to belong to %q", c, owner)
		}
	}

	// What a file cannot say cannot become the file's.
	_, err := callmap.Make([]*callmap.File{read(t, "callmap.yaml", "version: 1\nservices: {m1: {identity: {trust: prod, claims: {uid: "+uid2+"}}}}\n"+prod)}, w.state(), noon)
	if want := `callmap.yaml:2:27: service "m1" has the credential ` + other.ID + " for such tokens, with a network or dates"; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
	w.apply(bare, "- identity m1  prod: with the uid "+uid1)
	if left := w.valid("m1"); len(left) != 1 || left[0].ID != other.ID {
		t.Errorf("got %+v", left)
	}
}

// F107, for what proves a service: what a hand took away in an emergency does not come back with the next apply.
func TestApplyRestoresNothingThatAHandRevoked(t *testing.T) {
	w := newWorld(t)
	file := prod + "services: {m1: {identity: " + pod(uid1) + "}}\n"
	w.apply(file, "+ trust prod  kubernetes, https://k, audience: \"https://auth.example.com\"", "+ service m1",
		"+ identity m1  prod: the service account system:serviceaccount:shop:m1, with the uid "+uid1)
	gone, err := w.RevokeCredential(t.Context(), operator, w.valid("m1")[0].ID)
	must(t, err)
	disabled := true
	_, err = w.UpdateTrust(t.Context(), operator, "prod", directory.AnyVersion, func(s *api.TrustSettings) { s.Disabled = disabled })
	must(t, err)

	p := w.apply(file)
	want := []string{
		"the trust prod stays disabled, as https://k is; to enable it, write disabled: false",
		"the identity m1  prod: the service account system:serviceaccount:shop:m1, with the uid " + uid1 + " was revoked by hand and stays revoked; to have it again, run: " +
			"watchword credential create m1 --kind workload --trust prod --claim sub=system:serviceaccount:shop:m1 --claim uid=" + uid1,
	}
	if !slices.Equal(p.Withheld, want) {
		t.Errorf("got %q, want %q", p.Withheld, want)
	}
	if tr, _ := w.Snapshot().TrustByName("prod"); len(w.valid("m1")) > 0 || !tr.Disabled {
		t.Errorf("got %+v and %+v", w.valid("m1"), tr)
	}
	w.apply(strings.Replace(file, "}\n", ", disabled: false}\n", 1), "~ trust prod  disabled: true => none")

	// A hand restores it, and then it is the file's again.
	claims, err := directory.ParseClaims(gone.Material)
	must(t, err)
	_, err = w.AddCredential(t.Context(), operator, "m1", directory.NewCredential{Kind: directory.KindWorkload, Trust: "prod", Claims: claims})
	must(t, err)
	p = w.apply(file, "~ identity m1  prod: the service account system:serviceaccount:shop:m1, with the uid "+uid1+"; belonged to no file, now belongs to callmap now")
	if len(p.Withheld) > 0 {
		t.Errorf("got %q", p.Withheld)
	}

	// And then a file may remove it and have it again.
	w.apply(strings.Replace(file, "m1: {identity: "+pod(uid1)+"}", "m1: ", 1), "- identity m1  prod: the service account system:serviceaccount:shop:m1, with the uid "+uid1)
	w.apply(file, "+ identity m1  prod: the service account system:serviceaccount:shop:m1, with the uid "+uid1)
}

// F107 too: what was revoked or disabled is that of an issuer, whatever its trust is called, and in whatever order files come.
func TestAnotherNameOfATrustRestoresNothingThatAHandTookAway(t *testing.T) {
	w := newWorld(t)
	named := func(name string) string {
		return strings.ReplaceAll(prod+"services: {m1: {identity: "+pod(uid1)+"}}\n", "prod", name)
	}
	const none = "services: {m1: }\n"
	apply := func(text string) *callmap.Plan {
		p, _ := w.plan(text)
		_, err := w.Directory.Apply(t.Context(), operator, p.Batch(), "callmap.apply", "a test")
		must(t, err)
		return p
	}
	revoked := func(p *callmap.Plan, name string) {
		t.Helper()
		if len(w.valid("m1")) > 0 || !strings.Contains(strings.Join(p.Withheld, "\n"), "the identity m1  "+name+": ") {
			t.Errorf("%s: got %+v and %q", name, w.valid("m1"), p.Withheld)
		}
	}
	apply(named("prod"))
	_, err := w.RevokeCredential(t.Context(), operator, w.valid("m1")[0].ID)
	must(t, err)
	revoked(apply(named("other")), "other")
	revoked(apply(named("prod")), "prod") // as a rollback does
	apply(none)                           // and now the trust is gone
	revoked(apply(named("third")), "third")

	_, err = w.UpdateTrust(t.Context(), operator, "third", directory.AnyVersion, func(s *api.TrustSettings) { s.Disabled = true })
	must(t, err)
	disabled := func(name string) {
		t.Helper()
		if tr, ok := w.Snapshot().TrustByName(name); !ok || !tr.Disabled {
			t.Errorf("got %+v, want it to be disabled", tr)
		}
	}
	if p := apply(named("prod")); !slices.Contains(p.Withheld, "the trust prod stays disabled, as https://k is; to enable it, write disabled: false") {
		t.Errorf("got %q", p.Withheld)
	}
	disabled("prod")
	w.apply(none, "~ trust prod  stays, since it is disabled, and belongs to no file now")
	disabled("prod")
	apply(named("prod"))
	disabled("prod")

	// Issuers may change places. One that is disabled cannot get lost.
	const both = "trusts: {prod: {preset: kubernetes, issuer: '%s'}, other: {preset: kubernetes, issuer: '%s'}}\n" + none
	apply(fmt.Sprintf(both, "https://k", "https://other"))
	apply(fmt.Sprintf(both, "https://other", "https://k"))
	if tr, _ := w.Snapshot().TrustByName("prod"); tr.Disabled {
		t.Errorf("got %+v: the other issuer is disabled", tr)
	}
	disabled("other")
	_, err = callmap.Make([]*callmap.File{read(t, "callmap.yaml", "version: 1\n"+fmt.Sprintf(both, "https://other", "https://new"))}, w.state(), noon)
	if want := `trust "other" is disabled, so its issuer stays: `; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}

	// A file that says so restores the issuer, and a hand the identity.
	apply(strings.Replace(named("prod"), "}\n", ", disabled: false}\n", 1))
	if tr, _ := w.Snapshot().TrustByName("prod"); tr.Disabled {
		t.Errorf("got %+v", tr)
	}
	_, err = w.AddCredential(t.Context(), operator, "m1", directory.NewCredential{Kind: directory.KindWorkload, Trust: "prod", Claims: map[string]string{"sub": "system:serviceaccount:shop:m1", "uid": uid1}})
	must(t, err)
	if p := apply(named("prod")); len(p.Withheld) > 0 || len(w.valid("m1")) != 1 {
		t.Errorf("got %q and %+v", p.Withheld, w.valid("m1"))
	}
}

// What is exported is read as it was, whatever the lines of a text begin and end with.
func TestTextsOfATrustAreExportedAsTheyAre(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", " ", "\n", "\"", "'", "\t", "\r", ": ", "# ", "-", "é", "\\", "{", "\n\n"}), 1, 8).Draw(t, "text"), "")
		tr := directory.Trust{ID: directory.NewTrustID(), Name: "prod", TrustSettings: api.TrustSettings{Preset: "oidc", Issuer: "https://k", JWKS: text, Authorities: "b\n" + text}}
		exported := callmap.Export(&directory.State{Trusts: []directory.Trust{tr}}, "")
		if got := read(t, "export.yaml", string(exported)).Trusts[0]; got.JWKS != tr.JWKS || got.Authorities != tr.Authorities {
			t.Fatalf("got %q and %q from\n%s\nwant %q", got.JWKS, got.Authorities, exported, text)
		}
		formatted, err := callmap.Format("export.yaml", exported)
		if err != nil {
			t.Fatal(err)
		}
		if got := read(t, "export.yaml", string(formatted)).Trusts[0]; got.JWKS != tr.JWKS || got.Authorities != tr.Authorities {
			t.Fatalf("got %q and %q formatted as\n%s\nwant %q", got.JWKS, got.Authorities, formatted, text)
		}
	})
}

func TestTrustsOfOtherOwnersAreLeftAlone(t *testing.T) {
	w := newWorld(t)
	must(t, func() error {
		_, err := w.AddTrust(t.Context(), operator, "hand", api.TrustSettings{Issuer: "https://h", Preset: "oidc"})
		return err
	}())
	w.apply("managed-by: platform\n"+prod, "+ trust prod  kubernetes, https://k, audience: \"https://auth.example.com\"")
	w.apply("services: {m1: {identity: "+pod(uid1)+"}}\n", "+ service m1", "+ identity m1  prod: the service account system:serviceaccount:shop:m1, with the uid "+uid1)
	_, err := callmap.Make([]*callmap.File{read(t, "callmap.yaml", "version: 1\n"+prod)}, w.state(), noon)
	if want := `callmap.yaml:3:3: trust "prod" belongs to "platform"; this file is of "callmap"`; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
	_, err = callmap.Make([]*callmap.File{read(t, "callmap.yaml", "version: 1\ntrusts: {hand: {preset: kubernetes, issuer: 'https://h'}}\n")}, w.state(), noon)
	if want := `callmap.yaml:2:25: trust "hand" has the preset oidc, which cannot be changed`; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
	w.apply("services: {m1: {identity: "+pod(uid1)+"}}\ntrusts: {hand: {issuer: 'https://h'}}\n", "~ trust hand  belonged to no file, now belongs to callmap now")
	_, err = w.UpdateTrust(t.Context(), operator, "hand", directory.AnyVersion, func(s *api.TrustSettings) { s.Once = "always" })
	if err == nil || !strings.Contains(err.Error(), directory.ErrManaged.Error()) {
		t.Errorf("got %v", err)
	}
}

// A test with the token of a platform is decided as the login would be, and then as a request of the service.
func TestTestsCanAskAsAToken(t *testing.T) {
	const file = `
services:
  m1: {identity: ` + "{trust: prod, claims: {uid: " + uid1 + `, namespace: shop}}}
  m2: {identity: {trust: forge, claims: {repository_id: 12, repository_owner_id: 3, ref: refs/heads/main}}}
  m3: {auth: private_key_jwt, identity: {trust: prod, claims: {uid: ` + uid2 + `}}}
  stock:
  ledger:
rules:
  - {from: [m1, m2, m3], to: stock}
  - {from: m1, to: ledger, when: {networks: [10.0.0.0/8]}}
tests:
  - {as: {trust: prod, claims: {uid: ` + uid1 + `, namespace: shop, pod: m1-7}}, to: stock, expect: allow}
  - {as: {trust: prod, claims: {uid: ` + uid1 + `, namespace: test}}, to: stock, expect: deny}
  - {as: {trust: prod, claims: {uid: ` + uid2 + `}}, to: stock, expect: deny}
  - {as: {trust: prod, claims: {uid: ` + uid1 + `, namespace: shop}}, to: [ledger], expect: deny}
  - {as: {trust: prod, claims: {uid: ` + uid1 + `, namespace: shop}}, to: ledger, with: {network: 10.1.2.3}, expect: allow}
  - {as: {trust: forge, claims: {repository_id: 12, repository_owner_id: 3, ref: refs/heads/main, event_name: push}}, to: stock, expect: allow}
  - {as: {trust: forge, claims: {repository_id: 12, repository_owner_id: 3, ref: refs/heads/main, event_name: pull_request}}, to: stock, expect: deny}
  - {as: {trust: forge, claims: {repository_id: 12, repository_owner_id: 4, ref: refs/heads/main}}, to: stock, expect: deny}
  - {as: {trust: off, claims: {sub: a}}, to: stock, expect: deny}
`
	p, err := makeOf(prod + "  forge: {preset: github, issuer: 'https://token.actions.githubusercontent.com'}\n  off: {issuer: 'https://o', disabled: true}\n" + file[1:])
	must(t, err)
	var got []string
	for _, r := range p.Test(issuer.NewRehearser(p.After(time.Hour), issuer.Options{}), noon) {
		if !r.Passed() {
			t.Error(r)
		}
		got = append(got, r.From+": "+r.Why())
	}
	want := []string{
		"token of prod (m1): allowed", "token of prod: claims_differ; namespace is test, wanted shop", "token of prod (m3): method_not_accepted", "token of prod (m1): condition_network", "token of prod (m1): allowed",
		"token of forge (m2): allowed", "token of forge: claims_differ; event_name is pull_request, wanted none of pull_request, pull_request_target",
		"token of forge: claims_differ; repository_owner_id is 4, wanted 3", "token of off: trust_disabled",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestShadowSaysThatItShowsNeitherTrustsNorIdentities(t *testing.T) {
	p, err := makeOf(prod + "services: {m1: {identity: " + pod(uid1) + "}}\n")
	must(t, err)
	_, leftOut := p.Overlay()
	want := []string{"trust prod would be added", "identity m1 (prod: the service account system:serviceaccount:shop:m1, with the uid " + uid1 + ") would be added"}
	if diff := cmp.Diff(want, leftOut); diff != "" {
		t.Error(diff)
	}
}

func TestIdentitiesHaveTheBoundsOfCredentials(t *testing.T) {
	var many, same strings.Builder
	for i := range directory.MaxCredentials + 1 {
		fmt.Fprintf(&many, "    - {trust: any, claims: {sub: s%d}}\n", i)
		fmt.Fprintf(&same, "  m%d: {identity: {trust: any, claims: {sub: s}}}\n", i)
	}
	const any = "trusts: {any: {issuer: 'https://any'}}\n"
	for text, want := range map[string]string{
		any + "services:\n  m1:\n    identity:\n" + many.String(): "a.yaml:5:7: with this identity, service \"m1\" has 101 credentials; at most 100 are accepted",
		any + "services:\n" + same.String():                       "a.yaml:3:18: with this identity, 101 credentials of the trust want the same sub; at most 100 are accepted",
	} {
		if _, err := makeOf(text); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %.200v, want %s", err, want)
		}
	}
	var trusts strings.Builder
	trusts.WriteString("trusts:\n")
	for i := range directory.MaxTrusts + 1 {
		fmt.Fprintf(&trusts, "  t%d: {issuer: 'https://t%d'}\n", i, i)
	}
	if _, err := makeOf(trusts.String()); err == nil || !strings.HasPrefix(err.Error(), "a.yaml:2:3: with this file there are 1001 trusts; at most 1000 are accepted") {
		t.Errorf("got %.200v", err)
	}
}
