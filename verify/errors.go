package verify

import (
	"errors"

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
	// ErrBound: usable only with proof of a key (RFC 7800), which this package cannot check.
	ErrBound = errors.New("token is bound to a key and is no bearer token")

	// ErrKeysUnavailable says nothing of the token: there are no keys to check it with,
	// because the authorization server has not answered for too long. Answer 503, not 401.
	ErrKeysUnavailable = errors.New("no signing keys available")
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
}

func describe(err error) string {
	for _, d := range descriptions {
		if errors.Is(err, d.err) {
			return d.text
		}
	}
	return "malformed token"
}
