package differential

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/watchword-dev/watchword/internal/jose"
)

var allAlgorithms = []jose.Algorithm{jose.ES256, jose.RS256, jose.PS256, jose.EdDSA}

const somePayload = `{"iss":"auth-server","sub":"m1","aud":"m2","exp":1795468485}`

// testSigners has one signer an algorithm. RSA keys take a second to make: once is enough.
var testSigners = sync.OnceValue(func() map[jose.Algorithm]*jose.Signer {
	signers := map[jose.Algorithm]*jose.Signer{}
	for _, alg := range allAlgorithms {
		key, err := jose.GenerateKey(alg)
		if err != nil {
			panic(err)
		}
		if signers[alg], err = jose.NewSigner("k-"+string(alg), alg, key); err != nil {
			panic(err)
		}
	}
	return signers
})

// forge signs any header and payload, as package jose would not.
func forge(t testing.TB, s *jose.Signer, header, payload string) string {
	t.Helper()
	input := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(payload))
	digest := sha256.Sum256([]byte(input))
	var sig []byte
	var err error
	switch key := s.Key().(type) {
	case *ecdsa.PrivateKey:
		r, other, e := ecdsa.Sign(rand.Reader, key, digest[:])
		if err = e; err == nil {
			sig = append(r.FillBytes(make([]byte, 32)), other.FillBytes(make([]byte, 32))...)
		}
	case ed25519.PrivateKey:
		sig = ed25519.Sign(key, []byte(input))
	case *rsa.PrivateKey:
		if s.Algorithm() == jose.PS256 {
			sig, err = rsa.SignPSS(rand.Reader, key, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		} else {
			sig, err = rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
		}
	}
	if err != nil || sig == nil {
		t.Fatalf("sign with %s: %v", s.Algorithm(), err)
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(sig)
}

// ours is what package jose reads from the token.
func ours(compact string, keys *jose.KeySet) (*jose.Claims, error) {
	tok, err := jose.Parse(compact)
	if err != nil {
		return nil, err
	}
	if err := tok.Verify(keys, allAlgorithms); err != nil {
		return nil, err
	}
	return jose.ParseClaims(tok.Payload)
}

// golangJWT says the same of golang-jwt. Its check of claims is left out: time is not package jose's.
func golangJWT(compact string, keys *jose.KeySet) (jwt.MapClaims, error) {
	parser := jwt.NewParser(jwt.WithoutClaimsValidation(), jwt.WithJSONNumber(), jwt.WithStrictDecoding(),
		jwt.WithValidMethods([]string{"ES256", "RS256", "PS256", "EdDSA"}))
	claims := jwt.MapClaims{}
	_, err := parser.ParseWithClaims(compact, claims, func(t *jwt.Token) (any, error) {
		kid, _ := t.Header["kid"].(string)
		k, ok := keys.Find(kid)
		if !ok || t.Method.Alg() != string(k.Algorithm) {
			return nil, errors.New("no such key")
		}
		return k.Key, nil
	})
	return claims, err
}

// standardLibrary says the same of the standard library used by hand, as plainly as can be.
func standardLibrary(compact string, keys *jose.KeySet) (map[string]any, error) {
	parts := strings.Split(compact, ".")
	if len(parts) != 3 {
		return nil, errors.New("not three parts")
	}
	var decoded [3][]byte
	for i, p := range parts {
		b, err := base64.RawURLEncoding.Strict().DecodeString(p)
		if err != nil {
			return nil, err
		}
		decoded[i] = b
	}
	var header struct{ Alg, Kid string }
	if err := json.Unmarshal(decoded[0], &header); err != nil {
		return nil, err
	}
	k, ok := keys.Find(header.Kid)
	if !ok || header.Alg != string(k.Algorithm) && header.Alg != "Ed25519" {
		return nil, fmt.Errorf("no key %q for %q", header.Kid, header.Alg)
	}
	if !verifies(k, parts[0]+"."+parts[1], decoded[2]) {
		return nil, errors.New("signature does not match")
	}
	dec := json.NewDecoder(strings.NewReader(string(decoded[1])))
	dec.UseNumber()
	var claims map[string]any
	if err := dec.Decode(&claims); err != nil {
		return nil, err
	}
	if !json.Valid(decoded[1]) || claims == nil {
		return nil, errors.New("not one JSON object")
	}
	return claims, nil
}

func verifies(k jose.PublicKey, input string, sig []byte) bool {
	digest := sha256.Sum256([]byte(input))
	switch pub := k.Key.(type) {
	case *ecdsa.PublicKey:
		return len(sig) == 64 && ecdsa.Verify(pub, digest[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:]))
	case ed25519.PublicKey:
		return ed25519.Verify(pub, []byte(input), sig)
	case *rsa.PublicKey:
		if k.Algorithm == jose.PS256 {
			return rsa.VerifyPSS(pub, crypto.SHA256, digest[:], sig, nil) == nil
		}
		return rsa.VerifyPKCS1v15(pub, crypto.SHA256, digest[:], sig) == nil
	}
	return false
}

// against fails when one of the others refuses what we take, or reads other claims in it.
func against(t *testing.T, compact string, keys *jose.KeySet) (taken bool) {
	t.Helper()
	c, err := ours(compact, keys)
	if err != nil {
		return false
	}
	plain, err := standardLibrary(compact, keys)
	if err != nil {
		t.Fatalf("%q: we take it, the standard library: %v", compact, err)
	}
	sameClaims(t, compact, c, plain)
	tok, err := jose.Parse(compact)
	if err != nil {
		t.Fatal(err)
	}
	if tok.Algorithm == "Ed25519" {
		return true // golang-jwt does not know the name of RFC 9864: no cause
	}
	theirs, err := golangJWT(compact, keys)
	if err != nil {
		t.Fatalf("%q: we take it, golang-jwt: %v", compact, err)
	}
	sameClaims(t, compact, c, theirs)
	return true
}

func sameClaims(t *testing.T, compact string, c *jose.Claims, theirs map[string]any) {
	t.Helper()
	for name, mine := range map[string]string{"iss": c.Issuer, "sub": c.Subject, "jti": c.ID, "scope": c.Scope, "client_id": c.ClientID} {
		if other, _ := theirs[name].(string); other != mine {
			t.Fatalf("%q: we read %s as %q, others as %q", compact, name, mine, other)
		}
	}
	if one, ok := theirs["aud"].(string); ok && (len(c.Audience) != 1 || c.Audience[0] != one) {
		t.Fatalf("%q: we read aud as %q, others as %q", compact, c.Audience, one)
	}
	if _, bound := theirs["cnf"]; bound != c.Bound {
		t.Fatalf("%q: we read bound as %v", compact, c.Bound)
	}
}

// FuzzAgainstOthers: no token that golang-jwt or the standard library refuses for cause is taken by us,
// nor is it taken for anything else. The fuzzer writes header and payload, which are signed
// as they are, and a change to the token then.
func FuzzAgainstOthers(f *testing.F) {
	var keys []jose.PublicKey
	for _, alg := range allAlgorithms {
		keys = append(keys, testSigners()[alg].Public())
	}
	set := jose.NewKeySet(keys...)
	for n, alg := range allAlgorithms {
		f.Add(fmt.Sprintf(`{"alg":%q,"kid":"k-%s","typ":"at+jwt"}`, alg, alg), somePayload, byte(n), uint16(0), byte(0))
		f.Add(fmt.Sprintf(`{"kid":"k-%s", "alg":%q,"x":[1]}`, alg, alg), `{"sub":"m1","sub":"m2"}`, byte(n), uint16(9), byte(1))
	}
	f.Add(`{"alg":"Ed25519","kid":"k-EdDSA"}`, `{"aud":["a"],"exp":1e3,"cnf":{"jkt":"x"}}`, byte(3), uint16(0), byte(0))
	f.Add(`{"alg":"none","kid":"k-ES256"}`, `{"Sub":"m1","x":1e400}`, byte(0), uint16(0), byte(0))
	f.Add(`{"alg":"ES256","kid":"k-RS256"}`, "{\"sub\":\"\xff\"} ", byte(0), uint16(0), byte(0))
	f.Fuzz(func(t *testing.T, header, payload string, signer byte, at uint16, change byte) {
		alg := allAlgorithms[int(signer)%len(allAlgorithms)]
		compact := []byte(forge(t, testSigners()[alg], header, payload))
		against(t, string(compact), set)
		compact[int(at)%len(compact)] ^= change
		against(t, string(compact), set)
	})
}

// The comparison is worth something only if all three take what is sound.
func TestOthersTakeWhatWeTake(t *testing.T) {
	for alg, s := range testSigners() {
		compact, err := s.Sign("at+jwt", []byte(`{"iss":"a","sub":"m1","aud":"m2","jti":"j","scope":"s","client_id":"m1","exp":1795468485,"cnf":{"jkt":"x"}}`))
		if err != nil {
			t.Fatal(err)
		}
		set := jose.NewKeySet(s.Public())
		if !against(t, compact, set) {
			t.Errorf("%s: refused by us", alg)
		}
		if _, err := golangJWT(compact, set); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
		if _, err := golangJWT(compact[:len(compact)-2]+"AA", set); err == nil {
			t.Errorf("%s: golang-jwt takes a broken signature", alg)
		}
		if _, err := standardLibrary(compact[:len(compact)-2]+"AA", set); err == nil {
			t.Errorf("%s: the standard library takes a broken signature", alg)
		}
	}
}
