package clientauth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/clientauth"
	"github.com/watchword-dev/watchword/server/internal/directory"
)

// withHeader signs under a header of the test's own.
func withHeader(t testing.TB, key crypto.Signer, header, payload string) clientauth.Presented {
	t.Helper()
	input := encode(header) + "." + encode(payload)
	sum := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, key.(*ecdsa.PrivateKey), sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return clientauth.Presented{Assertion: input + "." + encode(string(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)))}
}

func encode(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// withKey is a bench whose m5 has one key for ES256.
func withKey(t testing.TB) (*bench, *jose.Signer) {
	b, s := newBench(t), newSigner(t, "k5", jose.ES256)
	b.service("m5", keyCredential(t, s))
	return b, s
}

// PKJ-001.
func TestAssertionProvesItsService(t *testing.T) {
	b := newBench(t)
	m5 := b.service("m5")
	for _, alg := range []jose.Algorithm{jose.ES256, jose.PS256, jose.EdDSA} {
		s := newSigner(t, "key-"+string(alg), alg)
		b.credential(m5, keyCredential(t, s))
		for _, id := range []string{"", "m5"} {
			p := b.sign(s, "", b.claimsOf("m5", claims{"jti": "the id"}))
			p.ClientID = id
			got := b.want(string(alg), p, "m5", "credential of "+s.ID())
			if got.Method != api.PrivateKeyJWT || len(got.Once) != 1 {
				t.Fatalf("%s: got method %s, once %v", alg, got.Method, got.Once)
			}
			if want := b.now.Add(time.Minute + 10*time.Second); !got.Once[0].Until.Equal(want) {
				t.Errorf("%s: remembered until %s, want %s", alg, got.Once[0].Until, want)
			}
		}
		p := b.sign(s, "", b.claimsOf("m5", nil))
		p.ClientID = "m6" // PKJ-008.
		b.wantNot("another's client_id", p, clientauth.Refused, "client_id_mismatch")
	}
}

// CAU-006.
func TestAssertionAndSecretAreTwoProofs(t *testing.T) {
	b, s := withKey(t)
	p := b.sign(s, "", b.claimsOf("m5", nil))
	p.Basic = &clientauth.Secret{ClientID: "m5", Secret: "x"}
	b.wantNot("assertion and Basic", p, clientauth.Malformed, "two_methods")
	p.Basic, p.ClientID, p.Post = nil, "m5", "x"
	b.wantNot("assertion and post", p, clientauth.Malformed, "two_methods")
}

// PKJ-002, PKJ-004, PKJ-005, PKJ-006.
func TestAudienceIsTheIssuerAsAString(t *testing.T) {
	b, s := withKey(t)
	for name, aud := range map[string]any{
		"token endpoint": tokenEndpoint, "issuer and another": []string{issuer, "https://evil"}, "issuer in an array": []string{issuer},
		"another": "https://other.test", "issuer with a slash": issuer + "/", "issuer in capitals": strings.ToUpper(issuer),
		"missing": nil, "empty": "", "empty array": []string{}, "plain name": "auth-server",
	} {
		b.wantNot(name, b.sign(s, "", b.claimsOf("m5", claims{"aud": aud})), clientauth.Refused, "audience_mismatch")
	}
	for _, aud := range []string{"null", "42", `{"a":1}`, `[1]`} {
		b.wantNot(aud, b.sign(s, "", b.claimsOf("m5", claims{"aud": json.RawMessage(aud)})), clientauth.Refused, "malformed")
	}
	b.edit("m5", func(s *directory.Service) { s.TokenEndpointAudience = true })
	b.want("token endpoint, switched on", b.sign(s, "", b.claimsOf("m5", claims{"aud": tokenEndpoint})), "m5", "")
	b.want("issuer, all the same", b.sign(s, "", b.claimsOf("m5", nil)), "m5", "")
	b.wantNot("both", b.sign(s, "", b.claimsOf("m5", claims{"aud": []string{issuer, tokenEndpoint}})), clientauth.Refused, "audience_mismatch")
}

// PKJ-009, PKJ-011, PKJ-012; FAPI 2.0 Security Profile, section 5.3.2.1, item 13.
func TestAssertionHasDates(t *testing.T) {
	b, s := withKey(t)
	at := func(seconds int64) int64 { return b.now.Unix() + seconds }
	for name, edit := range map[string]claims{
		"iat and nbf 8 s ahead":      {"iat": at(8), "nbf": at(8)},
		"iat and nbf 10 s ahead":     {"iat": at(10), "nbf": at(10)},
		"no iat":                     {"iat": nil},
		"exp a second ahead":         {"exp": at(1)},
		"exp 5 min ahead":            {"exp": at(300)},
		"exp 5 min ahead, clock too": {"iat": at(10), "exp": at(310)},
		"a fraction":                 {"exp": float64(at(30)) + 0.5},
	} {
		b.want(name, b.sign(s, "", b.claimsOf("m5", edit)), "m5", "")
	}
	for name, c := range map[string]struct {
		edit claims
		why  string
	}{
		"exp 5 min ago":              {claims{"iat": at(-600), "exp": at(-300)}, "expired"},
		"exp now":                    {claims{"exp": at(0)}, "expired"},
		"no exp":                     {claims{"exp": nil}, "no_expiry"},
		"exp null":                   {claims{"exp": json.RawMessage("null")}, "malformed"},
		"exp 0":                      {claims{"exp": 0}, "malformed"},
		"exp a string":               {claims{"exp": "1800000060"}, "malformed"},
		"exp 1e400":                  {claims{"exp": json.RawMessage("1e400")}, "malformed"},
		"exp -1":                     {claims{"exp": -1}, "malformed"},
		"exp beyond doubles":         {claims{"exp": json.RawMessage("9007199254740993")}, "malformed"},
		"exp far ahead":              {claims{"exp": at(311)}, "lives_too_long"},
		"exp far ahead, no iat":      {claims{"iat": nil, "exp": at(311)}, "lives_too_long"},
		"in its last minute of many": {claims{"iat": at(-3600), "exp": at(60)}, "lives_too_long"},
		"iat 11 s ahead":             {claims{"iat": at(11)}, "not_yet_valid"},
		"nbf 61 s ahead":             {claims{"nbf": at(61)}, "not_yet_valid"},
	} {
		b.wantNot(name, b.sign(s, "", b.claimsOf("m5", c.edit)), clientauth.Refused, c.why)
	}
}

// RFC 7523, section 3, items 1 and 2. The missing sub: ensure-client-assertion-with-no-sub-fails.
func TestAssertionIsOfItsIssuerAboutItself(t *testing.T) {
	b, s := withKey(t)
	b.service("m6")
	for name, c := range map[string]struct {
		edit claims
		why  string
	}{
		"no sub":     {claims{"sub": nil}, "unknown_service"},
		"no iss":     {claims{"iss": nil}, "issuer_mismatch"},
		"other iss":  {claims{"iss": "m6"}, "issuer_mismatch"},
		"other sub":  {claims{"sub": "m6"}, "unknown_key"},
		"unknown":    {claims{"iss": "zz", "sub": "zz"}, "unknown_service"},
		"no jti":     {claims{"jti": nil}, "no_jti"},
		"empty jti":  {claims{"jti": ""}, "no_jti"},
		"long jti":   {claims{"jti": strings.Repeat("x", 129)}, "jti_too_long"},
		"jti number": {claims{"jti": 1}, "malformed"},
	} {
		b.wantNot(name, b.sign(s, "", b.claimsOf("m5", c.edit)), clientauth.Refused, c.why)
	}
	b.want("128 bytes of jti", b.sign(s, "", b.claimsOf("m5", claims{"jti": strings.Repeat("x", 128)})), "m5", "")
}

// PKJ-015, PKJ-020, PKJ-022: what is used up is the service's own jti, and nothing before all
// else is good.
func TestAssertionNamesWhatItUsesUp(t *testing.T) {
	b, s := withKey(t)
	other := newSigner(t, "k9", jose.ES256)
	b.service("m9", keyCredential(t, other))
	key := func(s *jose.Signer, service string, edit claims) string {
		edit["jti"] = "J"
		id := b.want(service, b.sign(s, "", b.claimsOf(service, edit)), service, "")
		return id.Once[0].Key
	}
	first := key(s, "m5", claims{})
	if again := key(s, "m5", claims{"exp": b.now.Unix() + 90}); again != first {
		t.Error("the same jti in another assertion has another name")
	}
	if key(other, "m9", claims{}) == first {
		t.Error("the same jti of another service has the same name")
	}
	if id, _ := b.ask(b.sign(s, "", b.claimsOf("m5", claims{"aud": "https://other.test"}))); len(id.Once) > 0 {
		t.Error("an assertion for another uses up its jti here")
	}
}

// PKJ-033, PKJ-034.
func TestAssertionHasATypeOfItsOwnOrNone(t *testing.T) {
	b, s := withKey(t)
	for _, typ := range []string{"", "JWT", "jwt", "client-authentication+jwt", "Client-Authentication+JWT", "application/client-authentication+jwt", "application/jwt"} {
		b.want("typ "+typ, b.sign(s, typ, b.claimsOf("m5", nil)), "m5", "")
	}
	for _, typ := range []string{"at+jwt", "dpop+jwt", "secevent+jwt", "JOSE", "application/at+jwt", "text/jwt", "application/application/jwt", "denylist+jwt"} {
		b.wantNot("typ "+typ, b.sign(s, typ, b.claimsOf("m5", nil)), clientauth.Refused, "wrong_type")
	}
	b.wantNot("typ of a bootstrap credential", b.sign(s, "bootstrap+jwt", b.claimsOf("m5", nil)), clientauth.Refused, "unknown_key")
}

// PKJ-023, PKJ-024, PKJ-026.
func TestAlgorithmsOfAssertions(t *testing.T) {
	b, s := withKey(t)
	payload := b.claimsOf("m5", nil)
	for _, alg := range []string{"none", "None", "nOnE", "NONE", ""} {
		head := encode(fmt.Sprintf(`{"alg":%q,"kid":"k5"}`, alg)) + "." + encode(payload) + "."
		b.wantNot("alg "+alg+", no signature", clientauth.Presented{Assertion: head}, clientauth.Refused, "malformed")
		b.wantNot("alg "+alg+", some signature", clientauth.Presented{Assertion: head + "AAAA"}, clientauth.Refused, "algorithm_not_accepted")
	}
	public := s.Public().Key.(*ecdsa.PublicKey)
	der, _ := x509.MarshalPKIXPublicKey(public)
	point, _ := public.Bytes()
	for name, key := range map[string][]byte{
		"PEM": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), "DER": der, "JWK": []byte(publicJWK(t, s)), "point": point,
	} {
		input := encode(`{"alg":"HS256","kid":"k5"}`) + "." + encode(payload)
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(input))
		p := clientauth.Presented{Assertion: input + "." + encode(string(mac.Sum(nil)))}
		b.wantNot("HS256 with the public key as "+name, p, clientauth.Refused, "algorithm_not_accepted")
	}
	rs := newSigner(t, "rs", jose.RS256)
	b.credential(b.state.Services[0].UID, keyCredential(t, rs))
	b.wantNot("RS256", b.sign(rs, "", payload), clientauth.Refused, "algorithm_not_accepted")
	b.wantNot("ES384", clientauth.Presented{Assertion: encode(`{"alg":"ES384","kid":"k5"}`) + "." + encode(payload) + "." + encode(strings.Repeat("x", 96))}, clientauth.Refused, "algorithm_not_accepted")
	ed := newSigner(t, "k5", jose.EdDSA)
	b.wantNot("EdDSA under the kid of an ES256 key", b.sign(ed, "", payload), clientauth.Refused, "unknown_key")
}

// PKJ-021, PKJ-027.
func TestAssertionIsSignedByItsServicesKey(t *testing.T) {
	b, s := withKey(t)
	b.service("m9", keyCredential(t, newSigner(t, "k9", jose.ES256)))
	forger := newSigner(t, "k5", jose.ES256)
	b.wantNot("another's key under the kid of m5", b.sign(forger, "", b.claimsOf("m5", nil)), clientauth.Refused, "bad_signature")
	f := b.wantNot("m5's key for m9", b.sign(s, "", b.claimsOf("m9", nil)), clientauth.Refused, "unknown_key")
	if f.Claimed != "" {
		t.Errorf("the audit log is told that %s asked, with a signature that is not its own", f.Claimed)
	}
	p := b.sign(s, "", b.claimsOf("m5", nil))
	p.Assertion = p.Assertion[:len(p.Assertion)-4] + "AAAA"
	b.wantNot("a signature that was changed", p, clientauth.Refused, "bad_signature")
}

// PKJ-028, PKJ-029, PKJ-030: and nobody is asked for a key that the header names.
func TestKeysInHeadersAreIgnored(t *testing.T) {
	b, _ := withKey(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan struct{}, 1)
	go func() {
		if c, err := listener.Accept(); err == nil {
			c.Close()
			asked <- struct{}{}
		}
	}()
	attacker := newSigner(t, "k5", jose.ES256)
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	url := "http://" + listener.Addr().String() + "/keys"
	for _, member := range []string{
		`"jwk":` + publicJWK(t, attacker), `"jku":"` + url + `"`, `"x5u":"` + url + `"`, `"x5c":["MIIB"]`,
	} {
		for _, kid := range []string{`"kid":"k5",`, ``, `"kid":"` + url + `",`} {
			p := withHeader(t, key, `{"alg":"ES256",`+kid+member+`}`, b.claimsOf("m5", nil))
			b.wantNot(member, p, clientauth.Refused, "malformed")
		}
	}
	listener.Close()
	select {
	case <-asked:
		t.Error("the address in the header was asked")
	default:
	}
}

// PKJ-031, PKJ-036, PKJ-038, PKJ-039, PKJ-040.
func TestMalformedAssertions(t *testing.T) {
	b, s := withKey(t)
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	for name, kid := range map[string]string{"a path": "../../etc/passwd", "SQL": "' OR 1=1--", "NUL": "\x00", "long": strings.Repeat("k", 4000)} {
		head, _ := json.Marshal(map[string]string{"alg": "ES256", "kid": kid})
		b.wantNot("kid is "+name, withHeader(t, key, string(head), b.claimsOf("m5", nil)), clientauth.Refused, "unknown_key")
	}
	good := b.sign(s, "", b.claimsOf("m5", nil)).Assertion
	head, rest, _ := strings.Cut(good, ".")
	for name, a := range map[string]string{
		"60,000 dots": strings.Repeat(".", 60_000), "five parts": "a.b.c.d.e", "eyJ": strings.Repeat("eyJ", 20_000),
		"JWE":        encode(`{"alg":"PBES2-HS256+A128KW","enc":"A128GCM","zip":"DEF","p2c":2147483648}`) + ".a.b.c.d",
		"line break": good[:20] + "\n" + good[20:], "space": good + " ", "padding": good + "=", "kid of 64 KiB": encode(`{"alg":"ES256","kid":"`+strings.Repeat("k", 64<<10)+`"}`) + "." + rest,
		"trailing bits": good[:len(good)-1] + "B", "one part": head, "empty parts": "..", "JSON": `{"payload":"` + rest + `"}`,
		"not UTF-8": "\xff\xfe", "alg twice": encode(`{"alg":"ES256","alg":"none"}`) + "." + rest,
		"sub twice": b.sign(s, "", `{"sub":"m9","sub":"m5","iss":"m5","aud":"https://as.test","jti":"a","exp":1800000060}`).Assertion,
		"an array":  b.sign(s, "", `[]`).Assertion,
	} {
		b.wantNot(name, clientauth.Presented{Assertion: a}, clientauth.Refused, "malformed")
	}
	b.wantNot("Sub for sub", b.sign(s, "", strings.Replace(b.claimsOf("m5", nil), `"sub"`, `"Sub"`, 1)), clientauth.Refused, "unknown_service")
}

// kid may be missing: the service's keys of that algorithm are tried, some of them.
func TestAssertionNeedNotNameItsKey(t *testing.T) {
	b := newBench(t)
	m5 := b.service("m5")
	var keys []*ecdsa.PrivateKey
	for i := range 3 {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		s, err := jose.NewSigner(fmt.Sprint("k", i), jose.ES256, key)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
		b.credential(m5, keyCredential(t, s))
	}
	b.credential(m5, keyCredential(t, newSigner(t, "ed", jose.EdDSA)))
	for i, key := range keys {
		b.want("no kid", withHeader(t, key, `{"alg":"ES256"}`, b.claimsOf("m5", nil)), "m5", fmt.Sprint("credential of k", i))
	}
	stranger, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	for i := range 8 {
		b.credential(m5, keyCredential(t, newSigner(t, fmt.Sprint("a", i), jose.ES256)))
	}
	if _, f := b.ask(withHeader(t, keys[0], `{"alg":"ES256"}`, b.claimsOf("m5", nil))); f == nil {
		t.Error("more keys are tried than an assertion may cost")
	}
	b.want("with kid, among many", withHeader(t, keys[0], `{"alg":"ES256","kid":"k0"}`, b.claimsOf("m5", nil)), "m5", "credential of k0")
	b.wantNot("no kid, another's key", withHeader(t, stranger, `{"alg":"ES256"}`, b.claimsOf("m5", nil)), clientauth.Refused, "bad_signature")
}

func TestKeysEndAndArePinned(t *testing.T) {
	b, s := withKey(t)
	c := &b.state.Credentials[0]
	ask := func() clientauth.Presented { return b.sign(s, "", b.claimsOf("m5", nil)) }
	b.want("at first", ask(), "m5", c.ID)
	c.CIDR = netip.MustParsePrefix("198.51.100.0/24")
	b.wantNot("from elsewhere", ask(), clientauth.Refused, "address_not_allowed")
	c.CIDR, c.NotBefore = netip.Prefix{}, b.now.Add(time.Second)
	b.wantNot("too early", ask(), clientauth.Refused, "not_yet_valid")
	c.NotBefore, c.ExpiresAt = time.Time{}, b.now
	b.wantNot("too late", ask(), clientauth.Refused, "expired")
	c.ExpiresAt, c.RevokedAt = b.now.Add(time.Hour), b.now
	if f := b.wantNot("revoked", ask(), clientauth.Refused, "revoked"); f.CredentialID != c.ID || f.Claimed != "m5" {
		t.Errorf("the audit log is told of %q by %q", f.Claimed, f.CredentialID)
	}
	// Keys that ended do not crowd out one that is good.
	for i := range 20 {
		old := keyCredential(t, newSigner(t, fmt.Sprint("0", i), jose.ES256))
		old.ID, old.RevokedAt = fmt.Sprint("0", i), b.now
		b.credential(b.state.Services[0].UID, old)
	}
	b.state.Credentials[0].RevokedAt = time.Time{}
	b.want("among many that ended", ask(), "m5", "credential of k5")
}

// CAU-015, for keys.
func TestKeysAreOfAServiceNotOfAName(t *testing.T) {
	b, s := withKey(t)
	b.state.Services[0].UID = directory.UID{9}
	b.wantNot("the old key", b.sign(s, "", b.claimsOf("m5", nil)), clientauth.Refused, "unknown_key")
}
