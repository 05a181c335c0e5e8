package issuer

import (
	"errors"
	"net/netip"
	"time"

	"github.com/watchword-dev/watchword/server/internal/clientauth"
)

// Endpoint is where a request arrived. The audit log keeps its value.
type Endpoint string

// The endpoints at which the issuer decides.
const (
	AccessTokenEndpoint Endpoint = "accesstoken"
	TokenEndpoint       Endpoint = "oauth2/token"      // RFC 6749, section 3.2
	IntrospectEndpoint  Endpoint = "oauth2/introspect" // RFC 7662, section 2
	RevokeEndpoint      Endpoint = "oauth2/revoke"     // RFC 7009, section 2
)

// Request is where a proposal came from.
type Request struct {
	Endpoint  Endpoint
	RequestID string
	Address   netip.Addr
}

// Proposal asks for a token.
type Proposal struct {
	Request
	// Presented proves who asks.
	Presented clientauth.Presented
	// Grant is the grant type at TokenEndpoint. Other endpoints have none.
	Grant string
	// Targets are the services the token is for, as asked: each a name or an audience.
	Targets []string
	// Scopes asked for, sorted. None: all there are.
	Scopes []string
	// Proof is that of a key the token is to be bound to.
	Proof Proof
	// Exchange is with the grant api.GrantTokenExchange whose token is exchanged.
	Exchange Exchange
	// GrantAssertion is with the grant api.GrantJWTBearer the assertion that is the grant. Presented may be
	// empty then; what it proves must be the same service.
	GrantAssertion string
}

// Proof is what a request carried to prove that it has a key (RFC 9449, section 4).
type Proof struct {
	// Headers are all values of the DPoP header.
	Headers []string
	// Method and URL of the request: the URL by which clients know the endpoint, as configured.
	Method, URL string
}

// Exchange names the tokens of a token exchange (RFC 8693, section 2.1).
type Exchange struct {
	Subject, Actor string
	// Impersonate asks for a token that does not say who acts.
	Impersonate bool
}

// Token is an access token.
type Token struct {
	Value     string
	ExpiresIn time.Duration
	Scopes    []string
	// Type is Bearer or, when the token is bound to the key of a proof, DPoP.
	Type string
}

// The types of tokens (RFC 6750, section 6.1.1; RFC 9449, section 5).
const (
	Bearer = "Bearer"
	DPoP   = "DPoP"
)

// Refusal is a proposal that was not granted, and recorded so. Reason is not for the caller.
type Refusal struct {
	Kind   RefusalKind
	Reason string
	// Text is what the caller may be told beside the kind. Empty: nothing.
	Text string
	// RetryAfter is with Throttled how long to wait.
	RetryAfter time.Duration
}

// RefusalKind is all a caller may learn.
type RefusalKind int

// The kinds of refusal.
const (
	Malformed          RefusalKind = iota // the request itself
	Unauthenticated                       // no proof was presented
	InvalidToken                          // the proof presented is not good
	Denied                                // no rule allows it
	InvalidScope                          // a rule allows it, but not with these scopes
	UnauthorizedClient                    // the service may not use this grant
	InvalidGrant                          // the assertion that is the grant is not good
	InvalidProof                          // the proof of a key is not good, or missing
	NonceNeeded                           // the proof of a key must have a nonce of this server
	Throttled                             // too many failures
	UnsupportedGrant                      // there is no such grant
)

func (r *Refusal) Error() string { return "refused: " + r.Reason }

// ErrUnavailable: the server cannot do its part now.
var ErrUnavailable = errors.New("unavailable")
