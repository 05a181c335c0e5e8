package admin

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/server/internal/throttle"
	"github.com/watchword-dev/watchword/server/internal/web"
)

const challenge = `Bearer realm="watchword-admin"`

var (
	errNoToken    = problem("no_operator_token").With("WWW-Authenticate", challenge)
	errWrongToken = problem("wrong_operator_token").With("WWW-Authenticate", challenge+`, error="invalid_token"`)
	errGuessing   = problem("too_many_failures")

	errTrustRole    = problem("trust_role_required")
	errOperatorRole = problem("operator_role_required")
)

// The two who may be there, as the audit log and the history of changes name them.
const (
	operator = "operator"
	// trustOperator changes trusts and the credentials that name them. Whoever can do that can become any service, with
	// a token that the operator of the platform never sees, so that it may be somebody else.
	trustOperator = "trust-operator"
)

// authenticate returns who asks, and the answer for everybody else.
//
// The token is compared before failures are counted: it has at least 32 characters, so
// that nobody finds it by trying, and a misconfigured job on the operator's own machine must
// not lock the operator out. What the limit protects is the audit log, in which every
// refusal is a record, and the disk under it.
func (a *handlers) authenticate(r *http.Request) (actor string, refusal *web.Error) {
	token, ok := bearer(r)
	switch {
	case ok && a.Token(token):
		return operator, nil
	case ok && a.TrustToken != nil && a.TrustToken(token):
		return trustOperator, nil
	}
	if wait := a.guesses.Charge(throttle.Network(web.Address(r)), a.Now()); wait > 0 {
		return "", errGuessing.With("Retry-After", fmt.Sprint(int64((wait+time.Second-1)/time.Second)))
	}
	if !ok {
		return "", errNoToken
	}
	return "", errWrongToken
}

// changes is what an operation changes, as far as it decides who may ask for it.
type changes int

const (
	// changesOthers: everything but trusts and the credentials that name them.
	changesOthers changes = iota
	changesTrusts
	// changesEither: the handler finds out, and calls mayChange before it changes anything.
	changesEither
)

// mayChange returns the refusal if the one who asks may not make that change. Both may read everything.
func (a *handlers) mayChange(ctx context.Context, what changes) error {
	switch actor := requestOf(ctx).actor; {
	case a.TrustToken == nil, what == changesEither:
		return nil
	case what == changesTrusts && actor != trustOperator:
		return errTrustRole
	case what == changesOthers && actor != operator:
		return errOperatorRole
	}
	return nil
}

// changing is what a change of trusts, or of something else, is.
func changing(trusts bool) changes {
	if trusts {
		return changesTrusts
	}
	return changesOthers
}

// bearer is the token of the one Authorization header (RFC 6750, section 2.1).
func bearer(r *http.Request) (string, bool) {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return "", false
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	return token, ok && strings.EqualFold(scheme, "Bearer") && token != ""
}

// Failures a network may make at once, and then one every refill.
const (
	GuessBurst  = 20
	GuessRefill = time.Second
	MaxGuessers = 4096
)
