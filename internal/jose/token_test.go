package jose

import (
	"testing"
)

func TestWhatOneSignsTheOtherVerifies(t *testing.T) {
	for _, alg := range []Algorithm{ES256, RS256, PS256, EdDSA} {
		key, err := GenerateKey(alg)
		if err != nil {
			t.Fatal(err)
		}
		id, err := Thumbprint(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		s, err := NewSigner(id, alg, key)
		if err != nil {
			t.Fatal(err)
		}
		compact, err := s.Sign("at+jwt", []byte(`{"iss":"auth-server","exp":1795468485.5,"aud":["a"]}`))
		if err != nil {
			t.Fatal(err)
		}
		set, err := ParseKeySet(NewKeySet(s.Public()).JSON())
		if err != nil {
			t.Fatal(err)
		}
		tok, err := Parse(compact)
		if err != nil {
			t.Fatal(err)
		}
		if err := tok.Verify(set, []Algorithm{alg}); err != nil {
			t.Error(alg, err)
		}
		c, err := ParseClaims(tok.Payload)
		if err != nil {
			t.Fatal(err)
		}
		t.Log(c, tok.Type, string(set.JSON()))
	}
}
