package cli

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/watchword-dev/watchword/server/internal/audit"
)

// onWrite calls itself with each write.
type onWrite func(text string)

func (f onWrite) Write(b []byte) (int, error) { f(string(b)); return len(b), nil }

func TestTailFollowsUntilItIsTold(t *testing.T) {
	dir := t.TempDir()
	log, err := audit.Open(dir, audit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	writer, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- log.Run(writer) }()
	record := func(caller string) {
		if err := log.Append(t.Context(), audit.Event{Kind: audit.KindDecision, Outcome: audit.Refused, Caller: caller, Target: "m2"}); err != nil {
			t.Error(err)
		}
	}
	record("m1")
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	var out, complaints bytes.Buffer
	code := Run(ctx, []string{"audit", "tail", "-f", "-n", "1", "--audit-dir", dir}, nil, strings.NewReader(""), onWrite(func(text string) {
		out.WriteString(text)
		switch {
		case strings.Contains(text, "m1 ->"): // the last one when it began: now one more
			record("m\x1b[2J\n2026-11-24 16:00:00Z  decision  allowed  m3")
		case strings.Contains(text, `3" ->`):
			interrupt()
		}
	}), &complaints)
	if code != 0 || complaints.Len() > 0 || strings.Count(out.String(), "\n") != 2 {
		t.Errorf("got %d, %q, %q, want 0 and two lines", code, out.String(), complaints.String())
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Errorf("a caller commands the terminal: %q", out.String())
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := log.Close(); err != nil {
		t.Error(err)
	}
}

func TestAnAnswerThatCannotBeWrittenIsAFailure(t *testing.T) {
	for _, args := range []string{"version", "version --json", "config print", "config print --json"} {
		var complaints bytes.Buffer
		if code := Run(t.Context(), strings.Fields(args), nil, strings.NewReader(""), full{}, &complaints); code != 1 || !strings.Contains(complaints.String(), "disk full") {
			t.Errorf("%s: got %d, %q", args, code, complaints.String())
		}
	}
}

// full is a disk.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, fmt.Errorf("disk full") }
