package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/watchword-dev/watchword/internal/strictjson"
)

// MaxTokenSize is the maximum length of a token, in bytes. Longer ones are refused before they are parsed
// (CVE-2025-30204, CVE-2025-27144).
const MaxTokenSize = 8 << 10

// Token is a compact token as received. It is well-formed, but must not be trusted until Verify has returned nil.
type Token struct {
	KeyID     string // kid, empty when absent
	Algorithm string // alg
	Type      string // typ, empty when absent
	Payload   []byte

	input     string // the bytes that are signed, as received (RFC 7515, section 5.2)
	signature []byte
}

// header has the members that are used, and those with which a token is refused: extensions that must be understood
// (RFC 7515, section 4.1.11; RFC 7797), and keys or URLs of keys that the sender chose (RFC 8725, section 3.10).
type header struct {
	Algorithm text `json:"alg"`
	KeyID     text `json:"kid"`
	Type      text `json:"typ"`

	Critical  presence `json:"crit"`
	Unencoded presence `json:"b64"`
	Key       presence `json:"jwk"`
	KeyURL    presence `json:"jku"`
	CertURL   presence `json:"x5u"`
	Certs     presence `json:"x5c"`
}

// Parse parses a compact token of at most MaxTokenSize bytes. It does not verify the signature.
func Parse(compact string) (*Token, error) { return ParseLong(compact, MaxTokenSize) }

// ParseLong is Parse with another limit, for documents that are signed like tokens.
func ParseLong(compact string, limit int) (*Token, error) {
	t, head, err := split(compact, limit)
	if err != nil {
		return nil, err
	}
	if err := t.readHeader(head); err != nil {
		return nil, err
	}
	return t, nil
}

// split decodes the three parts. It does not read the header.
func split(compact string, limit int) (t *Token, head []byte, err error) {
	if len(compact) > limit {
		return nil, nil, ErrTooLarge
	}
	// A JWE has four dots. It is refused, because this package does not decrypt.
	if strings.Count(compact, ".") != 2 {
		return nil, nil, fmt.Errorf("%w token: not three parts", ErrMalformed)
	}
	first, last := strings.IndexByte(compact, '.'), strings.LastIndexByte(compact, '.')
	if first > MaxTokenSize {
		return nil, nil, ErrTooLarge
	}
	if head, err = decode("token: header", compact[:first]); err != nil {
		return nil, nil, err
	}
	t = &Token{input: compact[:last]}
	if t.Payload, err = decode("token: payload", compact[first+1:last]); err != nil {
		return nil, nil, err
	}
	if t.signature, err = decode("token: signature", compact[last+1:]); err != nil {
		return nil, nil, err
	}
	if len(t.signature) == 0 {
		return nil, nil, fmt.Errorf("%w token: no signature", ErrMalformed)
	}
	return t, head, nil
}

// readHeader reads the header. Its errors contain nothing from the header, which the sender wrote.
func (t *Token) readHeader(b []byte) error {
	var h header
	if err := strictjson.Unmarshal(b, &h); err != nil {
		return fmt.Errorf("%w token: header is not one strict JSON object of strings", ErrMalformed)
	}
	switch {
	case !h.Algorithm.set:
		return fmt.Errorf("%w token: header has no alg", ErrMalformed)
	case bool(h.Critical || h.Unencoded):
		return fmt.Errorf("%w token: header requires an extension (crit, b64)", ErrMalformed)
	case bool(h.Key || h.KeyURL || h.CertURL || h.Certs):
		return fmt.Errorf("%w token: header contains its own key (jwk, jku, x5u, x5c)", ErrMalformed)
	}
	t.Algorithm, t.KeyID, t.Type = h.Algorithm.s, h.KeyID.s, h.Type.s
	return nil
}

func decode(part, s string) ([]byte, error) {
	if isBase64URL(s) {
		if b, err := strictBase64.DecodeString(s); err == nil {
			return b, nil
		}
	}
	return nil, fmt.Errorf("%w %s is not base64url", ErrMalformed, part)
}

// Verify checks the signature with the key in keys that the token names. The algorithm of the key must be that of
// the token, and one of allowed.
//
// From an ES256 signature (r, s), anybody can make another valid one, (r, n-s). So what must be used once is
// identified by jti, and never by the bytes of a token.
func (t *Token) Verify(keys *KeySet, allowed []Algorithm) error {
	if alg, err := ParsePlatformAlgorithm(t.Algorithm); err != nil || !slices.Contains(allowed, alg) {
		return ErrAlgorithm
	}
	if t.KeyID == "" {
		return ErrNoKey
	}
	k, ok := keys.Find(t.KeyID)
	if !ok {
		return ErrUnknownKey
	}
	return t.verify(k)
}

// VerifyWith checks the signature with k, even if the token names another key or none. The algorithm of the token
// must be that of k.
func (t *Token) VerifyWith(k PublicKey) error {
	if err := k.check(); err != nil {
		return err
	}
	return t.verify(k)
}

func (t *Token) verify(k PublicKey) error {
	if alg, err := ParsePlatformAlgorithm(t.Algorithm); err != nil || alg != k.Algorithm {
		return ErrAlgorithm
	}
	if !t.signedBy(k) {
		return ErrSignature
	}
	return nil
}

func (t *Token) signedBy(k PublicKey) bool {
	if pub, ok := k.Key.(ed25519.PublicKey); ok {
		return ed25519.Verify(pub, []byte(t.input), t.signature)
	}
	m, ok := methods[k.Algorithm]
	if !ok {
		return false
	}
	var digest []byte
	switch m.hash {
	case crypto.SHA256: // without an allocation
		d := sha256.Sum256([]byte(t.input))
		digest = d[:]
	case crypto.SHA384:
		d := sha512.Sum384([]byte(t.input))
		digest = d[:]
	default:
		d := sha512.Sum512([]byte(t.input))
		digest = d[:]
	}
	switch pub := k.Key.(type) {
	case *ecdsa.PublicKey:
		half := coordinate(m.curve)
		if len(t.signature) != 2*half {
			return false
		}
		r := new(big.Int).SetBytes(t.signature[:half])
		s := new(big.Int).SetBytes(t.signature[half:])
		return ecdsa.Verify(pub, digest, r, s) // refuses 0 and n (CVE-2022-21449)
	case *rsa.PublicKey:
		if m.pss {
			return rsa.VerifyPSS(pub, m.hash, digest, t.signature, pssOptions[m.hash]) == nil
		}
		return rsa.VerifyPKCS1v15(pub, m.hash, digest, t.signature) == nil
	}
	return false
}
