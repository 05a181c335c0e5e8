package jose

import "testing"

func TestPrivateKeyIsReadAsItWasWritten(t *testing.T) {
	for _, alg := range []Algorithm{ES256, PS256, EdDSA} {
		key, err := GenerateKey(alg)
		must(t, err)
		for _, id := range []string{"", "k1"} {
			b, err := PrivateJWK(id, alg, key)
			must(t, err)
			s, err := ParsePrivateJWK(b)
			must(t, err)
			thumbprint, err := Thumbprint(key.Public())
			must(t, err)
			if want := map[bool]string{true: thumbprint, false: id}[id == ""]; s.ID() != want || s.Algorithm() != alg {
				t.Errorf("%s: got kid %q and %s, want %q", alg, s.ID(), s.Algorithm(), want)
			}
			if _, _, err := ParseClientJWK(b); err == nil {
				t.Errorf("%s: the private key passes for a public one", alg)
			}
		}
	}
	key, err := GenerateKey(ES256)
	must(t, err)
	if b, err := PrivateJWK("k1", EdDSA, key); err == nil || b != nil {
		t.Errorf("an algorithm that is not the key's: got %s, %v", b, err)
	}
}
