package differential

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/watchword-dev/watchword/internal/jose"
)

// What golang-jwt signs with an algorithm of platforms is verified with the key of the platform, and with no other
// algorithm. Of changed signatures, both accept none.
func TestTokensOfPlatformsAreVerifiedAsByGolangJWT(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	private := map[jose.Algorithm]crypto.Signer{jose.EdDSA: ed}
	for alg, curve := range map[jose.Algorithm]elliptic.Curve{jose.ES256: elliptic.P256(), jose.ES384: elliptic.P384(), jose.ES512: elliptic.P521()} {
		if private[alg], err = ecdsa.GenerateKey(curve, rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	for _, alg := range []jose.Algorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512} {
		private[alg] = rs
	}
	if len(private) != len(jose.PlatformAlgorithms()) {
		t.Fatalf("%d algorithms are tested of %v", len(private), jose.PlatformAlgorithms())
	}
	for alg, key := range private {
		published, err := jose.PublicKey{ID: "k", Algorithm: alg, Key: key.Public()}.JWK()
		if err != nil {
			t.Fatal(err)
		}
		keys, err := jose.ParsePlatformJWK(published, "sig", jose.PlatformAlgorithms())
		if err != nil || len(keys) != 1 || keys[0].Algorithm != alg {
			t.Fatalf("%s: read %+v, %v", alg, keys, err)
		}
		// A platform often publishes no alg.
		bare := strings.Replace(string(published), `"alg":"`+string(alg)+`",`, "", 1)
		all, err := jose.ParsePlatformJWK([]byte(bare), "sig", jose.PlatformAlgorithms())
		if err != nil || bare == string(published) || !slices.ContainsFunc(all, func(k jose.PublicKey) bool { return k.Algorithm == alg }) {
			t.Fatalf("%s: read %+v, %v", alg, all, err)
		}
		token := jwt.NewWithClaims(jwt.GetSigningMethod(string(alg)), jwt.MapClaims{"sub": "m1"})
		token.Header["kid"] = "k"
		compact, err := token.SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		ours, err := jose.Parse(compact)
		if err != nil {
			t.Fatal(err)
		}
		if err := ours.VerifyWith(keys[0]); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
		for _, k := range all {
			if k.Algorithm != alg && !errors.Is(ours.VerifyWith(k), jose.ErrAlgorithm) {
				t.Errorf("%s verifies as %s", alg, k.Algorithm)
			}
			ours.Algorithm = string(k.Algorithm) // as if the sender had claimed it
			if got := ours.VerifyWith(k); (got == nil) != (k.Algorithm == alg) {
				t.Errorf("a signature of %s, checked as %s: got %v", alg, k.Algorithm, got)
			}
		}
		theirs := jwt.NewParser(jwt.WithValidMethods([]string{string(alg)}), jwt.WithStrictDecoding())
		public := func(*jwt.Token) (any, error) { return key.Public(), nil }
		if _, err := theirs.Parse(compact, public); err != nil {
			t.Errorf("%s: golang-jwt: %v", alg, err)
		}
		at := strings.LastIndexByte(compact, '.') + 1
		for _, bad := range []string{
			compact[:at] + "AAAA" + compact[at+4:], compact[:len(compact)-4], compact + "AAAA", compact[:at] + "AAAA" + compact[at:], compact[:at] + "AA",
			compact[:at-6] + "AAAAA" + compact[at-1:],
		} {
			_, other := theirs.Parse(bad, public)
			tok, err := jose.Parse(bad)
			if err == nil {
				err = tok.VerifyWith(keys[0])
			}
			if err == nil || other == nil {
				t.Errorf("%s: %.200q: ours %v, golang-jwt %v", alg, bad, err, other)
			}
		}
	}
}
