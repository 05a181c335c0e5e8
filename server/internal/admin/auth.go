package admin

import (
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
)

// authenticate returns nil for the operator, and the answer for everybody else.
//
// The token is compared before failures are counted: it has at least 32 characters, so
// that nobody finds it by trying, and a misconfigured job on the operator's own machine must
// not lock the operator out. What the limit protects is the audit log, in which every
// refusal is a record, and the disk under it.
func (a *handlers) authenticate(r *http.Request) *web.Error {
	token, ok := bearer(r)
	if ok && a.Token(token) {
		return nil
	}
	if wait := a.guesses.Charge(throttle.Network(web.Address(r)), a.Now()); wait > 0 {
		return errGuessing.With("Retry-After", fmt.Sprint(int64((wait+time.Second-1)/time.Second)))
	}
	if !ok {
		return errNoToken
	}
	return errWrongToken
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
