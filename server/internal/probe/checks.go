package probe

import (
	"time"

	"github.com/watchword-dev/watchword/server/internal/issuer"
)

// Check is one request, and what a callee must make of it.
type Check struct {
	Name string // for programs
	// What is sent, in words, as in "an expired token".
	What string
	// Token says in what it differs from a good one. Nil: no token is sent.
	Token func(t *issuer.ProbeToken)
	// Forge makes a bad token of it. Nil: it is sent as the server made it.
	Forge forgery
	// Bound: it is bound to a key, whether or not the service asks for that.
	Bound bool
	// Accept: it is good, and must be accepted.
	Accept bool
	// Revoked: it is good, and revoked before it is sent again.
	Revoked bool
	// Proof is what is sent beside it, of the key it is bound to.
	Proof Proof
}

// Proof of the key of a bound token (RFC 9449).
type Proof int

// The proofs.
const (
	AsNeeded Proof = iota // a good one if the service takes only bound tokens, else none
	NoProof
	WrongProof // of another key
)

// far is more than clocks may differ by for any library we know of: the laxest allows five minutes.
const far = 10 * time.Minute

// Checks are made in this order. The first and the last tell a callee that refuses what it must from
// one that refuses everything, or went away meanwhile.
func Checks() []Check {
	good := func(*issuer.ProbeToken) {}
	return []Check{
		{Name: "good", What: "a valid token", Token: good, Accept: true},
		{Name: "no_token", What: "a request without a token"},
		// RFC 7519, section 4.1.3. The one mistake that lets every callee pass for its callers.
		{Name: "another_audience", What: "a token for another service", Token: func(t *issuer.ProbeToken) { t.Audience = issuer.ProbeName }},
		{Name: "wrong_issuer", What: "a token of another issuer", Token: func(t *issuer.ProbeToken) { t.Issuer = "https://" + issuer.ProbeName + ".invalid" }},
		{Name: "expired", What: "an expired token", Token: func(t *issuer.ProbeToken) { t.Later = -far }},
		{Name: "not_yet_valid", What: "a token that is not valid yet", Token: func(t *issuer.ProbeToken) { t.Later = far }},
		{Name: "unknown_key", What: "a token signed by an unknown key", Token: good, Forge: byStranger},
		{Name: "forged_signature", What: "a token with another key's signature", Token: good, Forge: asServer},
		{Name: "embedded_key", What: "a token that brings its own key along", Token: good, Forge: embedded}, // RFC 8725, section 3.5
		{Name: "alg_none", What: "an unsigned token (alg none)", Token: good, Forge: unsigned},              // RFC 8725, section 3.2
		{Name: "hs256_pem", What: "a token signed by HS256 with the public key, in PEM", Token: good, Forge: withPEM},
		{Name: "hs256_jwk", What: "a token signed by HS256 with the public key, as a JWK", Token: good, Forge: withJWK},
		{Name: "stripped_signature", What: "a token without its signature", Token: good, Forge: stripped},
		// RFC 8725, section 3.11: a type the server does sign, of something that is no access token.
		{Name: "wrong_type", What: "a token of another type", Token: func(t *issuer.ProbeToken) { t.Type = "statuslist+jwt" }},
		{Name: "bootstrap_credential", What: "a bootstrap credential", Token: func(t *issuer.ProbeToken) { t.Credential = true }},
		{Name: "bound_without_proof", What: "a token bound to a key, without proof of it", Token: good, Bound: true, Proof: NoProof}, // RFC 7800
		{Name: "wrong_proof", What: "a token bound to a key, with proof of another", Token: good, Bound: true, Proof: WrongProof},    // RFC 9449, section 7.1
		{Name: "revoked", What: "a revoked token", Token: good, Revoked: true},
		{Name: "good_again", What: "a valid token, at the end", Token: good, Accept: true},
	}
}
