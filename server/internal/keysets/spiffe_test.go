package keysets

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
)

// authority signs X.509-SVIDs.
type authority struct {
	t           testing.TB
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t testing.TB, edit ...func(*x509.Certificate)) *authority {
	t.Helper()
	a := &authority{t: t}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	for _, e := range edit {
		e(template)
	}
	a.certificate, a.key = a.make(template)
	return a
}

// make signs a certificate, its own if there is none yet.
func (a *authority) make(template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(a.t, err)
	parent, by := template, key
	if a.certificate != nil {
		parent, by = a.certificate, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
	must(a.t, err)
	c, err := x509.ParseCertificate(der)
	must(a.t, err)
	return c, key
}

// svid returns an X.509-SVID with this SPIFFE ID.
func (a *authority) svid(id string, edit ...func(*x509.Certificate)) tls.Certificate {
	u, err := url.Parse(id)
	must(a.t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		URIs: []*url.URL{u}, KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, e := range edit {
		e(template)
	}
	c, key := a.make(template)
	return tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: key}
}

// entry is the authority in a bundle (X509-SVID, section 6.1).
func (a *authority) entry() string {
	return fmt.Sprintf(`{"kty":"EC","use":"x509-svid","crv":"P-256","x":"AA","y":"AA","x5c":[%q]}`, base64.StdEncoding.EncodeToString(a.certificate.Raw))
}

func (a *authority) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw}))
}

// svidKey is the key of s in a bundle. SPIRE publishes no alg.
func svidKey(s *jose.Signer) string {
	b, _ := s.Public().JWK()
	return strings.Replace(strings.Replace(string(b), `"alg":"`+string(s.Algorithm())+`",`, "", 1), `"use":"sig"`, `"use":"jwt-svid"`, 1)
}

func bundle(members ...string) string { return `{"keys":[` + strings.Join(members, ",") + `]}` }

func withMembers(bundle, members string) string {
	return strings.TrimSuffix(bundle, "}") + "," + members + "}"
}

const trustDomain = "spiffe://example.test"

// svidAlgorithms are those of JWT-SVIDs.
var svidAlgorithms = []jose.Algorithm{jose.RS256, jose.RS384, jose.RS512, jose.ES256, jose.ES384, jose.ES512, jose.PS256, jose.PS384, jose.PS512}

func domain(edit func(*Source)) *Source {
	src := &Source{ID: "trust_1", Kind: SPIFFE, Issuer: trustDomain, Algorithms: svidAlgorithms}
	edit(src)
	return src
}

// The SPIFFE Trust Domain and Bundle, section 4.2; X509-SVID, section 6.2.
func TestKeysOfABundleAreForWhatTheirUseSays(t *testing.T) {
	es, rs, ca := signer(t, "es", jose.ES256), signer(t, "rs", jose.RS256), newAuthority(t)
	other := newAuthority(t)
	uploaded := func(bundle string) *Source { return domain(func(s *Source) { s.JWKS = bundle }) }
	s := New(ForPlatforms(nil))
	src := uploaded(bundle(svidKey(es), svidKey(rs), ca.entry(), `{"kty":"new","use":"jwt-svid"}`, `{"kty":"EC","use":"new"}`))
	must(t, s.Verify(t.Context(), src, signed(t, es), start))
	must(t, s.Verify(t.Context(), src, signed(t, rs), start))
	if all, err := s.Authorities(t.Context(), src, start); err != nil || len(all) != 1 || !all[0].Equal(ca.certificate) {
		t.Errorf("got %d authorities, %v", len(all), err)
	}
	without := signed(t, es)
	without.KeyID = ""
	if err := s.Verify(t.Context(), src, without, start); !errors.Is(err, jose.ErrNoKey) {
		t.Errorf("a JWT-SVID without kid: got %v", err)
	}
	src.Authorities = other.pem()
	if all, err := s.Authorities(t.Context(), src, start); err != nil || len(all) != 2 {
		t.Errorf("with an uploaded authority: got %d, %v", len(all), err)
	}
	if all, err := s.Authorities(t.Context(), domain(func(s *Source) { s.Authorities = other.pem() }), start); err != nil || len(all) != 1 {
		t.Errorf("with uploaded authorities only: got %d, %v", len(all), err)
	}
	leaf := ca.svid(trustDomain + "/x")
	for name, entry := range map[string]string{
		"use sig":               strings.Replace(svidKey(es), "jwt-svid", "sig", 1),
		"no use":                strings.Replace(svidKey(es), `"use":"jwt-svid",`, "", 1),
		"use in capitals":       strings.Replace(svidKey(es), "jwt-svid", "JWT-SVID", 1),
		"use x509-svid":         strings.Replace(svidKey(es), "jwt-svid", "x509-svid", 1),
		"no kid":                strings.Replace(svidKey(es), `"kid":"es",`, "", 1),
		"no certificate":        `{"kty":"EC","use":"x509-svid"}`,
		"an empty certificate":  `{"kty":"EC","use":"x509-svid","x5c":[""]}`,
		"no base64":             `{"kty":"EC","use":"x509-svid","x5c":["!"]}`,
		"not an authority":      fmt.Sprintf(`{"kty":"EC","use":"x509-svid","x5c":[%q]}`, base64.StdEncoding.EncodeToString(leaf.Certificate[0])),
		"use jwt-svid with x5c": strings.Replace(ca.entry(), "x509-svid", "jwt-svid", 1),
	} {
		c, faults, err := readSet(uploaded(""), []byte(bundle(svidKey(rs), entry)))
		if err != nil || len(faults) != 1 || len(c.keys) != 6 || len(c.authorities) != 0 {
			t.Errorf("%s: got %+v, faults %v, %v", name, c, faults, err)
		}
	}
	// Of a chain, the first counts.
	both := strings.Replace(ca.entry(), `"]}`, `",`+strings.SplitAfter(other.entry(), `"x5c":[`)[1], 1)
	if c, _, err := readSet(uploaded(""), []byte(bundle(both))); err != nil || len(c.authorities) != 1 || !c.authorities[0].Equal(ca.certificate) {
		t.Errorf("a chain: got %+v, %v", c, err)
	}
}

func TestAnEmptyBundleTrustsNothing(t *testing.T) {
	p, es := newServer(t), signer(t, "es", jose.ES256)
	p.publish("/bundle", bundle(svidKey(es), newAuthority(t).entry()))
	s, src := New(ForPlatforms(loopback)), domain(func(s *Source) { s.URL = p.URL + "/bundle" })
	must(t, s.Verify(t.Context(), src, signed(t, es), start))
	p.publish("/bundle", bundle())
	if err := s.Verify(t.Context(), src, signed(t, es), start.Add(Fresh)); !errors.Is(err, jose.ErrUnknownKey) {
		t.Errorf("got %v", err)
	}
	if all, err := s.Authorities(t.Context(), src, start.Add(Fresh)); err != nil || len(all) != 0 {
		t.Errorf("got %d authorities, %v", len(all), err)
	}
}

// The SPIFFE Trust Domain and Bundle, section 4.1: an older bundle does not replace a newer one.
func TestAnOlderBundleDoesNotReplaceANewerOne(t *testing.T) {
	p, old, next := newServer(t), signer(t, "old", jose.ES256), signer(t, "new", jose.ES256)
	s, src := New(ForPlatforms(loopback)), domain(func(s *Source) { s.URL = p.URL + "/bundle" })
	p.publish("/bundle", withMembers(bundle(svidKey(next)), `"spiffe_sequence":7`))
	must(t, s.Verify(t.Context(), src, signed(t, next), start))
	p.publish("/bundle", withMembers(bundle(svidKey(old)), `"spiffe_sequence":6`))
	must(t, s.Verify(t.Context(), src, signed(t, next), start.Add(Fresh)))
	if err := s.State(src).Error; !strings.Contains(err, "sequence number 6") {
		t.Errorf("got %q", err)
	}
	for i, members := range []string{`"spiffe_sequence":7`, `"spiffe_sequence":9007199254740993`, `"x":1`} {
		p.publish("/bundle", withMembers(bundle(svidKey(next)), members))
		must(t, s.Refresh(t.Context(), src, start.Add(Fresh+time.Duration(i+1)*Refetch)))
		if err := s.State(src).Error; err != "" {
			t.Errorf("%s: %s", members, err)
		}
	}
}

// The SPIFFE Trust Domain and Bundle, section 4.1.2: what a bundle suggests counts between 30 seconds and 5 minutes.
func TestRefreshHintOfABundleCounts(t *testing.T) {
	es := signer(t, "es", jose.ES256)
	for hint, want := range map[string]time.Duration{
		`"spiffe_refresh_hint":60`: time.Minute, `"spiffe_refresh_hint":1`: Refetch, `"spiffe_refresh_hint":0`: Fresh, `"spiffe_refresh_hint":-1`: Fresh,
		`"spiffe_refresh_hint":86400`: Fresh, `"spiffe_refresh_hint":9223372036854775807`: Fresh, `"x":1`: Fresh,
	} {
		p := newServer(t)
		p.publish("/bundle", withMembers(bundle(svidKey(es)), hint))
		s, src := New(ForPlatforms(loopback)), domain(func(s *Source) { s.URL = p.URL + "/bundle" })
		for i, after := range []time.Duration{0, want - 1, want} {
			must(t, s.Verify(t.Context(), src, signed(t, es), start.Add(after)))
			if n, asked := p.asked.Load(), int32(1+i/2); n != asked {
				t.Errorf("%s, after %s: asked %d times, want %d", hint, after, n, asked)
			}
		}
	}
}

// endpoint is a bundle endpoint with an X.509-SVID, which may change.
type endpoint struct {
	*httptest.Server
	*server
	svid tls.Certificate
}

func newEndpoint(t testing.TB, svid tls.Certificate) *endpoint {
	e := &endpoint{server: newServer(t), svid: svid}
	e.Server = httptest.NewUnstartedServer(e.server)
	e.Server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // of clients that refuse it
	e.TLS = &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &e.svid, nil }}
	e.Server.StartTLS()
	t.Cleanup(e.Server.Close)
	e.TLS.Certificates = nil
	return e
}

// SPIFFE Federation, section 5.2.2: the bundle endpoint authenticates with its SPIFFE ID, of an authority in the bundle at
// hand.
func TestBundleEndpointAuthenticatesWithItsSPIFFEID(t *testing.T) {
	es, ca, foreign := signer(t, "es", jose.ES256), newAuthority(t), newAuthority(t)
	const id = trustDomain + "/spire/server"
	source := func(e *endpoint, uploaded string) *Source {
		return domain(func(s *Source) { s.URL, s.EndpointID, s.JWKS = e.Server.URL+"/bundle", id, uploaded })
	}
	intermediate := &authority{t: t}
	intermediate.certificate, intermediate.key = ca.make(&x509.Certificate{
		SerialNumber: big.NewInt(3), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	through := intermediate.svid(id)
	through.Certificate = append(through.Certificate, intermediate.certificate.Raw)
	another, err := url.Parse(trustDomain + "/another")
	must(t, err)
	for name, c := range map[string]struct {
		svid tls.Certificate
		want string // "": it is accepted
	}{
		"its own":                 {ca.svid(id), ""},
		"through an intermediate": {through, ""},
		"without purposes":        {ca.svid(id, func(c *x509.Certificate) { c.ExtKeyUsage = nil }), ""},
		"another workload":        {ca.svid(trustDomain + "/workload"), `is "spiffe://example.test/workload"`},
		"another trust domain":    {ca.svid("spiffe://other.test/spire/server"), "spiffe://other.test"},
		"a longer path":           {ca.svid(id + "/x"), "/spire/server/x"},
		"another authority":       {foreign.svid(id), "certificate"},
		"ended":                   {ca.svid(id, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }), "expired"},
		"for clients":             {ca.svid(id, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }), "certificate"},
		"two IDs":                 {ca.svid(id, func(c *x509.Certificate) { c.URIs = append(c.URIs, another) }), "2 URIs"},
		"a host name":             {ca.svid(id, func(c *x509.Certificate) { c.URIs, c.DNSNames = nil, []string{"example.test"} }), "0 URIs"},
		"an authority": {ca.svid(id, func(c *x509.Certificate) {
			c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageDigitalSignature
		}), "authority"},
		"signs certificates": {ca.svid(id, func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCRLSign }), "authority"},
		"no key usage":       {ca.svid(id, func(c *x509.Certificate) { c.KeyUsage = 0 }), "digitalSignature"},
		"the trust domain":   {ca.svid(trustDomain), "SPIFFE ID"},
		"a query":            {ca.svid(id + "?x"), "SPIFFE ID"},
		"another scheme":     {ca.svid("https://example.test/spire/server"), "SPIFFE ID"},
	} {
		e := newEndpoint(t, c.svid)
		e.publish("/bundle", bundle(svidKey(es), ca.entry()))
		s := New(ForPlatforms(loopback))
		err := s.Verify(t.Context(), source(e, bundle(ca.entry())), signed(t, es), start)
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || e.server.asked.Load() != 0 {
			t.Errorf("%s: got %v, and %d requests, want an error with %q", name, err, e.server.asked.Load(), c.want)
		}
	}
	for _, src := range []Source{
		{URL: "https://127.0.0.1:1", EndpointID: "spiffe://other.test/x"},
		{URL: "https://127.0.0.1:1", EndpointID: trustDomain + "/"},
		{URL: "https://127.0.0.1:1", EndpointID: trustDomain + ".evil.test/x"},
		{URL: "http://127.0.0.1:1", EndpointID: id},
	} {
		src.Kind, src.Issuer, src.JWKS, src.Algorithms = SPIFFE, trustDomain, bundle(ca.entry()), svidAlgorithms
		isIn(t, New(ForPlatforms(loopback)).Verify(t.Context(), &src, signed(t, es), start), "SPIFFE ID of the bundle endpoint")
	}
	e := newEndpoint(t, ca.svid(id))
	e.publish("/bundle", bundle(svidKey(es), ca.entry()))
	s := New(ForPlatforms(loopback))
	isIn(t, s.Verify(t.Context(), source(e, bundle(svidKey(es))), signed(t, es), start), "upload the bundle")
	src := source(e, "")
	src.ID, src.Authorities = "trust_2", ca.pem()
	must(t, s.Verify(t.Context(), src, signed(t, es), start))
	// Without its SPIFFE ID, the endpoint would have to have a certificate for its host name (profile https_web).
	src = domain(func(s *Source) { s.ID, s.URL, s.JWKS = "trust_3", e.Server.URL+"/bundle", bundle(ca.entry()) })
	isIn(t, s.Verify(t.Context(), src, signed(t, es), start), "certificate")
}

// X509-SVID, section 2: the URI is the SPIFFE ID as it is, and not what a parser of URLs makes of it.
func TestSPIFFEIDIsThatWhichTheCertificateSpells(t *testing.T) {
	ca := newAuthority(t)
	for _, text := range []string{
		trustDomain + "/w", "SPIFFE://example.test/w", "Spiffe://example.test/w", trustDomain + "/w#", trustDomain + "/w?", trustDomain + "/w#x",
		trustDomain + "/%77", "spiffe://EXAMPLE.test/w", "spiffe://example.test:/w", "spiffe://@example.test/w", "spiffe:/example.test/w", "spiffe:example.test/w",
	} {
		names, err := asn1.Marshal([]asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: 2, Bytes: []byte("example.test")}, {Class: asn1.ClassContextSpecific, Tag: 6, Bytes: []byte(text)}})
		must(t, err)
		c := ca.svid(trustDomain+"/w", func(c *x509.Certificate) {
			c.URIs, c.ExtraExtensions = nil, []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: names}}
		})
		leaf, err := x509.ParseCertificate(c.Certificate[0])
		if err != nil { // package x509 refuses it
			continue
		}
		id, err := SPIFFEID(leaf)
		if want := trustDomain + "/w"; (err == nil && id == want) != (text == want) {
			t.Errorf("%s: got %q, %v", text, id, err)
		}
	}
}

// SPIFFE Federation, section 5.2.2.4: the latest bundle is what the next connection is checked with.
func TestBundleEndpointIsCheckedWithTheLatestBundle(t *testing.T) {
	es, first, second := signer(t, "es", jose.ES256), newAuthority(t), newAuthority(t)
	const id = trustDomain + "/spire/server"
	e := newEndpoint(t, first.svid(id))
	src := domain(func(s *Source) { s.URL, s.EndpointID, s.JWKS = e.Server.URL+"/bundle", id, bundle(first.entry()) })
	s := New(ForPlatforms(loopback))
	ask := func(now time.Time) string {
		t.Helper()
		must(t, s.Verify(t.Context(), src, signed(t, es), now))
		return s.State(src).Error
	}
	e.publish("/bundle", bundle(svidKey(es), first.entry(), second.entry()))
	if err := ask(start); err != "" {
		t.Error(err)
	}
	e.svid = second.svid(id)
	e.publish("/bundle", bundle(svidKey(es), second.entry()))
	if err := ask(start.Add(Fresh)); err != "" {
		t.Error(err)
	}
	e.svid = first.svid(id)
	if err := ask(start.Add(2 * Fresh)); !strings.Contains(err, "certificate") {
		t.Errorf("an authority that the bundle withdrew: got %q", err)
	}
}

func TestAuthoritiesAreChecked(t *testing.T) {
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, weak.Public(), weak)
	must(t, err)
	ca := newAuthority(t)
	leaf := ca.svid(trustDomain + "/x").Certificate[0]
	private, err := x509.MarshalECPrivateKey(ca.key)
	must(t, err)
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	for want, text := range map[string]string{
		"1024 bits":             block("CERTIFICATE", der),
		"not that of an author": block("CERTIFICATE", leaf),
		`"EC PRIVATE KEY"`:      ca.pem() + block("EC PRIVATE KEY", private),
		"read a certificate":    block("CERTIFICATE", []byte("x")),
		"no certificate in PEM": "-----BEGIN",
	} {
		src := domain(func(s *Source) { s.Authorities = text })
		_, err := New(ForPlatforms(nil)).Authorities(t.Context(), src, start)
		isIn(t, err, want)
	}
	two := domain(func(s *Source) { s.Authorities = ca.pem() + newAuthority(t).pem() })
	if all, err := New(ForPlatforms(nil)).Authorities(t.Context(), two, start); err != nil || len(all) != 2 {
		t.Errorf("got %d authorities, %v", len(all), err)
	}
}
