package base

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/internal/netaddr"
	"github.com/watchword-dev/watchword/internal/shell"
	"github.com/watchword-dev/watchword/operator"
	"github.com/watchword-dev/watchword/server/internal/directory"
)

// usageError is the error of a wrong command line.
type usageError struct {
	command string
	text    string
}

func (e *usageError) Error() string { return e.text }

// Usage is the error of a wrong command line. The exit code is 2 then.
func Usage(cmd *cobra.Command, format string, args ...any) error {
	return &usageError{cmd.CommandPath(), fmt.Sprintf(format, args...)}
}

// NextError is an error with advice: what the user can do about it.
type NextError struct {
	cause error
	next  string
}

func (e *NextError) Error() string { return e.cause.Error() }
func (e *NextError) Unwrap() error { return e.cause }

// Next adds advice to an error: one or more lines that say what the user can do about it.
func Next(cause error, format string, args ...any) error {
	return &NextError{cause, fmt.Sprintf(format, args...)}
}

// ErrSaid ends a command that failed and has reported that itself.
var ErrSaid = errors.New("already reported")

// ErrChanges ends a plan that has changes. That is an answer and not a failure, so nothing is reported.
var ErrChanges = errors.New("there are changes")

// Fail reports err with its advice, and returns the exit code.
func (c *CLI) Fail(err error) int {
	switch {
	case errors.Is(err, ErrChanges):
		return 3
	case errors.Is(err, ErrSaid):
		return 1
	}
	c.Say("watchword: %s", c.Text(err))
	if bad, ok := errors.AsType[*usageError](err); ok {
		c.Say("See: %s --help", bad.command)
		return 2
	}
	if next := c.advice(err); next != "" {
		c.Say("%s", next)
	}
	return 1
}

// Text is the message of err. Where the message of the operator API is about headers, which a user of the
// commands does not write, it is another one.
func (c *CLI) Text(err error) string {
	switch StatusOf(err) {
	case http.StatusUnauthorized:
		return "the server refused the operator token"
	case http.StatusPreconditionFailed:
		return "the resource was changed in the meantime, so nothing was done"
	}
	return err.Error()
}

// advice returns what the user can do about err, if that is known.
func (c *CLI) advice(err error) string {
	if e, ok := errors.AsType[*NextError](err); ok {
		return e.next
	}
	if e, ok := errors.AsType[*operator.UnreachableError](err); ok {
		switch {
		case netaddr.IsRefused(e):
			return "Is the server running? Start it with: watchword serve\nIf it has another address, use --admin-url or WATCHWORD_ADMIN_URL."
		case errors.Is(e, context.Canceled):
			return ""
		default:
			return "If the operator API has another address, use --admin-url or WATCHWORD_ADMIN_URL."
		}
	}
	switch StatusOf(err) {
	case http.StatusForbidden:
		if e, ok := errors.AsType[*operator.Error](err); ok && strings.HasSuffix(e.Code, "_role_required") {
			return fmt.Sprintf("The token was read from %s. Name the file of the other one with --admin-token-file.", c.tokenFile)
		}
		fallthrough
	case http.StatusUnauthorized:
		return fmt.Sprintf("The token was read from %s. Name the file that this server created with --admin-token-file or WATCHWORD_ADMIN_TOKEN_FILE.", c.tokenFile)
	case http.StatusNotFound:
		if e, ok := errors.AsType[*operator.Error](err); ok && e.Code == "" { // so it is not the operator API that answered
			return "The operator API is not at that address. It is on the listener of the setting admin.listen, not on the public one: use --admin-url or WATCHWORD_ADMIN_URL."
		}
	case http.StatusMisdirectedRequest:
		return "The operator API does not answer to that host name. Add the name to the setting admin.hosts, or use the address on which the server listens."
	case http.StatusPreconditionFailed:
		return "Read the resource again, and use its present version."
	}
	return ofStatus(StatusOf(err))
}

// ofStatus returns what to do about an answer that has only a status.
func ofStatus(status int) string {
	switch {
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable:
		return "Try again in a few seconds. See what is wrong with: watchword status"
	case status >= http.StatusInternalServerError:
		return "The log of the server has the reason."
	}
	return ""
}

// PublicAdvice returns what to do if a request to the public listener failed with err. status is that of
// the answer, or 0 if there was none.
func PublicAdvice(err error, status int) string {
	switch {
	case ofStatus(status) != "":
		return ofStatus(status)
	case errors.Is(err, context.Canceled):
		return ""
	case netaddr.IsRefused(err):
		return "Is the server running? Start it with: watchword serve\nIf its public listener has another address, use --url or WATCHWORD_URL."
	}
	return "If the server has another address, use --url or WATCHWORD_URL: for its public listener, or with --method for its issuer."
}

// StatusOf is the HTTP status with which the operator API refused a request. Other errors have 0.
func StatusOf(err error) int {
	if e, ok := errors.AsType[*operator.Error](err); ok {
		return e.Status
	}
	return 0
}

// UnknownService turns "not found" into an error that tells how to create the service.
func UnknownService(err error, name string) error {
	if StatusOf(err) != http.StatusNotFound {
		return err
	}
	list := "List the services with: watchword service list"
	if _, err := directory.ParseName(name); err == nil {
		list = "Create it with: " + shell.Command("watchword", "service", "create", name) + "\n" + list
	}
	return Next(fmt.Errorf("there is no service %q", name), "%s", list)
}

// Shown is an argument as errors may repeat it: not if it may be a token.
func Shown(argument string) string {
	if jose.LooksLikeToken(argument) {
		return "[not shown, since it looks like a token]"
	}
	return argument
}

// TokenAsFile returns an error if the value of a flag, which must name a file, is a token. The error does not repeat it.
func TokenAsFile(cmd *cobra.Command, flag, value string) error {
	if _, err := os.Lstat(value); err == nil || !jose.LooksLikeToken(value) {
		return nil
	}
	return Usage(cmd, "the value of --%s is itself a token, which every user of the machine can read there: write the token to a file, and give the name of that file", flag)
}

// PathError is err without the name of the system call, and without a token that was given instead of a path.
func PathError(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("%s: %w", Shown(e.Path), e.Err)
	}
	return err
}

// UnknownCredential turns "not found" into an error that tells how to find the ids.
func UnknownCredential(err error, id string) error {
	if StatusOf(err) != http.StatusNotFound {
		return err
	}
	return Next(fmt.Errorf("there is no credential %q", id), "List the credentials with: watchword credential list")
}

// PerhapsIssued adds to an error after which a credential may have been issued or not how to find that out. If nothing
// listens, it was not.
func PerhapsIssued(err error) error {
	e, ok := errors.AsType[*operator.UnreachableError](err)
	if !ok || netaddr.IsRefused(e) {
		return err
	}
	return Next(err, "The credential may have been created nevertheless. List the credentials with: watchword credential list\n"+
		"Then revoke the one that you do not have with: watchword credential revoke ID")
}

// UnknownOf turns "not found" into an error that tells which of the services does not exist.
func (c *CLI) UnknownOf(cmd *cobra.Command, admin *operator.Client, err error, names ...string) error {
	if StatusOf(err) != http.StatusNotFound {
		return err
	}
	for _, name := range names {
		if name == "" {
			continue
		}
		if _, missing := admin.Service(cmd.Context(), name); StatusOf(missing) == http.StatusNotFound {
			return UnknownService(err, name)
		}
	}
	return err
}
