package redact

import (
	"crypto/rand"
	"encoding/base64"
	"strings"
	"testing"
)

// F82.
func TestWhatHasTheShapeOfASecretIsTakenOut(t *testing.T) {
	const secret = "wws_m3mZ0qk5bXc8Zt3m8q1y2v4o7n6t9u5s8r1w4x7z0a3"
	const token = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJtMSJ9.c2lnbmF0dXJl"
	for text, want := range map[string]string{
		secret:                                  Mark,
		"m1:" + secret + " and more":            "m1:" + Mark + " and more",
		secret[:20]:                             Mark,
		"wwo_" + secret[4:]:                     Mark,
		token:                                   Mark,
		"Bearer " + token + ",x":                "Bearer " + Mark + ",x",
		token[:30]:                              Mark, // cut off in its second part
		`{"kty":"EC","d":"abc","x":"y"}`:        `{"kty":"EC",` + Mark,
		"-----BEGIN EC PRIVATE KEY-----\nabc\n": Mark,

		"m1":                               "m1",
		"wws_":                             "wws_",
		"orders.eyJ":                       "orders.eyJ",
		"https://m2.example.com/a_b":       "https://m2.example.com/a_b",
		"kind=\"d\"":                       "kind=\"d\"",
		"5f1e2d3c4b5a69788796a5b4c3d2e1f0": "5f1e2d3c4b5a69788796a5b4c3d2e1f0",
	} {
		if got := Text(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestAnIDIsNotTakenForASecret(t *testing.T) {
	for range 10_000 {
		var b [32]byte
		rand.Read(b[:])
		if id := base64.RawURLEncoding.EncodeToString(b[:]); Text(id) != id && !strings.Contains(id, "ww") {
			t.Errorf("%s is the id of a key, and became %s", id, Text(id))
		}
	}
}

func BenchmarkText(b *testing.B) {
	for b.Loop() {
		Text("wkPkjgdmdchidJY7pydRsRtUR7ElOGOmRbcFCbo4Buo")
	}
}
