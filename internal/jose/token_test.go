package jose

import (
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"hash"
	"math/big"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// testSigners has one signer an algorithm. RSA keys take a second to make: once is enough.
var testSigners = sync.OnceValue(func() map[Algorithm]*Signer {
	signers := map[Algorithm]*Signer{}
	for _, alg := range allAlgorithms {
		key, err := GenerateKey(alg)
		if err != nil {
			panic(err)
		}
		id, err := Thumbprint(key.Public())
		if err != nil {
			panic(err)
		}
		if signers[alg], err = NewSigner(id, alg, key); err != nil {
			panic(err)
		}
	}
	return signers
})

const somePayload = `{"iss":"auth-server","sub":"m1","aud":"m2","exp":1795468485}`

func encode(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// forge signs any header and payload, as an attacker who has the key, or a careless issuer, could.
func forge(t testing.TB, s *Signer, header, payload string) string {
	t.Helper()
	input := encode(header) + "." + encode(payload)
	sig, err := s.signature([]byte(input))
	must(t, err)
	return input + "." + encode(string(sig))
}

// check is what every verifier does: parse, then verify.
func check(compact string, keys *KeySet) error {
	tok, err := Parse(compact)
	if err != nil {
		return err
	}
	return tok.Verify(keys, allAlgorithms)
}

func TestWhatOneSignsTheOtherVerifies(t *testing.T) {
	for alg, s := range testSigners() {
		compact, err := s.Sign("at+jwt", []byte(somePayload))
		must(t, err)
		set, err := ParseKeySet(NewKeySet(s.Public()).JSON())
		must(t, err)
		tok, err := Parse(compact)
		must(t, err)
		if tok.KeyID != s.ID() || tok.Algorithm != string(alg) || tok.Type != "at+jwt" || string(tok.Payload) != somePayload {
			t.Errorf("%s: got %+v", alg, tok)
		}
		if err := tok.Verify(set, []Algorithm{alg}); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
		if err := tok.Verify(set, nil); !errors.Is(err, ErrAlgorithm) {
			t.Errorf("%s when none is allowed: got %v, want ErrAlgorithm", alg, err)
		}
	}
}

// VER-002.
func TestUnsignedTokensAreRefused(t *testing.T) {
	s := testSigners()[ES256]
	keys := NewKeySet(s.Public())
	signed := forge(t, s, `{"alg":"ES256","kid":"`+s.ID()+`"}`, somePayload)
	input := signed[:strings.LastIndexByte(signed, '.')]
	if err := check(signed, keys); err != nil {
		t.Fatalf("the sound token: %v", err)
	}
	for _, alg := range []string{"none", "None", "nOnE", "NONE", "", " ES256", "es256", "ES256\\u0000"} {
		header := fmt.Sprintf(`{"alg":"%s","kid":"%s"}`, alg, s.ID())
		for _, token := range []string{encode(header) + "." + encode(somePayload) + ".", forge(t, s, header, somePayload)} {
			if err := check(token, keys); err == nil {
				t.Errorf("alg %q was accepted", alg)
			}
		}
	}
	for name, token := range map[string]string{
		"empty signature": input + ".", "no signature": input, "no dot": strings.ReplaceAll(signed, ".", ""),
		"nothing": "", "dots": "..", "empty header": signed[strings.IndexByte(signed, '.'):],
	} {
		if err := check(token, keys); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: got %v, want ErrMalformed", name, err)
		}
	}
}

// VER-003.
func TestPublicKeyIsNotAnHMACSecret(t *testing.T) {
	hashes := map[string]func() hash.Hash{"HS256": sha256.New, "HS384": sha512.New384, "HS512": sha512.New}
	for _, signer := range testSigners() {
		keys := NewKeySet(signer.Public())
		der, err := x509.MarshalPKIXPublicKey(signer.Public().Key)
		must(t, err)
		jwk, err := signer.Public().JWK()
		must(t, err)
		lf := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
		secrets := []string{lf, strings.ReplaceAll(lf, "\n", "\r\n"), strings.TrimSuffix(lf, "\n"), string(der), string(jwk), ""}
		if pub, ok := signer.Public().Key.(*rsa.PublicKey); ok {
			secrets = append(secrets, string(pub.N.Bytes()))
		}
		for alg, h := range hashes {
			for _, secret := range secrets {
				input := encode(`{"alg":"`+alg+`","kid":"`+signer.ID()+`"}`) + "." + encode(somePayload)
				mac := hmac.New(h, []byte(secret))
				mac.Write([]byte(input))
				if err := check(input+"."+encode(string(mac.Sum(nil))), keys); !errors.Is(err, ErrAlgorithm) {
					t.Errorf("%s: got %v, want ErrAlgorithm", alg, err)
				}
			}
		}
	}
}

// VER-004.
func TestES256SignatureHasOneForm(t *testing.T) {
	s := testSigners()[ES256]
	keys := NewKeySet(s.Public())
	input := encode(`{"alg":"ES256","kid":"`+s.ID()+`"}`) + "." + encode(somePayload)
	sig, err := s.signature([]byte(input))
	must(t, err)
	r, v := new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])
	der, err := asn1.Marshal(struct{ R, S *big.Int }{r, v})
	must(t, err)
	n := elliptic.P256().Params().N
	pair := func(r, s *big.Int) string {
		return string(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
	}
	zero, one := new(big.Int), big.NewInt(1)
	for name, bad := range map[string]string{
		"r=s=0": pair(zero, zero), "r=s=n": pair(n, n), "r=n": pair(n, v), "s=n": pair(r, n), "r=0": pair(zero, v), "s=0": pair(r, zero),
		"r=s=1": pair(one, one), "63 bytes": string(sig[:63]), "65 bytes": string(sig) + "\x00", "zero in front": "\x00" + string(sig),
		"DER": string(der), "s of 33 bytes": string(sig[:32]) + "\x00" + string(sig[32:]), "r and s of 33 bytes": "\x00" + string(sig[:32]) + "\x00" + string(sig[32:]),
	} {
		if err := check(input+"."+encode(bad), keys); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: got %v, want ErrSignature", name, err)
		}
	}
	// VER-005: the twin verifies, so nothing may be keyed by a token's bytes.
	if err := check(input+"."+encode(pair(r, new(big.Int).Sub(n, v))), keys); err != nil {
		t.Errorf("the (r, n-s) twin: got %v; if Go refuses it now, say so where the comments speak of it", err)
	}
}

// VER-007. That nothing is fetched follows: there is no network in this package (see
// TestNoHTTPIsImported).
func TestKeysInTheHeaderAreRefused(t *testing.T) {
	s := testSigners()[ES256]
	keys := NewKeySet(s.Public())
	for _, extra := range []string{
		`"jwk":{"kty":"EC"}`, `"jwk":null`, `"jku":"https://attacker.test/jwks"`, `"x5u":"https://attacker.test/x"`, `"x5c":["MIIB"]`,
	} {
		token := forge(t, s, `{"alg":"ES256","kid":"`+s.ID()+`",`+extra+`}`, somePayload)
		if err := check(token, keys); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: got %v, want ErrMalformed", extra, err)
		}
	}
}

// VER-008: whatever a kid holds, it is a name in a map and nothing else.
func TestKeyIDIsOnlyEverLookedUp(t *testing.T) {
	s := testSigners()[ES256]
	keys := NewKeySet(s.Public())
	for _, c := range []struct {
		member string
		want   error
	}{
		{`"kid":"other"`, ErrUnknownKey},
		{`"kid":"../../../dev/null"`, ErrUnknownKey},
		{`"kid":"' OR 1=1 --"`, ErrUnknownKey},
		{`"kid":"` + s.ID() + `\u0000"`, ErrUnknownKey},
		{`"kid":"` + strings.Repeat("k", 4000) + `"`, ErrUnknownKey},
		{`"kid":"` + strings.Repeat("k", 10<<10) + `"`, ErrTooLarge},
		{`"kid":""`, ErrNoKey},
		{`"typ":"JWT"`, ErrNoKey},
		{`"kid":null`, ErrMalformed},
		{`"kid":7`, ErrMalformed},
		{`"kid":["` + s.ID() + `"]`, ErrMalformed},
		{`"kid":"` + s.ID() + `","kid":"` + s.ID() + `"`, ErrMalformed},
		{`"KID":"` + s.ID() + `"`, ErrNoKey},
	} {
		if err := check(forge(t, s, `{"alg":"ES256",`+c.member+`}`, somePayload), keys); !errors.Is(err, c.want) {
			t.Errorf("%.40s: got %v, want %v", c.member, err, c.want)
		}
	}
}

func TestHeaderIsOneStrictObject(t *testing.T) {
	s := testSigners()[ES256]
	kid := `"kid":"` + s.ID() + `"`
	for _, header := range []string{
		``, `null`, `[]`, `"ES256"`, `{}`, `{` + kid + `}`, `{"alg":null,` + kid + `}`, `{"alg":["ES256"],` + kid + `}`,
		`{"alg":"ES256",` + kid + `,}`, `{"alg":"ES256",` + kid + `}{}`, "\xef\xbb\xbf" + `{"alg":"ES256",` + kid + `}`,
		`{"alg":"none","alg":"ES256",` + kid + `}`, `{"alg":"ES256",` + kid + `,"crit":[]}`, `{"alg":"ES256",` + kid + `,"crit":["exp"],"exp":1}`,
		`{"alg":"ES256",` + kid + `,"b64":true}`, `{"alg":"ES256",` + kid + `,"b64":false,"crit":["b64"]}`, `{"alg":"ES256",` + kid + `,"typ":5}`,
		`{"alg":"ES256",` + kid + `,"x":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`,
	} {
		if err := check(forge(t, s, header, somePayload), NewKeySet(s.Public())); !errors.Is(err, ErrMalformed) {
			t.Errorf("%.60q: got %v, want ErrMalformed", header, err)
		}
	}
}

// RFC 8725, section 3.1: one key, one algorithm. RFC 9864: Ed25519 is EdDSA by another name.
func TestAlgorithmIsTheKeys(t *testing.T) {
	signers := testSigners()
	for alg, s := range signers {
		for _, other := range []string{"ES256", "RS256", "PS256", "EdDSA", "Ed25519", "ES384", "RS512", "Ed448"} {
			token := forge(t, s, `{"alg":"`+other+`","kid":"`+s.ID()+`"}`, somePayload)
			want := ErrAlgorithm
			if other == string(alg) || alg == EdDSA && other == "Ed25519" {
				want = nil
			}
			if err := check(token, NewKeySet(s.Public())); !errors.Is(err, want) {
				t.Errorf("%s with the key of %s: got %v, want %v", other, alg, err, want)
			}
		}
	}
}

// Issuers that name no key are verified with one that is known to be theirs.
func TestTokenWithoutKeyIDVerifiesWithAGivenKey(t *testing.T) {
	s, other := testSigners()[ES256], testSigners()[RS256]
	tok, err := Parse(forge(t, s, `{"alg":"ES256"}`, somePayload))
	must(t, err)
	if err := tok.VerifyWith(s.Public()); err != nil {
		t.Error(err)
	}
	if err := tok.VerifyWith(other.Public()); !errors.Is(err, ErrAlgorithm) {
		t.Errorf("another's key: got %v, want ErrAlgorithm", err)
	}
	if err := tok.VerifyWith(PublicKey{Algorithm: ES256, Key: other.Public().Key}); !errors.Is(err, ErrAlgorithm) {
		t.Errorf("a key that is not of its algorithm: got %v, want ErrAlgorithm", err)
	}
}

// VER-019, VER-020: refused before anything is decoded, at next to no cost.
func TestOversizedTokensCostNothing(t *testing.T) {
	for name, token := range hostileTokens() {
		if _, err := Parse(token); err == nil {
			t.Errorf("%s: accepted", name)
		}
		const n = 100
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range n {
			_, _ = Parse(token)
		}
		runtime.ReadMemStats(&after)
		if got := (after.TotalAlloc - before.TotalAlloc) / n; got > 64<<10 {
			t.Errorf("%s: allocates %d bytes, want at most 64 KiB", name, got)
		}
	}
}

func hostileTokens() map[string]string {
	head := encode(`{"alg":"ES256","kid":"k"}`)
	return map[string]string{
		"60,000 dots":    strings.Repeat(".", 60_000),
		"8,000 dots":     strings.Repeat(".", 8_000),
		"1 MiB":          head + "." + strings.Repeat("A", 1<<20) + ".AAAA",
		"8 KiB header":   encode(`{"alg":"ES256","kid":"`+strings.Repeat("k", 8<<10)+`"}`) + "." + encode(somePayload) + ".AAAA",
		"deep header":    encode(`{"alg":"ES256","x":`+strings.Repeat("[", 1000)+strings.Repeat("]", 1000)+`}`) + "." + encode(somePayload) + ".AAAA",
		"wide header":    encode(`{"alg":"ES256","x":[`+strings.Repeat("0,", 2000)+`0]}`) + "." + encode(somePayload) + ".AAAA",
		"JWE dir":        encode(`{"alg":"dir","enc":"A256GCM","zip":"DEF"}`) + "..AAAAAAAAAAAAAAAA.AAAA.AAAAAAAAAAAAAAAAAAAAAA",
		"JWE PBES2":      encode(`{"alg":"PBES2-HS256+A128KW","enc":"A128GCM","p2c":2147483647,"p2s":"AAAA"}`) + ".AAAA.AAAA.AAAA.AAAA",
		"JWE A128KW":     encode(`{"alg":"A128KW","enc":"A128GCM"}`) + ".....",
		"JSON":           `{"payload":"e30","signatures":[{"protected":"e30","signature":"AAAA"}]}`,
		"JSON with dots": `{"payload":"e30.","protected":"e30.","signature":"AAAA"}`,
	}
}

// VER-022.
func TestBase64HasOneForm(t *testing.T) {
	s := testSigners()[ES256]
	keys := NewKeySet(s.Public())
	// The lengths leave trailing bits in every part but the signature, which has its own.
	header := `{"alg":"ES256","kid":"` + s.ID() + `"}`
	for len(header)%3 == 0 {
		header = " " + header
	}
	good := strings.Split(forge(t, s, header, somePayload+"  "), ".")
	must(t, check(strings.Join(good, "."), keys))
	for part := range good {
		bad := map[string]string{
			"line feed": good[part] + "\n", "line feed inside": good[part][:4] + "\n" + good[part][4:], "carriage return": "\r" + good[part],
			"padding": good[part] + "=", "two paddings": good[part] + "==", "space": good[part] + " ", "tab": "\t" + good[part],
			"plus": "+" + good[part][1:], "slash": "/" + good[part][1:], "NUL": good[part] + "\x00", "not ASCII": good[part] + "\u00e9",
		}
		if last := good[part][len(good[part])-1]; len(good[part])%4 != 0 {
			bad["trailing bits"] = good[part][:len(good[part])-1] + string(nextInAlphabet(last))
		}
		for name, b := range bad {
			parts := append([]string(nil), good...)
			parts[part] = b
			if err := check(strings.Join(parts, "."), keys); !errors.Is(err, ErrMalformed) {
				t.Errorf("part %d, %s: got %v, want ErrMalformed", part, name, err)
			}
		}
	}
}

// nextInAlphabet differs from c in the lowest bit: a bit that stands for nothing.
func nextInAlphabet(c byte) byte {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return alphabet[strings.IndexByte(alphabet, c)^1]
}

// VER-023.
func TestSignatureIsOverTheBytesReceived(t *testing.T) {
	s := testSigners()[ES256]
	keys := NewKeySet(s.Public())
	header := `{"alg":"ES256","kid":"` + s.ID() + `"}`
	// Odd spacing and order verify, since nothing is encoded again.
	if err := check(forge(t, s, "{ \"kid\" :\""+s.ID()+"\",\n\"alg\":\"\\u0045S256\" }", ` {"sub":"m1" , "iss":"x"}`), keys); err != nil {
		t.Errorf("odd spacing: %v", err)
	}
	parts := strings.Split(forge(t, s, header, `{"iss":"x","sub":"m1"}`), ".")
	for name, payload := range map[string]string{"reordered": `{"sub":"m1","iss":"x"}`, "spaced": `{"iss":"x", "sub":"m1"}`, "escaped": `{"iss":"x","sub":"\u006d1"}`} {
		if err := check(parts[0]+"."+encode(payload)+"."+parts[2], keys); !errors.Is(err, ErrSignature) {
			t.Errorf("%s payload: got %v, want ErrSignature", name, err)
		}
	}
	if err := check(encode(`{"kid":"`+s.ID()+`","alg":"ES256"}`)+"."+parts[1]+"."+parts[2], keys); !errors.Is(err, ErrSignature) {
		t.Error("reordered header: accepted")
	}
}

func TestNoErrorShowsTheToken(t *testing.T) {
	s := testSigners()[ES256]
	const secret = "c0ffee"
	for _, token := range []string{
		secret, secret + ".." + secret, forge(t, s, `{"`+secret+`":1,"`+secret+`":2}`, "{}"), forge(t, s, `{"alg":"`+secret+`"}`, "{}"),
		forge(t, s, `{"alg":"ES256","kid":"`+secret+`"}`, "{}"), encode(`{"alg":"ES256"}`) + ".!" + secret + ".AA",
	} {
		if err := check(token, NewKeySet(s.Public())); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("got %v, want an error without the token's text", err)
		}
	}
}
