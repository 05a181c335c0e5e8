package client

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/internal/reason"
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

// Error returns what is wrong, as the server described it, and how an operator finds out more. It names no command that
// would change rules or credentials: the server tells a caller too little to know which one would help.
func (e *DeniedError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "no token for %q: %s (status %d", e.Target, e.what(), e.Status)
	if e.Code != "" {
		b.WriteString(", " + e.Code)
	}
	b.WriteString(")")
	switch {
	case e.DecisionID != "":
		b.WriteString("; an operator sees why with: " + shell.Command("watchword", "why", e.DecisionID))
	case e.Code == "":
		b.WriteString("; is the server's address right?")
	}
	return b.String()
}

// what returns the description of the server, without the advice that it gives for every error of that code.
func (e *DeniedError) what() string {
	known, ok := reason.Find(e.Code)
	switch means := reason.Clause(known.Means); {
	case ok && (e.Description == "" || strings.HasPrefix(e.Description, means)):
		return means
	case e.Description != "":
		return e.Description
	}
	return "the server refused"
}

// UnavailableError means that the server could not be reached, or gave no usable answer.
type UnavailableError struct {
	Server  string
	Status  int           // of the HTTP answer to the last attempt; 0: there was none
	RetryIn time.Duration // the server is not asked again before this time has passed
	Err     error         // of the last attempt
}

// unavailable returns the error for an attempt that ended with err.
func (c *Client) unavailable(err error, retryIn time.Duration) *UnavailableError {
	var answered statusError
	_ = errors.As(err, &answered) // otherwise there was no answer
	return &UnavailableError{Server: c.server, Status: answered.status, RetryIn: retryIn, Err: err}
}

// statusError is an answer that says nothing about the request.
type statusError struct {
	status int
	code   string // the member "error", or ""
}

func (e statusError) Error() string {
	return strings.TrimSpace(fmt.Sprintf("it answered %d %s", e.status, e.code))
}

func (e *UnavailableError) Error() string {
	return fmt.Sprintf("no token from %s: %v; next attempt in %v", e.Server, e.Err, max(0, e.RetryIn).Round(time.Millisecond))
}

func (e *UnavailableError) Unwrap() error { return e.Err }
