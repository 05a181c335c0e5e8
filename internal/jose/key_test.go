package jose

import (
	"bytes"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
)

// RFC 7638, section 3.1, and RFC 8037, appendix A.3.
func TestThumbprintIsTheRFCs(t *testing.T) {
	for _, c := range []struct{ jwk, want string }{
		{`{"kty":"RSA","e":"AQAB","alg":"RS256","kid":"2011-04-29","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"}`, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"},
		{`{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"},
	} {
		k, err := ParseJWK([]byte(c.jwk))
		must(t, err)
		if got, err := Thumbprint(k.Key); err != nil || got != c.want {
			t.Errorf("got %s, %v, want %s", got, err, c.want)
		}
	}
	if _, err := Thumbprint("not a key"); err == nil {
		t.Error("a string has a thumbprint")
	}
}

func TestPublicJWKHasNoPrivateMember(t *testing.T) {
	for alg, s := range testSigners() {
		b, err := s.Public().JWK()
		must(t, err)
		var m map[string]string
		must(t, json.Unmarshal(b, &m))
		if m["kid"] != s.ID() || m["alg"] != string(alg) || m["use"] != "sig" {
			t.Errorf("%s: got %s", alg, b)
		}
		for name := range m {
			if !slices.Contains(strings.Fields("kid alg use kty crv x y n e"), name) {
				t.Errorf("%s: unexpected member %s", alg, name)
			}
		}
		if k, err := ParseJWK(b); err != nil || k.ID != s.ID() || k.Algorithm != alg {
			t.Errorf("%s: read back as %+v, %v", alg, k, err)
		}
	}
	private := PublicKey{ID: "k", Algorithm: ES256, Key: testSigners()[ES256].key}
	if b, err := private.JWK(); err == nil {
		t.Errorf("a private key in place of a public one was written: %s", b)
	}
}

// edit is the JWK of alg's signer with members replaced, or taken out when "".
func edit(t *testing.T, alg Algorithm, changes ...string) []byte {
	t.Helper()
	b, err := testSigners()[alg].Public().JWK()
	must(t, err)
	var m map[string]json.RawMessage
	must(t, json.Unmarshal(b, &m))
	for i := 0; i < len(changes); i += 2 {
		if m[changes[i]] = json.RawMessage(changes[i+1]); changes[i+1] == "" {
			delete(m, changes[i])
		}
	}
	if b, err = json.Marshal(m); err != nil {
		t.Fatal(err)
	}
	return b
}

func quoted(n *big.Int) string { return `"` + encode(string(n.Bytes())) + `"` }

func TestKeysThatMustNotVerifyAreRefused(t *testing.T) {
	modulus := testSigners()[RS256].Public().Key.(*rsa.PublicKey).N
	for name, b := range map[string][]byte{
		"private EC": edit(t, ES256, "d", `"AAAA"`), "private, null": edit(t, ES256, "d", `null`), "private RSA": edit(t, RS256, "p", `"AAAA"`),
		"for encryption": edit(t, ES256, "use", `"enc"`), "use null": edit(t, ES256, "use", `null`), "use SIG": edit(t, ES256, "use", `"SIG"`),
		"key_ops encrypt": edit(t, ES256, "key_ops", `["encrypt"]`), "key_ops sign": edit(t, ES256, "key_ops", `["sign"]`), "key_ops empty": edit(t, ES256, "key_ops", `[]`),
		"symmetric":              []byte(`{"kty":"oct","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","alg":"HS256","kid":"k"}`),
		"EC with a secret":       edit(t, ES256, "k", `"AAAA"`),
		"HS256 with an RSA key":  edit(t, RS256, "alg", `"HS256"`),
		"none":                   edit(t, RS256, "alg", `"none"`),
		"alg null":               edit(t, RS256, "alg", `null`),
		"ES256 with an RSA key":  edit(t, RS256, "alg", `"ES256"`),
		"RS256 with an EC key":   edit(t, ES256, "alg", `"RS256"`),
		"EdDSA with an EC key":   edit(t, ES256, "alg", `"EdDSA"`),
		"ES384":                  edit(t, ES256, "alg", `"ES384"`),
		"RSA-OAEP":               edit(t, RS256, "alg", `"RSA-OAEP"`),
		"another curve":          edit(t, ES256, "crv", `"P-384"`),
		"secp256k1":              edit(t, ES256, "crv", `"secp256k1"`),
		"X25519":                 edit(t, EdDSA, "crv", `"X25519"`),
		"no curve":               edit(t, ES256, "crv", ``),
		"point off the curve":    edit(t, ES256, "y", `"UI8exy-C06a7DUnjIdENkxeFtHM4-l_41LqEw9nVgnw"`),
		"point at the origin":    edit(t, ES256, "x", `"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"`, "y", `"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"`),
		"short coordinate":       edit(t, ES256, "x", `"AAAA"`),
		"no y":                   edit(t, ES256, "y", ``),
		"padded coordinate":      edit(t, EdDSA, "x", `"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo="`),
		"trailing bits":          edit(t, EdDSA, "x", `"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURp"`),
		"line feed":              edit(t, EdDSA, "x", `"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\n"`),
		"Ed25519 of low order":   edit(t, EdDSA, "x", `"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"`),
		"Ed25519 of 31 bytes":    edit(t, EdDSA, "x", `"`+strings.Repeat("A", 41)+`A"`),
		"RSA of 2047 bits":       edit(t, RS256, "n", quoted(new(big.Int).Add(new(big.Int).Lsh(big.NewInt(1), 2046), big.NewInt(1)))),
		"even modulus":           edit(t, RS256, "n", quoted(new(big.Int).Sub(modulus, big.NewInt(1)))),
		"exponent 1":             edit(t, RS256, "e", `"AQ"`),
		"exponent 2":             edit(t, RS256, "e", `"Ag"`),
		"even exponent":          edit(t, RS256, "e", `"AQAA"`),
		"exponent of 33 bits":    edit(t, RS256, "e", `"AQAAAAE"`),
		"exponent of 2048 bits":  edit(t, RS256, "e", quoted(modulus)),
		"empty modulus":          edit(t, RS256, "n", `""`),
		"no modulus":             edit(t, RS256, "n", ``),
		"kid a number":           edit(t, ES256, "kid", `7`),
		"kid null":               edit(t, ES256, "kid", `null`),
		"kty missing":            edit(t, ES256, "kty", ``),
		"kty in the wrong case":  edit(t, ES256, "kty", `"ec"`),
		"kty of another key":     edit(t, ES256, "kty", `"RSA"`),
		"post-quantum":           []byte(`{"kty":"AKP","alg":"ML-DSA-44","pub":"AAAA"}`),
		"a repeated member":      bytes.Replace(edit(t, ES256), []byte(`{`), []byte(`{"kid":"k",`), 1),
		"not an object":          []byte(`[]`),
		"null":                   []byte(`null`),
		"nothing":                nil,
		"a key set":              NewKeySet(testSigners()[ES256].Public()).JSON(),
		"trailing bytes":         append(edit(t, ES256), '{', '}'),
		"members in other cases": []byte(strings.Replace(string(edit(t, ES256)), `"x"`, `"X"`, 1)),
	} {
		if k, err := ParseJWK(b); err == nil {
			t.Errorf("%s: accepted as %+v", name, k)
		}
	}
}

// F106: RSA keys have 2048 to 4096 bits, wherever they come from, and what is wrong with another one is its size.
func TestRSAKeysHaveAtMost4096Bits(t *testing.T) {
	odd := func(bits int) *big.Int { return new(big.Int).SetBit(big.NewInt(1), bits-1, 1) }
	for bits, good := range map[int]bool{2047: false, 2048: true, 4096: true, 4097: false, 8192: false, 16384: false} {
		jwk := edit(t, RS256, "alg", `"PS256"`, "n", quoted(odd(bits)))
		_, err := ParseJWK(jwk)
		_, _, clientErr := ParseClientJWK(jwk)
		for reader, err := range map[string]error{
			"JWK": err, "JWK of a client": clientErr, "CheckRSA": CheckRSA(&rsa.PublicKey{N: odd(bits), E: 65537}),
		} {
			if good && err != nil || !good && !errors.Is(err, ErrWeakKey) {
				t.Errorf("%s of %d bits: got %v, want it accepted: %v", reader, bits, err, good)
			}
			if size := fmt.Sprintf("%d bits", bits); !good && !strings.Contains(err.Error(), size) {
				t.Errorf("%s of %s: got %v, which does not tell the size", reader, size, err)
			}
		}
	}
	for e, good := range map[int]bool{3: true, 65537: true, 1<<17 - 1: true, 1<<17 + 1: false, 1<<31 - 1: false} {
		if err := CheckRSA(&rsa.PublicKey{N: odd(2048), E: e}); good != (err == nil) {
			t.Errorf("exponent %d: got %v, want it accepted: %v", e, err, good)
		}
	}
}

func TestUnstatedAlgorithmIsTheKeyTypesOwn(t *testing.T) {
	for _, alg := range []Algorithm{ES256, RS256, EdDSA} {
		if k, err := ParseJWK(edit(t, alg, "alg", "", "use", "", "kid", "")); err != nil || k.Algorithm != alg {
			t.Errorf("got %v, %v, want %s", k.Algorithm, err, alg)
		}
	}
	if k, err := ParseJWK(edit(t, EdDSA, "alg", `"Ed25519"`)); err != nil || k.Algorithm != EdDSA {
		t.Errorf("Ed25519 (RFC 9864): got %v, %v", k.Algorithm, err)
	}
}

// RFC 7517, section 4.7: certificates beside the key are not looked at, let alone fetched.
func TestCertificatesInAKeyAreIgnored(t *testing.T) {
	if _, err := ParseJWK(edit(t, ES256, "x5c", `["not a certificate"]`, "x5u", `"https://attacker.test/"`, "x5t", `"AAAA"`)); err != nil {
		t.Error(err)
	}
}

// RFC 7517, section 5.
func TestKeySetPassesOverKeysItCannotUse(t *testing.T) {
	set, err := ParseKeySet(fmt.Appendf(nil, `{"keys":[{"kty":"new"},{},null,7,{"kty":"oct","k":"AAAA","kid":"s"},%s,%s,%s,%s],"more":1}`,
		edit(t, ES256, "use", `"enc"`), edit(t, RS256, "d", `"AAAA"`), edit(t, EdDSA, "kid", ``), edit(t, ES256)))
	must(t, err)
	if keys := set.Keys(); len(keys) != 1 || keys[0].ID != testSigners()[ES256].ID() {
		t.Errorf("got %+v, want the one usable key", keys)
	}
	for _, bad := range []string{``, `null`, `[]`, `{}`, `{"keys":null}`, `{"keys":{}}`, `{"Keys":[]}`, `{"keys":[]}x`, `{"keys":[],"keys":[]}`, `{"keys":[{"kid":"a","kid":"b"}]}`} {
		if _, err := ParseKeySet([]byte(bad)); err == nil {
			t.Errorf("%s: accepted", bad)
		}
	}
	if set, err := ParseKeySet([]byte(`{"keys":[]}`)); err != nil || len(set.Keys()) != 0 {
		t.Errorf("the empty set: got %v", err)
	}
}

// VER-001: wycheproof calls it ambiguous.
func TestTwoKeysWithOneIDAreAnError(t *testing.T) {
	same := edit(t, EdDSA, "kid", `"k"`)
	if _, err := ParseKeySet(fmt.Appendf(nil, `{"keys":[%s,%s]}`, edit(t, ES256, "kid", `"k"`), same)); err == nil {
		t.Error("accepted")
	}
}

func TestKeySetHoldsOnlySoundKeys(t *testing.T) {
	good := testSigners()[ES256].Public()
	long := new(big.Int).Add(new(big.Int).Lsh(big.NewInt(1), 4096), big.NewInt(1))
	set := NewKeySet(PublicKey{ID: "long", Algorithm: RS256, Key: &rsa.PublicKey{N: long, E: 65537}}, PublicKey{ID: "zero", Algorithm: RS256, Key: &rsa.PublicKey{}}, good, good, PublicKey{Algorithm: ES256, Key: good.Key}, PublicKey{ID: "a", Algorithm: RS256, Key: good.Key},
		PublicKey{ID: "b", Algorithm: ES256, Key: testSigners()[ES256].key}, PublicKey{ID: "c"})
	if len(set.Keys()) != 1 {
		t.Errorf("got %+v, want one key", set.Keys())
	}
	var none *KeySet
	if _, ok := none.Find("k"); ok || len(none.Keys()) != 0 || string(none.JSON()) != `{"keys":[]}` {
		t.Error("the nil set is not empty")
	}
}

// F09. A key set of MaxKeys keys is read, and no larger one.
func TestKeySetHasABound(t *testing.T) {
	jwk, err := testSigners()[RS256].Public().JWK()
	must(t, err)
	set := func(n int) []byte {
		members := make([]string, n)
		for i := range members {
			members[i] = fmt.Sprintf(`{"kid":"k%d",%s`, i, strings.Replace(string(jwk[1:]), `"kid"`, `"x-kid"`, 1))
		}
		return []byte(`{"keys":[` + strings.Join(members, ",") + `]}`)
	}
	if s, err := ParseKeySet(set(MaxKeys)); err != nil || len(s.Keys()) != MaxKeys {
		t.Errorf("got %v, %v", len(s.Keys()), err)
	}
	if _, err := ParseKeySet(set(MaxKeys + 1)); !errors.Is(err, ErrMalformed) {
		t.Errorf("one more: got %v", err)
	}
	if size := len(set(MaxKeys)); size > 512<<10 {
		t.Errorf("it has %d bytes, which is more than package verify reads", size)
	}
}
