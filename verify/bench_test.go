package verify_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/verify/verifytest"
)

// rawCheck is the least anyone could do with a token: check its signature over its bytes, and
// decode two JSON texts. No claim is looked at.
func rawCheck(token string, key crypto.PublicKey, alg string) bool {
	dot := strings.LastIndexByte(token, '.')
	first := strings.IndexByte(token, '.')
	sig, _ := base64.RawURLEncoding.DecodeString(token[dot+1:])
	for _, part := range []string{token[:first], token[first+1 : dot]} {
		text, _ := base64.RawURLEncoding.DecodeString(part)
		var claims struct {
			Issuer    string `json:"iss"`
			Subject   string `json:"sub"`
			Audience  string `json:"aud"`
			ID        string `json:"jti"`
			Expiry    int64  `json:"exp"`
			IssuedAt  int64  `json:"iat"`
			Algorithm string `json:"alg"`
			KeyID     string `json:"kid"`
			Type      string `json:"typ"`
		}
		if json.Unmarshal(text, &claims) != nil {
			return false
		}
	}
	input := []byte(token[:dot])
	digest := sha256.Sum256(input)
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		return ecdsa.Verify(key, digest[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:]))
	case *rsa.PublicKey:
		if alg == "PS256" {
			return rsa.VerifyPSS(key, crypto.SHA256, digest[:], sig, nil) == nil
		}
		return rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], sig) == nil
	case ed25519.PublicKey:
		return ed25519.Verify(key, input, sig)
	}
	return false
}

// BenchmarkVerifyCold reports how much a token never seen costs in comparison with rawCheck. The
// two take turns and the medians are compared, so that a busy machine weighs on both alike. The
// aim is at most 1.3.
func BenchmarkVerifyCold(b *testing.B) {
	for _, alg := range []string{"ES256", "EdDSA", "RS256", "PS256"} {
		b.Run(alg, func(b *testing.B) {
			i := verifytest.NewIssuer(b)
			i.Rotate(alg)
			i.Withdraw()
			set, err := jose.ParseKeySet(i.KeySet())
			must(b, err)
			key := set.Keys()[0].Key
			token := i.Token("m1", "m2", verifytest.Scopes("read", "write"))
			ctx := b.Context()
			var ours, raw []time.Duration
			for b.Loop() {
				v := offline(b, i) // has never seen the token
				start := time.Now()
				_, err := v.Verify(ctx, token)
				middle := time.Now()
				ok := rawCheck(token, key, alg)
				ours, raw = append(ours, middle.Sub(start)), append(raw, time.Since(middle))
				if err != nil || !ok {
					b.Fatal(err, ok)
				}
			}
			slices.Sort(ours)
			slices.Sort(raw)
			o, r := float64(ours[len(ours)/2]), float64(raw[len(raw)/2])
			b.ReportMetric(o, "ns/verify")
			b.ReportMetric(r, "ns/raw")
			b.ReportMetric(o/r, "ratio")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkVerifySeen is a token seen before. The aim is at most 1 microsecond.
func BenchmarkVerifySeen(b *testing.B) {
	i := verifytest.NewIssuer(b)
	v := offline(b, i)
	token := i.Token("m1", "m2", verifytest.Scopes("read", "write"))
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(ctx, token); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifySeenParallel(b *testing.B) {
	i := verifytest.NewIssuer(b)
	v := offline(b, i)
	token := i.Token("m1", "m2", verifytest.Scopes("read", "write"))
	ctx := b.Context()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := v.Verify(ctx, token); err != nil {
				b.Error(err)
			}
		}
	})
}
