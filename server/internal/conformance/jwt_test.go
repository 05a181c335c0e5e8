package conformance

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// key signs assertions and proofs. Nothing of this file uses the server's own code, which would
// not make the bad ones.
type key struct {
	alg, kid string
	private  crypto.Signer
}

// algorithms that FAPI 2.0 permits (Security Profile, section 5.4.1).
var algorithms = []string{"ES256", "PS256", "EdDSA"}

func newKey(t testing.TB, alg string) *key {
	t.Helper()
	k := &key{alg: alg, kid: rand.Text()}
	var err error
	switch alg {
	case "ES256":
		k.private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "PS256":
		keys := rsaKeys()
		k.private = keys[rsaKeyNext.Add(1)%uint32(len(keys))]
	case "EdDSA":
		_, k.private, err = ed25519.GenerateKey(rand.Reader)
	default:
		t.Fatalf("no keys for %s", alg)
	}
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// rsaKeys are more than any one test needs. They take long to make, so each is used by several.
var (
	rsaKeys = sync.OnceValue(func() (keys [6]*rsa.PrivateKey) {
		for i := range keys {
			keys[i], _ = rsa.GenerateKey(rand.Reader, 2048) // there is no error at this size
		}
		return keys
	})
	rsaKeyNext atomic.Uint32
)

// jwk is the public key.
func (k *key) jwk() map[string]any {
	m := map[string]any{"alg": k.alg, "kid": k.kid, "use": "sig"}
	switch public := k.private.Public().(type) {
	case *ecdsa.PublicKey:
		point, _ := public.Bytes()
		m["kty"], m["crv"], m["x"], m["y"] = "EC", "P-256", b64(point[1:33]), b64(point[33:])
	case *rsa.PublicKey:
		m["kty"], m["n"], m["e"] = "RSA", b64(public.N.Bytes()), b64(big.NewInt(int64(public.E)).Bytes())
	case ed25519.PublicKey:
		m["kty"], m["crv"], m["x"] = "OKP", "Ed25519", b64(public)
	}
	return m
}

// privateJWK is what no one should ever be sent.
func (k *key) privateJWK() map[string]any {
	m := k.jwk()
	switch private := k.private.(type) {
	case *ecdsa.PrivateKey:
		d, _ := private.Bytes()
		m["d"] = b64(d)
	case *rsa.PrivateKey:
		m["d"], m["p"], m["q"] = b64(private.D.Bytes()), b64(private.Primes[0].Bytes()), b64(private.Primes[1].Bytes())
	case ed25519.PrivateKey:
		m["d"] = b64(private.Seed())
	}
	return m
}

// thumbprint of RFC 7638: the members a key consists of, in order and without blanks.
func (k *key) thumbprint() string {
	m := map[string]any{}
	for name, v := range k.jwk() {
		if name != "alg" && name != "kid" && name != "use" {
			m[name] = v
		}
	}
	b, _ := json.Marshal(m) // sorts by name
	return hash(string(b))
}

// sign makes a JWS by the alg of the header, whatever the key is for.
func (k *key) sign(t testing.TB, header, claims map[string]any) string {
	t.Helper()
	input := part(t, header) + "." + part(t, claims)
	alg, _ := header["alg"].(string)
	digest := sha256.Sum256([]byte(input))
	var signature []byte
	var err error
	switch private := k.private.(type) {
	case *ecdsa.PrivateKey:
		r, s, e := ecdsa.Sign(rand.Reader, private, digest[:])
		signature, err = make([]byte, 64), e
		if e == nil {
			r.FillBytes(signature[:32])
			s.FillBytes(signature[32:])
		}
	case ed25519.PrivateKey:
		signature = ed25519.Sign(private, []byte(input))
	case *rsa.PrivateKey:
		if alg == "RS256" {
			signature, err = rsa.SignPKCS1v15(rand.Reader, private, crypto.SHA256, digest[:])
		} else {
			signature, err = rsa.SignPSS(rand.Reader, private, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + b64(signature)
}

func part(t testing.TB, m map[string]any) string {
	t.Helper()
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b64(b)
}

// decode reads part n of a JWS.
func decode(t testing.TB, jws string, n int) (m map[string]any) {
	t.Helper()
	parts := strings.Split(jws, ".")
	if len(parts) != 3 {
		t.Fatalf("not a JWS: %s", jws)
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[n])
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return b64(sum[:])
}
