package clientauth

import (
	"crypto/x509"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/directory"
)

// CAU-003, for assertions: whoever is named, one signature is checked.
func TestUnknownServiceCostsASignatureToo(t *testing.T) {
	m := newPrivateKey(Options{Issuer: "https://as.test"})
	checked := 0
	m.nobodys = func(*jose.Token) { checked++ }
	key := func(id string, alg jose.Algorithm) (*jose.Signer, string) {
		private, err := jose.GenerateKey(alg)
		if err != nil {
			t.Fatal(err)
		}
		s, err := jose.NewSigner(id, alg, private)
		if err != nil {
			t.Fatal(err)
		}
		material, err := s.Public().JWK()
		if err != nil {
			t.Fatal(err)
		}
		return s, string(material)
	}
	_, own := key("own", jose.ES256)
	forger, _ := key("own", jose.ES256)
	another, _ := key("another", jose.ES256)
	now := time.Unix(1_800_000_000, 0)
	m5, m6 := directory.UID{5}, directory.UID{6}
	s := directory.NewSnapshot(&directory.State{
		Services:    []directory.Service{{UID: m5, Name: "m5"}, {UID: m6, Name: "m6"}},
		Credentials: []directory.Credential{{ID: "c5", Service: m5, Kind: directory.KindKey, Material: own, ExpiresAt: now.Add(time.Hour)}},
	}, time.Hour)
	for _, c := range []struct {
		what, name string
		by         *jose.Signer
		want       int
	}{
		{"a forgery", "m5", forger, 0}, // it was checked with m5's key
		{"no such key", "m5", another, 1},
		{"no key at all", "m6", forger, 1},
		{"no such service", "zz", forger, 1},
	} {
		token, err := c.by.Sign("JWT", []byte(`{"iss":"`+c.name+`","sub":"`+c.name+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		checked = 0
		if _, failure := m.Authenticate(t.Context(), &Presented{Assertion: token}, s, now); failure == nil || checked != c.want {
			t.Errorf("%s: got %v, and %d checks, want %d", c.what, failure, checked, c.want)
		}
	}
}

// F47: the certificate of a request is checked as far for a service that does not exist.
func TestUnknownServiceCostsAChainToo(t *testing.T) {
	for _, m := range []*overTLS{newTLSClient(Options{}), newSelfSignedTLSClient()} {
		checked := 0
		m.fault = func([]*x509.Certificate, netip.Addr, time.Time) string { checked++; return "certificate_expired" }
		s := directory.NewSnapshot(&directory.State{Services: []directory.Service{{UID: directory.UID{5}, Name: "m5"}}}, time.Hour)
		for name, why := range map[string]string{"m5": "certificate_expired", "zz": "unknown_service"} {
			checked = 0
			_, f := m.Authenticate(t.Context(), &Presented{ClientID: name, Certificates: []*x509.Certificate{{}}}, s, time.Unix(1_800_000_000, 0))
			if f == nil || f.Reason != why || checked != 1 {
				t.Errorf("%s, %s: got %v, and %d checks, want 1", m.name, name, f, checked)
			}
		}
	}
}

// The keys are fit to be checked with: else it would be over at once.
func TestNobodysKeysAreOfEachAlgorithm(t *testing.T) {
	for _, alg := range jose.ClientAlgorithms() {
		private, err := jose.GenerateKey(alg)
		if err != nil {
			t.Fatal(err)
		}
		signer, err := jose.NewSigner("k", alg, private)
		if err != nil {
			t.Fatal(err)
		}
		text, err := signer.Sign("JWT", []byte(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		token, err := jose.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, k := range nobodysKeys() {
			if k.Algorithm != alg {
				continue
			}
			found = true
			if err := token.VerifyWith(k); !errors.Is(err, jose.ErrSignature) {
				t.Errorf("%s: got %v, want a signature that does not match", alg, err)
			}
		}
		if !found {
			t.Errorf("no key for %s", alg)
		}
	}
}
