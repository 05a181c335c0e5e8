package trust

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/netaddr"
	"github.com/watchword-dev/watchword/internal/strictjson"
	"github.com/watchword-dev/watchword/server/internal/spelling"
)

// MaxLifetime is the largest bound that a trust may set.
const MaxLifetime = 31 * 24 * time.Hour

// Audience returns the aud that tokens of s must have. The default is the issuer of this server. For CircleCI, whose
// tokens have the id of the organization unless a job asks for another, the default is that id.
func Audience(s *api.TrustSettings, serverIssuer string) string {
	switch {
	case s.Audience != "":
		return s.Audience
	case s.Preset == circleCI:
		return s.Issuer[strings.LastIndexByte(s.Issuer, '/')+1:]
	}
	return serverIssuer
}

// Algorithms returns the algorithms that tokens of s may be signed with.
func Algorithms(s *api.TrustSettings) []string {
	if len(s.Algorithms) > 0 {
		return s.Algorithms
	}
	return of(s).Algorithms
}

// LongestLife returns the longest time from iat to exp that tokens of s may have.
func LongestLife(s *api.TrustSettings) time.Duration {
	if s.MaxLifetimeSeconds > 0 {
		return time.Duration(s.MaxLifetimeSeconds) * time.Second
	}
	return of(s).MaxLifetime
}

// LongestSVID returns the longest time from notBefore to notAfter that X.509-SVIDs of s may have. The default of the preset
// is for tokens: authorities issue X.509-SVIDs for longer, so that only what an operator set bounds them.
func LongestSVID(s *api.TrustSettings) time.Duration {
	if s.Preset == SPIFFE && s.MaxLifetimeSeconds > 0 {
		return LongestLife(s)
	}
	return math.MaxInt64
}

// OnceOnly reports whether a token of s is accepted only once. It then needs a jti.
func OnceOnly(s *api.TrustSettings) bool {
	return s.Once == "always" || s.Once == "" && of(s).Once
}

// CheckSettings checks the settings of a trust. The error is an *InvalidError.
func CheckSettings(s api.TrustSettings, serverIssuer string) error {
	p, ok := Find(s.Preset)
	if !ok {
		return invalid("preset", "there is no preset %q%s: use one of %s", Show(s.Preset), meant(s.Preset, Names()), strings.Join(Names(), ", "))
	}
	for _, check := range []func(*Preset, *api.TrustSettings, string) error{checkLengths, checkIssuer, checkAudience, checkKeys, checkTokens} {
		if err := check(p, &s, serverIssuer); err != nil {
			return err
		}
	}
	return nil
}

// checkLengths checks the bounds that api.TrustSettings says, which a file of an operator may not keep.
func checkLengths(_ *Preset, s *api.TrustSettings, _ string) error {
	for _, text := range []struct {
		field, value string
		most         int
	}{
		{"issuer", s.Issuer, 512},
		{"audience", s.Audience, 512},
		{"jwksUri", s.JWKSURI, 1024},
		{"jwks", s.JWKS, maxKeyText},
		{"authorities", s.Authorities, maxKeyText},
		{"endpointId", s.EndpointID, 2048},
	} {
		if len(text.value) > text.most {
			return invalid(text.field, "it has %d bytes, and may have %d", len(text.value), text.most)
		}
	}
	return nil
}

// meant is ": did you mean X?" as part of a sentence, or "".
func meant(word string, known []string) string {
	if near := spelling.Nearest(word, known); near != "" {
		return fmt.Sprintf(" (did you mean %s?)", near)
	}
	return ""
}

func checkIssuer(p *Preset, s *api.TrustSettings, serverIssuer string) error {
	switch {
	case s.Issuer == "":
		return invalid("issuer", "name the iss of the tokens: %s", strings.ReplaceAll(p.Issuer, "`", ""))
	case s.Issuer == serverIssuer:
		return invalid("issuer", "it is the issuer of this server, whose tokens prove services already: a trust is for the tokens of others")
	case p.Name == Kubernetes && s.Issuer == "kubernetes/serviceaccount":
		return invalid("issuer", "tokens with this iss are stored in Secrets and never expire: use projected tokens, and the --service-account-issuer of the cluster")
	case p.issuer != nil && !p.issuer.MatchString(s.Issuer):
		return invalid("issuer", "%q is not an issuer of %s: it is %s", s.Issuer, p.Title, strings.ReplaceAll(p.Issuer, "`", ""))
	case p.Name == SPIFFE:
		return nil // the pattern says all
	}
	if err := checkURL(s.Issuer); err != nil {
		return invalid("issuer", "%q %v", s.Issuer, err)
	}
	// Under another preset than its own, a rule need not have what keeps the customers of a platform apart.
	for _, other := range presets {
		if other != p && (other.issuer != nil && other.issuer.MatchString(s.Issuer) || other.shared != nil && other.shared.MatchString(s.Issuer)) {
			return invalid("preset", "%q is an issuer of %s: use the preset %s, which knows what a rule must pin there", s.Issuer, other.Title, other.Name)
		}
	}
	if other := sharedBy(s.Issuer); other != nil && p.Name != OIDC {
		return invalid("preset", "%q is an issuer of %s: use the preset %s, which knows what a rule must pin there", s.Issuer, other.title, OIDC)
	}
	return nil
}

// checkURL checks a URL that the server may fetch, or that is the issuer of such a URL (OpenID Connect Discovery 1.0,
// section 3).
func checkURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "" || u.Opaque != "" || !printable(text):
		return fmt.Errorf("is not a URL: write https://HOST/PATH")
	case u.Scheme != "https" && !(u.Scheme == "http" && netaddr.IsLoopback(u.Hostname())):
		return fmt.Errorf("is not an https URL: http is for loopback addresses only")
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || strings.Contains(text, "#"):
		return fmt.Errorf("has a user, a query or a fragment: leave it out")
	}
	return nil
}

// printable reports whether text consists of visible ASCII characters, as URLs and audiences do.
func printable(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

func checkAudience(p *Preset, s *api.TrustSettings, serverIssuer string) error {
	switch a := s.Audience; {
	case a == "":
		return nil
	case !printable(a) || strings.Contains(a, "*"):
		return invalid("audience", "%q has a space, an asterisk, or a character that is not ASCII: an audience is compared exactly", a)
	case a == s.Issuer:
		return invalid("audience", "it is the issuer of the tokens, which is the audience of tokens for the platform itself: use one of your own, such as %s", serverIssuer)
	case isOthers(p, a):
		return invalid("audience", "%q is an audience of tokens that are given to others, who could then use them here: use one of your own, such as %s", a, serverIssuer)
	}
	return nil
}

func isOthers(p *Preset, audience string) bool {
	for _, other := range slices.Concat(p.Others, others) {
		prefix, open := strings.CutSuffix(other, "*")
		if audience == prefix || open && strings.HasPrefix(audience, prefix) {
			return true
		}
	}
	return false
}

func checkKeys(p *Preset, s *api.TrustSettings, _ string) error {
	if s.JWKSURI != "" {
		if err := checkURL(s.JWKSURI); err != nil {
			return invalid("jwksUri", "%q %v", s.JWKSURI, err)
		}
	}
	if p.Name != SPIFFE {
		switch {
		case s.Authorities != "":
			return invalid("authorities", "authorities are for the preset spiffe only")
		case s.EndpointID != "":
			return invalid("endpointId", "the id of a bundle endpoint is for the preset spiffe only")
		case s.JWKS != "" && s.JWKSURI != "":
			return invalid("jwks", "keys are uploaded or fetched, not both: leave out jwks or jwksUri")
		}
	} else {
		switch {
		case s.JWKS == "" && s.JWKSURI == "" && s.Authorities == "":
			return invalid("jwks", "a trust domain has no discovery: upload its bundle, or name the URL of its bundle endpoint in jwksUri")
		case s.JWKS != "" && s.JWKSURI != "" && s.EndpointID == "":
			return invalid("jwks", "the bundle is uploaded or fetched, not both: leave out jwks or jwksUri")
		case s.EndpointID != "" && s.JWKSURI == "":
			return invalid("endpointId", "name the URL of the bundle endpoint in jwksUri")
		case s.EndpointID != "" && s.JWKS == "" && s.Authorities == "":
			return invalid("endpointId", "the certificate of the endpoint is checked with the bundle: upload the first one in jwks, or its authorities")
		}
		if s.EndpointID != "" {
			if err := CheckID(s.Issuer, s.EndpointID); err != nil {
				return invalid("endpointId", "%q: %v", s.EndpointID, err)
			}
		}
	}
	if err := checkJWKS(p, s.JWKS); err != nil {
		return err
	}
	return checkAuthorities(s.Authorities)
}

// checkJWKS checks what can be seen without knowing the algorithms: that the text is a JWK Set (RFC 7517, section 5), and
// that nobody uploaded a secret.
func checkJWKS(p *Preset, text string) error {
	if text == "" {
		return nil
	}
	var set struct {
		Keys []map[string]any `json:"keys"`
	}
	if err := strictjson.UnmarshalWide([]byte(text), &set, 4096); err != nil {
		at, problem := strictjson.Fault(err)
		return invalid("jwks", "it is not a JWK Set, as in {\"keys\": [...]}: at %q, %s", at, problem)
	}
	if len(set.Keys) == 0 && p.Name != SPIFFE { // an empty bundle trusts nothing, which may be meant
		return invalid("jwks", "it has no keys: upload the JWK Set of the issuer, as in {\"keys\": [...]}")
	}
	for i, k := range set.Keys {
		for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} { // RFC 7518, sections 6.2.2, 6.3.2 and 6.4
			if _, has := k[private]; has {
				return invalid("jwks", "key %d has the member %q, which is secret: upload public keys only, and replace this key", i+1, private)
			}
		}
		if k["kty"] == "oct" {
			return invalid("jwks", "key %d is symmetric (oct): upload public keys only", i+1)
		}
	}
	return nil
}

func checkAuthorities(text string) error {
	if text == "" {
		return nil
	}
	rest, n := []byte(text), 0
	for strings.TrimSpace(string(rest)) != "" {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return invalid("authorities", "certificate %d is not PEM: it begins with -----BEGIN CERTIFICATE-----", n+1)
		}
		if n++; block.Type != "CERTIFICATE" {
			return invalid("authorities", "block %d is a %s: upload certificates only", n, block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return invalid("authorities", "certificate %d: %v", n, err)
		}
		if !cert.IsCA {
			return invalid("authorities", "certificate %d (%s) is not that of an authority: upload those that sign the SVIDs", n, cert.Subject)
		}
	}
	return nil
}

func checkTokens(p *Preset, s *api.TrustSettings, _ string) error {
	allowed := algorithms
	if p.Name == SPIFFE {
		allowed = spiffeAlgorithms
	}
	for i, alg := range s.Algorithms {
		switch {
		case !slices.Contains(allowed, alg):
			return invalid("algorithms", "%q is not accepted from %s: use one of %s", Show(alg), p.Title, strings.Join(allowed, ", "))
		case slices.Contains(s.Algorithms[:i], alg):
			return invalid("algorithms", "%s is there twice", alg)
		}
	}
	if s.MaxLifetimeSeconds < 0 || s.MaxLifetimeSeconds > int64(MaxLifetime/time.Second) {
		return invalid("maxLifetimeSeconds", "%d is not between 0 and %d", s.MaxLifetimeSeconds, int64(MaxLifetime/time.Second))
	}
	if !slices.Contains([]string{"", "always", "never"}, s.Once) {
		return invalid("once", "%q is not a value: write always or never, or leave it out for the default of the preset", Show(s.Once))
	}
	return nil
}
