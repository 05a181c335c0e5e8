package jose

import (
	"crypto"
	"fmt"
	"slices"

	josev4 "github.com/go-jose/go-jose/v4"

	"github.com/watchword-dev/watchword/internal/strictjson"
)

// ParsePrivateJWK returns a Signer for a private key in JWK form (RFC 7517). The id of a key without kid is its
// thumbprint. An RSA key without alg signs with PS256, which is stronger than RS256. Errors contain no part of the
// key.
func ParsePrivateJWK(b []byte) (*Signer, error) {
	var m jwk
	if err := strictjson.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("%w private JWK: not one well-formed JSON object", ErrMalformed)
	}
	if m.Use.set && m.Use.s != "sig" || m.Operations != nil && !slices.Contains(m.Operations, "sign") {
		return nil, fmt.Errorf("%w private JWK: not for making signatures", ErrMalformed)
	}
	if !m.D {
		return nil, fmt.Errorf("%w private JWK: it has no private key", ErrMalformed)
	}
	var k josev4.JSONWebKey
	if err := k.UnmarshalJSON(b); err != nil || !k.Valid() {
		return nil, fmt.Errorf("%w private JWK: not a valid key", ErrMalformed) // not wrapped, because it may contain the key
	}
	key, ok := k.Key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%w: keys of type %T cannot sign", ErrAlgorithm, k.Key)
	}
	if m.Algorithm.set {
		alg, err := ParseAlgorithm(m.Algorithm.s)
		if err != nil {
			return nil, err
		}
		return newSigner(m.ID.s, alg, key)
	}
	return SignerOf(m.ID.s, key)
}

// SignerOf returns a Signer with the algorithm for the type of the key: ES256, PS256 or EdDSA. If id is empty, it
// is the key's thumbprint.
func SignerOf(id string, key crypto.Signer) (*Signer, error) {
	if key == nil {
		return nil, fmt.Errorf("%w: no key", ErrMalformed)
	}
	for _, alg := range ClientAlgorithms() {
		if s, err := newSigner(id, alg, key); err == nil {
			return s, nil
		}
	}
	return nil, fmt.Errorf("%w: use a P-256 key, an RSA key of 2048 to 4096 bits, or an Ed25519 key", ErrAlgorithm)
}

// GenerateSigner returns a Signer with a new key. Its id is the key's thumbprint.
func GenerateSigner(alg Algorithm) (*Signer, error) {
	key, err := GenerateKey(alg)
	if err != nil {
		return nil, err
	}
	return newSigner("", alg, key)
}

func newSigner(id string, alg Algorithm, key crypto.Signer) (*Signer, error) {
	if id == "" {
		var err error
		if id, err = Thumbprint(key.Public()); err != nil {
			return nil, err
		}
	}
	return NewSigner(id, alg, key)
}

// PrivateJWK returns a private key as a JSON Web Key. If id is empty, it is the key's thumbprint.
func PrivateJWK(id string, alg Algorithm, key crypto.Signer) ([]byte, error) {
	s, err := newSigner(id, alg, key) // checks that the algorithm matches the key
	if err != nil {
		return nil, err
	}
	b, err := josev4.JSONWebKey{Key: key, KeyID: s.ID(), Algorithm: string(alg), Use: "sig"}.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("%w private key: it cannot be written as a JWK", ErrMalformed) // not wrapped, because it may contain the key
	}
	return b, nil
}
