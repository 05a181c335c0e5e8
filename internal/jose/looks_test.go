package jose

import (
	"strings"
	"testing"
)

func TestLooksLikeTokenTellsTokensFromNamesOfFiles(t *testing.T) {
	for text, want := range map[string]bool{
		"eyJhbGciOiJFUzI1NiJ9.e30.c2ln": true, "a-b.c_d.E9": true, "eyJ": true, "\teyJhbGci": true, "opaque\ntoken": true, "token\r": true,
		strings.Repeat("a", 256): true, "/" + strings.Repeat("a/", 128): true,
		"": false, "token": false, "m1.token": false, "/var/run/secrets/watchword/token": false, "./a.b.c": false, "a.b.c.d": false,
		"..token": false, "-": false, strings.Repeat("a", 255): false, `C:\run\a.b.c`: false,
	} {
		if got := LooksLikeToken(text); got != want {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
}
