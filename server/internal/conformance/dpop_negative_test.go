package conformance

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"
)

// trial is one sub-check of the module: a proof that is not as it should be, or looks so.
type trial struct {
	name  string
	steps resourceSteps
	code  string // of the refusal; empty: none
}

func removed(claim string) trial {
	return trial{claim + " missing", resourceSteps{proof: func(header, claims map[string]any) {
		delete(header, claim)
		delete(claims, claim)
	}}, invalidProof}
}

func header(name string, value any) resourceSteps {
	return resourceSteps{proof: func(header, _ map[string]any) { header[name] = value }}
}

func claim(name string, value any) resourceSteps {
	return resourceSteps{proof: func(_, claims map[string]any) { claims[name] = value }}
}

func signed(f func(proof string) string) resourceSteps {
	return resourceSteps{signed: func(_ *testing.T, proof string) string { return f(proof) }}
}

func request(f func(r *http.Request, proof string)) resourceSteps {
	return resourceSteps{request: func(_ *testing.T, r *http.Request, proof string) { f(r, proof) }}
}

// The codes of RFC 9449, section 7.1: of a proof that is bad, and of a token that does not fit.
const (
	invalidProof = "invalid_dpop_proof"
	invalidToken = "invalid_token"
)

// fapi2-security-profile-final-dpop-negative-tests: after a request that succeeds, each check of RFC
// 9449, section 4.3, at the resource; and a request that succeeds again.
func TestFAPI2SecurityProfileFinalDpopNegativeTests(t *testing.T) {
	all := variants(withDPoP)
	for _, alg := range algorithms[1:] {
		for _, v := range variants(withDPoP, withAssertion) {
			v.alg = alg
			all = append(all, v)
		}
	}
	inAll(t, all, func(t *testing.T, c, second *client) {
		tok := c.token(t, tokenSteps{})
		c.reach(t, tok, resourceSteps{})
		for _, trial := range append(malformedProofs(t, c), misplacedProofs(t, c)...) {
			t.Run(trial.name, func(t *testing.T) {
				if trial.code == "" {
					c.reach(t, tok, trial.steps)
					return
				}
				c.refusedAt(t, tok, trial.steps, trial.code)
			})
		}
		c.reach(t, tok, resourceSteps{})
	})
}

// malformedProofs are of checks 1 to 7.
func malformedProofs(t *testing.T, c *client) []trial {
	all := []trial{
		{"header in capitals", request(func(r *http.Request, proof string) {
			r.Header.Del("DPoP")
			r.Header["DPOP"] = []string{proof}
		}), ""},
		{"two headers", resourceSteps{request: func(t *testing.T, r *http.Request, _ string) {
			header, claims := c.proof(http.MethodGet, resourceURL, c.resourceNonce)
			claims["ath"] = hash(strings.TrimPrefix(r.Header.Get("Authorization"), "DPoP "))
			r.Header.Add("DPoP", c.proofKey.sign(t, header, claims))
		}}, invalidProof},
		{"two proofs in one header", request(func(r *http.Request, proof string) { r.Header.Set("DPoP", proof+", "+proof) }), invalidProof},
		{"not a JWT", signed(func(proof string) string { return proof[:strings.LastIndexByte(proof, '.')] }), invalidProof},
		removed("typ"), removed("jwk"), removed("jti"), removed("htm"), removed("htu"), removed("iat"), removed("ath"),
		{"alg missing", signed(withoutAlgorithm), invalidProof},
		{"typ wrong", header("typ", "dpop+jwt+wrong"), invalidProof},
		{"alg none", resourceSteps{sign: func(t *testing.T, _, claims map[string]any) string {
			return part(t, map[string]any{"alg": "none", "typ": "dpop+jwt"}) + "." + part(t, claims) + "."
		}}, invalidProof},
		// The suite's own has no jwk either.
		{"alg none beside jwk", resourceSteps{sign: func(t *testing.T, header, claims map[string]any) string {
			header["alg"] = "none"
			return part(t, header) + "." + part(t, claims) + "."
		}}, invalidProof},
		{"signature wrong", signed(withOtherSignature), invalidProof},
		{"jwk private", header("jwk", c.proofKey.privateJWK()), invalidProof},
	}
	if c.alg == "PS256" {
		all = append(all, trial{"alg RS256", header("alg", "RS256"), invalidProof})
	}
	return all
}

// misplacedProofs are of checks 8 to 12. Check 10, of the nonce, the plan leaves out; in the variants
// with nonces each of these has had one asked of it first.
func misplacedProofs(t *testing.T, c *client) []trial {
	jti := rand.Text()
	anHour := func(by time.Duration) resourceSteps { return claim("iat", time.Now().Add(by).Unix()) }
	return []trial{
		{"htm wrong", claim("htm", "PUT"), invalidProof},
		{"htu with query and fragment", claim("htu", resourceURL+"?query#fragment"), ""},
		{"URL with query, htu without", resourceSteps{withURL: resourceURL + "?query=1"}, ""},
		{"htu of another URL", claim("htu", resourceURL+"else"), invalidProof},
		// With nonces the plan would rather have these two pass, and warns: RFC 9449, section 4.3, item
		// 11, leaves it to the resource which of iat and nonce says how old a proof is.
		{"iat in an hour", anHour(time.Hour), invalidProof},
		{"iat an hour ago", anHour(-time.Hour), invalidProof},
		{"jti first used", claim("jti", jti), ""},
		{"jti used again", claim("jti", jti), invalidProof},
		{"ath wrong", claim("ath", hash("another token")), invalidProof},
		{"signed with another key", resourceSteps{key: newKey(t, c.alg)}, invalidToken},
		{"more members", resourceSteps{proof: func(header, claims map[string]any) {
			later := time.Now().Add(time.Hour).Unix()
			header["tx_id"], claims["tx_id_key"] = later, later
		}}, ""},
		// RFC 3986, sections 6.2.2 and 6.2.3.
		{"htu in capitals", claim("htu", strings.Replace(resourceURL, resourceHost, strings.ToUpper(resourceHost), 1)), ""},
		{"htu with the default port", claim("htu", strings.Replace(resourceURL, resourceHost, resourceHost+":443", 1)), ""},
		{"no proof", request(func(r *http.Request, _ string) { r.Header.Del("DPoP") }), invalidToken},
		// RFC 9449, section 7.2: no downgrade. The answer says DPoP.
		{"no proof, as Bearer", request(func(r *http.Request, _ string) {
			r.Header.Del("DPoP")
			r.Header.Set("Authorization", "Bearer "+strings.TrimPrefix(r.Header.Get("Authorization"), "DPoP "))
		}), invalidToken},
		{"proof, as Bearer", request(func(r *http.Request, _ string) {
			r.Header.Set("Authorization", "Bearer "+strings.TrimPrefix(r.Header.Get("Authorization"), "DPoP "))
		}), invalidToken},
	}
}

// withoutAlgorithm leaves the signature as it was (condition SignDpopAndRemoveAlg).
func withoutAlgorithm(proof string) string {
	header, rest, _ := strings.Cut(proof, ".")
	b, _ := base64.RawURLEncoding.DecodeString(header)
	return b64([]byte(strings.ReplaceAll(string(b), `"alg":`, `"alg2":`))) + "." + rest
}

// withOtherSignature changes the first bits of the signature: the last may not count.
func withOtherSignature(proof string) string {
	at := strings.LastIndexByte(proof, '.') + 1
	b, _ := base64.RawURLEncoding.DecodeString(proof[at:])
	b[0] ^= 0x5a
	return proof[:at] + b64(b)
}
