package logs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// frozen is a stream that takes nothing until it is thawed.
type frozen struct {
	thaw chan struct{}
	text bytes.Buffer
}

func (f *frozen) Write(b []byte) (int, error) {
	<-f.thaw
	return f.text.Write(b)
}

// F76.
func TestLoggingNeverWaitsForWhereTheLinesGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &frozen{thaw: make(chan struct{})}
		l := New(w, slog.LevelInfo, false)
		const lines = 50_000
		for i := range lines { // returns, or the test ends in a deadlock
			l.Info("a line of a log that nobody reads", "number", i)
		}
		dropped := l.Dropped()
		if dropped == 0 || dropped >= lines {
			t.Errorf("got %d lines dropped; want some, and some kept", dropped)
		}
		close(w.thaw)
		synctest.Wait()
		l.Info("the last one")
		l.Close()
		text := w.text.String()
		if kept := strings.Count(text, "nobody reads"); uint64(kept) != lines-dropped {
			t.Errorf("got %d lines, want the %d that were not dropped", kept, lines-dropped)
		}
		if !strings.Contains(text, fmt.Sprintf("level=WARN msg=\"log lines were dropped, since those before them could not be written in time\" lines=%d\n", dropped)) || !strings.Contains(text, "the last one") {
			t.Errorf("got %q at the end", text[max(0, len(text)-400):])
		}
	})
}

func TestCloseWaitsASecondAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &frozen{thaw: make(chan struct{})}
		l := New(w, slog.LevelInfo, false)
		l.Info("x")
		begun := time.Now()
		l.Close()
		if took := time.Since(begun); took != closeAfter {
			t.Errorf("took %v", took)
		}
		l.Info("y")
		close(w.thaw)
		synctest.Wait()
		if got := w.text.String(); !strings.Contains(got, "msg=x") || strings.Contains(got, "msg=y") {
			t.Errorf("got %q", got)
		}
	})
}

// F82, for the log; and F88: a duration has its unit.
func TestLinesHaveNoSecretsAndDurationsTheirUnit(t *testing.T) {
	const secret = "wws_m3mZ0qk5bXc8Zt3m8q1y2v4o7n6t9u5s8r1w4x7z0a3"
	for _, asJSON := range []bool{true, false} {
		var out bytes.Buffer
		l := New(&out, slog.LevelDebug, asJSON)
		l.With("group", "m1:"+secret).WithGroup("g").Debug("x", "id", secret, "error", errors.Join(os.ErrNotExist, errors.New(secret)), "took", 1500*time.Millisecond)
		l.Close()
		if got := out.String(); strings.Contains(got, secret) || !strings.Contains(got, "1.5s") || !strings.Contains(got, "[secret]") {
			t.Errorf("got %s", got)
		}
		if asJSON && !json.Valid(out.Bytes()) {
			t.Errorf("not JSON: %s", out.Bytes())
		}
	}
}
