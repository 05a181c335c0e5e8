package probe

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/internal/dpop"
	"github.com/watchword-dev/watchword/internal/jose"
)

// forger makes of a good token those that pass for good where a callee does not look. It has no key of the server, only
// what everybody can read.
type forger struct {
	server   jose.PublicKey // verifies the good token
	stranger *jose.Signer   // of a key the server never had
	holder   *jose.Signer   // of the key that bound tokens are bound to
}

func newForger(server jose.PublicKey) (*forger, error) {
	f := &forger{server: server}
	var err error
	if f.stranger, err = jose.GenerateSigner(server.Algorithm); err != nil {
		return nil, err
	}
	f.holder, err = jose.GenerateSigner(jose.ES256)
	return f, err
}

// forgery makes of a good token, in its three parts, a bad one.
type forgery func(f *forger, good *token) (string, error)

// token is a good token of the server.
type token struct {
	compact, typ string
	payload      []byte
}

// byStranger is signed by a key that the server never had, under its own id.
func byStranger(f *forger, t *token) (string, error) { return f.stranger.Sign(t.typ, t.payload) }

// asServer is signed by that key, under the id of the server's.
func asServer(f *forger, t *token) (string, error) {
	s, err := jose.NewSigner(f.server.ID, f.server.Algorithm, f.stranger.Key())
	if err != nil {
		return "", err
	}
	return s.Sign(t.typ, t.payload)
}

// embedded is signed by that key, which the token brings along (RFC 7515, section 4.1.3).
func embedded(f *forger, t *token) (string, error) { return f.stranger.SignProof(t.typ, t.payload) }

// unsigned has the algorithm none (RFC 7519, section 6).
func unsigned(f *forger, t *token) (string, error) { return f.symmetric("none", t, nil) }

// withPEM is signed by HS256, with the server's public key as the secret, in PEM.
func withPEM(f *forger, t *token) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(f.server.Key)
	if err != nil {
		return "", err
	}
	return f.symmetric("HS256", t, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// withJWK is the same with the key as a JWK.
func withJWK(f *forger, t *token) (string, error) {
	jwk, err := f.server.JWK()
	if err != nil {
		return "", err
	}
	return f.symmetric("HS256", t, jwk)
}

// stripped has lost its signature.
func stripped(_ *forger, t *token) (string, error) {
	return t.compact[:strings.LastIndexByte(t.compact, '.')+1], nil
}

// symmetric makes a token of an algorithm that package jose does not know, on purpose, under the id of
// the server's key (RFC 8725, section 2.1).
func (f *forger) symmetric(alg string, t *token, secret []byte) (string, error) {
	header, err := json.Marshal(map[string]string{"alg": alg, "typ": t.typ, "kid": f.server.ID})
	if err != nil {
		return "", err
	}
	input := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(t.payload)
	if secret == nil {
		return input + ".", nil
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(input))
	return input + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)), nil
}

// forge applies a forgery to a token of the server.
func (f *forger) forge(how forgery, compact string) (string, error) {
	t, err := jose.Parse(compact)
	if err != nil {
		return "", err
	}
	return how(f, &token{compact, t.Type, t.Payload})
}

// proof is a proof of the key that bound tokens are bound to (RFC 9449, section 4.2), or if stolen of
// another one, as a thief would make it.
func (f *forger) proof(url, nonce, token string, stolen bool, now time.Time) (string, error) {
	by := f.holder
	if stolen {
		var err error
		if by, err = jose.GenerateSigner(jose.ES256); err != nil {
			return "", err
		}
	}
	return dpop.NewProof(by, http.MethodGet, url, nonce, token, now)
}
