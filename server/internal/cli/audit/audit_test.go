package audit

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/server/internal/audit"
	"github.com/watchword-dev/watchword/server/internal/cli/base"
)

func TestTailSaysWhatWouldHaveComeOutOtherwise(t *testing.T) {
	e := audit.Event{Kind: audit.KindDecision, Outcome: audit.Allowed, Reason: "allowed", Caller: "m1", Target: "m2", WouldRefuse: "no_rule", Shadow: "condition_bound"}
	if got := strings.Join(recordParts(e), " "); got != "m1 -> m2 would_refuse=no_rule shadow=condition_bound" {
		t.Errorf("got %q", got)
	}
}

// F19.
func TestALogWithoutASignatureIsNotProved(t *testing.T) {
	began := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	open := func(string) ([]byte, error) { return nil, nil }
	report := audit.Report{Records: 5, First: audit.Position{Seq: 1, Time: began}, Last: audit.Position{Seq: 5}, Uncovered: 5}
	signed := report
	signed.Checkpoints, signed.Uncovered = 1, 2
	late := report
	late.First.Seq = 3
	for name, c := range map[string]struct {
		report audit.Report
		known  audit.Known
		after  time.Duration
		proved uint64
		next   string
	}{
		"no keys":                   {signed, audit.Known{}, 0, 0, "Start the server, or give the keys with --keys."},
		"keys, signed":              {signed, audit.Known{Open: open}, 0, 3, ""},
		"server, signed":            {signed, audit.Known{Open: open, End: audit.Position{Seq: 5}}, 0, 5, ""},
		"server, not signed":        {report, audit.Known{Open: open, End: audit.Position{Seq: 5}}, time.Hour, 0, "Compare it with a backup, or with a copy that was kept elsewhere."},
		"not signed":                {report, audit.Known{Open: open}, time.Hour, 0, "Compare it with a backup, or with a copy that was kept elsewhere."},
		"young":                     {report, audit.Known{Open: open}, time.Minute, 0, "verify it again after 2026-11-24 12:10Z."},
		"young, but cut at the top": {late, audit.Known{Open: open}, time.Minute, 0, "Compare it with a backup, or with a copy that was kept elsewhere."},
		"nothing":                   {audit.Report{}, audit.Known{Open: open}, 0, 0, "Name the folder of the log with --audit-dir or WATCHWORD_AUDIT_DIR."},
	} {
		v := judge(c.report, c.known, began.Add(c.after))
		if v.proved != c.proved || (v.cause == nil) != (c.next == "") || !strings.HasSuffix(v.next, c.next) {
			t.Errorf("%s: got %+v; want %d proved and %q", name, v, c.proved, c.next)
		}
	}
}

// F13: callers choose the names and scopes in a record, and must not write fields or records of their own.
func TestF13AValueIsOneWord(t *testing.T) {
	for value, want := range map[string]string{
		"m2":                                   "m2",
		"m2  scope=admin  from=10.9.9.9  id=0": `"m2  scope=admin  from=10.9.9.9  id=0"`,
		"scope=admin":                          `"scope=admin"`,
		"m2\n2026-11-24 16:00:00Z  decision":   `"m2\n2026-11-24 16:00:00Z  decision"`,
		"m\u009b2J\x7f\u202e":                  `"m\u009b2J\x7f\u202e"`,
		"a\x9b":                                `"a\x9b"`,
		`m"2`:                                  `"m\"2"`,
	} {
		var out strings.Builder
		c := &base.CLI{Stdout: &out}
		line, err := json.Marshal(map[string]any{"kind": "decision", "outcome": "refused", "caller": "m1", "target": value, "action": value, "scope": value})
		if err != nil {
			t.Fatal(err)
		}
		e := audit.Event{Kind: audit.KindDecision, Outcome: audit.Refused, Caller: value, Target: value, Scope: value, Actor: value, Detail: map[string]string{"detail": value}}
		if got, all := strings.Join(recordParts(e), "  "), strings.ReplaceAll("V -> V  scope=V  by=V  detail=V", "V", want); got != all {
			t.Errorf("%q: got %s, want %s", value, got, all)
		}
		if err := printRecord(c, line); err != nil || strings.Count(out.String(), "\n") != 1 || strings.ContainsAny(out.String(), "\u009b\x7f\u202e") {
			t.Errorf("%q: printed %q, %v", value, out.String(), err)
		}
	}
}
