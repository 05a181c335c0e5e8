package jose

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	josev4 "github.com/go-jose/go-jose/v4"
)

// FuzzParse holds Parse against go-jose: what we take, it must take for the same.
func FuzzParse(f *testing.F) {
	for _, token := range hostileTokens() {
		f.Add(token[:min(len(token), MaxTokenSize+1)])
	}
	for _, s := range testSigners() {
		f.Add(forge(f, s, `{"alg":"`+string(s.Algorithm())+`","kid":"k","typ":"at+jwt"}`, somePayload))
	}
	f.Add(encode(`{"alg":"ES256","crit":["b64"],"b64":false}`) + ".AA.AAAA")
	f.Fuzz(func(t *testing.T, compact string) {
		tok, err := Parse(compact)
		if err != nil {
			return
		}
		parts := strings.Split(compact, ".")
		if len(parts) != 3 || base64.RawURLEncoding.EncodeToString(tok.Payload) != parts[1] ||
			base64.RawURLEncoding.EncodeToString(tok.signature) != parts[2] || tok.input != parts[0]+"."+parts[1] {
			t.Fatalf("%q was not read as written", compact)
		}
		jws, err := josev4.ParseSignedCompact(compact, []josev4.SignatureAlgorithm{josev4.SignatureAlgorithm(tok.Algorithm)})
		if err != nil {
			return // it refuses more: a nonce that is no string, an empty alg
		}
		if h := jws.Signatures[0].Header; h.KeyID != tok.KeyID || !bytes.Equal(jws.UnsafePayloadWithoutVerification(), tok.Payload) {
			t.Fatalf("%q: go-jose reads kid %q, we %q", compact, h.KeyID, tok.KeyID)
		}
	})
}

// FuzzVerify: no token verifies but those our signer made.
func FuzzVerify(f *testing.F) {
	keys := make([]PublicKey, 0, len(allAlgorithms))
	inputs := map[string]bool{}
	for _, s := range testSigners() {
		keys = append(keys, s.Public())
		token := forge(f, s, `{"alg":"`+string(s.Algorithm())+`","kid":"`+s.ID()+`"}`, somePayload)
		inputs[token[:strings.LastIndexByte(token, '.')]] = true
		f.Add(token)
	}
	set := NewKeySet(keys...)
	f.Fuzz(func(t *testing.T, compact string) {
		tok, err := Parse(compact)
		if err == nil && tok.Verify(set, allAlgorithms) == nil && !inputs[tok.input] {
			t.Fatalf("%q verifies and was never signed", compact)
		}
	})
}

func FuzzParseClaims(f *testing.F) {
	f.Add([]byte(somePayload))
	f.Add([]byte(`{"aud":["a","b"],"exp":1e3,"nbf":1.5,"iat":9223372036854775808,"jti":null}`))
	// F98, F113.
	f.Add([]byte(`{"aud":["a","b"],"targets":["svc_1"],"deps":["svc_2","c","j","svc_3","d"],"dep_keys":["k",""],"act":{"sub":"a","act":{"sub":"b"}}}`))
	f.Add([]byte(`{"targets":"svc_1","dep_keys":[null]}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		c, err := ParseClaims(payload)
		if (c == nil) == (err == nil) {
			t.Fatal("claims and error exclude each other")
		}
		if err != nil {
			return
		}
		for _, d := range []int64{c.Expiry.Unix(), c.NotBefore.Unix(), c.IssuedAt.Unix()} {
			if d > maxDate {
				t.Fatalf("date %d is out of range", d)
			}
		}
	})
}

func FuzzParseKeySet(f *testing.F) {
	for _, s := range testSigners() {
		f.Add(NewKeySet(s.Public()).JSON())
	}
	f.Add([]byte(`{"keys":[{"kty":"oct","k":"AAAA"},{"kty":"EC","crv":"P-256","x":"AA","y":"AA","d":"AA"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		set, err := ParseKeySet(b)
		if err != nil {
			return
		}
		again, err := ParseKeySet(set.JSON())
		if err != nil || !bytes.Equal(again.JSON(), set.JSON()) {
			t.Fatalf("read back differently: %v", err)
		}
	})
}

func FuzzParseJWK(f *testing.F) {
	for _, s := range testSigners() {
		b, err := s.Public().JWK()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := ParseJWK(b)
		if err != nil {
			return
		}
		if _, err := k.JWK(); err != nil {
			t.Fatalf("was read and cannot be written: %v", err)
		}
	})
}
