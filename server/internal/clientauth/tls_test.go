package clientauth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/clientauth"
	"github.com/watchword-dev/watchword/server/internal/directory"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func (b *bench) authority(name string) *authority {
	return b.authorityBy(nil, name)
}

func (b *bench) authorityBy(by *authority, name string) *authority {
	key := newECKey(b.t)
	return &authority{b.certificate(by, key, func(c *x509.Certificate) {
		c.Subject, c.IsCA, c.BasicConstraintsValid = pkix.Name{CommonName: name}, true, true
		c.KeyUsage, c.ExtKeyUsage = x509.KeyUsageCertSign, nil
	}), key}
}

func newECKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

var m6 = pkix.Name{CommonName: "m6", Organization: []string{"Example"}, Country: []string{"DE"}}

// certificate is one for clients, of m6, for an hour. by nil: signed with its own key.
func (b *bench) certificate(by *authority, key crypto.Signer, edit func(*x509.Certificate)) *x509.Certificate {
	b.t.Helper()
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: m6, NotBefore: b.now.Add(-time.Hour), NotAfter: b.now.Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if edit != nil {
		edit(c)
	}
	parent, signer := c, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), signer)
	if err != nil {
		b.t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		b.t.Fatal(err)
	}
	return parsed
}

func subject(s string) directory.Credential {
	return directory.Credential{ID: s, Kind: directory.KindTLSSubject, Material: s}
}

func overTLS(id string, chain ...*x509.Certificate) clientauth.Presented {
	return clientauth.Presented{ClientID: id, Certificates: chain}
}

// withAuthority is a bench that trusts one authority.
func withAuthority(t testing.TB) (*bench, *authority) {
	pool := x509.NewCertPool()
	b := newBench(t, func(o *clientauth.Options) {
		o.Certificates, o.ClientCAs = true, func() *x509.CertPool { return pool }
	})
	ca := b.authority("Example CA")
	pool.AddCert(ca.cert)
	return b, ca
}

const m6DN = "dn:CN=m6,O=Example,C=DE"

// MTL-001, MTL-003.
func TestCertificateOfAnAuthorityProvesItsSubject(t *testing.T) {
	b, ca := withAuthority(t)
	b.service("m6", subject(m6DN))
	b.service("m5", subject("dn:CN=m5,O=Example,C=DE"))
	b.service("m7")
	cert := b.certificate(ca, newECKey(t), nil)
	if id := b.want("m6", overTLS("m6", cert), "m6", m6DN); id.Method != api.TLSClientAuth || len(id.Once) != 0 {
		t.Errorf("got method %s, once %v", id.Method, id.Once)
	}
	b.wantNot("m6's certificate for m5", overTLS("m5", cert), clientauth.Refused, "wrong_certificate")
	b.wantNot("for one that has none", overTLS("m7", cert), clientauth.Refused, "wrong_certificate")
	b.state.Credentials[0].Kind = directory.KindSecret
	b.wantNot("held against a credential of another kind", overTLS("m6", cert), clientauth.Refused, "wrong_certificate")
	b.state.Credentials[0].Kind = directory.KindTLSSubject
	b.wantNot("for nobody", overTLS("zz", cert), clientauth.Refused, "unknown_service")
	b.wantNot("without client_id (RFC 8705, section 2)", overTLS("", cert), clientauth.Missing, "no_credential")
	b.wantNot("without certificate", overTLS("m6"), clientauth.Missing, "no_credential")
	b.edit("m6", func(s *directory.Service) { s.AuthMethods = []string{api.PrivateKeyJWT} })
	b.wantNot("not accepted", overTLS("m6", cert), clientauth.Refused, "method_not_accepted")
}

func TestIntermediatesArePresentedByTheClient(t *testing.T) {
	b, ca := withAuthority(t)
	b.service("m6", subject(m6DN))
	middle := b.authorityBy(ca, "Example Issuing CA")
	cert := b.certificate(middle, newECKey(t), nil)
	b.want("with it", overTLS("m6", cert, middle.cert), "m6", "")
	b.wantNot("without it", overTLS("m6", cert), clientauth.Refused, "certificate_not_trusted")
	long := []*x509.Certificate{cert, middle.cert, middle.cert, middle.cert}
	b.want("with as many as may come", overTLS("m6", long...), "m6", "")
	b.wantNot("with too much", overTLS("m6", append(long, middle.cert)...), clientauth.Refused, "certificate_chain_too_long")
}

// F102: what is expensive to verify is refused before anything is verified: an authority of the same name with each key
// could have signed any of the others.
func TestChainsThatAreMadeToBeExpensiveAreRefused(t *testing.T) {
	b, ca := withAuthority(t)
	b.service("m6", subject(m6DN))
	middle := b.authorityBy(ca, "Example Issuing CA")
	cert := b.certificate(middle, newECKey(t), nil)
	another := func(bits, e int) *x509.Certificate {
		return b.certificate(ca, rsaPublicKey(bits, e), func(c *x509.Certificate) {
			c.Subject, c.IsCA, c.BasicConstraintsValid = middle.cert.Subject, true, true
			c.KeyUsage, c.ExtKeyUsage = x509.KeyUsageCertSign, nil
		})
	}
	b.want("an RSA key of 4096 bits", overTLS("m6", cert, another(4096, 65537), middle.cert), "m6", "")
	b.wantNot("of 8192 bits", overTLS("m6", cert, another(8192, 65537), middle.cert), clientauth.Refused, "certificate_key_weak")
	b.wantNot("with a long exponent", overTLS("m6", cert, middle.cert, another(2048, 1<<31-1)), clientauth.Refused, "certificate_key_weak")
}

// F102: a chain is judged once, however many requests come with it, and again after a minute, or when the authorities
// changed. The pool that is changed here shows which it was; the server makes a new one when its file has changed.
func TestChainIsJudgedOnceForAMinuteAndTheAuthorities(t *testing.T) {
	pool := x509.NewCertPool()
	b := newBench(t, func(o *clientauth.Options) {
		o.Certificates, o.ClientCAs = true, func() *x509.CertPool { return pool }
	})
	b.service("m6", subject(m6DN))
	ca := b.authority("Example CA")
	middle := b.authorityBy(ca, "Example Issuing CA")
	p := overTLS("m6", b.certificate(middle, newECKey(t), nil), middle.cert)
	b.wantNot("of no authority", p, clientauth.Refused, "certificate_not_trusted")
	pool.AddCert(ca.cert)
	b.now = b.now.Add(59 * time.Second)
	b.wantNot("judged again before its time", p, clientauth.Refused, "certificate_not_trusted")
	b.want("another chain", overTLS("m6", b.certificate(middle, newECKey(t), nil), middle.cert), "m6", "")
	b.now = b.now.Add(time.Second)
	b.want("after a minute", p, "m6", "")
	pool = x509.NewCertPool()
	b.wantNot("other authorities", p, clientauth.Refused, "certificate_not_trusted")
}

// F102: no verdict lasts longer than the certificates that it is about.
func TestChainIsGoodAsLongAsItsCertificates(t *testing.T) {
	b, ca := withAuthority(t)
	b.service("m6", subject(m6DN))
	key := newECKey(t)
	middle := &authority{b.certificate(ca, key, func(c *x509.Certificate) {
		c.Subject, c.IsCA, c.BasicConstraintsValid = pkix.Name{CommonName: "Example Issuing CA"}, true, true
		c.KeyUsage, c.ExtKeyUsage, c.NotAfter = x509.KeyUsageCertSign, nil, b.now.Add(10*time.Second)
	}), key}
	p := overTLS("m6", b.certificate(middle, newECKey(t), nil), middle.cert)
	b.want("before it ends", p, "m6", "")
	b.now = b.now.Add(11 * time.Second)
	b.wantNot("after an authority of it has ended", p, clientauth.Refused, "certificate_not_trusted")
}

// MTL-004.
func TestCertificateOfAnotherAuthorityProvesNothing(t *testing.T) {
	b, ca := withAuthority(t)
	b.service("m6", subject(m6DN))
	twin := b.authority("Example CA")
	b.wantNot("an authority of the same name", overTLS("m6", b.certificate(twin, newECKey(t), nil)), clientauth.Refused, "certificate_not_trusted")
	b.wantNot("self-signed", overTLS("m6", b.certificate(nil, newECKey(t), nil)), clientauth.Refused, "wrong_certificate")
	// A client's certificate makes none for others.
	key := newECKey(t)
	client := &authority{b.certificate(ca, key, func(c *x509.Certificate) { c.Subject.CommonName = "m5" }), key}
	b.wantNot("signed by a client", overTLS("m6", b.certificate(client, newECKey(t), nil), client.cert), clientauth.Refused, "certificate_not_trusted")
}

// F106: the keys of certificates have the sizes that those of JWKs have.
func TestRSAKeysOfCertificatesHaveAtMost4096Bits(t *testing.T) {
	b, ca := withAuthority(t)
	b.service("m6", subject(m6DN))
	b.want("4096 bits", overTLS("m6", b.certificate(ca, rsaPublicKey(4096, 65537), nil)), "m6", m6DN)
	b.wantNot("4097 bits", overTLS("m6", b.certificate(ca, rsaPublicKey(4097, 65537), nil)), clientauth.Refused, "certificate_key_weak")
	b.wantNot("a long exponent", overTLS("m6", b.certificate(ca, rsaPublicKey(2048, 1<<31-1), nil)), clientauth.Refused, "certificate_key_weak")
}

func rsaPublicKey(bits, e int) crypto.Signer {
	return publicOnly{&rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), bits-1, 1), E: e}}
}

// publicOnly is the key of a certificate that signs nothing in a test.
type publicOnly struct{ key crypto.PublicKey }

func (k publicOnly) Public() crypto.PublicKey { return k.key }

func (publicOnly) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("there is no private key")
}

// MTL-009.
func TestCertificateIsOneForClientsAndGoodNow(t *testing.T) {
	b, ca := withAuthority(t)
	b.service("m6", subject(m6DN))
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		edit func(*x509.Certificate)
		why  string
	}{
		"expired":         {func(c *x509.Certificate) { c.NotAfter = b.now.Add(-time.Second) }, "certificate_expired"},
		"not yet valid":   {func(c *x509.Certificate) { c.NotBefore = b.now.Add(time.Second) }, "certificate_not_yet_valid"},
		"for any use":     {func(c *x509.Certificate) { c.ExtKeyUsage = nil }, "certificate_not_for_clients"},
		"for servers":     {func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }, "certificate_not_for_clients"},
		"of an authority": {func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }, "certificate_of_authority"},
		"with a critical extension nobody knows": {func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: []int{1, 2, 3}, Critical: true, Value: []byte{5, 0}}}
		}, "certificate_not_trusted"},
	} {
		b.wantNot(name, overTLS("m6", b.certificate(ca, newECKey(t), c.edit)), clientauth.Refused, c.why)
	}
	b.wantNot("with a weak key", overTLS("m6", b.certificate(ca, weak, nil)), clientauth.Refused, "certificate_key_weak")
	cert := b.certificate(ca, newECKey(t), nil)
	b.want("good", overTLS("m6", cert), "m6", "")
	b.now = b.now.Add(time.Hour + time.Second)
	b.wantNot("later", overTLS("m6", cert), clientauth.Refused, "certificate_expired")
}

// F45: what a proxy passes on is held to all that this server itself would hold a client to.
func TestCertificateThatAProxyPassesOnIsChecked(t *testing.T) {
	b, ca := withAuthority(t)
	b.service("m6", subject(m6DN), subject("ip:192.0.2.7"))
	b.wantNot("a DSA key", overTLS("m6", b.withDSAKey(ca, b.certificate(ca, newECKey(t), nil))), clientauth.Refused, "certificate_key_weak")
	b.wantNot("for key agreement", overTLS("m6", b.certificate(ca, newECKey(t), func(c *x509.Certificate) {
		c.KeyUsage = x509.KeyUsageKeyAgreement
	})), clientauth.Refused, "certificate_not_for_clients")
	b.want("for any key usage", overTLS("m6", b.certificate(ca, newECKey(t), func(c *x509.Certificate) { c.KeyUsage = 0 })), "m6", m6DN)
	named := func(ip net.IP) *x509.Certificate {
		names, err := asn1.Marshal([]asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: 7, Bytes: ip}}) // crypto/x509 would shorten it
		if err != nil {
			t.Fatal(err)
		}
		return b.certificate(ca, newECKey(t), func(c *x509.Certificate) {
			c.Subject.CommonName = "other"
			c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: names}}
		})
	}
	b.want("the address", overTLS("m6", named(net.IP{192, 0, 2, 7})), "m6", "ip:192.0.2.7")
	b.wantNot("the address mapped into IPv6", overTLS("m6", named(net.ParseIP("192.0.2.7").To16())), clientauth.Refused, "wrong_certificate")
}

// withDSAKey is c with another key, signed again. crypto/x509 reads such certificates, and makes none.
func (b *bench) withDSAKey(ca *authority, c *x509.Certificate) *x509.Certificate {
	b.t.Helper()
	marshal := func(v any) []byte {
		der, err := asn1.Marshal(v)
		if err != nil {
			b.t.Fatal(err)
		}
		return der
	}
	type algorithm struct {
		ID         asn1.ObjectIdentifier
		Parameters struct{ P, Q, G *big.Int }
	}
	a := algorithm{ID: asn1.ObjectIdentifier{1, 2, 840, 10040, 4, 1}}
	a.Parameters.P, a.Parameters.Q, a.Parameters.G = big.NewInt(23), big.NewInt(11), big.NewInt(4)
	bits := func(der []byte) asn1.BitString { return asn1.BitString{Bytes: der, BitLength: 8 * len(der)} }
	key := marshal(struct {
		Algorithm algorithm
		Key       asn1.BitString
	}{a, bits(marshal(big.NewInt(8)))})
	var parts []asn1.RawValue
	if _, err := asn1.Unmarshal(c.RawTBSCertificate, &parts); err != nil {
		b.t.Fatal(err)
	}
	parts[6] = asn1.RawValue{FullBytes: key} // RFC 5280, section 4.1: subjectPublicKeyInfo
	tbs := marshal(parts)
	sum := sha256.Sum256(tbs)
	signature, err := ca.key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		b.t.Fatal(err)
	}
	made, err := x509.ParseCertificate(marshal(struct {
		TBS, Algorithm asn1.RawValue
		Signature      asn1.BitString
	}{asn1.RawValue{FullBytes: tbs}, parts[2], bits(signature)}))
	if err != nil {
		b.t.Fatal(err)
	}
	return made
}

// RFC 8705, section 2.1.2: exactly one attribute, and in its own place.
func TestSubjectAttributes(t *testing.T) {
	b, ca := withAuthority(t)
	b.service("m6")
	spiffe, _ := url.Parse("spiffe://example.org/m6")
	cert := b.certificate(ca, newECKey(t), func(c *x509.Certificate) {
		c.DNSNames, c.URIs = []string{"a.example", "m6.example", "*.wild.example"}, []*url.URL{spiffe}
		c.IPAddresses, c.EmailAddresses = []net.IP{net.ParseIP("192.0.2.6"), net.ParseIP("2001:db8::6")}, []string{"M6@Example.org"}
	})
	ask := func(material string) *clientauth.Failure {
		b.state.Credentials = nil
		b.credential(b.state.Services[0].UID, subject(material))
		_, f := b.ask(overTLS("m6", cert))
		return f
	}
	for _, s := range []string{
		m6DN, "dn:cn=m6, o=Example, c=DE", "dn:2.5.4.3=m6,O=Example,C=DE", "dn:CN=\\6d6,O=Example,C=DE", "dn:CN=#0c026d36,O=Example,C=DE",
		"dns:m6.example", "dns:M6.EXAMPLE", "uri:spiffe://example.org/m6", "ip:192.0.2.6", "ip:2001:db8:0::6", "ip:::ffff:192.0.2.6", "email:M6@example.ORG",
	} {
		material, err := clientauth.ParseTLSSubject(s)
		if err != nil {
			t.Errorf("%s cannot be registered: %v", s, err)
		}
		if f := ask(material); f != nil {
			t.Errorf("%s: refused: %s", s, f.Reason)
		}
	}
	for _, s := range []string{
		"dn:CN=m6", "dn:C=DE,O=Example,CN=m6", "dn:CN=m6,O=Example,C=de", "dn:CN=M6,O=Example,C=DE", "dn:CN=m6,O=Example+C=DE", "dn:OU=x,CN=m6,O=Example,C=DE",
		"dns:m6", "dns:b.wild.example", "dns:example", "uri:spiffe://example.org/M6", "uri:spiffe://example.org/m6/", "ip:192.0.2.7", "email:m6@example.org",
		"dns:192.0.2.6", "uri:m6.example:", "email:M6@example.org.evil",
	} {
		if f := ask(s); f == nil || f.Reason != "wrong_certificate" {
			t.Errorf("%s: got %v, want it refused", s, f)
		}
	}
	for _, s := range []string{
		"", "m6", "dn:", "dn:CN=", "dn:CN", "dn:CN=m6,", "dn:CN=m6+", "dn:,CN=m6", "dn:CN=m6;O=x", `dn:CN="m6"`, "dn:CN=m6 ,O=x", "dn:CN= m6", `dn:CN=m6\`, `dn:CN=\zz`,
		"dn:XX=m6", "dn:CN=#zz", "dn:CN=#0c026d3", "dn:CN=#0201", "dn:CN=#020101", `dn:CN=\ff`, "dns:", "dns:*.example", "dns:a b", "uri:", "uri:/m6", "ip:m6", "ip:fe80::1%eth0",
		"ip:192.0.2.0/24", "email:m6", "san:m6", "DNS:m6.example",
	} {
		if _, err := clientauth.ParseTLSSubject(s); err == nil {
			t.Errorf("%q can be registered", s)
		}
		if f := ask(s); f == nil {
			t.Errorf("%q proves m6", s)
		}
	}
}

// Parts of a name that need escapes, in several ways to write them.
func TestDistinguishedNamesWithEscapes(t *testing.T) {
	b, ca := withAuthority(t)
	b.service("m6")
	cert := b.certificate(ca, newECKey(t), func(c *x509.Certificate) {
		c.Subject = pkix.Name{ExtraNames: []pkix.AttributeTypeAndValue{
			{Type: []int{2, 5, 4, 10}, Value: `A, "B" + C\D ü `}, {Type: []int{0, 9, 2342, 19200300, 100, 1, 1}, Value: "#6"},
		}}
	})
	for _, s := range []string{`dn:UID=\#6,O=A\, \"B\" \+ C\\D ü\ `, `dn:uid=\236, O=A\2c \22B\22 \2B C\5cD \c3\bc\20`} {
		b.state.Credentials = nil
		b.credential(b.state.Services[0].UID, subject(s))
		b.want(s, overTLS("m6", cert), "m6", "")
	}
	empty := b.certificate(ca, newECKey(t), func(c *x509.Certificate) { c.Subject = pkix.Name{} })
	b.wantNot("no subject", overTLS("m6", empty), clientauth.Refused, "wrong_certificate")
}

func TestSelfSignedCertificateProvesWhoRegisteredIt(t *testing.T) {
	b := newBench(t, func(o *clientauth.Options) { o.Certificates = true })
	// As openssl req -x509 makes them.
	self := func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid, c.ExtKeyUsage = true, true, nil }
	key := newECKey(t)
	cert, twin := b.certificate(nil, key, self), b.certificate(nil, newECKey(t), self)
	c := directory.Credential{ID: "cert", Kind: directory.KindCertificate, Material: clientauth.CertificateThumbprint(cert)}
	b.service("m6", c)
	b.service("m5", subject(m6DN))
	if id := b.want("m6", overTLS("m6", cert), "m6", "cert"); id.Method != api.SelfSignedTLSClientAuth {
		t.Errorf("got method %s", id.Method)
	}
	if err := clientauth.CheckSelfSigned(cert); err != nil {
		t.Errorf("it cannot be registered: %v", err)
	}
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]*x509.Certificate{"of an authority": b.certificate(b.authority("CA"), key, nil), "with a weak key": b.certificate(nil, weak, self)} {
		if clientauth.CheckSelfSigned(c) == nil {
			t.Errorf("one %s can be registered", name)
		}
	}
	b.wantNot("another of the same name", overTLS("m6", twin), clientauth.Refused, "wrong_certificate")
	b.wantNot("another of the same key", overTLS("m6", b.certificate(nil, key, self)), clientauth.Refused, "wrong_certificate")
	b.wantNot("for another", overTLS("m5", cert), clientauth.Refused, "wrong_certificate")
	b.state.Credentials[0].CIDR = netip.MustParsePrefix("198.51.100.0/24")
	b.wantNot("from elsewhere", overTLS("m6", cert), clientauth.Refused, "address_not_allowed")
	b.state.Credentials[0].CIDR, b.state.Credentials[0].RevokedAt = netip.Prefix{}, b.now
	if f := b.wantNot("revoked", overTLS("m6", cert), clientauth.Refused, "revoked"); f.CredentialID != "cert" {
		t.Errorf("the audit log is told of credential %q", f.CredentialID)
	}
	b.state.Credentials[0].RevokedAt = time.Time{}
	b.state.Credentials[0].ExpiresAt = b.now.Add(100 * time.Hour)
	b.now = b.now.Add(time.Hour + time.Second)
	b.wantNot("expired by its own dates", overTLS("m6", cert), clientauth.Refused, "certificate_expired")
}

// A certificate beside another proof binds the token, and proves nothing.
func TestCertificateBesideAnotherProofIsNoSecondOne(t *testing.T) {
	b, ca := withAuthority(t)
	key := newSigner(t, "k6", "ES256")
	b.service("m6", subject(m6DN), secretCredential("secret", "right"), keyCredential(t, key))
	cert := b.certificate(ca, newECKey(t), nil)
	for name, p := range map[string]clientauth.Presented{"Basic": basic("m6", "right"), "post": post("m6", "right"), "assertion": b.sign(key, "", b.claimsOf("m6", nil))} {
		p.ClientID, p.Certificates = "m6", []*x509.Certificate{cert}
		if id := b.want(name, p, "m6", ""); id.Method == api.TLSClientAuth {
			t.Errorf("%s: the certificate counts", name)
		}
	}
	p := basic("m6", "wrong")
	p.Certificates = []*x509.Certificate{cert}
	b.wantNot("a wrong secret", p, clientauth.Refused, "wrong_secret")
}

// MTL-013: nothing is trusted where nothing is configured; least of all the system's authorities.
func TestWithoutAuthoritiesNoCertificateCounts(t *testing.T) {
	for name, edit := range map[string]func(*clientauth.Options){
		"no authorities": func(o *clientauth.Options) { o.Certificates, o.ClientCAs = true, func() *x509.CertPool { return nil } },
		"an empty pool":  func(o *clientauth.Options) { o.Certificates, o.ClientCAs = true, x509.NewCertPool },
	} {
		b := newBench(t, edit)
		b.service("m6", subject(m6DN))
		b.wantNot(name, overTLS("m6", b.certificate(b.authority("CA"), newECKey(t), nil)), clientauth.Refused, "certificate_not_trusted")
	}
	for name, edit := range map[string]func(*clientauth.Options){
		"method off":          func(o *clientauth.Options) { o.Certificates = true },
		"no TLS and no proxy": func(o *clientauth.Options) { o.ClientCAs = x509.NewCertPool },
	} {
		b := newBench(t, edit)
		b.service("m6", subject(m6DN))
		b.wantNot(name, overTLS("m6", b.certificate(b.authority("CA"), newECKey(t), nil)), clientauth.Missing, "no_credential")
	}
}

func TestMethodsThatAreOffAreNotNamed(t *testing.T) {
	names := func(o clientauth.Options) string { return strings.Join(clientauth.New(o).Names(), " ") }
	if got, want := names(clientauth.Options{}), "bootstrap private_key_jwt workload_jwt spiffe_jwt"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	all := clientauth.Options{Pepper: pepper, Certificates: true, ClientCAs: x509.NewCertPool}
	if got, want := names(all), "bootstrap client_secret_basic client_secret_post private_key_jwt tls_client_auth self_signed_tls_client_auth workload_jwt spiffe_jwt spiffe_x509"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func pemOf(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

func TestParseCertificateHeader(t *testing.T) {
	b := newBench(t)
	c := b.certificate(nil, newECKey(t), nil)
	body, text := base64.StdEncoding.EncodeToString(c.Raw), pemOf(c)
	for name, v := range map[string]string{
		"RFC 9440": ":" + body + ":", "nginx": url.PathEscape(text), "percent-encoded with a plus as %2B": strings.ReplaceAll(url.QueryEscape(text), "+", "%20"),
		"PEM with blanks": strings.ReplaceAll(text, "\n", " "), "PEM with tabs": strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n\t"),
		"PEM without line ends": strings.ReplaceAll(text, "\n", ""), "haproxy": body, "Traefik, escaped": url.QueryEscape(body), "blanks around": "  :" + body + ": ",
	} {
		if got, err := clientauth.ParseCertificateHeader(v); err != nil || !got.Equal(c) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, v := range map[string]string{
		"empty": "", "colons": "::", "colon": ":", "RFC 9440 cut short": ":" + body, "garbage": "garbage", "two": ":" + body + ":, :" + body + ":", "PEM cut short": text[:len(text)-20],
		"two in PEM": text + text, "bytes after it": base64.StdEncoding.EncodeToString(append(c.Raw[:len(c.Raw):len(c.Raw)], 0)), "a key": strings.ReplaceAll(text, "CERTIFICATE", "PUBLIC KEY"),
		"a wrong escape": "%zz" + body, "long": ":" + strings.Repeat("A", 100_000) + ":", "a line break": ":" + body[:8] + "\n" + body[8:] + ":", "base64url": ":" + base64.RawURLEncoding.EncodeToString(c.Raw) + "=:",
		"Envoy": "Hash=ab;Cert=\"" + url.QueryEscape(text) + "\"",
	} {
		if _, err := clientauth.ParseCertificateHeader(v); err == nil {
			t.Errorf("%s is read", name)
		}
	}
}

func FuzzCertificateHeader(f *testing.F) {
	b := newBench(f)
	c := b.certificate(nil, newECKey(f), nil)
	body := base64.StdEncoding.EncodeToString(c.Raw)
	for _, v := range []string{":" + body + ":", body, url.PathEscape(pemOf(c)), strings.ReplaceAll(pemOf(c), "\n", " "), "::", "%", ""} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, v string) {
		got, err := clientauth.ParseCertificateHeader(v)
		if err != nil {
			return
		}
		again, err := clientauth.ParseCertificateHeader(":" + base64.StdEncoding.EncodeToString(got.Raw) + ":")
		if err != nil || !again.Equal(got) {
			t.Errorf("%q: read, but written again it is not: %v", v, err)
		}
	})
}

// What an operator may register is what is compared, and neither crashes.
func FuzzTLSSubject(f *testing.F) {
	b, ca := withAuthority(f)
	b.service("m6")
	cert := b.certificate(ca, newECKey(f), nil)
	for _, s := range []string{m6DN, `dn:CN=\6d6+O=#0c026d36`, "dns:m6.example", "uri:spiffe://a/b", "ip:::1", "email:a@b", "dn:=,+"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b.t, b.state.Credentials = t, nil
		b.credential(b.state.Services[0].UID, subject(s))
		_, err := clientauth.ParseTLSSubject(s)
		if _, failure := b.ask(overTLS("m6", cert)); failure == nil && err != nil {
			t.Errorf("%q cannot be registered, and proves m6", s)
		}
	})
}
