package incoming_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/watchword-dev/watchword/internal/incoming"
)

func TestTokenTravelsAndDoesNotPrint(t *testing.T) {
	if got := incoming.From(context.Background()); got != "" {
		t.Errorf("an empty context carries %q", got)
	}
	ctx := incoming.With(incoming.With(context.Background(), "outer"), "hunter2")
	if got := incoming.From(ctx); got != "hunter2" {
		t.Errorf("got %q, want the innermost token", got)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if s := fmt.Sprintf(verb, ctx); strings.Contains(s, "hunter2") {
			t.Errorf("%s prints the token", verb)
		}
	}
}
