package jose

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"

	josev4 "github.com/go-jose/go-jose/v4"
)

func TestProofBringsItsKey(t *testing.T) {
	for alg, s := range testSigners() {
		for range 2 { // the second header is the remembered one
			compact, err := s.SignProof("dpop+jwt", []byte(`{"jti":"a"}`))
			must(t, err)
			tok, k, err := ParseProof(compact)
			if err != nil {
				t.Fatalf("%s: %v", alg, err)
			}
			id, err := Thumbprint(k.Key)
			if err != nil || id != s.ID() || k.Algorithm != alg || tok.Type != "dpop+jwt" || string(tok.Payload) != `{"jti":"a"}` {
				t.Errorf("%s: got %+v, %+v, %v", alg, tok, k, err)
			}
			if err := tok.VerifyWith(k); err != nil {
				t.Errorf("%s: %v", alg, err)
			}
			if _, err := Parse(compact); !errors.Is(err, ErrMalformed) {
				t.Errorf("%s: Parse takes a token with a key in its header: %v", alg, err)
			}
		}
		if plain, err := s.Sign("dpop+jwt", nil); err != nil || strings.Contains(decodedHeader(t, plain), "jwk") {
			t.Errorf("%s: Sign writes a key after SignProof did: %v", alg, err)
		}
	}
}

func decodedHeader(t *testing.T, compact string) string {
	t.Helper()
	head, _, _ := strings.Cut(compact, ".")
	b, err := base64.RawURLEncoding.DecodeString(head)
	must(t, err)
	return string(b)
}

// DPO-004, DPO-005. RFC 9449, sections 4.2 and 4.3; RFC 8725, section 3.4.
func TestProofsWithBadHeadersAreRefused(t *testing.T) {
	s := testSigners()[ES256]
	public := string(edit(t, ES256, "kid", "", "alg", "", "use", ""))
	rsaPublic := string(edit(t, PS256, "kid", "", "alg", "", "use", ""))
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	must(t, err)
	for name, header := range map[string]string{
		"no jwk":                `{"alg":"ES256"}`,
		"a kid instead":         `{"alg":"ES256","kid":"` + s.ID() + `"}`,
		"jwk null":              `{"alg":"ES256","jwk":null}`,
		"jwk a string":          `{"alg":"ES256","jwk":"x"}`,
		"jwk a set":             `{"alg":"ES256","jwk":{"keys":[` + public + `]}}`,
		"jwk twice":             `{"alg":"ES256","jwk":` + public + `,"jwk":` + public + `}`,
		"jwk in another case":   `{"alg":"ES256","JWK":` + public + `}`,
		"private":               `{"alg":"ES256","jwk":` + string(edit(t, ES256, "d", `"AAAA"`)) + `}`,
		"private, null":         `{"alg":"ES256","jwk":` + string(edit(t, ES256, "d", `null`)) + `}`,
		"private RSA":           `{"alg":"PS256","jwk":` + string(edit(t, PS256, "qi", `"AAAA"`)) + `}`,
		"symmetric":             `{"alg":"HS256","jwk":{"kty":"oct","k":"AAAA"}}`,
		"symmetric as ES256":    `{"alg":"ES256","jwk":{"kty":"oct","k":"AAAA"}}`,
		"off the curve":         `{"alg":"ES256","jwk":` + string(edit(t, ES256, "y", `"UI8exy-C06a7DUnjIdENkxeFtHM4-l_41LqEw9nVgnw"`)) + `}`,
		"RSA of 1024 bits":      `{"alg":"PS256","jwk":` + string(edit(t, PS256, "n", quoted(small.N))) + `}`,
		"P-384":                 `{"alg":"ES256","jwk":` + string(edit(t, ES256, "crv", `"P-384"`)) + `}`,
		"alg none":              `{"alg":"none","jwk":` + public + `}`,
		"alg HS256":             `{"alg":"HS256","jwk":` + public + `}`,
		"alg missing":           `{"jwk":` + public + `}`,
		"alg null":              `{"alg":null,"jwk":` + public + `}`,
		"alg of another type":   `{"alg":"EdDSA","jwk":` + public + `}`,
		"RSA under ES256":       `{"alg":"ES256","jwk":` + rsaPublic + `}`,
		"two algorithms":        `{"alg":"PS256","jwk":` + string(edit(t, RS256)) + `}`,
		"for encryption":        `{"alg":"ES256","jwk":` + string(edit(t, ES256, "use", `"enc"`)) + `}`,
		"jku":                   `{"alg":"ES256","jku":"https://a.test","jwk":` + public + `}`,
		"x5u":                   `{"alg":"ES256","x5u":"https://a.test","jwk":` + public + `}`,
		"x5c":                   `{"alg":"ES256","x5c":[],"jwk":` + public + `}`,
		"crit":                  `{"alg":"ES256","crit":["exp"],"jwk":` + public + `}`,
		"b64":                   `{"alg":"ES256","b64":true,"jwk":` + public + `}`,
		"typ a number":          `{"alg":"ES256","typ":1,"jwk":` + public + `}`,
		"not an object":         `[]`,
		"bytes after":           `{"alg":"ES256","jwk":` + public + `}{}`,
		"a member of jwk twice": `{"alg":"ES256","jwk":` + strings.Replace(public, `{`, `{"crv":"P-256",`, 1) + `}`,
	} {
		if tok, k, err := ParseProof(forge(t, s, header, `{}`)); err == nil || tok != nil || k.Key != nil {
			t.Errorf("%s: got %+v, %+v, %v", name, tok, k, err)
		}
	}
	if _, k, err := ParseProof(forge(t, testSigners()[PS256], `{"alg":"PS256","jwk":`+rsaPublic+`}`, `{}`)); err != nil || k.Algorithm != PS256 {
		t.Errorf("an RSA key that names no algorithm: got %v, %v, want the header's", k.Algorithm, err)
	}
	for name, token := range hostileTokens() {
		if _, _, err := ParseProof(token); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// PKJ-042.
func TestClientKeysThatMustNotBeRegisteredAreRefused(t *testing.T) {
	long := new(big.Int).Add(new(big.Int).Lsh(big.NewInt(1), 16383), big.NewInt(1))
	for name, b := range map[string][]byte{
		"RS256":           edit(t, RS256),
		"RSA of 1024":     edit(t, PS256, "n", quoted(new(big.Int).Add(new(big.Int).Lsh(big.NewInt(1), 1023), big.NewInt(1)))),
		"RSA of 16384":    edit(t, PS256, "n", quoted(long)),
		"e = 1":           edit(t, PS256, "e", `"AQ"`),
		"off the curve":   edit(t, ES256, "y", `"UI8exy-C06a7DUnjIdENkxeFtHM4-l_41LqEw9nVgnw"`),
		"ES384":           edit(t, ES256, "alg", `"ES384"`),
		"private":         edit(t, ES256, "d", `"AAAA"`),
		"symmetric":       []byte(`{"kty":"oct","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","alg":"HS256"}`),
		"a key set":       NewKeySet(testSigners()[ES256].Public()).JSON(),
		"kid twice":       bytes.Replace(edit(t, ES256), []byte(`{`), []byte(`{"kid":"k",`), 1),
		"kid empty":       edit(t, ES256, "kid", `""`),
		"kid with a line": edit(t, ES256, "kid", `"a\nb"`),
		"kid of 129":      edit(t, ES256, "kid", `"`+strings.Repeat("k", 129)+`"`),
		"encryption":      edit(t, ES256, "use", `"enc"`),
	} {
		if k, canonical, err := ParseClientJWK(b); err == nil || canonical != nil || k.Key != nil {
			t.Errorf("%s: got %+v, %s, %v", name, k, canonical, err)
		}
	}
}

func TestClientKeyHasOneForm(t *testing.T) {
	for _, alg := range []Algorithm{ES256, PS256, EdDSA} {
		s := testSigners()[alg]
		k, canonical, err := ParseClientJWK(edit(t, alg, "alg", "", "kid", "", "use", "", "x5c", `["x"]`, "note", `"x"`))
		if err != nil || k.Algorithm != alg || k.ID != s.ID() {
			t.Fatalf("%s: got %+v, %v, want its thumbprint for an id", alg, k, err)
		}
		again, same, err := ParseClientJWK(canonical)
		if err != nil || !bytes.Equal(same, canonical) || again.ID != k.ID || again.Algorithm != alg || strings.Contains(string(canonical), "x5c") {
			t.Errorf("%s: got %s, then %s, %v", alg, canonical, same, err)
		}
		if k, _, err := ParseClientJWK(edit(t, alg, "kid", `"mine"`)); err != nil || k.ID != "mine" {
			t.Errorf("%s: got %q, %v, want the id given", alg, k.ID, err)
		}
	}
}

// PKJ-045: decoys of another algorithm, use or type under the same kid.
func TestClientKeysOfOneIDAreAllReturned(t *testing.T) {
	keys, err := ParseClientKeys(fmt.Appendf(nil, `{"keys":[%s,%s,%s,%s,{"kty":"oct","k":"AAAA","kid":"k"},7]}`,
		edit(t, ES256, "kid", `"k"`), edit(t, EdDSA, "kid", `"k"`), edit(t, RS256, "kid", `"k"`), edit(t, ES256, "kid", `"k"`, "use", `"enc"`)))
	if err != nil || len(keys) != 2 || keys[0].Algorithm != ES256 || keys[1].Algorithm != EdDSA {
		t.Errorf("got %+v, %v", keys, err)
	}
	if _, err := ParseClientKeys([]byte(`{}`)); !errors.Is(err, ErrMalformed) {
		t.Errorf("got %v", err)
	}
}

// What we read and hash ourselves, go-jose reads and hashes alike.
func TestKeysAndThumbprintsAreThoseOfGoJose(t *testing.T) {
	for alg, s := range testSigners() {
		theirs, err := (&josev4.JSONWebKey{Key: s.Public().Key}).Thumbprint(crypto.SHA256)
		must(t, err)
		if ours, err := Thumbprint(s.Public().Key); err != nil || ours != encode(string(theirs)) {
			t.Errorf("%s: got %s, %v", alg, ours, err)
		}
	}
	for range 50 {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(t, err)
		b, err := josev4.JSONWebKey{Key: key.Public()}.MarshalJSON()
		must(t, err)
		if k, err := ParseJWK(b); err != nil || !key.PublicKey.Equal(k.Key) {
			t.Fatalf("%s: got %+v, %v", b, k, err)
		}
	}
	for _, curve := range []elliptic.Curve{elliptic.P384(), elliptic.P521()} {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		must(t, err)
		theirs, err := (&josev4.JSONWebKey{Key: key.Public()}).Thumbprint(crypto.SHA256)
		must(t, err)
		if ours, err := Thumbprint(key.Public()); err != nil || ours != encode(string(theirs)) {
			t.Errorf("%s: got %s, %v", curve.Params().Name, ours, err)
		}
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	must(t, err)
	for _, key := range []any{p224.Public(), (*rsa.PublicKey)(nil), (*ecdsa.PublicKey)(nil), nil} {
		if id, err := Thumbprint(key); err == nil {
			t.Errorf("%T has thumbprint %s", key, id)
		}
	}
}

func TestPartiesOfATokenAreRead(t *testing.T) {
	c, err := ParseClaims([]byte(`{"cnf":{"jkt":"j","x5t#S256":"x","kid":"other"},"act":{"sub":"m3","act":{"sub":"m2"}},"may_act":{"sub":"m9"},"deps":["svc_1","c1"],"status":{"status_list":{}}}`))
	if err != nil || !c.Bound || c.KeyThumbprint != "j" || c.CertificateSHA256 != "x" || fmt.Sprint(c.Actors) != "[m3 m2]" || c.MayAct != "m9" || fmt.Sprint(c.Deps) != "[svc_1 c1]" {
		t.Errorf("got %+v, %v", c, err)
	}
	if c, err := ParseClaims([]byte(`{"cnf":{"jwk":{}}}`)); err != nil || !c.Bound || c.KeyThumbprint != "" || c.CertificateSHA256 != "" {
		t.Errorf("bound in an unknown way: got %+v, %v", c, err)
	}
	if c, err := ParseClaims([]byte(`{}`)); err != nil || c.Bound || c.Actors != nil || c.MayAct != "" || c.Deps != nil {
		t.Errorf("none: got %+v, %v", c, err)
	}
	if c, err := ParseClaims([]byte(nested(MaxActors))); err != nil || len(c.Actors) != MaxActors {
		t.Errorf("the longest chain: got %+v, %v", c, err)
	}
	for _, payload := range []string{
		`{"cnf":null}`, `{"cnf":"x"}`, `{"cnf":["x"]}`, `{"cnf":{"jkt":1}}`, `{"cnf":{"jkt":null}}`, `{"cnf":{"jkt":"a","jkt":"b"}}`, `{"cnf":{"x5t#S256":[]}}`,
		`{"act":null}`, `{"act":"m2"}`, `{"act":[]}`, `{"act":{}}`, `{"act":{"sub":""}}`, `{"act":{"sub":1}}`, `{"act":{"sub":"m2","act":{}}}`,
		`{"act":{"sub":"m2","act":null}}`, `{"act":{"sub":"a","sub":"b"}}`, nested(MaxActors + 1),
		`{"may_act":null}`, `{"may_act":"m9"}`, `{"may_act":{}}`, `{"may_act":{"iss":"x"}}`, `{"may_act":{"sub":["m9"]}}`,
		`{"deps":null}`, `{"deps":"x"}`, `{"deps":{}}`, `{"deps":[null]}`, `{"deps":[1]}`, `{"deps":["a",["b"]]}`,
	} {
		if c, err := ParseClaims([]byte(payload)); !errors.Is(err, ErrMalformed) || c != nil {
			t.Errorf("%.60s: got %+v, %v, want ErrMalformed", payload, c, err)
		}
	}
}

// nested is a claim set with n actors.
func nested(n int) string {
	return "{" + strings.Repeat(`"act":{"sub":"m",`, n) + `"x":1` + strings.Repeat("}", n) + "}"
}

// FuzzParseProof: what we take for a proof, its key verifies or refuses, and go-jose reads alike.
func FuzzParseProof(f *testing.F) {
	for _, s := range testSigners() {
		proof, err := s.SignProof("dpop+jwt", []byte(`{"jti":"a"}`))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(proof)
	}
	f.Add(encode(`{"alg":"ES256","jwk":{"kty":"oct","k":"AAAA"}}`) + ".AA.AAAA")
	f.Fuzz(func(t *testing.T, compact string) {
		tok, k, err := ParseProof(compact)
		if err != nil {
			return
		}
		var header struct {
			Key json.RawMessage `json:"jwk"`
		}
		must(t, json.Unmarshal([]byte(decodedHeader(t, compact)), &header))
		var theirs josev4.JSONWebKey
		if err := theirs.UnmarshalJSON(header.Key); err == nil && !theirs.Key.(interface{ Equal(crypto.PublicKey) bool }).Equal(k.Key) {
			t.Fatalf("%s: go-jose reads another key", header.Key)
		}
		if err := tok.VerifyWith(k); err != nil && !errors.Is(err, ErrSignature) {
			t.Fatal(err)
		}
	})
}

func BenchmarkParseProof(b *testing.B) {
	for _, alg := range []Algorithm{ES256, PS256, EdDSA} {
		b.Run(string(alg), func(b *testing.B) {
			proof, err := testSigners()[alg].SignProof("dpop+jwt", []byte(`{"jti":"a"}`))
			must(b, err)
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := ParseProof(proof); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// must ends the test if something failed that has to succeed.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
