package verify

import (
	"errors"

	"github.com/watchword-dev/watchword/internal/dpop"
	"github.com/watchword-dev/watchword/internal/jose"
)

// The reasons why a token is refused, for errors.Is. No error contains the token.
var (
	// ErrMalformed means that it is not a signed token in compact form, or that its claims are malformed.
	ErrMalformed = jose.ErrMalformed
	// ErrType means that it is not an access token (RFC 9068, section 4), but perhaps another kind of token.
	ErrType = errors.New("not an access token: header typ is not at+jwt")
	// ErrAlgorithm means that the algorithm is not accepted, or is not that of the key.
	ErrAlgorithm = jose.ErrAlgorithm
	// ErrUnknownKey means that the authorization server does not publish the key that signed the token.
	ErrUnknownKey = jose.ErrUnknownKey
	// ErrSignature means that the signature is wrong.
	ErrSignature = jose.ErrSignature
	// ErrIssuer means that the token is from another issuer.
	ErrIssuer = errors.New("token is from another issuer")
	// ErrAudience means that the token is for another service, or for several.
	ErrAudience = errors.New("token is for another audience")
	// ErrExpired means that the token has expired.
	ErrExpired = errors.New("token has expired")
	// ErrNotYetValid means that iat or nbf is in the future.
	ErrNotYetValid = errors.New("token is not valid yet")
	// ErrMissingClaim means that a required claim is missing (RFC 9068, section 2.2).
	ErrMissingClaim = errors.New("token lacks a required claim")
	// ErrBound means that the token is bound to a key (RFC 7800) but was sent as a bearer token, or is bound in a
	// way that this package does not support.
	ErrBound = errors.New("token is bound to a key and is not a bearer token")
	// ErrNotBound means that it is a bearer token, but Config.RequireBound requires a bound one.
	ErrNotBound = errors.New("token is not bound to a key")
	// ErrCertificate means that the connection has no client certificate, or one to which the token is not bound.
	ErrCertificate = errors.New("client certificate is not the one to which the token is bound")
	// ErrProof means that the DPoP proof is not valid (RFC 9449, section 4.3).
	ErrProof = dpop.ErrProof
	// ErrProofKey means that the DPoP proof is for a key to which the token is not bound. It is an ErrProof.
	ErrProofKey = dpop.ErrKey
	// ErrReplayed means that the DPoP proof was used before. It is an ErrProof.
	ErrReplayed = dpop.ErrReplayed
	// ErrNonce means that the DPoP proof needs a nonce, or a newer one.
	ErrNonce = dpop.ErrNonce
	// ErrRevoked means that the token, or something that it depends on, was revoked.
	ErrRevoked = errors.New("token has been revoked")

	// ErrKeysUnavailable means that there are no keys to check the token with, because the authorization server
	// could not be reached for too long. The token may be valid: answer 503, not 401.
	ErrKeysUnavailable = errors.New("no signing keys available")
	// ErrRevocationsStale means that the newest statement of the authorization server about what is revoked is
	// older than Revocations.FailClosedAfter. The token may be valid: answer 503.
	ErrRevocationsStale = errors.New("revocations are not known to be recent")
	// ErrReplaysUnavailable means that the DPoP proof cannot be remembered. The token may be valid: answer 503.
	ErrReplaysUnavailable = errors.New("cannot remember DPoP proofs")

	// ErrNoCredentials means that there is no Authorization header with the scheme Bearer or DPoP.
	ErrNoCredentials = errors.New("no access token in the Authorization header")
	// ErrTwoCredentials means that there is more than one Authorization header.
	ErrTwoCredentials = errors.New("more than one Authorization header")
)

// descriptions are the fixed texts that callers are told (RFC 6750, section 3).
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
	{ErrBound, "token is bound to a key and is not a bearer token"},
	{ErrNotBound, "token is not bound to a key"},
	{ErrCertificate, "client certificate is not the one to which the token is bound"},
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
		return err.Error() // the errors of package dpop have fixed texts too
	}
	return "malformed token"
}
