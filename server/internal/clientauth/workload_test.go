package clientauth_test

import (
	"crypto/ecdsa"
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/clientauth"
	"github.com/watchword-dev/watchword/server/internal/directory"
)

const cluster = "https://kubernetes.default.svc.cluster.local"

// platform is a trust and the key that signs its tokens.
type platform struct {
	*jose.Signer
	trust directory.Trust
}

// trusted adds a trust whose keys are uploaded.
func (b *bench) trusted(name, preset, issuer string) *platform {
	b.t.Helper()
	alg := jose.RS256
	if preset == "spiffe" {
		alg = jose.ES256
	}
	p := &platform{Signer: newSigner(b.t, "key-of-"+name, alg)}
	p.trust = directory.Trust{
		ID: "trust_" + name, Name: name, Generation: "trust_generation of " + name, Version: 1,
		TrustSettings: api.TrustSettings{Preset: preset, Issuer: issuer, JWKS: keySetOf(b.t, preset, p.Signer)},
	}
	b.state.Trusts = append(b.state.Trusts, p.trust)
	return p
}

func keySetOf(t testing.TB, preset string, s *jose.Signer) string {
	key := map[string]any{}
	if err := json.Unmarshal([]byte(publicJWK(t, s)), &key); err != nil {
		t.Fatal(err)
	}
	if preset == "spiffe" {
		key["use"] = "jwt-svid"
	}
	set, err := json.Marshal(map[string]any{"keys": []any{key}})
	if err != nil {
		t.Fatal(err)
	}
	return string(set)
}

func (b *bench) edited(name string, edit func(*directory.Trust)) {
	for i := range b.state.Trusts {
		if b.state.Trusts[i].Name == name {
			edit(&b.state.Trusts[i])
		}
	}
}

// workload is a credential of p that wants claims.
func (p *platform) workload(id string, wanted map[string]string) directory.Credential {
	material, _ := json.Marshal(wanted) // which sorts the names
	return directory.Credential{ID: id, Kind: directory.KindWorkload, Trust: p.trust.ID, Material: string(material)}
}

// podClaims are those of the projected token of a pod of the service account shop/m1, but for what edit says.
func (b *bench) podClaims(edit claims) string {
	c := claims{
		"iss": cluster, "aud": []string{issuer}, "sub": "system:serviceaccount:shop:m1", "jti": "a4b9",
		"iat": b.now.Unix(), "nbf": b.now.Unix(), "exp": b.now.Add(time.Hour).Unix(),
		"kubernetes.io": claims{"namespace": "shop", "serviceaccount": claims{"name": "m1", "uid": "7d9a"}},
	}
	maps.Copy(c, edit)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return textOf(b.t, c)
}

func textOf(t testing.TB, c claims) string {
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var pod = map[string]string{"sub": "system:serviceaccount:shop:m1", "uid": "7d9a"}

// inCluster is a bench whose m1 is a service account of a cluster.
func inCluster(t testing.TB) (*bench, *platform) {
	b := newBench(t)
	k := b.trusted("prod", "kubernetes", cluster)
	b.service("m1", k.workload("w1", pod))
	return b, k
}

// FED-001, FED-008. The token of a pod has no typ, is shown as an assertion or as a bearer token, and as often as its
// file is read.
func TestPlatformTokenProvesItsService(t *testing.T) {
	b, k := inCluster(t)
	token := b.sign(k.Signer, "", b.podClaims(nil)).Assertion
	for name, p := range map[string]clientauth.Presented{
		"assertion": {Assertion: token}, "with client_id": {Assertion: token, ClientID: "m1"}, "bearer": {Bearer: token},
	} {
		id := b.want(name, p, "m1", "w1")
		if id.Method != api.WorkloadJWT || id.Depends != k.trust.Generation || !id.Until.Equal(b.now.Add(time.Hour)) || len(id.Once) != 0 {
			t.Errorf("%s: got method %s, depends %s, until %s, once %v", name, id.Method, id.Depends, id.Until, id.Once)
		}
	}
	b.wantNot("another's client_id", clientauth.Presented{Assertion: token, ClientID: "m2"}, clientauth.Refused, "no_matching_credential")
	b.edit("m1", func(s *directory.Service) { s.AuthMethods = []string{api.PrivateKeyJWT} })
	b.wantNot("method", clientauth.Presented{Assertion: token}, clientauth.Refused, "method_not_accepted")
}

// FED-002, FED-003, FED-005. Whatever differs from the trust or from the credential is refused, with one kind of failure.
func TestPlatformTokenThatDiffersIsRefused(t *testing.T) {
	b, k := inCluster(t)
	for name, c := range map[string]struct {
		edit   claims
		reason string
	}{
		"another issuer":     {claims{"iss": "https://evil.example"}, "unknown_issuer"},
		"trailing slash":     {claims{"iss": cluster + "/"}, "unknown_issuer"},
		"upper case":         {claims{"iss": strings.ToUpper(cluster)}, "unknown_issuer"},
		"another audience":   {claims{"aud": []string{"https://other.test"}}, "audience_mismatch"},
		"no audience":        {claims{"aud": nil}, "audience_mismatch"},
		"two audiences":      {claims{"aud": []string{issuer, "https://other.test"}}, "audience_mismatch"},
		"the API's audience": {claims{"aud": []string{cluster}}, "audience_mismatch"},
		"no end":             {claims{"exp": nil}, "no_expiry"},
		"over":               {claims{"exp": b.now.Unix()}, "expired"},
		"a year":             {claims{"exp": b.now.Add(365 * 24 * time.Hour).Unix()}, "lives_too_long"},
		"from tomorrow":      {claims{"nbf": b.now.Add(24 * time.Hour).Unix()}, "not_yet_valid"},
		"another account":    {claims{"sub": "system:serviceaccount:shop:m1-evil"}, "claims_differ"},
		"another namespace":  {claims{"sub": "system:serviceaccount:shop2:m1"}, "claims_differ"},
		"made again":         {claims{"kubernetes.io": claims{"namespace": "shop", "serviceaccount": claims{"name": "m1", "uid": "eeee"}}}, "claims_differ"},
		"nobody known":       {claims{"sub": "system:serviceaccount:a:b", "kubernetes.io": claims{"namespace": "a", "serviceaccount": claims{"name": "b", "uid": "1"}}}, "no_matching_credential"},
	} {
		f := b.wantNot(name, b.sign(k.Signer, "", b.podClaims(c.edit)), clientauth.Refused, c.reason)
		if len(clientauth.Unmet(f.Findings)) == 0 {
			t.Errorf("%s: there are no findings", name)
		}
	}
	for _, typ := range []string{"at+jwt", "bootstrap+jwt", "logout+jwt"} {
		if id, failure := b.ask(b.sign(k.Signer, typ, b.podClaims(nil))); failure == nil {
			t.Errorf("typ %s: is %s", typ, id.Service.Name)
		}
	}
	b.wantNot("another's key", b.sign(newSigner(t, k.ID(), jose.RS256), "", b.podClaims(nil)), clientauth.Refused, "bad_signature")
	b.wantNot("an unknown key", b.sign(newSigner(t, "new", jose.RS256), "", b.podClaims(nil)), clientauth.Refused, "unknown_key")
	if got := b.auth.TrustState(k.trust.ID); got.UnknownKey.IsZero() || got.Refused["expired"].IsZero() || !got.Accepted.IsZero() {
		t.Errorf("got %+v", got)
	}
}

// The hint for a service account that was made again says so.
func TestRefusalExplainsClaimByClaim(t *testing.T) {
	b, k := inCluster(t)
	token := b.sign(k.Signer, "", b.podClaims(claims{"kubernetes.io": claims{"namespace": "shop", "serviceaccount": claims{"name": "m1", "uid": "eeee"}}}))
	f := b.wantNot("made again", token, clientauth.Refused, "claims_differ")
	unmet := clientauth.Unmet(f.Findings)
	if f.CredentialID != "w1" || len(unmet) != 1 || unmet[0].Claim != "uid" || unmet[0].Seen != "eeee" || unmet[0].Wanted != "7d9a" || unmet[0].Hint == "" {
		t.Errorf("got %s, %+v", f.CredentialID, unmet)
	}
	e := b.auth.Explain(t.Context(), token.Assertion, "", directory.NewSnapshot(&b.state, time.Hour), b.now)
	if e.Trust.Name != "prod" || e.Reason != "claims_differ" || len(clientauth.Unmet(e.Findings)) != 1 {
		t.Errorf("got %+v", e)
	}
}

func TestIssuerThatIsNearlyThatOfATrustIsExplained(t *testing.T) {
	b, k := inCluster(t)
	for iss, want := range map[string]string{
		cluster + "/":                  "The trust prod has " + cluster + ": they differ in a slash at the end. ",
		strings.ToUpper(cluster):       "The trust prod has " + cluster + ": they differ in upper and lower case. ",
		strings.ToUpper(cluster) + "/": "The trust prod has " + cluster + ": they differ in a slash at the end and in upper and lower case. ",
		cluster + "/x":                 "Run ",
	} {
		f := b.wantNot(iss, b.sign(k.Signer, "", b.podClaims(claims{"iss": iss})), clientauth.Refused, "unknown_issuer")
		if len(f.Findings) != 1 || !strings.HasPrefix(f.Findings[0].Hint, want) {
			t.Errorf("%s: got %+v, want the hint %q", iss, f.Findings, want)
		}
	}
}

// FED-018. A key vouches for its own issuer only, with the algorithms of the trust.
func TestKeyBelongsToItsTrust(t *testing.T) {
	b, k := inCluster(t)
	const other = "https://other.example"
	o := b.trusted("other", "oidc", other)
	b.service("m2", o.workload("w2", map[string]string{"sub": "x"}))
	b.want("its own key", b.sign(o.Signer, "JWT", b.podClaims(claims{"iss": other, "sub": "x", "aud": issuer, "kubernetes.io": nil})), "m2", "w2")
	// Of one kid, so that it is the key that decides.
	forger := newSigner(t, k.ID(), jose.RS256)
	b.edited("other", func(tr *directory.Trust) { tr.JWKS = keySetOf(t, "oidc", forger) })
	b.wantNot("another issuer's key", b.sign(forger, "", b.podClaims(nil)), clientauth.Refused, "bad_signature")
	es := newSigner(t, "es", jose.ES256)
	b.wantNot("algorithm", b.sign(newSigner(t, "ed", jose.EdDSA), "", b.podClaims(nil)), clientauth.Refused, "algorithm_not_accepted")
	for _, alg := range []string{"HS256", "none"} {
		p := withHeader(t, es.Key().(*ecdsa.PrivateKey), `{"alg":"`+alg+`","kid":"`+k.ID()+`"}`, b.podClaims(nil))
		b.wantNot(alg, p, clientauth.Refused, "algorithm_not_accepted")
	}
}

// One workload may be several services, of which the request names one.
func TestOneWorkloadOfSeveralServices(t *testing.T) {
	b, k := inCluster(t)
	b.service("m2", k.workload("w2", pod))
	b.service("m3", k.workload("w3", map[string]string{"sub": pod["sub"], "uid": "another"}))
	token := b.sign(k.Signer, "", b.podClaims(nil))
	b.wantNot("which?", token, clientauth.Refused, "ambiguous_workload")
	for service, credential := range map[string]string{"m1": "w1", "m2": "w2"} {
		token.ClientID = service
		b.want(service, token, service, credential)
	}
	token.ClientID = "m3"
	b.wantNot("m3", token, clientauth.Refused, "claims_differ")
	// Several credentials of one service may match.
	b = newBench(t)
	k = b.trusted("prod", "kubernetes", cluster)
	b.service("m1", k.workload("w1", pod), k.workload("w1b", map[string]string{"uid": "7d9a", "sub": pod["sub"], "namespace": "shop"}))
	b.want("two credentials", b.sign(k.Signer, "", b.podClaims(nil)), "m1", "")
}

// FED-015. A disabled trust vouches for nothing, and neither does a revoked credential.
func TestWithdrawnTrustVouchesForNothing(t *testing.T) {
	b, k := inCluster(t)
	token := b.sign(k.Signer, "", b.podClaims(nil))
	b.state.Credentials[0].RevokedAt = b.now
	b.wantNot("revoked", token, clientauth.Refused, "revoked")
	b.state.Credentials[0].RevokedAt = time.Time{}
	b.edited("prod", func(tr *directory.Trust) { tr.Disabled = true })
	b.wantNot("disabled", token, clientauth.Refused, "trust_disabled")
	b.state.Trusts = nil
	b.wantNot("removed", token, clientauth.Refused, "unknown_issuer")
}

// A token of a job is accepted once.
func TestTokenOfAJobIsUsedOnce(t *testing.T) {
	b := newBench(t)
	const github = "https://token.actions.githubusercontent.com"
	g := b.trusted("gh", "github", github)
	job := map[string]string{"repository_id": "123", "repository_owner_id": "9", "environment": "production"}
	b.service("m1", g.workload("w1", job))
	wire := claims{
		"iss": github, "aud": issuer, "sub": "repo:o/r:environment:production", "kubernetes.io": nil, "exp": b.now.Add(5 * time.Minute).Unix(),
		"repository_id": "123", "repository_owner_id": "9", "environment": "production", "event_name": "push", "repository": "o/r", "jti": "j1",
	}
	id := b.want("job", b.sign(g.Signer, "JWT", b.podClaims(wire)), "m1", "w1")
	if len(id.Once) != 1 || !id.Once[0].Until.Equal(b.now.Add(5*time.Minute+10*time.Second)) {
		t.Errorf("got %v", id.Once)
	}
	wire["jti"] = nil
	b.wantNot("no jti", b.sign(g.Signer, "JWT", b.podClaims(wire)), clientauth.Refused, "no_jti")
	wire["jti"], wire["event_name"] = "j2", "pull_request_target"
	b.wantNot("pull request", b.sign(g.Signer, "JWT", b.podClaims(wire)), clientauth.Refused, "claims_differ")
}

// A JWT-SVID belongs to the trust domain of its subject, and trust domains never merge.
func TestJWTSVIDProvesItsService(t *testing.T) {
	b := newBench(t)
	one, two := b.trusted("one", "spiffe", "spiffe://one.example"), b.trusted("two", "spiffe", "spiffe://two.example")
	b.service("m1", one.workload("w1", map[string]string{"sub": "spiffe://one.example/ns/shop/m1"}))
	b.service("m2", one.workload("w2", map[string]string{"sub": "spiffe://one.example/ns/jobs/"}))
	b.service("m3", two.workload("w3", map[string]string{"sub": "spiffe://two.example/m3"}))
	svid := func(p *platform, id string) clientauth.Presented {
		q := b.sign(p.Signer, "JWT", b.podClaims(claims{"iss": nil, "jti": nil, "nbf": nil, "kubernetes.io": nil, "sub": id, "exp": b.now.Add(5 * time.Minute).Unix()}))
		q.AssertsSVID = true
		return q
	}
	if id := b.want("exact", svid(one, "spiffe://one.example/ns/shop/m1"), "m1", "w1"); id.Method != api.SPIFFEJWT || len(id.Once) != 0 {
		t.Errorf("got %s, %v", id.Method, id.Once)
	}
	b.want("below a path", svid(one, "spiffe://one.example/ns/jobs/a/b"), "m2", "w2")
	b.want("two", svid(two, "spiffe://two.example/m3"), "m3", "w3")
	p := svid(one, "spiffe://one.example/ns/shop/m1")
	p.ClientID = "spiffe://one.example/ns/shop/m1"
	b.want("client_id", p, "m1", "w1")
	for id, reason := range map[string]string{
		"spiffe://one.example/ns/shop/m1/x": "claims_differ", "spiffe://one.example/ns/jobs": "claims_differ",
		"spiffe://one.example/ns/jobs-evil/x": "claims_differ", "spiffe://two.example/m3": "unknown_key", "spiffe://three.example/x": "unknown_issuer",
		"spiffe://one.example/ns/jobs/../x": "malformed", "https://one.example/x": "malformed",
	} {
		if _, failure := b.ask(svid(one, id)); failure == nil || failure.Reason != reason {
			t.Errorf("%s: got %v, want %s", id, failure, reason)
		}
	}
	// What is sent as a JWT-SVID is nothing else.
	own := newSigner(t, "k5", jose.ES256)
	b.service("m5", keyCredential(t, own))
	p = b.sign(own, "", b.claimsOf("m5", nil))
	p.AssertsSVID = true
	b.wantNot("a service's own assertion", p, clientauth.Refused, "malformed")
}

// However many credentials of a workload have ended, one that has not is found.
func TestEndedCredentialsCrowdNobodyOut(t *testing.T) {
	b := newBench(t)
	k := b.trusted("prod", "kubernetes", cluster)
	uid := b.service("m1")
	for range 10 * clientauth.MaxEnded {
		c := k.workload("", pod)
		c.RevokedAt = b.now
		b.credential(uid, c)
	}
	token := b.sign(k.Signer, "", b.podClaims(nil))
	b.wantNot("only revoked ones", token, clientauth.Refused, "revoked")
	b.credential(uid, k.workload("zz", pod)) // the last by its id
	b.want("one that is valid", token, "m1", "zz")
}

// Issuers of this server are no platforms, whatever they look like.
func TestOwnTokensAreNoPlatforms(t *testing.T) {
	const plain = "https://plain.test"
	own := newSigner(t, "own", jose.ES256)
	b := newBench(t, func(o *clientauth.Options) {
		o.PlainIssuer = plain
		o.Foreign = func() *jose.KeySet { return jose.NewKeySet(own.Public()) }
	})
	b.service("m1")
	// A bootstrap credential of the SuperTokens interface has no type of its own.
	p := b.sign(own, "JWT", b.claimsOf("m1", claims{"iss": plain, "aud": plain}))
	p.Bearer, p.Assertion = p.Assertion, ""
	if id, failure := b.ask(p); failure != nil && failure.Reason == "unknown_issuer" {
		t.Errorf("got %v, %v", id, failure)
	}
}

// Anybody can have a repository, and get tokens for any audience. Such tokens do not make the trust need attention, but those of
// a repository that a credential names do.
func TestTokensOfStrangersOnASharedPlatformAreNotCounted(t *testing.T) {
	const forge = "https://token.actions.githubusercontent.com"
	b := newBench(t)
	k := b.trusted("forge", "github", forge)
	b.service("m1", k.workload("w1", map[string]string{"repository_id": "12", "repository_owner_id": "3", "ref": "refs/heads/main"}))
	job := func(repository, audience string) clientauth.Presented {
		return b.sign(k.Signer, "JWT", textOf(t, claims{
			"iss": forge, "aud": audience, "sub": "repo:a/b:ref:refs/heads/main", "jti": repository + audience, "repository_id": repository, "repository_owner_id": "3",
			"ref": "refs/heads/other", "event_name": "push", "iat": b.now.Unix(), "nbf": b.now.Unix(), "exp": b.now.Add(5 * time.Minute).Unix(),
		}))
	}
	b.wantNot("a stranger", job("99", issuer), clientauth.Refused, "no_matching_credential")
	b.wantNot("a stranger, for another", job("99", "https://other.test"), clientauth.Refused, "audience_mismatch")
	if got := b.auth.TrustState(k.trust.ID); len(got.Refused) > 0 {
		t.Errorf("got %+v", got)
	}
	b.wantNot("another branch", job("12", issuer), clientauth.Refused, "claims_differ")
	if got := b.auth.TrustState(k.trust.ID); got.Refused["claims_differ"].IsZero() || len(got.Refused) != 1 {
		t.Errorf("got %+v", got)
	}
}
