package jose

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"testing"

	josev4 "github.com/go-jose/go-jose/v4"
)

func algorithmsOf(keys []PublicKey) (all []Algorithm) {
	for _, k := range keys {
		all = append(all, k.Algorithm)
	}
	return all
}

// RFC 7517, section 4.4: alg is optional. A key without it is for what is allowed and fits its type.
func TestPlatformKeyWithoutAlgIsForEachAllowedAlgorithm(t *testing.T) {
	rsaFamily := []Algorithm{RS256, PS256, RS384, RS512, PS384, PS512}
	for _, c := range []struct {
		jwk     []byte
		allowed []Algorithm
		want    []Algorithm
	}{
		{edit(t, RS256, "alg", ""), PlatformAlgorithms(), rsaFamily},
		{edit(t, RS256, "alg", ""), []Algorithm{RS256, ES256}, []Algorithm{RS256}},
		{edit(t, RS256), PlatformAlgorithms(), []Algorithm{RS256}},
		{edit(t, RS256, "alg", `"PS512"`), PlatformAlgorithms(), []Algorithm{PS512}},
		{edit(t, ES256, "alg", "", "use", "", "kid", ""), PlatformAlgorithms(), []Algorithm{ES256}},
		{edit(t, EdDSA, "alg", ""), PlatformAlgorithms(), []Algorithm{EdDSA}},
		{edit(t, EdDSA, "alg", `"Ed25519"`), PlatformAlgorithms(), []Algorithm{EdDSA}},
	} {
		keys, err := ParsePlatformJWK(c.jwk, "sig", c.allowed)
		if got := algorithmsOf(keys); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s with %v: got %v, %v, want %v", c.jwk, c.allowed, got, err, c.want)
		}
	}
}

func TestPlatformKeysThatCannotBeUsedAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		jwk  []byte
		use  string
		want error
	}{
		"private":                     {edit(t, ES256, "d", `"AAAA"`), "sig", ErrMalformed},
		"symmetric":                   {[]byte(`{"kty":"oct","k":"AAAA","kid":"k"}`), "sig", ErrMalformed},
		"for encryption":              {edit(t, RS256, "use", `"enc"`), "sig", ErrMalformed},
		"for JWT-SVIDs":               {edit(t, RS256, "use", `"jwt-svid"`), "sig", ErrMalformed},
		"for signatures, in a bundle": {edit(t, RS256), "jwt-svid", ErrMalformed},
		"without use, in a bundle":    {edit(t, RS256, "use", ``), "jwt-svid", ErrMalformed},
		"operations":                  {edit(t, RS256, "key_ops", `["sign"]`), "sig", ErrMalformed},
		"algorithm not allowed":       {edit(t, EdDSA), "sig", ErrAlgorithm},
		"no algorithm fits":           {edit(t, EdDSA, "alg", ``), "sig", ErrAlgorithm},
		"symmetric algorithm":         {edit(t, RS256, "alg", `"HS256"`), "sig", ErrAlgorithm},
		"algorithm of encryption":     {edit(t, RS256, "alg", `"RSA-OAEP"`), "sig", ErrAlgorithm},
		"algorithm of another type":   {edit(t, RS256, "alg", `"ES256"`), "sig", ErrAlgorithm},
		"algorithm of another curve":  {edit(t, ES256, "alg", `"ES384"`), "sig", ErrAlgorithm},
		"large exponent":              {edit(t, RS256, "e", `"AwAB"`), "sig", ErrWeakKey},
		"large exponent, without alg": {edit(t, RS256, "alg", ``, "e", `"AwAB"`), "sig", ErrWeakKey},
		"kid with a line feed":        {edit(t, RS256, "kid", `"a\nb"`), "sig", ErrMalformed},
		"kid empty":                   {edit(t, RS256, "kid", `""`), "sig", ErrMalformed},
	} {
		allowed := []Algorithm{ES256, ES384, RS256, RS512}
		if keys, err := ParsePlatformJWK(c.jwk, c.use, allowed); !errors.Is(err, c.want) || keys != nil {
			t.Errorf("%s: got %v, %v, want %v", name, keys, err, c.want)
		}
	}
	if keys, err := ParsePlatformJWK(edit(t, RS256, "use", `"jwt-svid"`), "jwt-svid", []Algorithm{RS256}); err != nil || len(keys) != 1 {
		t.Errorf("a key of a bundle: got %v, %v", keys, err)
	}
}

// RFC 7518, section 6.2.1: keys on the larger curves are read as go-jose writes them, with their full coordinates only.
func TestKeysOnLargerCurvesAreRead(t *testing.T) {
	for alg, curve := range map[Algorithm]elliptic.Curve{ES384: elliptic.P384(), ES512: elliptic.P521()} {
		for range 20 {
			key, err := ecdsa.GenerateKey(curve, rand.Reader)
			must(t, err)
			b, err := josev4.JSONWebKey{Key: key.Public(), KeyID: "k"}.MarshalJSON()
			must(t, err)
			keys, err := ParsePlatformJWK(b, "sig", PlatformAlgorithms())
			if err != nil || len(keys) != 1 || keys[0].Algorithm != alg || !key.PublicKey.Equal(keys[0].Key) {
				t.Fatalf("%s: got %+v, %v", b, keys, err)
			}
			if _, err := ParseJWK(b); !errors.Is(err, ErrAlgorithm) {
				t.Errorf("%s as a key of Watchword: got %v, want ErrAlgorithm", alg, err)
			}
			if _, _, err := ParseClientJWK(b); !errors.Is(err, ErrAlgorithm) {
				t.Errorf("%s as a key of a client: got %v, want ErrAlgorithm", alg, err)
			}
			if _, err := NewSigner("k", alg, key); !errors.Is(err, ErrAlgorithm) {
				t.Errorf("a signer for %s: got %v, want ErrAlgorithm", alg, err)
			}
		}
		point, err := ecdsa.GenerateKey(curve, rand.Reader)
		must(t, err)
		b, err := point.PublicKey.Bytes()
		must(t, err)
		size := coordinate(curve)
		jwk := func(x, y []byte) []byte {
			return fmt.Appendf(nil, `{"kty":"EC","crv":%q,"x":%q,"y":%q}`, curve.Params().Name, encode(string(x)), encode(string(y)))
		}
		x, y := b[1:1+size], b[1+size:]
		if _, err := ParsePlatformJWK(jwk(x, y), "sig", PlatformAlgorithms()); err != nil {
			t.Error(err)
		}
		for name, bad := range map[string][]byte{
			"a zero in front": jwk(append([]byte{0}, x...), y), "short": jwk(x[1:], y), "off the curve": jwk(y, x), "origin": jwk(make([]byte, size), make([]byte, size)),
			"another curve": bytes.Replace(jwk(x, y), []byte(curve.Params().Name), []byte("P-256"), 1),
		} {
			if keys, err := ParsePlatformJWK(bad, "sig", PlatformAlgorithms()); err == nil {
				t.Errorf("%s, %s: read as %+v", alg, name, keys)
			}
		}
	}
}

// Watchword's own keys and those of clients remain of their algorithms.
func TestAlgorithmsOfPlatformsAreNotOurs(t *testing.T) {
	for _, alg := range PlatformAlgorithms() {
		_, err := ParseAlgorithm(string(alg))
		if own := slices.Contains(Algorithms(), alg); own != (err == nil) {
			t.Errorf("ParseAlgorithm(%s): got %v", alg, err)
		}
		if got, err := ParsePlatformAlgorithm(string(alg)); err != nil || got != alg {
			t.Errorf("ParsePlatformAlgorithm(%s): got %v, %v", alg, got, err)
		}
	}
	for _, alg := range []string{"", "none", "HS256", "es384", "ES256K", "RS1", "Ed448"} {
		if got, err := ParsePlatformAlgorithm(alg); err == nil {
			t.Errorf("%s is taken as %s", alg, got)
		}
	}
	for _, alg := range []string{"RS384", "PS512"} {
		if _, err := ParseJWK(edit(t, RS256, "alg", `"`+alg+`"`)); !errors.Is(err, ErrAlgorithm) {
			t.Errorf("a key for %s: got %v, want ErrAlgorithm", alg, err)
		}
	}
}
