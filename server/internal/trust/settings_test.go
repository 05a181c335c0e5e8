package trust_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/trust"
)

const publicKey = `{"kty":"EC","crv":"P-256","kid":"1","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}`

func certificate(t *testing.T, isCA bool) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: isCA, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func TestSettingsThatTrustTooMuchAreRefused(t *testing.T) {
	kubernetes := func(change func(*api.TrustSettings)) api.TrustSettings {
		s := api.TrustSettings{Preset: trust.Kubernetes, Issuer: "https://kubernetes.default.svc.cluster.local", JWKS: `{"keys":[` + publicKey + `]}`}
		change(&s)
		return s
	}
	spiffe := func(change func(*api.TrustSettings)) api.TrustSettings {
		s := api.TrustSettings{Preset: trust.SPIFFE, Issuer: "spiffe://example.org", JWKS: `{"keys":[]}`}
		change(&s)
		return s
	}
	issuer := func(preset, issuer string) api.TrustSettings {
		return api.TrustSettings{Preset: preset, Issuer: issuer}
	}
	authority := certificate(t, true)
	for _, c := range []struct {
		settings api.TrustSettings
		field    string // empty: it is accepted
		problem  string
	}{
		{issuer("", "https://issuer.example.com"), "", ""},
		{issuer("oidc", "https://issuer.example.com/"), "", ""},
		{issuer("oidc", "https://issuer.example.com/tenant/v2"), "", ""},
		{issuer("oidc", "http://127.0.0.1:9000"), "", ""},
		{issuer("oidc", "http://localhost:9000"), "", ""},
		{issuer("githb", "https://issuer.example.com"), "preset", "did you mean github?"},
		{issuer("oidc", ""), "issuer", "name the iss"},
		{issuer("oidc", serverIssuer), "issuer", "the issuer of this server"},
		{issuer("oidc", "http://issuer.example.com"), "issuer", "not an https URL"},
		{issuer("oidc", "ftp://issuer.example.com"), "issuer", "not an https URL"},
		{issuer("oidc", "issuer.example.com"), "issuer", "not a URL"},
		{issuer("oidc", "https://"), "issuer", "not a URL"},
		{issuer("oidc", "https://:443"), "issuer", "not a URL"},
		{issuer("oidc", "https://issuer.example.com/?x=1"), "issuer", "a query"},
		{issuer("oidc", "https://issuer.example.com/?"), "issuer", "a query"},
		{issuer("oidc", "https://issuer.example.com/#x"), "issuer", "a fragment"},
		{issuer("oidc", "https://issuer.example.com/#"), "issuer", "a fragment"},
		{issuer("oidc", "https://u:p@issuer.example.com/"), "issuer", "a user"},
		{issuer("oidc", "https://issuer.example.com/ "), "issuer", "not a URL"},
		{issuer("oidc", "https://issuer.example.com/\u00e9"), "issuer", "not a URL"},

		// Under another preset, the rules of these platforms would lack what keeps their customers apart.
		{issuer("oidc", "https://token.actions.githubusercontent.com"), "preset", "use the preset github"},
		{issuer("oidc", "https://accounts.google.com"), "preset", "use the preset gcp"},
		{issuer("oidc", "https://gitlab.com"), "preset", "use the preset gitlab"},
		{issuer("oidc", "https://agent.buildkite.com"), "preset", "use the preset buildkite"},
		{issuer("kubernetes", "https://oidc.fly.io/example-org"), "preset", "use the preset fly"},
		{issuer("oidc", "https://sts.windows.net/aaaabbbb-0000-cccc-1111-dddd2222eeee/"), "preset", "use the preset azure"},

		{issuer("gitlab", "https://token.actions.githubusercontent.com"), "preset", "use the preset github"},
		{issuer("gitlab", "https://accounts.google.com"), "preset", "use the preset gcp"},
		{issuer("gitlab", "https://agent.buildkite.com"), "preset", "use the preset buildkite"},
		{issuer("github", "https://agent.buildkite.com"), "issuer", "not an issuer of GitHub Actions"},
		{issuer("gitlab", "https://app.terraform.io"), "preset", "use the preset oidc"},
		{issuer("kubernetes", "https://oidc.vercel.com/acme"), "preset", "use the preset oidc"},
		{issuer("oidc", "https://app.terraform.io"), "", ""},

		{issuer("github", "https://token.actions.githubusercontent.com"), "", ""},
		{issuer("github", "https://token.actions.githubusercontent.com/octo-enterprise"), "", ""},
		{issuer("github", "https://token.actions.octocorp.ghe.com"), "", ""},
		{issuer("github", "https://ghes.example.com/_services/token"), "", ""},
		{issuer("github", "https://token.actions.githubusercontent.com/"), "issuer", "not an issuer of GitHub Actions"},
		{issuer("github", "https://token.actions.githubusercontent.com.evil.com"), "issuer", "not an issuer of GitHub Actions"},
		{issuer("github", "https://issuer.example.com"), "issuer", "not an issuer of GitHub Actions"},
		{issuer("gitlab", "https://gitlab.example.com"), "", ""},
		{issuer("circleci", "https://oidc.circleci.com/org/27d2a8c1-9a4f-4a55-b3a8-0f8e3f5a7c11"), "", ""},
		{issuer("circleci", "https://oidc.circleci.com/org/acme"), "issuer", "https://oidc.circleci.com/org/ORG"},
		{issuer("fly", "https://oidc.fly.io/example-org"), "", ""},
		{issuer("fly", "https://oidc.fly.io"), "issuer", "https://oidc.fly.io/ORG"},
		{issuer("aws", "https://sts.amazonaws.com"), "issuer", "tokens.sts.global.api.aws"},
		{issuer("gcp", "accounts.google.com"), "issuer", "https://accounts.google.com"},
		{issuer("azure", "https://sts.windows.net/aaaabbbb-0000-cccc-1111-dddd2222eeee/"), "", ""},
		{issuer("azure", "https://login.microsoftonline.com/aaaabbbb-0000-cccc-1111-dddd2222eeee/v2.0"), "", ""},
		{issuer("azure", "https://login.microsoftonline.com/common/v2.0"), "issuer", "TENANT"},
		// A file of an operator may have any length.
		{issuer("oidc", "https://issuer.example.com/"+strings.Repeat("a", 5<<20)), "issuer", "may have 512"},
		{issuer(strings.Repeat("a", 5<<20), "https://issuer.example.com"), "preset", "there is no preset"},
		{kubernetes(func(s *api.TrustSettings) { s.Audience = strings.Repeat("a", 512) }), "", ""},
		{kubernetes(func(s *api.TrustSettings) { s.Audience = strings.Repeat("a", 513) }), "audience", "may have 512"},
		{kubernetes(func(s *api.TrustSettings) {
			s.JWKS, s.JWKSURI = "", "https://issuer.example.com/"+strings.Repeat("a", 1024)
		}), "jwksUri", "may have 1024"},
		{spiffe(func(s *api.TrustSettings) {
			s.JWKSURI, s.EndpointID = "https://spire.example.org/bundle", "spiffe://example.org/"+strings.Repeat("a", 2048)
		}), "endpointId", "may have 2048"},
		{kubernetes(func(s *api.TrustSettings) { s.Algorithms = []string{strings.Repeat("a", 5<<20)} }), "algorithms", "not accepted"},
		{kubernetes(func(s *api.TrustSettings) { s.Once = strings.Repeat("a", 5<<20) }), "once", "write always or never"},

		{issuer("kubernetes", "kubernetes/serviceaccount"), "issuer", "stored in Secrets and never expire"},

		{kubernetes(func(*api.TrustSettings) {}), "", ""},
		{kubernetes(func(s *api.TrustSettings) { s.Audience = "https://auth.example.com/" }), "", ""},
		{kubernetes(func(s *api.TrustSettings) { s.Audience = s.Issuer }), "audience", "the issuer of the tokens"},
		{kubernetes(func(s *api.TrustSettings) { s.Audience = "https://kubernetes.default.svc" }), "audience", "given to others"},
		{kubernetes(func(s *api.TrustSettings) { s.Audience = "sts.amazonaws.com" }), "audience", "given to others"},
		{kubernetes(func(s *api.TrustSettings) { s.Audience = "*" }), "audience", "an asterisk"},
		{kubernetes(func(s *api.TrustSettings) { s.Audience = "a b" }), "audience", "a space"},
		{kubernetes(func(s *api.TrustSettings) { s.JWKSURI = "https://issuer.example.com/jwks" }), "jwks", "not both"},
		{kubernetes(func(s *api.TrustSettings) { s.JWKS, s.JWKSURI = "", "http://issuer.example.com/jwks" }), "jwksUri", "not an https URL"},
		{kubernetes(func(s *api.TrustSettings) { s.JWKS, s.JWKSURI = "", "https://issuer.example.com/jwks" }), "", ""},
		{kubernetes(func(s *api.TrustSettings) { s.JWKS = "" }), "", ""},
		{kubernetes(func(s *api.TrustSettings) { s.JWKS = `{"keys":[]}` }), "jwks", "no keys"},
		{kubernetes(func(s *api.TrustSettings) { s.JWKS = `{}` }), "jwks", "no keys"},
		{kubernetes(func(s *api.TrustSettings) { s.JWKS = publicKey }), "jwks", "no keys"},
		{kubernetes(func(s *api.TrustSettings) { s.JWKS = `[]` }), "jwks", "not a JWK Set"},
		{kubernetes(func(s *api.TrustSettings) { s.JWKS = `{"keys":[` }), "jwks", "not a JWK Set"},
		{kubernetes(func(s *api.TrustSettings) { s.JWKS = `{"keys":[` + publicKey + `],"keys":[]}` }), "jwks", "not a JWK Set"},
		{kubernetes(func(s *api.TrustSettings) {
			s.JWKS = strings.Replace(`{"keys":[`+publicKey+`]}`, `"kid"`, `"d":"AA","kid"`, 1)
		}), "jwks", "secret"},
		{kubernetes(func(s *api.TrustSettings) { s.JWKS = `{"keys":[{"kty":"oct","k":"AA"}]}` }), "jwks", "secret"},
		{kubernetes(func(s *api.TrustSettings) { s.JWKS = `{"keys":[{"kty":"oct"}]}` }), "jwks", "symmetric"},
		{kubernetes(func(s *api.TrustSettings) { s.JWKS = `{"keys":[{"x":"` + strings.Repeat("a", 1<<16) + `"}]}` }), "jwks", "may have 65536"},
		{kubernetes(func(s *api.TrustSettings) { s.Authorities = authority }), "authorities", "spiffe only"},
		{kubernetes(func(s *api.TrustSettings) { s.EndpointID = "spiffe://example.org/spire/server" }), "endpointId", "spiffe only"},
		{kubernetes(func(s *api.TrustSettings) { s.Algorithms = []string{"RS256", "EdDSA"} }), "", ""},
		{kubernetes(func(s *api.TrustSettings) { s.Algorithms = []string{"HS256"} }), "algorithms", "not accepted"},
		{kubernetes(func(s *api.TrustSettings) { s.Algorithms = []string{"none"} }), "algorithms", "not accepted"},
		{kubernetes(func(s *api.TrustSettings) { s.Algorithms = []string{""} }), "algorithms", "not accepted"},
		{kubernetes(func(s *api.TrustSettings) { s.Algorithms = []string{"RS256", "RS256"} }), "algorithms", "twice"},
		{kubernetes(func(s *api.TrustSettings) { s.MaxLifetimeSeconds = 31 * 86400 }), "", ""},
		{kubernetes(func(s *api.TrustSettings) { s.MaxLifetimeSeconds = 31*86400 + 1 }), "maxLifetimeSeconds", "not between"},
		{kubernetes(func(s *api.TrustSettings) { s.MaxLifetimeSeconds = -1 }), "maxLifetimeSeconds", "not between"},
		{kubernetes(func(s *api.TrustSettings) { s.Once = "always" }), "", ""},
		{kubernetes(func(s *api.TrustSettings) { s.Once = "yes" }), "once", "write always or never"},

		{spiffe(func(*api.TrustSettings) {}), "", ""},
		{spiffe(func(s *api.TrustSettings) { s.JWKS, s.Authorities = "", authority+authority }), "", ""},
		{spiffe(func(s *api.TrustSettings) { s.JWKS, s.JWKSURI = "", "https://spire.example.org/bundle" }), "", ""},
		{spiffe(func(s *api.TrustSettings) {
			s.JWKSURI, s.EndpointID = "https://spire.example.org/bundle", "spiffe://example.org/spire/server"
		}), "", ""},
		{spiffe(func(s *api.TrustSettings) { s.JWKS = "" }), "jwks", "no discovery"},
		{spiffe(func(s *api.TrustSettings) { s.JWKSURI = "https://spire.example.org/bundle" }), "jwks", "not both"},
		{spiffe(func(s *api.TrustSettings) { s.EndpointID = "spiffe://example.org/spire/server" }), "endpointId", "jwksUri"},
		{spiffe(func(s *api.TrustSettings) {
			s.JWKS, s.JWKSURI, s.EndpointID = "", "https://spire.example.org/bundle", "spiffe://example.org/spire/server"
		}), "endpointId", "upload the first one"},
		{spiffe(func(s *api.TrustSettings) {
			s.JWKSURI, s.EndpointID = "https://spire.example.org/bundle", "spiffe://example.com/spire/server"
		}), "endpointId", "another trust domain"},
		{spiffe(func(s *api.TrustSettings) { s.Issuer = "https://example.org" }), "issuer", "spiffe://TRUST-DOMAIN"},
		{spiffe(func(s *api.TrustSettings) { s.Issuer = "spiffe://example.org/" }), "issuer", "spiffe://TRUST-DOMAIN"},
		{spiffe(func(s *api.TrustSettings) { s.Issuer = "spiffe://EXAMPLE.org" }), "issuer", "spiffe://TRUST-DOMAIN"},
		{spiffe(func(s *api.TrustSettings) { s.Issuer = "spiffe://" }), "issuer", "spiffe://TRUST-DOMAIN"},
		{spiffe(func(s *api.TrustSettings) { s.Algorithms = []string{"EdDSA"} }), "algorithms", "not accepted from SPIFFE"},
		{spiffe(func(s *api.TrustSettings) { s.Authorities = certificate(t, false) }), "authorities", "not that of an authority"},
		{spiffe(func(s *api.TrustSettings) { s.Authorities = authority + "x" }), "authorities", "not PEM"},
		{spiffe(func(s *api.TrustSettings) {
			s.Authorities = strings.ReplaceAll(authority, "CERTIFICATE", "PRIVATE KEY")
		}), "authorities", "upload certificates only"},
		{spiffe(func(s *api.TrustSettings) { s.Authorities = strings.Repeat(authority, 200) }), "authorities", "may have 65536"},
	} {
		err := trust.CheckSettings(c.settings, serverIssuer)
		if err != nil && len(err.Error()) > 2048 {
			t.Errorf("%s: the error has %d bytes", c.field, len(err.Error()))
			continue
		}
		var wrong *trust.InvalidError
		switch {
		case c.field == "":
			if err != nil {
				t.Errorf("%+v: %v", c.settings, err)
			}
		case !errors.As(err, &wrong) || wrong.Field != c.field || !strings.Contains(wrong.Problem, c.problem):
			t.Errorf("%+v: %v, want a problem of %s with %q", c.settings, err, c.field, c.problem)
		}
	}
}

// The bounds are those of the operator API, which the files of operators do not pass through.
func TestLengthsAreBoundedAsInTheOperatorAPI(t *testing.T) {
	typ := reflect.TypeFor[api.TrustSettings]()
	for i := range typ.NumField() {
		f := typ.Field(i)
		most, err := strconv.Atoi(f.Tag.Get("maxLength"))
		if err != nil {
			continue
		}
		for _, n := range []int{most, most + 1} {
			s := api.TrustSettings{Preset: trust.OIDC, Issuer: "https://issuer.example.com"}
			reflect.ValueOf(&s).Elem().Field(i).SetString(strings.Repeat("a", n))
			err := trust.CheckSettings(s, serverIssuer)
			if tooLong := err != nil && strings.Contains(err.Error(), f.Tag.Get("json")+": it has "); tooLong != (n > most) {
				t.Errorf("%s of %d bytes: %v", f.Name, n, err)
			}
		}
	}
}
