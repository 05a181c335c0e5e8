package verify

import (
	"errors"

	"github.com/watchword-dev/watchword/internal/dpop"
	"github.com/watchword-dev/watchword/internal/jose"
)

// Why a token was refused. Told apart with errors.Is. None of the errors carries a token.
var (
	// ErrMalformed: not a signed token in compact form, or its claims break the rules.
	ErrMalformed = jose.ErrMalformed
	// ErrType: not an access token (RFC 9068, section 4), though perhaps another kind of token.
	ErrType = errors.New("not an access token: header typ is not at+jwt")
	// ErrAlgorithm: signed with an algorithm that is not accepted or not the key's.
	ErrAlgorithm = jose.ErrAlgorithm
	// ErrUnknownKey: signed with a key the authorization server does not publish.
	ErrUnknownKey = jose.ErrUnknownKey
	// ErrSignature: the signature does not match.
	ErrSignature = jose.ErrSignature
	// ErrIssuer: from another issuer.
	ErrIssuer = errors.New("token is from another issuer")
	// ErrAudience: for another service, or for several.
	ErrAudience = errors.New("token is for another audience")
	// ErrExpired: its time is over.
	ErrExpired = errors.New("token has expired")
	// ErrNotYetValid: issued, or valid from, some time in the future.
	ErrNotYetValid = errors.New("token is not valid yet")
	// ErrMissingClaim: a claim that every access token has is not there (RFC 9068, section 2.2).
	ErrMissingClaim = errors.New("token lacks a required claim")
	// ErrBound: usable only with proof of a key (RFC 7800), and sent as a bearer token, or bound in
	// a way that this package does not know.
	ErrBound = errors.New("token is bound to a key and is no bearer token")
	// ErrNotBound: a bearer token, where Config.RequireBound asks for a bound one.
	ErrNotBound = errors.New("token is not bound to a key")
	// ErrCertificate: the connection has no client certificate, or another than the token's.
	ErrCertificate = errors.New("client certificate is not the one the token is bound to")
	// ErrProof: the DPoP proof does not hold (RFC 9449, section 4.3).
	ErrProof = dpop.ErrProof
	// ErrProofKey: the DPoP proof is of another key than the token. It is an ErrProof.
	ErrProofKey = dpop.ErrKey
	// ErrReplayed: the DPoP proof was used before. It is an ErrProof.
	ErrReplayed = dpop.ErrReplayed
	// ErrNonce: the DPoP proof needs a nonce, or a newer one.
	ErrNonce = dpop.ErrNonce
	// ErrRevoked: the token was revoked, or somebody or something it depends on.
	ErrRevoked = errors.New("token has been revoked")

	// ErrKeysUnavailable says nothing of the token: there are no keys to check it with,
	// because the authorization server has not answered for too long. Answer 503, not 401.
	ErrKeysUnavailable = errors.New("no signing keys available")
	// ErrRevocationsStale says nothing of the token: the authorization server has not said for longer
	// than Revocations.FailClosedAfter what was revoked. Answer 503.
	ErrRevocationsStale = errors.New("revocations are not known to be recent")
	// ErrReplaysUnavailable says nothing of the token: its proof cannot be remembered. Answer 503.
	ErrReplaysUnavailable = errors.New("cannot remember DPoP proofs")

	// ErrNoCredentials: no Authorization header, or one of another scheme than Bearer and DPoP.
	ErrNoCredentials = errors.New("no access token in the Authorization header")
	// ErrTwoCredentials: more than one Authorization header.
	ErrTwoCredentials = errors.New("more than one Authorization header")
)

// descriptions is what a caller is told, in fixed words (RFC 6750, section 3).
var descriptions = []struct {
	err  error
	text string
}{
	{ErrType, "not an access token"},
	{ErrAlgorithm, "signature algorithm not accepted"},
	{ErrUnknownKey, "unknown signing key"},
	{ErrSignature, "signature does not match"},
	{ErrIssuer, "token is from another issuer"},
	{ErrAudience, "token is for another audience"},
	{ErrExpired, "token has expired; if it is fresh, clocks differ"},
	{ErrNotYetValid, "token is not valid yet; if it should be, clocks differ"},
	{ErrMissingClaim, "token lacks a required claim"},
	{ErrBound, "token is bound to a key and is no bearer token"},
	{ErrNotBound, "token is not bound to a key"},
	{ErrCertificate, "client certificate is not the one the token is bound to"},
	{ErrRevoked, "token has been revoked"},
	{ErrNonce, "DPoP proof needs the nonce of this answer"},
}

func describe(err error) string {
	for _, d := range descriptions {
		if errors.Is(err, d.err) {
			return d.text
		}
	}
	if errors.Is(err, ErrProof) {
		return err.Error() // fixed words too, of package dpop
	}
	return "malformed token"
}
