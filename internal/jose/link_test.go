package jose

import (
	"bytes"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// VER-020: there is no decryption to attack. The linker drops what nothing calls, so look for
// the functions' names in the program that runs.
func TestNoDecryptionIsLinked(t *testing.T) {
	path, err := os.Executable()
	must(t, err)
	program, err := os.ReadFile(path)
	must(t, err)
	// Joined here, lest the program contain the names because the test does.
	linked := func(function string) bool {
		return bytes.Contains(program, []byte(strings.Join([]string{"github.com/go-jose/go-jose/v4", function}, ".")))
	}
	if !linked("(*JSONWebKey).UnmarshalJSON") {
		t.Fatal("cannot see function names: this test shows nothing")
	}
	for _, function := range []string{"JSONWebEncryption.Decrypt", "ParseEncrypted", "ParseEncryptedCompact", "(*rsaDecrypterSigner).decryptKey", "(*symmetricKeyCipher).decryptKey", "decompress"} {
		if linked(function) {
			t.Errorf("%s is linked", function)
		}
	}
}

// VER-007: zero outbound connections, since nothing here could make one.
func TestNoHTTPIsImported(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	must(t, err)
	deps := strings.Fields(string(out))
	if !slices.Contains(deps, "crypto/ecdsa") {
		t.Fatalf("go list answered %q", out)
	}
	if slices.Contains(deps, "net/http") {
		t.Error("net/http is among the dependencies")
	}
}
