package client

import (
	"fmt"
	"strings"
	"time"
)

// DeniedError is the server's refusal. It is final until an operator changes something,
// so it is kept for some seconds and not asked for again meanwhile.
type DeniedError struct {
	Target     string
	Scope      string // as asked for, separated by spaces
	Caller     string // from the credential, when it says; unverified
	Status     int    // of the HTTP answer
	Code       string // the answer's "error": access_denied, invalid_token, ...
	DecisionID string // to find the decision in the server's audit log
}

func (e *DeniedError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "no token for %q: ", e.Target)
	caller := e.Caller
	if caller == "" {
		caller = "<this service>"
	}
	switch e.Code {
	case "access_denied", "invalid_scope":
		// The server does not tell which, and a rule that lacks one scope is not to be replaced by
		// one that has no other.
		if b.WriteString("no rule allows it, or there is no such service"); e.Scope != "" {
			fmt.Fprintf(&b, ", or the rule lacks scope %s; ask an operator, who sees why with: watchword audit tail", e.Scope)
		} else {
			fmt.Fprintf(&b, "; ask an operator to run: watchword allow %s %s", caller, e.Target)
		}
	case "invalid_token", "invalid_client":
		fmt.Fprintf(&b, "the credential of %s was not accepted; it may be expired or revoked; ask an operator to run: watchword credential create %s", caller, caller)
	case "":
		b.WriteString("the server refused; is its address right?")
	default:
		b.WriteString("the server refused")
	}
	fmt.Fprintf(&b, " (status %d", e.Status)
	if e.Code != "" {
		b.WriteString(", " + e.Code)
	}
	if e.DecisionID != "" {
		b.WriteString(", decision " + e.DecisionID)
	}
	b.WriteString(")")
	return b.String()
}

// UnavailableError says that the server could not be asked, or gave no usable answer.
type UnavailableError struct {
	Server  string
	RetryIn time.Duration // the server is not asked again before
	Err     error         // of the last try
}

func (e *UnavailableError) Error() string {
	return fmt.Sprintf("no token from %s: %v; next try in %v", e.Server, e.Err, max(0, e.RetryIn).Round(time.Millisecond))
}

func (e *UnavailableError) Unwrap() error { return e.Err }
