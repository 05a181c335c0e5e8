package jose

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"testing"

	josev4 "github.com/go-jose/go-jose/v4"
)

// BenchmarkSign: ours and go-jose's beside the bare signature, which is the floor.
func BenchmarkSign(b *testing.B) {
	payload := []byte(somePayload)
	for _, alg := range allAlgorithms {
		s := testSigners()[alg]
		b.Run(string(alg)+"/bare", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				digest := sha256.Sum256(payload)
				input, opts := digest[:], crypto.SignerOpts(crypto.SHA256)
				switch alg {
				case EdDSA:
					input, opts = payload, crypto.Hash(0)
				case PS256:
					opts = pssOptions[crypto.SHA256]
				}
				if _, err := s.key.Sign(rand.Reader, input, opts); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(string(alg)+"/ours", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Sign("at+jwt", payload); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(string(alg)+"/go-jose", func(b *testing.B) {
			key := josev4.SigningKey{Algorithm: josev4.SignatureAlgorithm(alg), Key: josev4.JSONWebKey{Key: s.key, KeyID: s.ID()}}
			signer, err := josev4.NewSigner(key, (&josev4.SignerOptions{}).WithType("at+jwt"))
			must(b, err)
			b.ReportAllocs()
			for b.Loop() {
				jws, err := signer.Sign(payload)
				must(b, err)
				if _, err := jws.CompactSerialize(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkHostile: VER-019 asks for at most 100 microseconds each.
func BenchmarkHostile(b *testing.B) {
	for name, token := range hostileTokens() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse(token); err == nil {
					b.Fatal("accepted")
				}
			}
		})
	}
}
