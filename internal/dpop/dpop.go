// Package dpop creates and checks DPoP proofs (RFC 9449), with which a sender proves that it has the key to which a
// token is, or will be, bound. It reads no clock and has no state. The caller has to know whether a proof was used
// before, by the ReplayKey of the proof.
package dpop

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/internal/strictjson"
)

// The iat of a proof must be in [now-MaxAge, now+MaxAhead], even if it has a nonce (RFC 9449, section 11.1; for
// clocks that are fast, FAPI 2.0 Security Profile, section 5.3.2.1).
const (
	MaxAge   = 60 * time.Second
	MaxAhead = 10 * time.Second
)

// MaxID is the maximum length of a jti, in bytes.
const MaxID = 128

// Type is the header typ of proofs.
const Type = "dpop+jwt"

// Header is the name of the HTTP header with a proof. NonceHeader is the name of the header of an answer with the
// nonce for the next proof.
const (
	Header      = "DPoP"
	NonceHeader = "DPoP-Nonce"
)

// The errors of Check, for errors.Is. Their texts contain no part of the proof, and are allowed in an
// error_description (RFC 6749, section 5.2).
var (
	// ErrProof means that there is not exactly one proof, or that it is not valid. Answer invalid_dpop_proof.
	ErrProof = errors.New("DPoP proof is not valid")
	// ErrMissing means that there is no proof. It is an ErrProof.
	ErrMissing = fmt.Errorf("%w: no DPoP header", ErrProof)
	// ErrKey means that the proof is valid, but for another key than that to which the token is bound. A resource
	// server answers invalid_token (RFC 9449, section 7.1). It is an ErrProof.
	ErrKey = fmt.Errorf("%w: signed with another key than the token is bound to", ErrProof)
	// ErrReplayed is not returned by Check. It is for callers that find that the ReplayKey was used before. It is an
	// ErrProof.
	ErrReplayed = fmt.Errorf("%w: used before", ErrProof)
	// ErrNonce means that the proof needs a nonce, or a newer one. Answer use_dpop_nonce, with a nonce in NonceHeader
	// (RFC 9449, sections 8 and 9). It is not an ErrProof.
	ErrNonce = errors.New("DPoP proof needs the nonce of this answer")
)

// Expect is what a proof is compared with. Method, URL and Now are required.
type Expect struct {
	Method string // of the request, in its exact case
	URL    string // of the request, as the client knows it; query and fragment are ignored
	Now    time.Time

	// AccessToken is the token with which the proof was sent. It is empty at a token endpoint.
	AccessToken string
	// Key is the RFC 7638 thumbprint of the key that must have signed the proof. If empty, any key is accepted.
	Key string
	// Algorithms accepted. Nil: those of Algorithms.
	Algorithms []jose.Algorithm
	// Nonces, if not nil, checks the nonce of proofs that have one. RequireNonce refuses proofs that have none.
	Nonces       *Nonces
	RequireNonce bool
}

// Proof is a valid proof.
type Proof struct {
	Key      string // RFC 7638 SHA-256 thumbprint of the key that signed: cnf.jkt
	ID       string // jti
	IssuedAt time.Time
	Nonce    string // empty if absent

	// ReplayKey is the same for two proofs that must not both be accepted (RFC 9449, section
	// 11.1): 43 characters of base64url, a hash of key, method, normalised URL and jti.
	ReplayKey string
	// ReplayUntil is the time until which ReplayKey must be remembered. After that, the proof is too old. If ReplayKeys
	// are shared between machines, add the time by which their clocks may differ.
	ReplayUntil time.Time
}

// Check does the checks of RFC 9449, section 4.3, with the values of all DPoP headers of a request. The caller has
// to check that the proof was not used before.
func Check(headers []string, e Expect) (*Proof, error) {
	t, key, err := read(headers, e)
	if err != nil {
		return nil, err
	}
	c, err := parseClaims(t.Payload)
	if err != nil {
		return nil, err
	}
	url, err := c.check(e)
	if err != nil {
		return nil, err
	}
	// The signature is checked last, because that takes longer than everything else.
	if t.VerifyWith(key) != nil { // checks 6
		return nil, errSignature
	}
	jkt, err := jose.Thumbprint(key.Key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProof, err)
	}
	if e.Key != "" && jkt != e.Key { // check 12
		return nil, ErrKey
	}
	if err := c.checkNonce(e); err != nil { // check 10
		return nil, err
	}
	return &Proof{
		Key: jkt, ID: c.ID, IssuedAt: c.IssuedAt, Nonce: c.Nonce,
		ReplayKey: replayKey(jkt, c.Method, url, c.ID), ReplayUntil: c.IssuedAt.Add(MaxAge + time.Second),
	}, nil
}

// The reasons why a proof is not valid.
var (
	errSeveral   = fmt.Errorf("%w: more than one", ErrProof)
	errShape     = fmt.Errorf("%w: not one well-formed signed token that brings a sound public key", ErrProof)
	errAlgorithm = fmt.Errorf("%w: signature algorithm not accepted", ErrProof)
	errType      = fmt.Errorf("%w: typ is not dpop+jwt", ErrProof)
	errClaims    = fmt.Errorf("%w: claims are not one strict JSON object with jti, htm, htu and iat of their types", ErrProof)
	errID        = fmt.Errorf("%w: jti is not 1 to 128 characters", ErrProof)
	errMethod    = fmt.Errorf("%w: htm is not the method of the request", ErrProof)
	errURL       = fmt.Errorf("%w: htu is not the URL of the request", ErrProof)
	errOld       = fmt.Errorf("%w: too old; if it is fresh, clocks differ", ErrProof)
	errFuture    = fmt.Errorf("%w: from the future; if it is not, clocks differ", ErrProof)
	errToken     = fmt.Errorf("%w: ath is not the hash of the access token", ErrProof)
	errSignature = fmt.Errorf("%w: signature does not match", ErrProof)
)

// read does checks 1, 2, 4, 5 and 7.
func read(headers []string, e Expect) (*jose.Token, jose.PublicKey, error) {
	var none jose.PublicKey
	switch {
	case len(headers) == 0:
		return nil, none, ErrMissing
	// Proxies join repeated headers with commas (RFC 9110, section 5.3).
	case len(headers) > 1 || strings.Contains(headers[0], ","):
		return nil, none, errSeveral
	}
	t, key, err := jose.ParseProof(headers[0])
	if errors.Is(err, jose.ErrAlgorithm) {
		return nil, none, errAlgorithm
	}
	if err != nil {
		return nil, none, errShape
	}
	algorithms := e.Algorithms
	if algorithms == nil {
		algorithms = jose.ClientAlgorithms()
	}
	switch {
	case !slices.Contains(algorithms, key.Algorithm):
		return nil, none, errAlgorithm
	// Media types are not case-sensitive (RFC 8725, section 3.11; RFC 7515, section 4.1.9).
	case !strings.EqualFold(t.Type, Type) && !strings.EqualFold(t.Type, "application/"+Type):
		return nil, none, errType
	}
	return t, key, nil
}

// claims of a proof (RFC 9449, section 4.2).
type claims struct {
	*jose.Claims

	Method, URL, TokenHash, Nonce string
	hasNonce                      bool
}

// parseClaims does check 3.
func parseClaims(payload []byte) (*claims, error) {
	registered, err := jose.ParseClaims(payload)
	if err != nil {
		return nil, errClaims
	}
	var m struct {
		Method    *string `json:"htm"`
		URL       *string `json:"htu"`
		TokenHash string  `json:"ath"`
		Nonce     *string `json:"nonce"`
	}
	if strictjson.Unmarshal(payload, &m) != nil || m.Method == nil || m.URL == nil || registered.IssuedAt.IsZero() {
		return nil, errClaims
	}
	if n := len(registered.ID); n == 0 || n > MaxID { // DPO-030
		return nil, errID
	}
	c := &claims{Claims: registered, Method: *m.Method, URL: *m.URL, TokenHash: m.TokenHash}
	if m.Nonce != nil {
		c.Nonce, c.hasNonce = *m.Nonce, true
	}
	return c, nil
}

// check does checks 8, 9, 11 and the first half of 12, and returns the normalised URL.
func (c *claims) check(e Expect) (url string, err error) {
	if c.Method != e.Method {
		return "", errMethod
	}
	want, err := normalise(e.URL)
	if err != nil {
		return "", fmt.Errorf("%w: the request's own URL: %w", ErrProof, err)
	}
	if url, err = normalise(c.URL); err != nil || url != want {
		return "", errURL
	}
	switch {
	case c.IssuedAt.Before(e.Now.Add(-MaxAge)):
		return "", errOld
	case !c.Expiry.IsZero() && !e.Now.Before(c.Expiry): // RFC 7519, section 4.1.4
		return "", errOld
	case c.IssuedAt.After(e.Now.Add(MaxAhead)), c.NotBefore.After(e.Now.Add(MaxAhead)):
		return "", errFuture
	case e.AccessToken != "" && subtle.ConstantTimeCompare([]byte(c.TokenHash), []byte(TokenHash(e.AccessToken))) == 0:
		return "", errToken
	}
	return url, nil
}

func (c *claims) checkNonce(e Expect) error {
	switch {
	case !c.hasNonce && e.RequireNonce:
		return ErrNonce
	case c.hasNonce && e.Nonces != nil && !e.Nonces.Valid(c.Nonce, e.Now):
		return ErrNonce
	}
	return nil
}

// TokenHash returns the ath of an access token.
func TokenHash(accessToken string) string {
	sum := sha256.Sum256([]byte(accessToken))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// replayKey returns a hash of the values. Only the last of them can contain a line feed.
func replayKey(jkt, method, url, id string) string {
	sum := sha256.Sum256([]byte(jkt + "\n" + method + "\n" + url + "\n" + id))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
