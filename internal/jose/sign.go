package jose

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
)

// Signer signs tokens with one key. It is safe for concurrent use.
type Signer struct {
	public  PublicKey
	key     crypto.Signer
	size    int      // the size of a signature, in bytes
	headers sync.Map // typ -> encoded header and its dot; a server has two or three types
}

// NewSigner returns a Signer for a private key. Only the Sign method of key is used, so the key may be in a device.
func NewSigner(id string, alg Algorithm, key crypto.Signer) (*Signer, error) {
	if key == nil || id == "" {
		return nil, errors.New("signer needs a key and a key id")
	}
	s := &Signer{public: PublicKey{ID: id, Algorithm: alg, Key: key.Public()}, key: key}
	if err := s.public.check(); err != nil {
		return nil, fmt.Errorf("signing key %q: %w", id, err)
	}
	if _, err := ParseAlgorithm(string(alg)); err != nil {
		return nil, fmt.Errorf("signing key %q: %w", id, err)
	}
	s.size = signatureSize
	if pub, ok := s.public.Key.(*rsa.PublicKey); ok {
		s.size = pub.Size()
	}
	return s, nil
}

// ID returns the key id for the header of tokens.
func (s *Signer) ID() string { return s.public.ID }

// Algorithm returns the signature algorithm.
func (s *Signer) Algorithm() Algorithm { return s.public.Algorithm }

// Key returns the private key itself, for other uses.
func (s *Signer) Key() crypto.Signer { return s.key }

// Public returns the public key.
func (s *Signer) Public() PublicKey { return s.public }

// Sign returns a compact token with payload, and with kid, typ (unless empty) and alg in its header.
func (s *Signer) Sign(typ string, payload []byte) (string, error) {
	header, err := s.header(typ)
	if err != nil {
		return "", fmt.Errorf("encode token header: %w", err)
	}
	return s.sign(header, payload)
}

func (s *Signer) sign(header string, payload []byte) (string, error) {
	token := make([]byte, 0, len(header)+base64.RawURLEncoding.EncodedLen(len(payload))+1+base64.RawURLEncoding.EncodedLen(s.size))
	token = append(token, header...)
	token = base64.RawURLEncoding.AppendEncode(token, payload)
	signature, err := s.signature(token)
	if err != nil {
		return "", fmt.Errorf("sign token with key %q: %w", s.public.ID, err)
	}
	token = append(token, '.')
	return string(base64.RawURLEncoding.AppendEncode(token, signature)), nil
}

// Size returns the length of a token of this type with a payload of this length, in bytes.
func (s *Signer) Size(typ string, payload int) int {
	header, _ := s.header(typ) // Sign returns the error
	return len(header) + base64.RawURLEncoding.EncodedLen(payload) + 1 + base64.RawURLEncoding.EncodedLen(s.size)
}

func (s *Signer) header(typ string) (string, error) {
	if h, ok := s.headers.Load(typ); ok {
		return h.(string), nil
	}
	b, err := json.Marshal(struct {
		KeyID     string    `json:"kid"`
		Type      string    `json:"typ,omitempty"`
		Algorithm Algorithm `json:"alg"`
	}{s.public.ID, typ, s.public.Algorithm})
	if err != nil {
		return "", err
	}
	h := base64.RawURLEncoding.EncodeToString(b) + "."
	s.headers.Store(typ, h)
	return h, nil
}

func (s *Signer) signature(input []byte) ([]byte, error) {
	if s.public.Algorithm == EdDSA {
		return s.key.Sign(rand.Reader, input, crypto.Hash(0))
	}
	digest := sha256.Sum256(input)
	switch s.public.Algorithm {
	case RS256:
		return s.key.Sign(rand.Reader, digest[:], crypto.SHA256)
	case PS256:
		return s.key.Sign(rand.Reader, digest[:], pssOptions[crypto.SHA256])
	}
	der, err := s.key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return nil, err
	}
	return fixedLength(der)
}

// pssOptions set the length of the salt to that of the hash (RFC 7518, section 3.5).
var pssOptions = map[crypto.Hash]*rsa.PSSOptions{
	crypto.SHA256: {SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256},
	crypto.SHA384: {SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA384},
	crypto.SHA512: {SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA512},
}

// signatureSize is the size of a signature of ES256 (RFC 7518, section 3.4) and Ed25519, in bytes.
const signatureSize = 64

// fixedLength converts an ECDSA signature from ASN.1, as Go and devices return it, to r and s of 32 bytes each (RFC
// 7518, section 3.4). It does not use encoding/asn1, which takes two microseconds with its big integers.
func fixedLength(der []byte) ([]byte, error) {
	const half = signatureSize / 2
	out := make([]byte, signatureSize)
	// The length of a sequence of two integers of at most 33 bytes is one byte.
	if len(der) < 2 || der[0] != 0x30 || int(der[1]) != len(der)-2 {
		return nil, errNotECDSA
	}
	rest, ok := integer(der[2:], out[:half])
	if ok {
		rest, ok = integer(rest, out[half:])
	}
	if !ok || len(rest) != 0 {
		return nil, errNotECDSA
	}
	return out, nil
}

var errNotECDSA = errors.New("the signer did not return an ECDSA signature for P-256")

// integer reads a positive ASN.1 integer into out, big-endian, and returns what follows it.
func integer(der, out []byte) (rest []byte, ok bool) {
	if len(der) < 2 || der[0] != 0x02 || int(der[1]) > len(der)-2 {
		return nil, false
	}
	value, rest := der[2:2+der[1]], der[2+der[1]:]
	if len(value) == 0 || value[0]&0x80 != 0 {
		return nil, false // none, or negative
	}
	value = bytes.TrimLeft(value, "\x00")
	if len(value) == 0 || len(value) > len(out) {
		return nil, false // zero, or out of range
	}
	copy(out[len(out)-len(value):], value)
	return rest, true
}
