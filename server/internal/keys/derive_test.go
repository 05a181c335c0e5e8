package keys

import (
	"encoding/hex"
	"testing"
)

// Hashes of client secrets are stored, and replicas of two versions share nonces: what is derived
// never changes.
func TestDerivedKeysNeverChange(t *testing.T) {
	var s Secret
	for i := range s.root {
		s.root[i] = byte(i)
	}
	for label, want := range map[string]string{ClientSecretPepper: "0bb8c8daeca06fad37903bbcd928b29a3d5d2479c00f6b659d7b66b5e8999bf2", DPoPNonceKey: "fea4ef617332d8676457ad5dc8bfb76161b0168366a9675b7c4482161b86e520"} {
		if got := hex.EncodeToString(s.Derive(label)); got != want {
			t.Errorf("%s: got %s, want %s", label, got, want)
		}
	}
}
