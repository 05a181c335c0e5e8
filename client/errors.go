package client

import (
	"fmt"
	"strings"
	"time"
)

// DeniedError is the server's refusal. It is final until an operator changes something,
// so it is kept for some seconds and not asked for again meanwhile.
type DeniedError struct {
	Target      string
	Scope       string // as asked for, separated by spaces
	Caller      string // from the configuration or the credential, when it says; unverified
	Exchange    bool   // asked for in exchange for the token of a request
	Status      int    // of the HTTP answer
	Code        string // the answer's "error": access_denied, invalid_client, invalid_target, ...
	Description string // the answer's "error_description"
	DecisionID  string // to find the decision in the server's audit log
}

func (e *DeniedError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "no token for %q: %s (status %d", e.Target, e.advice(), e.Status)
	if e.Code != "" {
		b.WriteString(", " + e.Code)
	}
	if e.Description != "" && !e.said() {
		b.WriteString(": " + e.Description)
	}
	if e.DecisionID != "" {
		b.WriteString(", decision " + e.DecisionID)
	}
	b.WriteString(")")
	return b.String()
}

// advice says what happened and what to do next.
func (e *DeniedError) advice() string {
	switch e.Code {
	case "access_denied", "invalid_scope", "invalid_target":
		// The server does not tell which, and a rule that lacks one scope is not to be replaced by
		// one that has no other.
		switch {
		case e.Exchange:
			return "no rule allows the exchange, or there is no such service; ask an operator, who sees why with: " + e.why()
		case e.Scope != "":
			return "no rule allows it, or there is no such service, or the rule lacks scope " + e.Scope + "; ask an operator, who sees why with: " + e.why()
		case e.Caller == "":
			return "no rule allows it, or there is no such service; ask an operator, who sees why with: " + e.why()
		}
		return fmt.Sprintf("no rule allows it, or there is no such service; ask an operator to run: watchword allow %s %s", e.Caller, e.Target)
	case "invalid_token", "invalid_client":
		if e.Caller == "" {
			return "the credential was not accepted; it may be expired or revoked; ask an operator for a new credential"
		}
		return fmt.Sprintf("the credential of %s was not accepted; it may be expired or revoked; ask an operator to run: watchword credential create %s", e.Caller, e.Caller)
	case "":
		return "the server refused; is its address right?"
	}
	return "the server refused"
}

// said is whether the advice says already what the server's description says of such a code.
func (e *DeniedError) said() bool {
	switch e.Code {
	case "access_denied", "invalid_target", "invalid_token", "invalid_client":
		return true
	}
	return false
}

// why is the command with which an operator sees the reason.
func (e *DeniedError) why() string {
	if e.DecisionID == "" {
		return "watchword audit tail"
	}
	return "watchword why " + e.DecisionID
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
