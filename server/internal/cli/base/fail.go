package base

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/internal/netaddr"
	"github.com/watchword-dev/watchword/internal/shell"
	"github.com/watchword-dev/watchword/operator"
	"github.com/watchword-dev/watchword/server/internal/directory"
)

// usageError is a command line that makes no sense.
type usageError struct {
	command string
	text    string
}

func (e *usageError) Error() string { return e.text }

// Usage is the error of a command line that makes no sense: cmd was used wrongly.
func Usage(cmd *cobra.Command, format string, args ...any) error {
	return &usageError{cmd.CommandPath(), fmt.Sprintf(format, args...)}
}

// NextError is an error and what to do about it.
type NextError struct {
	cause error
	next  string
}

func (e *NextError) Error() string { return e.cause.Error() }
func (e *NextError) Unwrap() error { return e.cause }

// Next adds to an error the lines that tell the user what to do about it.
func Next(cause error, format string, args ...any) error {
	return &NextError{cause, fmt.Sprintf(format, args...)}
}

// ErrSaid ends a command that failed and has said so.
var ErrSaid = errors.New("said already")

// ErrChanges ends a plan that has changes, which is the answer and no failure.
var ErrChanges = errors.New("there are changes")

// Fail tells err, what to do next, and returns the exit code.
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

// Text is what err says. What the API says of tokens and headers is for those who write to
// it by hand, and is said anew.
func (c *CLI) Text(err error) string {
	switch StatusOf(err) {
	case http.StatusUnauthorized:
		return "the server did not take the operator token"
	case http.StatusPreconditionFailed:
		return "it was changed meanwhile, so nothing was done"
	}
	return err.Error()
}

// advice is what to do about err, if that is known.
func (c *CLI) advice(err error) string {
	if e, ok := errors.AsType[*NextError](err); ok {
		return e.next
	}
	if e, ok := errors.AsType[*operator.UnreachableError](err); ok {
		switch {
		case netaddr.IsRefused(e):
			return "Is the server running? Start it with: watchword serve\nOr name another one with --admin-url or WATCHWORD_ADMIN_URL."
		case errors.Is(e, context.Canceled):
			return ""
		default:
			return "Name the operator's listener with --admin-url or WATCHWORD_ADMIN_URL."
		}
	}
	switch StatusOf(err) {
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Sprintf("It was read from %s. Name the file this server made with --admin-token-file or WATCHWORD_ADMIN_TOKEN_FILE.", c.tokenFile)
	case http.StatusMisdirectedRequest:
		return "The server does not know itself by that host name: add it to admin.hosts in its configuration, or use the address it listens on."
	case http.StatusPreconditionFailed:
		return "Look at it again, and retry with its version."
	}
	return ofStatus(StatusOf(err))
}

// ofStatus is what to do about an answer that says only that the server cannot do its part.
func ofStatus(status int) string {
	switch {
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable:
		return "Try again in some seconds; watchword status says what the server lacks."
	case status >= http.StatusInternalServerError:
		return "The server's log says why."
	}
	return ""
}

// PublicAdvice is what to do when the public listener gave no answer that helps: status is that of its answer, or
// 0 when there was none because of err.
func PublicAdvice(err error, status int) string {
	switch {
	case ofStatus(status) != "":
		return ofStatus(status)
	case errors.Is(err, context.Canceled):
		return ""
	case netaddr.IsRefused(err):
		return "Is the server running? Start it with: watchword serve\nOr name its public listener with --url or WATCHWORD_URL."
	}
	return "If that is another address than it should be, name the server with --url or WATCHWORD_URL: its public listener, or with --method its issuer."
}

// StatusOf is the HTTP status of a refusal by the operator API, or 0.
func StatusOf(err error) int {
	if e, ok := errors.AsType[*operator.Error](err); ok {
		return e.Status
	}
	return 0
}

// UnknownService adds to a "not found" how to make the service.
func UnknownService(err error, name string) error {
	if StatusOf(err) != http.StatusNotFound {
		return err
	}
	list := "List those there are with: watchword service list"
	if _, err := directory.ParseName(name); err == nil {
		list = "Make it with: " + shell.Command("watchword", "service", "create", name) + "\n" + list
	}
	return Next(fmt.Errorf("there is no service %q", name), "%s", list)
}

// PathError is an error about a file without the name of the system call.
func PathError(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("%s: %w", e.Path, e.Err)
	}
	return err
}

// UnknownCredential adds to a "not found" where the ids are.
func UnknownCredential(err error, id string) error {
	if StatusOf(err) != http.StatusNotFound {
		return err
	}
	return Next(fmt.Errorf("there is no credential %q", id), "List credentials with: watchword credential list")
}

// UnknownOf adds to a "not found" which of the services has to be made.
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
