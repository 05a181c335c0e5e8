package verify

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/watchword-dev/watchword/internal/dpop"
	"github.com/watchword-dev/watchword/internal/jose"
)

// Refusal is the answer to a caller whose token was refused.
type Refusal struct {
	Status      int
	Code        string // an error code of RFC 6750, section 3.1, or a similar one
	Description string // a fixed text, with nothing from the token
	// Challenges are the values of WWW-Authenticate headers. There are none if the token may be valid.
	Challenges []string
	// Nonce is the value of the DPoP-Nonce header. If empty, there is none.
	Nonce string
	// RetryAfter is in seconds. If zero, trying again does not help.
	RetryAfter int
}

// Refusal returns the answer to an error of VerifyRequest, VerifyWith or Verify. Middleware sends it. For other
// protocols, it can be translated.
func (v *Verifier) Refusal(err error) Refusal {
	under := underDPoP{}
	dpopUsed := errors.As(err, &under)
	switch {
	case errors.Is(err, ErrKeysUnavailable):
		return unavailable("no keys to check tokens with; try again")
	case errors.Is(err, ErrRevocationsStale):
		return unavailable("not known what was revoked; try again")
	case errors.Is(err, ErrReplaysUnavailable):
		return unavailable("cannot remember DPoP proofs; try again")
	case errors.Is(err, ErrNoCredentials): // RFC 6750, section 3.1: no error code
		// RFC 9449, section 7.2: challenges for both schemes, from which the client selects.
		return Refusal{
			Status: http.StatusUnauthorized, Code: "unauthorized", Description: "send Authorization: Bearer and an access token",
			Challenges: []string{v.challenge(schemeBearer, "", "", ""), v.challenge(schemeDPoP, "", "", "")},
		}
	case errors.Is(err, ErrTwoCredentials):
		return v.refusal(http.StatusBadRequest, schemeBearer, "invalid_request", "more than one Authorization header")
	case errors.Is(err, ErrNonce):
		r := v.refusal(http.StatusUnauthorized, schemeDPoP, "use_dpop_nonce", describe(err))
		r.Nonce = v.nextNonce()
		return r
	// RFC 9449, section 7.1: failures of section 4.3 are invalid_dpop_proof. A proof for another key than that of
	// the token is invalid_token, and so is a bound token without a proof.
	case errors.Is(err, ErrProof) && !errors.Is(err, ErrProofKey) && !errors.Is(err, dpop.ErrMissing):
		return v.refusal(http.StatusUnauthorized, schemeDPoP, "invalid_dpop_proof", describe(err))
	}
	scheme := schemeBearer
	if dpopUsed || errors.Is(err, ErrProof) {
		scheme = schemeDPoP
	}
	return v.refusal(http.StatusUnauthorized, scheme, "invalid_token", describe(err))
}

// Refuse answers a request whose VerifyRequest returned err.
func (v *Verifier) Refuse(w http.ResponseWriter, err error) { v.Refusal(err).write(w) }

func (v *Verifier) refusal(status int, scheme, code, description string) Refusal {
	return Refusal{Status: status, Code: code, Description: description, Challenges: []string{v.challenge(scheme, code, description, "")}}
}

func unavailable(description string) Refusal {
	return Refusal{Status: http.StatusServiceUnavailable, Code: "temporarily_unavailable", Description: description, RetryAfter: 5}
}

func (v *Verifier) lacksScope(c *Claims, scopes string) Refusal {
	const code, description = "insufficient_scope", "the token lacks a scope"
	scheme := schemeBearer
	if c.Binding.KeyThumbprint != "" {
		scheme = schemeDPoP
	}
	return Refusal{Status: http.StatusForbidden, Code: code, Description: description, Challenges: []string{v.challenge(scheme, code, description, scopes)}}
}

// challenge returns a value of WWW-Authenticate (RFC 6750, section 3; for DPoP, RFC 9449, section 7.1; for
// resource_metadata, RFC 9728, section 5.1). None of the values has a quote or a backslash.
func (v *Verifier) challenge(scheme, code, description, scope string) string {
	var b strings.Builder
	b.WriteString(scheme + ` realm="` + v.realm + `"`)
	add := func(name, value string) {
		if value != "" {
			b.WriteString(`, ` + name + `="` + value + `"`)
		}
	}
	add("error", code)
	add("error_description", description)
	add("scope", scope)
	if scheme == schemeDPoP {
		add("algs", proofAlgorithms)
	}
	add("resource_metadata", v.resource.metadataURL)
	return b.String()
}

var proofAlgorithms = func() string {
	var names []string
	for _, alg := range jose.ClientAlgorithms() {
		names = append(names, string(alg))
	}
	return strings.Join(names, " ")
}()

func (v *Verifier) nextNonce() string {
	if v.nonces == nil {
		return ""
	}
	return v.nonces.Next(v.now())
}

func (r Refusal) write(w http.ResponseWriter) {
	body, err := json.Marshal(struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}{r.Code, r.Description})
	if err != nil { // cannot happen: it has two fixed strings
		panic(err)
	}
	h := w.Header()
	for _, c := range r.Challenges {
		h.Add("WWW-Authenticate", c)
	}
	if r.Nonce != "" {
		h.Set(dpop.NonceHeader, r.Nonce)
	}
	if r.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(r.RetryAfter))
	}
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(r.Status)
	_, _ = w.Write(append(body, '\n')) // the client may have gone
}
