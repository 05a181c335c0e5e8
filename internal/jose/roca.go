package jose

import "math/big"

// rocaPrimes are the small odd primes of the fingerprint in Nemec et al., "The Return of Coppersmith's Attack" (CCS
// 2017), section 4.1.
var rocaPrimes = []int64{
	3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89,
	97, 101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
}

// rocaFingerprint reports whether n is from the faulty key generator of Infineon chips (CVE-2017-15361). Modulo
// every small prime, n is then a power of 65537. For one in 2^27 other keys this is true by chance.
func rocaFingerprint(n *big.Int) bool {
	var rest big.Int
	for _, p := range rocaPrimes {
		if !isPowerOf65537(rest.Mod(n, big.NewInt(p)).Int64(), p) {
			return false
		}
	}
	return true
}

func isPowerOf65537(x, p int64) bool {
	g := int64(65537) % p
	for power := int64(1); ; {
		if power == x {
			return true
		}
		if power = power * g % p; power == 1 || power == 0 {
			return false
		}
	}
}
