package jose

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"

	"github.com/watchword-dev/watchword/internal/strictjson"
)

// proofHeader is the header of a token that must contain its key.
type proofHeader struct {
	Algorithm text `json:"alg"`
	Type      text `json:"typ"`
	Key       *jwk `json:"jwk"`

	Critical  presence `json:"crit"`
	Unencoded presence `json:"b64"`
	KeyURL    presence `json:"jku"`
	CertURL   presence `json:"x5u"`
	Certs     presence `json:"x5c"`
}

// ParseProof parses a compact token that contains the public key of its sender, such as a proof of possession (RFC
// 9449, section 4.2), and returns both. It is as strict as Parse. The key must be public, allowed, and for the
// algorithm of the header. The signature is not verified; use VerifyWith, which shows only that the sender has the
// key.
func ParseProof(compact string) (*Token, PublicKey, error) {
	t, head, err := split(compact, MaxTokenSize)
	if err != nil {
		return nil, PublicKey{}, err
	}
	k, err := t.readProofHeader(head)
	if err != nil {
		return nil, PublicKey{}, err
	}
	return t, k, nil
}

func (t *Token) readProofHeader(b []byte) (PublicKey, error) {
	var h proofHeader
	if err := strictjson.Unmarshal(b, &h); err != nil {
		return PublicKey{}, fmt.Errorf("%w token: header is not one strict JSON object of strings and a key", ErrMalformed)
	}
	switch {
	case !h.Algorithm.set:
		return PublicKey{}, fmt.Errorf("%w token: header has no alg", ErrMalformed)
	case bool(h.Critical || h.Unencoded):
		return PublicKey{}, fmt.Errorf("%w token: header requires an extension (crit, b64)", ErrMalformed)
	case bool(h.KeyURL || h.CertURL || h.Certs):
		return PublicKey{}, fmt.Errorf("%w token: header refers to a key elsewhere (jku, x5u, x5c)", ErrMalformed)
	case h.Key == nil:
		return PublicKey{}, fmt.Errorf("%w token: header has no jwk", ErrMalformed)
	}
	alg, err := ParseAlgorithm(h.Algorithm.s)
	if err != nil {
		return PublicKey{}, err
	}
	k, err := h.Key.publicKey(alg)
	if err != nil {
		return PublicKey{}, err
	}
	if k.Algorithm != alg {
		return PublicKey{}, fmt.Errorf("%w: the header and its key have different ones", ErrAlgorithm)
	}
	t.Algorithm, t.Type = h.Algorithm.s, h.Type.s
	return k, nil
}

// SignProof is like Sign, with the public key in the header instead of its id.
func (s *Signer) SignProof(typ string, payload []byte) (string, error) {
	// The key of the map has a NUL, so it cannot be a typ.
	const mark = "\x00jwk "
	header, ok := s.headers.Load(mark + typ)
	if !ok {
		key, err := thumbprintInput(s.public.Key)
		if err != nil {
			return "", fmt.Errorf("encode token header: %w", err)
		}
		b, err := json.Marshal(struct {
			Type      string          `json:"typ"`
			Algorithm Algorithm       `json:"alg"`
			Key       json.RawMessage `json:"jwk"`
		}{typ, s.public.Algorithm, key})
		if err != nil {
			return "", fmt.Errorf("encode token header: %w", err)
		}
		header = base64.RawURLEncoding.EncodeToString(b) + "."
		s.headers.Store(mark+typ, header)
	}
	return s.sign(header.(string), payload)
}

// ParseClientJWK reads the public key that a client registers for its assertions. It returns the key, and the JWK
// to store, with the public members, kid and alg. The id of a key without kid is its thumbprint. Unlike with
// ParseJWK, which reads keys of issuers, an RSA key without alg is for PS256, and RS256 is refused (FAPI 2.0
// Security Profile, section 5.4.1).
func ParseClientJWK(b []byte) (k PublicKey, canonical []byte, err error) {
	m, err := readJWK(b)
	if err != nil {
		return PublicKey{}, nil, err
	}
	if k, err = m.publicKey(PS256); err != nil {
		return PublicKey{}, nil, err
	}
	if k.Algorithm == RS256 {
		return PublicKey{}, nil, fmt.Errorf("%w: RS256 is not accepted from clients; use one of %s", ErrAlgorithm, List(ClientAlgorithms()))
	}
	switch {
	case !m.ID.set:
		if k.ID, err = Thumbprint(k.Key); err != nil {
			return PublicKey{}, nil, err
		}
	case !isKeyID(k.ID):
		return PublicKey{}, nil, fmt.Errorf("%w JWK: kid is not 1 to %d printable ASCII characters", ErrMalformed, maxKeyID)
	}
	canonical, err = k.JWK()
	return k, canonical, err
}

// ParseClientKeys reads the JWK Set that a client publishes. Like ParseKeySet, it ignores keys that cannot be used.
// Keys with the same id are all returned, because assertions also name their algorithm.
func ParseClientKeys(b []byte) ([]PublicKey, error) {
	members, err := KeySetMembers(b)
	if err != nil {
		return nil, err
	}
	var keys []PublicKey
	for _, m := range members {
		if k, _, err := ParseClientJWK(m); err == nil {
			keys = append(keys, k)
		}
	}
	return keys, nil
}

// maxKeyID is the maximum length of the kid of a client's key, in bytes. It is stored and logged.
const maxKeyID = 128

func isKeyID(s string) bool {
	printable := !slices.ContainsFunc([]byte(s), func(c byte) bool { return c < '!' || c > '~' })
	return printable && s != "" && len(s) <= maxKeyID
}

// curveKey reads a key on a curve, which most proofs have, without go-jose, which takes 5 times as long and 20 times as
// many allocations for P-256. It checks that the point is on the curve.
func curveKey(curve elliptic.Curve, x, y string) (*ecdsa.PublicKey, error) {
	const most = 66 // P-521
	size := coordinate(curve)
	var point [1 + 2*most]byte
	point[0] = 4 // uncompressed (SEC 1, section 2.3.3)
	for i, s := range []string{x, y} {
		// RFC 7518, section 6.2.1.2: coordinates have their full length.
		if len(s) != base64.RawURLEncoding.EncodedLen(size) || !isBase64URL(s) {
			return nil, fmt.Errorf("%w JWK: a coordinate is not %d bytes in base64url", ErrMalformed, size)
		}
		if _, err := strictBase64.Decode(point[1+i*size:1+(i+1)*size], []byte(s)); err != nil {
			return nil, fmt.Errorf("%w JWK: a coordinate is not %d bytes in base64url", ErrMalformed, size)
		}
	}
	key, err := ecdsa.ParseUncompressedPublicKey(curve, point[:1+2*size])
	if err != nil {
		return nil, fmt.Errorf("%w JWK: not a point on %s", ErrMalformed, curve.Params().Name)
	}
	return key, nil
}

// thumbprintInput returns the input of the hash in RFC 7638, section 3: a JWK with the members of the public key,
// in their order.
func thumbprintInput(pub any) ([]byte, error) {
	var b []byte
	switch pub := pub.(type) {
	case *ecdsa.PublicKey:
		if pub == nil || pub.Curve != elliptic.P256() && pub.Curve != elliptic.P384() && pub.Curve != elliptic.P521() {
			break
		}
		point, err := pub.Bytes()
		if err != nil {
			return nil, err
		}
		size := coordinate(pub.Curve)
		b = append(b, `{"crv":"`...)
		b = append(b, pub.Curve.Params().Name...)
		b = append(b, `","kty":"EC","x":"`...)
		b = base64.RawURLEncoding.AppendEncode(b, point[1:1+size])
		b = append(b, `","y":"`...)
		b = base64.RawURLEncoding.AppendEncode(b, point[1+size:])
		return append(b, `"}`...), nil
	case ed25519.PublicKey:
		b = append(b, `{"crv":"Ed25519","kty":"OKP","x":"`...)
		b = base64.RawURLEncoding.AppendEncode(b, pub)
		return append(b, `"}`...), nil
	case *rsa.PublicKey:
		if pub == nil || pub.N == nil {
			break
		}
		b = append(b, `{"e":"`...)
		b = base64.RawURLEncoding.AppendEncode(b, big.NewInt(int64(pub.E)).Bytes())
		b = append(b, `","kty":"RSA","n":"`...)
		b = base64.RawURLEncoding.AppendEncode(b, pub.N.Bytes())
		return append(b, `"}`...), nil
	}
	return nil, fmt.Errorf("%w: keys of type %T are not supported", ErrAlgorithm, pub)
}
