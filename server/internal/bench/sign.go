package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/watchword-dev/watchword/internal/jose"
)

// rawSigner makes the bare signature of each algorithm, with nothing around it.
func rawSigner(alg jose.Algorithm, key crypto.Signer) (func(message []byte) error, error) {
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		return func(m []byte) error {
			sum := sha256.Sum256(m)
			_, _, err := ecdsa.Sign(rand.Reader, k, sum[:])
			return err
		}, nil
	case ed25519.PrivateKey:
		return func(m []byte) error { ed25519.Sign(k, m); return nil }, nil
	case *rsa.PrivateKey:
		return func(m []byte) error {
			sum := sha256.Sum256(m)
			_, err := rsa.SignPKCS1v15(rand.Reader, k, crypto.SHA256, sum[:])
			return err
		}, nil
	default:
		return nil, fmt.Errorf("no bare signer for %s", alg)
	}
}

// rawVerifier checks the bare ES256 signature of a token and decodes its two JSON texts, with
// nothing around it: what a verifier cannot do without.
func rawVerifier(key jose.PublicKey) func(token string) error {
	public := key.Key.(*ecdsa.PublicKey)
	return func(token string) error {
		var parts [3][]byte
		last := strings.LastIndexByte(token, '.')
		for i, p := range strings.Split(token, ".") {
			raw, err := base64.RawURLEncoding.DecodeString(p)
			if err != nil {
				return err
			}
			parts[i] = raw
		}
		sum := sha256.Sum256([]byte(token[:last]))
		r, s := new(big.Int).SetBytes(parts[2][:32]), new(big.Int).SetBytes(parts[2][32:])
		if !ecdsa.Verify(public, sum[:], r, s) {
			return errors.New("signature is wrong")
		}
		var header struct{ Alg, Kid, Typ string }
		var claims struct {
			Iss, Sub, Aud, Jti, Scope string
			Exp, Iat                  int64
		}
		return errors.Join(json.Unmarshal(parts[0], &header), json.Unmarshal(parts[1], &claims))
	}
}
