package clientauth_test

import (
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/clientauth"
	"github.com/watchword-dev/watchword/server/internal/directory"
)

// F74: a credential of the SuperTokens interface is bound to a name, so its date says to which service of that name
// it belongs. One that is still to come says nothing.
func TestTrustedCredentialBelongsToTheServiceOfItsDate(t *testing.T) {
	signer := newSigner(t, "static", jose.RS256)
	b := newBench(t, func(o *clientauth.Options) {
		o.Foreign = func() *jose.KeySet { return jose.NewKeySet(signer.Public()) }
	})
	b.service("m1")
	b.edit("m1", func(s *directory.Service) { s.CreatedAt = b.now.Add(-time.Hour) })
	credential := func(iat time.Time) clientauth.Presented {
		token, err := signer.Sign("JWT", fmt.Appendf(nil, `{"iss":"auth-server","aud":"auth-server","sub":"m1","iat":%d,"exp":%d}`,
			iat.Unix(), b.now.Add(1000*time.Hour).Unix()))
		if err != nil {
			t.Fatal(err)
		}
		return clientauth.Presented{Bearer: token}
	}
	b.want("made just now", credential(b.now), "m1", "")
	b.want("made with the service", credential(b.now.Add(-time.Hour)), "m1", "")
	b.wantNot("made before the service", credential(b.now.Add(-time.Hour-time.Second)), clientauth.Refused, "older_than_service")
	for _, ahead := range []time.Duration{time.Second, 24 * time.Hour} {
		b.wantNot("to be made in "+ahead.String(), credential(b.now.Add(ahead)), clientauth.Refused, "not_yet_valid")
	}
}

// withBootstrap is a bench with m1, whose credential "c1" is a token that sign makes of its claims. The key that signs
// it can be revoked.
func withBootstrap(t *testing.T) (b *bench, sign func(typ string, edit claims) clientauth.Presented, revokeKey func()) {
	signer := newSigner(t, "own", jose.ES256)
	keys := jose.NewKeySet(signer.Public())
	b = newBench(t, func(o *clientauth.Options) { o.Credentials = func() *jose.KeySet { return keys } })
	b.service("m1", directory.Credential{ID: "c1", Kind: directory.KindBootstrap})
	sign = func(typ string, edit claims) clientauth.Presented {
		c := claims{"iss": "auth-server", "aud": "auth-server", "jti": "c1"}
		maps.Copy(c, edit)
		return clientauth.Presented{Bearer: b.sign(signer, typ, b.claimsOf("m1", c)).Assertion}
	}
	return b, sign, func() { keys = nil }
}

// NAT-003: the issuer and the audience must each be this server, in a token that is signed with the right key and
// right in everything else.
func TestBootstrapCredentialIsForThisServer(t *testing.T) {
	b, sign, _ := withBootstrap(t)
	b.service("m2", directory.Credential{ID: "c2", Kind: directory.KindSecret})
	b.want("good", sign(clientauth.BootstrapType, nil), "m1", "c1")
	for _, c := range []struct {
		name, reason string
		edit         claims
	}{
		{"aud wrong", "audience_mismatch", claims{"aud": "m2"}},
		{"iss wrong", "issuer_mismatch", claims{"iss": "evil"}},
		{"both wrong", "issuer_mismatch", claims{"iss": "evil", "aud": "m2"}},
		{"both missing", "issuer_mismatch", claims{"iss": nil, "aud": nil}},
		{"iss missing", "issuer_mismatch", claims{"iss": nil}},
		{"aud missing", "audience_mismatch", claims{"aud": nil}},
		{"aud an array", "audience_mismatch", claims{"aud": []string{"auth-server"}}},
		{"trailing slash", "issuer_mismatch", claims{"iss": "auth-server/"}},
		{"upper case", "issuer_mismatch", claims{"iss": "Auth-Server"}},
		{"no exp", "no_expiry", claims{"exp": nil}},
		{"expired", "expired", claims{"exp": b.now.Unix()}}, // NAT-007
		{"not yet valid", "not_yet_valid", claims{"nbf": b.now.Unix() + 1}},
		{"another sub", "service_replaced", claims{"sub": "m2"}},
		{"unknown sub", "unknown_service", claims{"sub": "zz"}},
		{"unknown jti", "unknown_credential", claims{"jti": "00"}},
		{"another kind", "unknown_credential", claims{"sub": "m2", "jti": "c2"}},
		{"no jti", "malformed", claims{"jti": nil}},
	} {
		b.wantNot(c.name, sign(clientauth.BootstrapType, c.edit), clientauth.Refused, c.reason)
	}
	for _, typ := range []string{"JWT", "at+jwt", "dpop+jwt", ""} {
		b.wantNot("type "+typ, sign(typ, nil), clientauth.Refused, "wrong_type")
	}
}

// NAT-007, NAT-011: what is no token, or is signed by nobody, is refused whatever its form.
func TestWhatIsNoBootstrapCredentialIsRefused(t *testing.T) {
	b, sign, _ := withBootstrap(t)
	good := sign(clientauth.BootstrapType, nil).Bearer
	parts := strings.Split(good, ".")
	withHeader := func(h string) string { return encode(h) + "." + parts[1] + "." + parts[2] }
	for token, reason := range map[string]string{
		"garbage": "malformed", strings.Repeat(".", 7000): "malformed", good + "A": "bad_signature",
		parts[0] + "." + parts[1] + ".": "malformed", parts[0] + "." + parts[1]: "malformed",
		encode(`{"alg":"none","typ":"bootstrap+jwt"}`) + "." + parts[1] + ".": "malformed",
		withHeader(`{"alg":"ES256","kid":"nobody","typ":"bootstrap+jwt"}`):    "unknown_key",
		withHeader(`{"alg":"ES256","typ":"bootstrap+jwt"}`):                   "unknown_key",
		withHeader(`{"alg":"ES256","kid":["a"],"typ":"bootstrap+jwt"}`):       "malformed",
		withHeader(`{"alg":"ES256","kid":"own","typ":"bootstrap+jwt","x":1}`): "bad_signature",
	} {
		b.wantNot(token[:min(len(token), 100)], clientauth.Presented{Bearer: token}, clientauth.Refused, reason)
	}
}

// NAT-026, CAU-015. The signature of a token is remembered, and nothing else.
func TestBootstrapCredentialIsHeldAgainstTheDirectoryEachTime(t *testing.T) {
	b, sign, revokeKey := withBootstrap(t)
	token, c := sign(clientauth.BootstrapType, nil), &b.state.Credentials[0]
	b.want("at first", token, "m1", "c1")
	c.CIDR = netip.MustParsePrefix("198.51.100.0/24")
	b.wantNot("from elsewhere", token, clientauth.Refused, "address_not_allowed")
	c.CIDR = netip.MustParsePrefix("192.0.2.0/24")
	b.want("from its network", token, "m1", "c1")
	c.RevokedAt = b.now
	b.wantNot("revoked", token, clientauth.Refused, "revoked")
	c.RevokedAt, b.state.Services[0].UID = time.Time{}, directory.UID{9}
	b.wantNot("the service was made again", token, clientauth.Refused, "service_replaced")
	b.state.Services[0].UID = c.Service
	b.want("as at first", token, "m1", "c1")
	revokeKey()
	b.wantNot("its key was revoked", token, clientauth.Refused, "unknown_key")
}
