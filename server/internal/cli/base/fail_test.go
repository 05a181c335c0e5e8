package base

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"syscall"
	"testing"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/operator"
)

// F109: when no answer came, the credential may be there, and nobody has it.
func TestUnansweredRequestSaysThatTheCredentialMayExist(t *testing.T) {
	for _, c := range []struct {
		err     error
		perhaps bool
	}{
		{&operator.UnreachableError{URL: "u", Cause: context.Canceled}, true},
		{&operator.UnreachableError{URL: "u", Cause: context.DeadlineExceeded}, true},
		{&operator.UnreachableError{URL: "u", Cause: &url.Error{Err: syscall.ECONNREFUSED}}, false},
		{&operator.Error{Problem: api.Problem{Status: 404}}, false},
	} {
		err := PerhapsIssued(c.err)
		next, ok := errors.AsType[*NextError](err)
		if ok != c.perhaps || !errors.Is(err, c.err) || ok && !strings.Contains(next.next, "watchword credential list") {
			t.Errorf("%v: got %v", c.err, err)
		}
	}
}
