package client

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/watchword-dev/watchword/internal/jose"
)

// KeySource returns the private key to use. Printing it does not show the key.
type KeySource struct {
	load func(context.Context) (*jose.Signer, error)
}

// Key returns a source of a private key that does not change, and that may be in a device. P-256 keys sign with ES256,
// RSA keys of 2048 to 4096 bits with PS256, and Ed25519 keys with EdDSA. kid is the id with which the key was
// registered. If empty, it is the thumbprint of RFC 7638.
func Key(key crypto.Signer, kid string) KeySource {
	s, err := jose.SignerOf(kid, key)
	return KeySource{func(context.Context) (*jose.Signer, error) { return s, err }}
}

// KeyFile returns a source that reads a private key from a file, for each request to the server. The file may be
// replaced at any time. It contains either a JWK, whose kid and alg are used, or PEM (PKCS #8, PKCS #1 or SEC 1,
// not encrypted), whose kid is the thumbprint. Errors contain the path, and never the content.
func KeyFile(path string) KeySource {
	return KeySource{func(context.Context) (*jose.Signer, error) {
		b, err := readSecretFile(path)
		if err != nil {
			return nil, fmt.Errorf("private key: %w", err)
		}
		s, err := parseKey(b)
		if err != nil {
			return nil, fmt.Errorf("key file %s: %w", path, err)
		}
		return s, nil
	}}
}

func readSecretFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read from
	return io.ReadAll(io.LimitReader(f, maxCredential+1))
}

func parseKey(b []byte) (*jose.Signer, error) {
	b = bytes.TrimSpace(b)
	if len(b) > maxCredential {
		return nil, fmt.Errorf("it is longer than %d bytes", maxCredential)
	}
	if bytes.HasPrefix(b, []byte("{")) {
		s, err := jose.ParsePrivateJWK(b)
		if err == nil && s.Algorithm() == jose.RS256 {
			// FAPI 2.0 Security Profile, section 5.4.1: PS256, ES256 or EdDSA.
			err = errors.New("its alg is RS256, which the server does not accept for client authentication; use PS256")
		}
		return s, err
	}
	key, err := parsePEM(b)
	if err != nil {
		return nil, err
	}
	return jose.SignerOf("", key)
}

// parsePEM returns the first private key. It skips other blocks, such as those that openssl writes before the key.
func parsePEM(b []byte) (crypto.Signer, error) {
	for {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil {
			return nil, errors.New("it has no private key, neither as JWK nor as PEM")
		}
		var key any
		var err error
		switch block.Type {
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		default:
			continue
		}
		signer, ok := key.(crypto.Signer)
		if err != nil || !ok {
			return nil, errors.New("its private key cannot be read; it may be damaged or encrypted")
		}
		return signer, nil
	}
}
