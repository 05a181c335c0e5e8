package clientauth

import (
	"crypto/rsa"
	"math/big"
	"sync"

	"github.com/watchword-dev/watchword/internal/jose"
)

// nobodysKeys are keys of which nobody has the private half, one an algorithm.
var nobodysKeys = sync.OnceValue(func() (all []jose.PublicKey) {
	for _, alg := range []jose.Algorithm{jose.ES256, jose.EdDSA} {
		if k, err := jose.GenerateKey(alg); err == nil { // without one it would cost time only
			all = append(all, jose.PublicKey{Algorithm: alg, Key: k.Public()})
		}
	}
	// To make a real one takes long. Nobody signs with this either: what verifies is not believed.
	modulus := new(big.Int).Lsh(big.NewInt(1), 2048)
	return append(all, jose.PublicKey{Algorithm: jose.PS256, Key: &rsa.PublicKey{N: modulus.Sub(modulus, big.NewInt(1)), E: 65537}})
})

// checkNobodys takes as long as to check the signature of t with the key of a service. An assertion
// for a service that does not exist, or has no such key, is else answered a tenth of a millisecond
// earlier, which tells anyone what services there are (CVE-2025-6011).
func checkNobodys(t *jose.Token) {
	for _, k := range nobodysKeys() {
		if string(k.Algorithm) == t.Algorithm {
			_ = t.VerifyWith(k) // whatever comes of it
		}
	}
}
