package audit

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// start opens the log in dir and runs it until the test ends.
func start(t testing.TB, dir string, o Options) *Log {
	t.Helper()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	l, err := Open(dir, o)
	must(t, err)
	go l.Run(context.Background())
	t.Cleanup(func() { l.Close() })
	return l
}

func add(t testing.TB, l *Log, id string) {
	t.Helper()
	if err := l.Append(t.Context(), Event{ID: id, Kind: KindDecision}); err != nil {
		t.Fatalf("append %s: %v", id, err)
	}
}

// records reads all records of the log in dir, in order, each once.
func records(t testing.TB, dir string) (all []Record) {
	t.Helper()
	err := Tail(t.Context(), dir, 1<<30, false, func(line []byte) error {
		r, err := ParseLine(line)
		all = append(all, r)
		return err
	})
	must(t, err)
	return all
}

// ids of all records in dir that have one.
func ids(t testing.TB, dir string) (list []string) {
	t.Helper()
	for _, r := range records(t, dir) {
		if r.ID != "" {
			list = append(list, r.ID)
		}
	}
	return list
}

// sound fails the test when the log in dir has a bad record.
func sound(t testing.TB, dir string) Report {
	t.Helper()
	report, err := VerifyDir(dir, Known{Open: openToken})
	must(t, err)
	if report.Bad != nil {
		t.Fatalf("bad record: %v", report.Bad)
	}
	return report
}

// signToken and openToken stand for a signature: this package knows nothing of real ones.
func signToken(payload []byte) (string, string, error) {
	return "signed " + string(payload), "key", nil
}

func openToken(jws string) ([]byte, error) {
	payload, ok := strings.CutPrefix(jws, "signed ")
	if !ok {
		return nil, errors.New("not signed")
	}
	return []byte(payload), nil
}

// notices is a logger that hands on each message that contains text.
func notices(text string) (*slog.Logger, <-chan string) {
	h := &noticeHandler{text: text, c: make(chan string, 100)}
	return slog.New(h), h.c
}

type noticeHandler struct {
	text string
	c    chan string
}

func (h *noticeHandler) Enabled(context.Context, slog.Level) bool { return true }
func (h *noticeHandler) WithAttrs([]slog.Attr) slog.Handler       { return h }
func (h *noticeHandler) WithGroup(string) slog.Handler            { return h }
func (h *noticeHandler) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, h.text) {
		select {
		case h.c <- r.Message:
		default:
		}
	}
	return nil
}

// onlyFile is the path of the single file of the log in dir.
func onlyFile(t testing.TB, dir string) string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, "audit-*.jsonl"))
	if err != nil || len(list) != 1 {
		t.Fatalf("got files %v, %v; want one", list, err)
	}
	return list[0]
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return b
}

func write(t testing.TB, path string, b []byte) {
	t.Helper()
	must(t, os.WriteFile(path, b, 0o600))
}
