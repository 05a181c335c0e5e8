package leaktest

import (
	"strings"
	"testing"
	"time"
)

func TestGoroutineLeftBehindIsFound(t *testing.T) {
	stop := make(chan struct{})
	go lingers(stop)
	if left := wait(50 * time.Millisecond); !strings.Contains(left, "leaktest.lingers") {
		t.Errorf("a goroutine that waits for ever is not reported: %q", left)
	}
	close(stop)
	if left := wait(patience); left != "" {
		t.Errorf("it has ended and is still reported: %s", left)
	}
}

func lingers(stop chan struct{}) { <-stop }
