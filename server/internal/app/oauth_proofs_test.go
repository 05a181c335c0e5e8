package app

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/big"
	"time"

	"github.com/watchword-dev/watchword/internal/dpop"
	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/clientauth"
)

func newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
}

func jwkOf(key *ecdsa.PrivateKey, id string) string {
	jwk, err := jose.PublicKey{ID: id, Algorithm: jose.ES256, Key: key.Public()}.JWK()
	if err != nil {
		panic(err)
	}
	return string(jwk)
}

func selfSigned(key crypto.Signer, name string) []byte {
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{name}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return der
}

func thumbprint(der []byte) string {
	return clientauth.CertificateThumbprint(&x509.Certificate{Raw: der})
}

// claims are a JSON object that tests change member by member; a nil value leaves a member out.
type claims map[string]any

func (c claims) with(more claims) claims {
	c = maps.Clone(c)
	for k, v := range more {
		if c[k] = v; v == nil {
			delete(c, k)
		}
	}
	return c
}

func (c claims) String() string {
	b, err := json.Marshal(c)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// sign makes a JWS of any header and payload whatever, by hand.
func sign(key *ecdsa.PrivateKey, header, payload string) string {
	input := b64(header) + "." + b64(payload)
	digest := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		panic(err)
	}
	var raw [64]byte
	r.FillBytes(raw[:32])
	s.FillBytes(raw[32:])
	return input + "." + base64.RawURLEncoding.EncodeToString(raw[:])
}

// assertionClaims are those of a good client assertion (RFC 7523, section 3).
func assertionClaims(name string) claims {
	now := time.Now().Unix()
	return claims{"iss": name, "sub": name, "aud": issuerURL, "exp": now + 60, "iat": now, "jti": rand.Text()}
}

// assertion is a good one, changed by more.
func (w *world) assertion(name string, more claims) string {
	return sign(w.keys[name], claims{"alg": "ES256", "kid": name + "-key"}.String(), assertionClaims(name).with(more).String())
}

// withAssertion is the form of a request that an assertion authenticates.
func withAssertion(assertion, target string, more ...string) string {
	return credentialsFor(target, append([]string{"client_assertion_type", assertionType, "client_assertion", assertion}, more...)...)
}

func jwkPublic(key *ecdsa.PrivateKey) claims {
	raw, err := key.PublicKey.Bytes()
	if err != nil {
		panic(err)
	}
	b := base64.RawURLEncoding.EncodeToString
	return claims{"kty": "EC", "crv": "P-256", "x": b(raw[1:33]), "y": b(raw[33:])}
}

// proof is a DPoP proof for the token endpoint, changed by more.
func proof(key *ecdsa.PrivateKey, head, more claims) string {
	h := claims{"typ": dpop.Type, "alg": "ES256", "jwk": jwkPublic(key)}.with(head)
	c := claims{"jti": rand.Text(), "htm": "POST", "htu": tokenURL, "iat": time.Now().Unix()}.with(more)
	return sign(key, h.String(), c.String())
}

func keyThumbprint(key *ecdsa.PrivateKey) string {
	jkt, err := jose.Thumbprint(key.Public())
	if err != nil {
		panic(err)
	}
	return jkt
}

func withProof(p string) option { return header(dpop.Header, p) }

func encoded(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
