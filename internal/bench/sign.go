package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"

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
