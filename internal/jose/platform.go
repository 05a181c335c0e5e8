package jose

import (
	"fmt"
	"slices"
)

// ParsePlatformJWK reads a public key of a platform, such as a cluster, whose tokens are signed with one of allowed. A
// platform's key often has no alg. It is then for each algorithm of its type, and the result has one PublicKey for each.
//
// The member use of the key must be use. Only for the use "sig" may it be absent (RFC 7517, section 4.2); a SPIFFE
// bundle always has one.
func ParsePlatformJWK(b []byte, use string, allowed []Algorithm) ([]PublicKey, error) {
	m, err := readJWK(b)
	if err != nil {
		return nil, err
	}
	if err := m.verifies(); err != nil {
		return nil, err
	}
	if m.Use.s != use && (m.Use.set || use != "sig") {
		return nil, fmt.Errorf("%w JWK: its use is not %s", ErrMalformed, use)
	}
	if m.ID.set && !isKeyID(m.ID.s) {
		return nil, fmt.Errorf("%w JWK: kid is not 1 to %d printable ASCII characters", ErrMalformed, maxKeyID)
	}
	candidates := PlatformAlgorithms()
	if m.Algorithm.set {
		alg, err := ParsePlatformAlgorithm(m.Algorithm.s)
		if err != nil {
			return nil, err
		}
		candidates = []Algorithm{alg}
	}
	key, err := m.key()
	if err != nil {
		return nil, err
	}
	var keys []PublicKey
	fault := fmt.Errorf("%w: use one of %s", ErrAlgorithm, List(allowed))
	for _, alg := range candidates {
		if !slices.Contains(allowed, alg) {
			continue
		}
		k := PublicKey{ID: m.ID.s, Algorithm: alg, Key: key}
		if fault = k.fits(); fault == nil {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil, fault
	}
	// Once for all algorithms: it takes longer than all else.
	if err := keys[0].check(); err != nil {
		return nil, err
	}
	return keys, nil
}
