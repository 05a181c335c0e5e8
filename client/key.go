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

// KeySource answers with the private key to use now. It does not print.
type KeySource struct {
	load func(context.Context) (*jose.Signer, error)
}

// Key is a private key that does not change, and may live in a device. P-256, RSA of 2048 bits or
// more, and Ed25519 keys sign with ES256, PS256 and EdDSA. kid is the name it was registered
// with; empty means its RFC 7638 thumbprint.
func Key(key crypto.Signer, kid string) KeySource {
	s, err := jose.SignerOf(kid, key)
	return KeySource{func(context.Context) (*jose.Signer, error) { return s, err }}
}

// KeyFile is a private key in a file, which may be replaced at any time: it is read anew for each
// request to the server. The file holds a JWK, whose kid and alg are used, or PEM (PKCS #8,
// PKCS #1 or SEC 1, not encrypted), whose kid is the thumbprint. Errors name the path, never the
// content.
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
			err = errors.New("its alg is RS256, which the server does not take for client authentication; use PS256")
		}
		return s, err
	}
	key, err := parsePEM(b)
	if err != nil {
		return nil, err
	}
	return jose.SignerOf("", key)
}

// parsePEM takes the first private key and steps over what openssl writes before it.
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
