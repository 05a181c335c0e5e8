package supertokens

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// signingKey is an opened key. The private half must not be printed.
type signingKey struct {
	id        string
	createdAt time.Time
	private   *rsa.PrivateKey
	header    string // of a JWS, encoded
	jwk       string
}

// String keeps the private half out of logs and errors.
func (k *signingKey) String() string { return k.id }

func newSigningKey(stored SigningKey, plain []byte) (*signingKey, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(plain)
	if err != nil {
		return nil, fmt.Errorf("key %s is not PKCS #8", stored.ID)
	}
	private, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("key %s is not an RSA key", stored.ID)
	}
	encode := base64.RawURLEncoding.EncodeToString
	// Clients take the members in any order; some tools compare the text.
	header := `{"kid":"` + stored.ID + `","typ":"JWT","alg":"RS256"}`
	return &signingKey{
		id: stored.ID, createdAt: stored.CreatedAt, private: private,
		header: encode([]byte(header)),
		jwk: `{"kty":"RSA","kid":"` + stored.ID + `","n":"` + encode(private.N.Bytes()) +
			`","e":"` + encode(big.NewInt(int64(private.E)).Bytes()) + `","alg":"RS256","use":"sig"}`,
	}, nil
}

// sign makes a compact JWS (RFC 7515, section 7.1) of claims. It uses crypto/rsa directly because
// the order of the header's members is part of this interface's contract.
func (k *signingKey) sign(claims []byte) (string, error) {
	input := k.header + "." + base64.RawURLEncoding.EncodeToString(claims)
	digest := sha256.Sum256([]byte(input))
	signature, err := rsa.SignPKCS1v15(nil, k.private, crypto.SHA256, digest[:])
	if err != nil {
		return "", errors.New("sign with key " + k.id + ": RSA failed")
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}
