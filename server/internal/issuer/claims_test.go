package issuer

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
)

// The claim sets are written by hand; what is written is what is read back.
func TestClaimsAreReadBack(t *testing.T) {
	now := time.Unix(1764000000, 0)
	b := newClaimsBuilder("auth-server", `https://as.test/"odd"`)
	full := claims{
		oauth: true, subject: "m1", audiences: []string{"m3", `https://m3.test/ü?"`}, id: strings.Repeat("0", 32), scope: "a b",
		issuedAt: now, expiry: now.Add(time.Minute), clientID: "m2", key: "K", certificate: "C", actors: []string{"m2", "m9"},
		mayAct: "m8", deps: []string{"svc_1", "c1"}, statusURI: "https://as.test/s/1", statusIndex: 7,
	}
	for name, c := range map[string]claims{
		"full":         full,
		"plain":        {subject: "m1", audiences: []string{"m2"}, id: "i", issuedAt: now, expiry: now.Add(time.Second)},
		"by key":       {oauth: true, subject: "m1", audiences: []string{"m2"}, id: "i", issuedAt: now, expiry: now, key: "K"},
		"by cert":      {oauth: true, subject: "m1", audiences: []string{"m2"}, id: "i", issuedAt: now, expiry: now, certificate: "C"},
		"one actor":    {oauth: true, subject: "m1", audiences: []string{"m2"}, id: "i", issuedAt: now, expiry: now, actors: []string{"m2"}},
		"one audience": {oauth: true, subject: "m1", audiences: []string{"https://m2.test/\x01"}, id: "i", issuedAt: now, expiry: now},
	} {
		got, err := jose.ParseClaims(b.payload(&c))
		if err != nil {
			t.Errorf("%s: %v: %s", name, err, b.payload(&c))
			continue
		}
		issuer := "auth-server"
		if c.oauth {
			issuer = `https://as.test/"odd"`
		}
		if got.Issuer != issuer || got.Subject != c.subject || got.ID != c.id || got.Scope != c.scope || got.ClientID != c.clientID || got.MayAct != c.mayAct {
			t.Errorf("%s: got %+v", name, got)
		}
		if !got.IssuedAt.Equal(c.issuedAt) || !got.Expiry.Equal(c.expiry) || got.KeyThumbprint != c.key || got.CertificateSHA256 != c.certificate {
			t.Errorf("%s: got %+v", name, got)
		}
		if !slices.Equal(got.Audience, c.audiences) || got.AudienceIsArray != (len(c.audiences) > 1) || !slices.Equal(got.Actors, c.actors) || !slices.Equal(got.Deps, c.deps) {
			t.Errorf("%s: got %+v", name, got)
		}
		if hasStatus := strings.Contains(string(got.Raw), `"status":{"status_list":{"idx":7,"uri":"https://as.test/s/1"}}`); hasStatus != (c.statusURI != "") {
			t.Errorf("%s: got %s", name, got.Raw)
		}
	}
}
