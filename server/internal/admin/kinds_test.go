package admin

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/clientauth"
)

// PKJ-042: keys that must not be registered, each of them 400, and nothing of them is stored.
func TestKeysThatMustNotSignAreRefused(t *testing.T) {
	s := start(t)
	s.services("m1")
	const x, y = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0" // RFC 7517, appendix A.1's curve
	const private = "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"
	modulus := func(bits int) string {
		n := new(big.Int).SetBit(new(big.Int), bits-1, 1)
		return base64.RawURLEncoding.EncodeToString(n.SetBit(n, 0, 1).Bytes())
	}
	for name, jwk := range map[string]string{
		"RSA 1024":          `{"kty":"RSA","alg":"PS256","e":"AQAB","n":"` + modulus(1024) + `"}`,
		"RSA 16384":         `{"kty":"RSA","alg":"PS256","e":"AQAB","n":"` + modulus(16384) + `"}`,
		"e=1":               `{"kty":"RSA","alg":"PS256","e":"AQ","n":"` + modulus(2048) + `"}`,
		"ROCA":              `{"kty":"RSA","alg":"PS256","e":"AQAB","n":"` + rocaModulus() + `"}`,
		"RS256":             `{"kty":"RSA","alg":"RS256","e":"AQAB","n":"` + modulus(2048) + `"}`,
		"off the curve":     `{"kty":"EC","crv":"P-256","x":"` + x + `","y":"` + x + `"}`,
		"P-256 and ES384":   `{"kty":"EC","crv":"P-256","alg":"ES384","x":"` + x + `","y":"` + y + `"}`,
		"private":           `{"kty":"EC","crv":"P-256","x":"` + x + `","y":"` + y + `","d":"` + private + `"}`,
		"symmetric":         `{"kty":"oct","k":"` + private + `"}`,
		"repeated kid":      `{"kty":"EC","crv":"P-256","kid":"a","kid":"b","x":"` + x + `","y":"` + y + `"}`,
		"for encryption":    `{"kty":"EC","crv":"P-256","use":"enc","x":"` + x + `","y":"` + y + `"}`,
		"no key":            `{}`,
		"an id of no words": `{"kty":"EC","crv":"P-256","kid":"a\nb","x":"` + x + `","y":"` + y + `"}`,
	} {
		a := s.ask("POST", "/services/m1/credentials", `{"kind":"key","jwk":`+jwk+`}`)
		a.wantProblem(name, http.StatusBadRequest)
		if strings.Contains(a.Body.String(), private) {
			t.Errorf("%s: the answer has the private half: %s", name, a.Body)
		}
	}
	if got := s.must("GET", "/services/m1/credentials", "").Body.String(); got != "{\"credentials\":[]}\n" {
		t.Errorf("got %s, want no credential", got)
	}
	for _, r := range s.records("") {
		if b, _ := json.Marshal(r); strings.Contains(string(b), private) {
			t.Errorf("the audit log has the private half: %s", b)
		}
	}
	if strings.Contains(s.stderr.String(), private) {
		t.Error("the log has the private half")
	}
	good := `{"kind":"key","jwk":{"kty":"EC","crv":"P-256","kid":"k1","x":"` + x + `","y":"` + y + `"}}`
	s.must("POST", "/services/m1/credentials", good)
	s.ask("POST", "/services/m1/credentials", good).wantProblem("a kid twice", http.StatusBadRequest)
	s.services("m2")
	s.must("POST", "/services/m2/credentials", good)
}

// F106: a key that is too long is refused for that, by the limit that the advice states, and not as malformed.
func TestAKeyThatIsTooLongIsRefusedForThat(t *testing.T) {
	s := start(t)
	s.services("m1")
	for bits, status := range map[int]int{4096: http.StatusCreated, 4097: http.StatusBadRequest, 8192: http.StatusBadRequest} {
		n := base64.RawURLEncoding.EncodeToString(new(big.Int).SetBit(big.NewInt(1), bits-1, 1).Bytes())
		a := s.ask("POST", "/services/m1/credentials", `{"kind":"key","jwk":{"kty":"RSA","alg":"PS256","e":"AQAB","n":"`+n+`"}}`)
		if a.Code != status {
			t.Errorf("RSA of %d bits: got %d, want %d", bits, a.Code, status)
		}
		for _, want := range []string{fmt.Sprintf("RSA modulus of %d bits, want 2048 to 4096", bits), "RSA of 2048 to 4096 bits"} {
			if status != http.StatusCreated && !strings.Contains(a.Body.String(), want) {
				t.Errorf("RSA of %d bits: got %s, want %q in it", bits, a.Body, want)
			}
		}
	}
}

// rocaModulus has the fingerprint of CVE-2017-15361: 1 modulo every small prime.
func rocaModulus() string {
	product := big.NewInt(2)
	for _, p := range []int64{
		3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89,
		97, 101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
	} {
		product.Mul(product, big.NewInt(p))
	}
	n := new(big.Int).SetBit(new(big.Int), 2047, 1)
	n.Div(n, product).Add(n, big.NewInt(1)).Mul(n, product).Add(n, big.NewInt(1))
	return base64.RawURLEncoding.EncodeToString(n.Bytes())
}

func TestEveryKindOfCredentialIsMadeAndToldApart(t *testing.T) {
	s := start(t)
	s.services("m1")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	thumbprint, err := jose.Thumbprint(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := jose.PublicKey{Algorithm: jose.ES256, Key: &key.PublicKey}.JWK()
	if err != nil {
		t.Fatal(err)
	}
	cert, certPEM := selfSigned(t, time.Now().Add(30*24*time.Hour))
	for _, c := range []struct {
		body string
		want api.Credential
	}{
		{`{"kind":"key","name":"a","jwk":` + string(jwk) + `}`, api.Credential{Kind: "key", Name: "a", KeyID: thumbprint, Algorithm: "ES256", Thumbprint: thumbprint}},
		{`{"kind":"jwks","jwksUri":"https://m1.example.com/jwks.json"}`, api.Credential{Kind: "jwks", JWKSURI: "https://m1.example.com/jwks.json"}},
		{`{"kind":"certificate","certificate":` + certPEM + `}`, api.Credential{Kind: "certificate", Thumbprint: clientauth.CertificateThumbprint(cert)}},
		{`{"kind":"tls_subject","tlsSubject":{"dn":"CN=m1,O=Example"}}`, api.Credential{Kind: "tls_subject", TLSSubject: "dn:CN=m1,O=Example"}},
		{`{"kind":"tls_subject","tlsSubject":{"dns":"M1.example.com"}}`, api.Credential{Kind: "tls_subject", TLSSubject: "dns:m1.example.com"}},
		{`{"kind":"tls_subject","tlsSubject":{"ip":"::ffff:10.1.2.3"}}`, api.Credential{Kind: "tls_subject", TLSSubject: "ip:10.1.2.3"}},
		{`{"kind":"tls_subject","tlsSubject":{"uri":"spiffe://example.com/m1"}}`, api.Credential{Kind: "tls_subject", TLSSubject: "uri:spiffe://example.com/m1"}},
		{`{"kind":"tls_subject","tlsSubject":{"email":"m1@example.com"}}`, api.Credential{Kind: "tls_subject", TLSSubject: "email:m1@example.com"}},
	} {
		var issued api.IssuedCredential
		s.must("POST", "/services/m1/credentials", c.body).into(&issued)
		got := issued.Credential
		c.want.ID, c.want.Service, c.want.Status, c.want.CreatedAt, c.want.ExpiresAt = got.ID, "m1", "active", got.CreatedAt, got.ExpiresAt
		if !reflect.DeepEqual(got, c.want) || issued.Token != "" || issued.Secret != "" {
			t.Errorf("%s: got %+v, want %+v and no secret", c.body, issued, c.want)
		}
		if (c.want.Kind == "certificate") != (issued.Warning != "") {
			t.Errorf("%s: got warning %q; only a certificate that ends first deserves one", c.body, issued.Warning)
		}
		var read api.Credential
		if s.must("GET", "/credentials/"+got.ID, "").into(&read); !reflect.DeepEqual(read, got) {
			t.Errorf("read %+v, want %+v", read, got)
		}
	}
}

func selfSigned(t *testing.T, until time.Time) (*x509.Certificate, string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "m1"}, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	quoted, err := json.Marshal(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	if err != nil {
		t.Fatal(err)
	}
	return c, string(quoted)
}

func TestMaterialThatDoesNotFitItsKindIsRefused(t *testing.T) {
	s := start(t)
	s.services("m1")
	_, ended := selfSigned(t, time.Now().Add(-time.Hour))
	_, good := selfSigned(t, time.Now().Add(time.Hour))
	two := strings.TrimSuffix(good, `"`) + strings.TrimPrefix(good, `"`)
	for _, body := range []string{
		`{"kind":"root"}`,
		`{"kind":"key"}`,
		`{"kind":"secret","jwksUri":"https://m1.example.com/jwks.json"}`,
		`{"jwk":{"kty":"EC"}}`,
		`{"kind":"key","certificate":` + good + `}`,
		`{"kind":"jwks"}`,
		`{"kind":"jwks","jwksUri":"http://m1.example.com/jwks.json"}`,
		`{"kind":"jwks","jwksUri":"https://u:p@m1.example.com/"}`,
		`{"kind":"jwks","jwksUri":"https://m1.example.com/#k"}`,
		`{"kind":"jwks","jwksUri":"https:///jwks"}`,
		`{"kind":"jwks","jwksUri":"file:///etc/passwd"}`,
		`{"kind":"certificate","certificate":"x"}`,
		`{"kind":"certificate","certificate":` + ended + `}`,
		`{"kind":"certificate","certificate":` + two + `}`,
		`{"kind":"tls_subject","tlsSubject":{}}`,
		`{"kind":"tls_subject","tlsSubject":{"dns":"a","ip":"10.0.0.1"}}`,
		`{"kind":"tls_subject","tlsSubject":{"ip":"10.0.0"}}`,
		`{"kind":"tls_subject","tlsSubject":{"dns":"a b"}}`,
		`{"kind":"tls_subject","tlsSubject":{"uri":"m1"}}`,
		`{"kind":"tls_subject","tlsSubject":{"email":"m1"}}`,
		`{"kind":"tls_subject","tlsSubject":{"dn":"m1"}}`,
		`{"kind":"secret","notBefore":"1999-01-01T00:00:00Z"}`,
		`{"kind":"secret","notBefore":"2999-01-01T00:00:00Z"}`,
	} {
		s.ask("POST", "/services/m1/credentials", body).wantProblem(body, http.StatusUnprocessableEntity)
	}
	if got := s.must("GET", "/services/m1/credentials", "").Body.String(); got != "{\"credentials\":[]}\n" {
		t.Errorf("got %s, want no credential", got)
	}
}

// CAU-016: a secret is rotated with an hour in which both are good, and then the old one ends; no
// third one is made meanwhile.
func TestSecretIsRotatedWithAnOverlap(t *testing.T) {
	s := start(t)
	s.services("m1")
	var first api.IssuedCredential
	a := s.must("POST", "/services/m1/credentials", `{"kind":"secret","name":"production","cidr":"10.0.0.0/8","ttlSeconds":864000}`)
	a.into(&first)
	if !strings.HasPrefix(first.Secret, "wws_") || len(first.Secret) != 47 || first.Token != "" || first.Credential.Kind != "secret" {
		t.Fatalf("got %+v, want a client secret of 256 bits", first)
	}
	stored, err := s.db.ReadCredential(t.Context(), first.Credential.ID)
	if err != nil || stored.Material != clientauth.HashSecret(testPepper, first.Secret) {
		t.Errorf("stored %q, %v; want the keyed hash of the secret", stored.Material, err)
	}
	var rotated api.RotatedCredential
	s.must("POST", "/credentials/"+first.Credential.ID+"/rotate", `{"overlapSeconds":3600}`).into(&rotated)
	fresh, old := rotated.Credential, rotated.Replaced
	if fresh.ID == old.ID || rotated.Secret == "" || rotated.Secret == first.Secret || fresh.Name != "production" || fresh.CIDR != "10.0.0.0/8" || fresh.ExpiresAt.Sub(fresh.CreatedAt) != 10*24*time.Hour {
		t.Errorf("got %+v, want another secret, and all else as before", rotated)
	}
	if !reflect.DeepEqual(old, first.Credential) || fresh.Replaces != old.ID || fresh.Overlap != 3600 {
		t.Errorf("the old one is %+v, and the new one %+v", old, fresh)
	}
	used := time.Now()
	use := func(id string) {
		s.directory.RecordUse(id, used, "10.0.0.1")
		s.directory.FlushUses(t.Context())
	}
	use(fresh.ID)
	if s.must("GET", "/credentials/"+old.ID, "").into(&old); !old.ExpiresAt.Equal(used.Add(time.Hour).Truncate(time.Microsecond)) || old.Status != "active" {
		t.Errorf("the old one is %+v, want it to end an hour after the use of the new one", old)
	}
	for _, id := range []string{fresh.ID, old.ID} {
		s.ask("POST", "/credentials/"+id+"/rotate", `{}`).wantProblem("a third", http.StatusUnprocessableEntity)
	}
	s.must("POST", "/credentials/"+old.ID+"/revoke", "")
	s.must("POST", "/credentials/"+fresh.ID+"/rotate", `{"overlapSeconds":0}`).into(&rotated)
	use(rotated.Credential.ID)
	if s.must("GET", "/credentials/"+fresh.ID, "").into(&fresh); fresh.Status != "expired" {
		t.Errorf("got %+v, want it ended without overlap", fresh)
	}
	s.ask("POST", "/credentials/"+fresh.ID+"/rotate", ``).wantProblem("what has ended", http.StatusUnprocessableEntity)
	s.ask("POST", "/credentials/00112233445566778899aabbccddeeff/rotate", ``).wantProblem("nothing", http.StatusNotFound)

	// No list, record or log has a secret, or what is stored of one.
	all := s.must("GET", "/credentials", "").Body.String() + s.must("GET", "/changes", "").Body.String() + s.stderr.String()
	for _, r := range s.records("") {
		b, _ := json.Marshal(r)
		all += string(b)
	}
	for _, secret := range []string{first.Secret, rotated.Secret, stored.Material} {
		if strings.Contains(all, secret) {
			t.Errorf("%s is shown", secret)
		}
	}
	if !strings.Contains(all, `"replacedBy":"`+fresh.ID+`"`) {
		t.Error("the history does not say what replaced the secret")
	}
}

// CAU-016: also when many rotate at once, no third one is made.
func TestOneOfManyRotationsAtOnceIsMade(t *testing.T) {
	s := start(t)
	s.services("m1")
	var first api.IssuedCredential
	s.must("POST", "/services/m1/credentials", `{"kind":"secret"}`).into(&first)
	codes := make(chan int)
	const many = 8
	for range many {
		go func() { codes <- s.ask("POST", "/credentials/"+first.Credential.ID+"/rotate", "").Code }()
	}
	made := 0
	for range many {
		switch code := <-codes; code {
		case http.StatusCreated:
			made++
		case http.StatusConflict, http.StatusUnprocessableEntity:
		default:
			t.Errorf("got %d", code)
		}
	}
	var all api.CredentialList
	active := 0
	s.must("GET", "/services/m1/credentials", "").into(&all)
	for _, c := range all.Credentials {
		if c.Status == "active" {
			active++
		}
	}
	if made != 1 || active != 2 {
		t.Errorf("%d were made and %d are good, want 1 and 2", made, active)
	}
}

func TestBootstrapCredentialIsRotatedAndAKeyIsNot(t *testing.T) {
	s := start(t)
	s.services("m1", "m2")
	s.must("PUT", "/rules/m1/m2", `{}`)
	var issued api.IssuedCredential
	s.must("POST", "/services/m1/credentials", `{}`).into(&issued)
	var rotated api.RotatedCredential
	s.must("POST", "/credentials/"+issued.Credential.ID+"/rotate", "").into(&rotated)
	if !s.works(issued.Token) || !s.works(rotated.Token) {
		t.Error("during the overlap both credentials have to work")
	}
	s.must("POST", "/services/m1/credentials", `{"kind":"jwks","jwksUri":"https://m1.example.com/jwks.json"}`).into(&issued)
	s.ask("POST", "/credentials/"+issued.Credential.ID+"/rotate", "").wantProblem("a jwks", http.StatusUnprocessableEntity)
}

func TestCredentialBeginsWhenItIsSaidTo(t *testing.T) {
	now := time.Now()
	s := start(t, func(o *Options) { o.Now = func() time.Time { return now } })
	s.services("m1")
	from := now.Add(24 * time.Hour).UTC().Truncate(time.Second)
	body, _ := json.Marshal(map[string]any{"kind": "secret", "ttlSeconds": 60, "notBefore": from})
	var issued api.IssuedCredential
	s.must("POST", "/services/m1/credentials", string(bytes.TrimSpace(body))).into(&issued)
	c := issued.Credential
	if c.Status != "not_yet_valid" || c.NotBefore == nil || !c.NotBefore.Equal(from) || !c.ExpiresAt.Equal(from.Add(time.Minute)) {
		t.Errorf("got %+v, want a minute from %s", c, from)
	}
	now = from
	if s.must("GET", "/credentials/"+c.ID, "").into(&c); c.Status != "active" {
		t.Errorf("got %q, want active", c.Status)
	}
}

// A service's terms are as they were set, and a change leaves the others.
func TestTermsOfAServiceAreSetReadAndChanged(t *testing.T) {
	s := start(t)
	var made, changed api.Service
	s.must("POST", "/services", `{"name":"m1","audiences":["urn:z","https://m1.example.com/"],"authMethods":["private_key_jwt","client_secret_basic"],`+
		`"grantTypes":["client_credentials"],"binding":"dpop","tokenEndpointAudience":true,"multipleTargets":true}`).into(&made)
	if strings.Join(made.Audiences, " ") != "https://m1.example.com/ urn:z" || strings.Join(made.AuthMethods, " ") != "client_secret_basic private_key_jwt" ||
		made.Binding != "dpop" || !made.TokenEndpointAudience || !made.MultipleTargets {
		t.Errorf("got %+v", made)
	}
	s.must("PATCH", "/services/m1", `{"authMethods":[],"multipleTargets":false,"binding":""}`).into(&changed)
	if len(changed.AuthMethods) != 0 || changed.MultipleTargets || changed.Binding != "" || len(changed.Audiences) != 2 || !changed.TokenEndpointAudience || len(changed.GrantTypes) != 1 {
		t.Errorf("got %+v", changed)
	}
	if _, ok := s.directory.Snapshot().Audience("urn:z"); !ok {
		t.Error("the audience is not in force")
	}
	s.ask("POST", "/services", `{"name":"m2","audiences":["urn:z"]}`).wantProblem("an audience twice", http.StatusConflict)
	for _, member := range []string{
		`"audiences":["m2"]`, `"audiences":["https://a/#f"]`, `"audiences":["https://u@a/"]`, `"audiences":["https://a b/"]`, `"audiences":["auth-server"]`, `"audiences":[""]`, `"audiences":["//a/b"]`,
		`"authMethods":["none"]`, `"authMethods":[""]`, `"grantTypes":["password"]`, `"binding":"tls"`,
	} {
		s.ask("PATCH", "/services/m1", `{`+member+`}`).wantProblem(member, http.StatusUnprocessableEntity)
	}
}

func TestRuleSaysWhatItsCallerMayExchange(t *testing.T) {
	s := start(t)
	s.services("m1", "m2", "m9")
	var r api.Rule
	s.must("PUT", "/rules/m1/m2", `{"exchange":"delegate","mayAct":"m9"}`).into(&r)
	if r.Exchange != "delegate" || r.MayAct != "m9" {
		t.Errorf("got %+v", r)
	}
	var list api.RuleList
	if s.must("GET", "/rules", "").into(&list); len(list.Rules) != 1 || list.Rules[0].MayAct != "m9" || list.Rules[0].Exchange != "delegate" {
		t.Errorf("got %+v", list)
	}
	var deleted api.Service
	s.must("GET", "/services/m9", "").into(&deleted)
	s.must("DELETE", "/services/m9", "")
	if s.must("GET", "/rules/m1/m2", "").into(&r); r.MayAct != deleted.UID {
		t.Errorf("got %q, want the identity of the deleted service", r.MayAct)
	}
	// What is not said again is gone.
	r = api.Rule{}
	if s.must("PUT", "/rules/m1/m2", `{}`).into(&r); r.Exchange != "" || r.MayAct != "" {
		t.Errorf("got %+v", r)
	}
	s.ask("PUT", "/rules/m1/m2", `{"exchange":"everything"}`).wantProblem("exchange", http.StatusUnprocessableEntity)
	s.ask("PUT", "/rules/m1/m2", `{"mayAct":"zz"}`).wantProblem("nobody", http.StatusNotFound)
}
