package base

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
)

// F14: to name another address helps only those whose address may be wrong.
func TestAdviceAboutTheListenerFollowsFromItsAnswer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close() // nobody listens there any more
	_, refused := net.Dial("tcp", l.Addr().String())
	for _, c := range []struct {
		err    error
		status int
		want   string // in the advice; none: there is none
		names  bool   // it tells to name the listener
	}{
		{refused, 0, "watchword serve", true},
		{errors.New("it redirects"), 0, "another address", true},
		{errors.New("it answered 404"), 404, "another address", true},
		{errors.New("it answered 503"), 503, "Try again", false},
		{errors.New("it answered 429"), 429, "Try again", false},
		{errors.New("it answered 500"), 500, "log", false},
		{fmt.Errorf("asked: %w", context.Canceled), 0, "", false},
	} {
		got := PublicAdvice(c.err, c.status)
		if !strings.Contains(got, c.want) || (got == "") != (c.want == "") || strings.Contains(got, "--url") != c.names {
			t.Errorf("%v: got %q", c.err, got)
		}
	}
}
