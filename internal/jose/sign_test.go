package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/asn1"
	"encoding/json"
	"io"
	"math/big"
	"testing"

	josev4 "github.com/go-jose/go-jose/v4"
)

// go-jose reads what we write.
func TestGoJoseVerifiesWhatWeSign(t *testing.T) {
	for alg, s := range testSigners() {
		token, err := s.Sign("at+jwt", []byte(somePayload))
		must(t, err)
		var set josev4.JSONWebKeySet
		must(t, json.Unmarshal(NewKeySet(s.Public()).JSON(), &set))
		jws, err := josev4.ParseSignedCompact(token, []josev4.SignatureAlgorithm{josev4.SignatureAlgorithm(alg)})
		must(t, err)
		payload, err := jws.Verify(set)
		if err != nil || string(payload) != somePayload || jws.Signatures[0].Header.ExtraHeaders["typ"] != "at+jwt" {
			t.Errorf("%s: got %s, %v", alg, payload, err)
		}
	}
}

// And we read what go-jose writes.
func TestWhatGoJoseSignsVerifies(t *testing.T) {
	for alg, s := range testSigners() {
		key := josev4.SigningKey{Algorithm: josev4.SignatureAlgorithm(alg), Key: josev4.JSONWebKey{Key: s.key, KeyID: s.ID()}}
		signer, err := josev4.NewSigner(key, nil)
		must(t, err)
		jws, err := signer.Sign([]byte(somePayload))
		must(t, err)
		token, err := jws.CompactSerialize()
		must(t, err)
		if err := check(token, NewKeySet(s.Public())); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
	}
}

func TestHeaderHasNoTypeWhenNoneIsGiven(t *testing.T) {
	s := testSigners()[ES256]
	for _, typ := range []string{"", "JWT", "", `odd"type`} {
		token, err := s.Sign(typ, nil)
		must(t, err)
		if tok, err := Parse(token); err != nil || tok.Type != typ {
			t.Errorf("got %+v, %v, want typ %q", tok, err, typ)
		}
	}
}

// A key that lives in a device answers through crypto.Signer alone.
type device struct{ crypto.Signer }

func TestDeviceKeysSign(t *testing.T) {
	for alg, s := range testSigners() {
		opaque, err := NewSigner("device", alg, device{s.key})
		must(t, err)
		token, err := opaque.Sign("JWT", []byte(somePayload))
		must(t, err)
		if err := check(token, NewKeySet(opaque.Public())); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
	}
}

type brokenDevice struct {
	crypto.Signer
	answer []byte
}

func (d brokenDevice) Sign(_ io.Reader, _ []byte, _ crypto.SignerOpts) ([]byte, error) {
	return d.answer, nil
}

func TestNonsenseFromADeviceIsAnError(t *testing.T) {
	huge, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).Lsh(big.NewInt(1), 300), big.NewInt(1)})
	must(t, err)
	negative, err := asn1.Marshal(struct{ R, S *big.Int }{big.NewInt(-1), big.NewInt(1)})
	must(t, err)
	for name, answer := range map[string][]byte{"nothing": nil, "64 bytes": make([]byte, 64), "out of range": huge, "negative": negative} {
		s, err := NewSigner("k", ES256, brokenDevice{testSigners()[ES256].key, answer})
		must(t, err)
		if token, err := s.Sign("JWT", nil); err == nil {
			t.Errorf("%s: got %q, want an error", name, token)
		}
	}
}

func TestSignerRefusesKeysThatCannotVerify(t *testing.T) {
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	must(t, err)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	must(t, err)
	es := testSigners()[ES256].key
	for name, c := range map[string]struct {
		id  string
		alg Algorithm
		key crypto.Signer
	}{
		"no key": {"k", ES256, nil}, "no id": {"", ES256, es}, "other algorithm": {"k", EdDSA, es}, "no algorithm": {"k", "", es},
		"RSA of 1024 bits": {"k", RS256, weak}, "P-384": {"k", ES256, p384},
	} {
		if _, err := NewSigner(c.id, c.alg, c.key); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
