package client

import (
	"fmt"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/internal/shell"
)

// DeniedError means that the server refused. The answer stays the same until an operator changes something, so the
// error is returned for ten seconds without asking the server again.
type DeniedError struct {
	Target      string
	Scope       string // the requested scopes, separated by spaces
	Caller      string // from the configuration or the credential, if known; not verified
	Exchange    bool   // whether it was a token exchange
	Status      int    // the status of the HTTP answer
	Code        string // the answer's "error": access_denied, invalid_client, invalid_target, ...
	Description string // the answer's "error_description"
	DecisionID  string // the id of the decision in the server's audit log
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

// advice returns what happened and what to do next.
func (e *DeniedError) advice() string {
	switch e.Code {
	case "access_denied", "invalid_scope", "invalid_target":
		// The server does not reveal which of the reasons it is. "watchword allow" would replace a rule that lacks
		// one scope by a rule without the other scopes.
		switch {
		case e.Exchange:
			return "no rule allows the exchange, or there is no such service; ask an operator to run: " + e.why()
		case e.Scope != "":
			return "no rule allows it, or there is no such service, or the rule lacks scope " + e.Scope + "; ask an operator to run: " + e.why()
		case e.Caller == "":
			return "no rule allows it, or there is no such service; ask an operator to run: " + e.why()
		}
		return "no rule allows it, or there is no such service; ask an operator to run: " + shell.Command("watchword", "allow", e.Caller, e.Target)
	case "invalid_token", "invalid_client":
		if e.Caller == "" {
			return "the credential was not accepted; it may be expired or revoked; ask an operator for a new credential"
		}
		return fmt.Sprintf("the credential of %s was not accepted; it may be expired or revoked; ask an operator to run: %s", e.Caller, shell.Command("watchword", "credential", "create", e.Caller))
	case "":
		return "the server refused; is its address right?"
	}
	return "the server refused"
}

// said reports whether the advice already contains what the server's description says for the code.
func (e *DeniedError) said() bool {
	switch e.Code {
	case "access_denied", "invalid_target", "invalid_token", "invalid_client":
		return true
	}
	return false
}

// why returns the command that shows the reason to an operator.
func (e *DeniedError) why() string {
	if e.DecisionID == "" {
		return "watchword audit tail"
	}
	return shell.Command("watchword", "why", e.DecisionID)
}

// UnavailableError means that the server could not be reached, or gave no usable answer.
type UnavailableError struct {
	Server  string
	RetryIn time.Duration // the server is not asked again before this time has passed
	Err     error         // of the last attempt
}

func (e *UnavailableError) Error() string {
	return fmt.Sprintf("no token from %s: %v; next attempt in %v", e.Server, e.Err, max(0, e.RetryIn).Round(time.Millisecond))
}

func (e *UnavailableError) Unwrap() error { return e.Err }
