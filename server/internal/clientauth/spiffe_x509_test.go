package clientauth_test

import (
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/clientauth"
	"github.com/watchword-dev/watchword/server/internal/directory"
)

// X509-SVID, sections 2 and 5.2. The certificate of a workload proves its service if an authority of its own trust domain
// signed it, from the bundle or as an operator gave it in PEM.
func TestX509SVIDProvesItsService(t *testing.T) {
	b := newBench(t, func(o *clientauth.Options) { o.Certificates = true })
	one, two := b.authority("one"), b.authority("two")
	first, second := b.trusted("one", "spiffe", "spiffe://one.example"), b.trusted("two", "spiffe", "spiffe://two.example")
	b.edited("one", func(tr *directory.Trust) {
		tr.JWKS = fmt.Sprintf(`{"keys":[{"kty":"EC","use":"x509-svid","x5c":[%q]}]}`, base64.StdEncoding.EncodeToString(one.cert.Raw))
	})
	b.edited("two", func(tr *directory.Trust) { tr.JWKS, tr.Authorities = "", pemOf(two.cert) })
	b.service("m1", first.workload("w1", map[string]string{"sub": "spiffe://one.example/m1"}))
	b.service("m2", second.workload("w2", map[string]string{"sub": "spiffe://two.example/m2"}))
	svid := func(by *authority, id string, edit func(*x509.Certificate)) clientauth.Presented {
		u, err := url.Parse(id)
		if err != nil {
			t.Fatal(err)
		}
		return overTLS(id, b.certificate(by, newECKey(t), func(c *x509.Certificate) {
			c.URIs = []*url.URL{u}
			if edit != nil {
				edit(c)
			}
		}))
	}
	good := svid(one, "spiffe://one.example/m1", nil)
	if id := b.want("of the bundle", good, "m1", "w1"); id.Method != api.SPIFFEX509 || !id.Until.Equal(b.now.Add(time.Hour)) || id.Depends != first.trust.Generation {
		t.Errorf("got %+v", id)
	}
	b.want("of an authority in PEM", svid(two, "spiffe://two.example/m2", nil), "m2", "w2")
	for name, c := range map[string]struct {
		p      clientauth.Presented
		reason string
	}{
		"of the other trust domain": {svid(two, "spiffe://one.example/m1", nil), "certificate_not_trusted"},
		"of nobody":                 {svid(b.authority("one"), "spiffe://one.example/m1", nil), "certificate_not_trusted"},
		"an unknown trust domain":   {svid(one, "spiffe://three.example/m1", nil), "unknown_issuer"},
		"another workload":          {svid(one, "spiffe://one.example/m3", nil), "no_matching_credential"},
		"ended":                     {svid(one, "spiffe://one.example/m1", func(c *x509.Certificate) { c.NotAfter = b.now.Add(-time.Second) }), "certificate_expired"},
		"two URIs": {svid(one, "spiffe://one.example/m1", func(c *x509.Certificate) {
			c.URIs = append(c.URIs, &url.URL{Scheme: "spiffe", Host: "one.example", Path: "/m3"})
		}), "wrong_certificate"},
		"no URI":       {svid(one, "spiffe://one.example/m1", func(c *x509.Certificate) { c.URIs = nil }), "wrong_certificate"},
		"an authority": {svid(one, "spiffe://one.example/m1", func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }), "wrong_certificate"},
		"may sign":     {svid(one, "spiffe://one.example/m1", func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCRLSign }), "wrong_certificate"},
		"no use":       {svid(one, "spiffe://one.example/m1", func(c *x509.Certificate) { c.KeyUsage = 0 }), "wrong_certificate"},
		"another's ID": {overTLS("spiffe://one.example/m3", good.Certificates...), "wrong_certificate"},
	} {
		if _, failure := b.ask(c.p); failure == nil || failure.Kind != clientauth.Refused || failure.Reason != c.reason {
			t.Errorf("%s: got %v, want %s", name, failure, c.reason)
		}
	}
	life := func(d time.Duration) clientauth.Presented {
		return svid(one, "spiffe://one.example/m1", func(c *x509.Certificate) { c.NotBefore = c.NotAfter.Add(-d) })
	}
	b.want("of a day, which nothing bounds", life(24*time.Hour), "m1", "w1")
	b.edited("one", func(tr *directory.Trust) { tr.MaxLifetimeSeconds = 2 * 3600 })
	b.want("of the longest life, dated back", life(2*time.Hour+10*time.Second), "m1", "w1")
	b.wantNot("of a longer life", life(2*time.Hour+11*time.Second), clientauth.Refused, "lives_too_long")
	b.edited("one", func(tr *directory.Trust) { tr.JWKS = `{"keys":[]}` })
	b.wantNot("of an empty bundle", good, clientauth.Refused, "certificate_not_trusted")
	b.edited("two", func(tr *directory.Trust) { tr.Disabled = true })
	b.wantNot("of a disabled trust", svid(two, "spiffe://two.example/m2", nil), clientauth.Refused, "trust_disabled")
}
