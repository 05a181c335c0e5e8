package audit

import (
	"strings"
	"testing"

	"github.com/watchword-dev/watchword/server/internal/audit"
)

func TestTailSaysWhatWouldHaveComeOutOtherwise(t *testing.T) {
	e := audit.Event{Kind: audit.KindDecision, Outcome: audit.Allowed, Reason: "allowed", Caller: "m1", Target: "m2", WouldRefuse: "no_rule", Shadow: "condition_bound"}
	if got := strings.Join(recordParts(e), " "); got != "m1 -> m2 would_refuse=no_rule shadow=condition_bound" {
		t.Errorf("got %q", got)
	}
}
