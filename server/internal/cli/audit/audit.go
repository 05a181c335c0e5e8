// Package audit contains the commands about the audit log.
package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/audit"
	"github.com/watchword-dev/watchword/server/internal/cli/base"
	"github.com/watchword-dev/watchword/server/internal/cli/key"
)

// Command makes the command "audit".
func Command(c *base.CLI) *cobra.Command {
	group := &cobra.Command{
		Use:   "audit",
		Short: "Read and verify the audit log",
		Long: `The audit log contains a record of every decision and every change. The server writes the record
before it answers the request. These commands read the files of the log, which are in the folder
audit of the data folder.`,
		Example: `  watchword audit tail -f
  watchword audit verify`,
	}
	group.AddCommand(auditTail(c), auditVerify(c))
	group.PersistentFlags().String("audit-dir", "", "`folder` of the audit log (default WATCHWORD_AUDIT_DIR or audit in the data folder)")
	return base.AsOperator(base.Group(group))
}

func auditTail(c *base.CLI) *cobra.Command {
	var n int
	var follow bool
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Show the last records",
		Long: `Shows the last records of the audit log, oldest first, and with -f also the records that are
added. The record of a decision ends with its id, which the caller receives in the header
Watchword-Decision. Values with blanks are quoted. With --json each line is a record as it is in
the log. The command shows what the files contain; "watchword audit verify" checks that the server
wrote it.`,
		Example: `  watchword audit tail -n 100
  watchword audit tail -f --json`,
		Args: base.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if n < 0 {
				return base.Usage(cmd, "-n must not be negative")
			}
			dir := c.Settings(cmd).Audit.Dir
			err := audit.Tail(cmd.Context(), dir, n, follow, func(line []byte) error {
				if c.JSON {
					return c.Printf("%s", line)
				}
				return printRecord(c, line)
			})
			return noAuditLog(err, dir)
		},
	}
	cmd.Flags().IntVarP(&n, "lines", "n", 10, "`number` of records")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "also show records that are added, until Ctrl-C")
	return c.WithJSON(cmd)
}

func noAuditLog(err error, dir string) error {
	if errors.Is(err, fs.ErrNotExist) {
		return base.Next(fmt.Errorf("there is no audit log in %s", dir), "Name the data folder with --data or WATCHWORD_DATA, or the folder of the log with --audit-dir.")
	}
	return err
}

func printRecord(c *base.CLI, line []byte) error {
	r, err := audit.ParseLine(line)
	if err != nil {
		return c.Printf("not a record: %q", line)
	}
	return c.Printf("%s  %-10s  %-8s  %s", r.At.UTC().Format("2006-01-02 15:04:05Z"), word(string(r.Kind)), word(string(r.Outcome)), strings.Join(recordParts(r.Event), "  "))
}

// recordParts are the fields of an event.
func recordParts(e audit.Event) []string {
	var parts []string
	add := func(name, value string) {
		if value != "" {
			parts = append(parts, name+word(value))
		}
	}
	if e.Kind == audit.KindDecision {
		parts = append(parts, word(cmp.Or(e.Caller, "?"))+" -> "+word(cmp.Or(e.Target, "?")))
	}
	add("", e.Action)
	add("", e.Subject)
	add("scope=", e.Scope)
	if e.Reason != string(e.Outcome) {
		add("reason=", e.Reason)
	}
	add("would_refuse=", e.WouldRefuse)
	add("shadow=", e.Shadow)
	add("by=", e.Actor)
	for _, name := range slices.Sorted(maps.Keys(e.Detail)) {
		if name != "jws" { // the signature of a checkpoint
			add(name+"=", e.Detail[name])
		}
	}
	add("from=", e.Address)
	add("id=", e.ID)
	return parts
}

// word quotes a value that is not one word. Callers choose names and scopes, which could otherwise look like
// other fields or records.
func word(s string) string {
	own := func(r rune) bool { return r == ' ' || r == '"' || r == '=' || !unicode.IsPrint(r) }
	if !utf8.ValidString(s) || strings.ContainsFunc(s, own) {
		return strconv.Quote(s)
	}
	return s
}

func auditVerify(c *base.CLI) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Verify that the audit log was not changed",
		Long: `Reads the whole audit log and checks that no record was changed, removed or inserted: that the log
begins with its first record or after a recorded deletion, that each record continues the previous
one, that the signatures of the server are valid, and that the log ends with the record that the
server has written last.

The keys and the last record come from the operator API. For a copy of the log, or if the server
does not run, --keys names a file with the keys: the output of "watchword keys list --json", which
should be kept apart from the server, or a JWK Set. In that case the command cannot detect that
records at the end were removed together with their signatures.

The exit code is 0 only if the log is proved to be unchanged.`,
		Example: `  watchword audit verify
  watchword audit verify --audit-dir /backup/audit --keys audit-keys.json`,
		Args: base.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			known, err := knownOfLog(c, cmd, file)
			if err != nil {
				return err
			}
			dir := c.Settings(cmd).Audit.Dir
			report, err := audit.VerifyDir(dir, known)
			if err != nil {
				return noAuditLog(err, dir)
			}
			v := judge(report, known, time.Now())
			if err := printReport(c, report, known, v); err != nil {
				return err
			}
			if v.cause != nil {
				return base.Next(v.cause, "%s", v.next)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&file, "keys", "", "`file` with the keys that sign the log")
	return c.WithJSON(cmd)
}

// knownOfLog returns what is known of the log apart from its files: the keys that sign it, and its last
// record. If nothing is known, the command prints why.
func knownOfLog(c *base.CLI, cmd *cobra.Command, file string) (audit.Known, error) {
	var known audit.Known
	keys, err := (*key.Ring)(nil), error(nil)
	if file != "" {
		if keys, err = key.OfFile(file); err != nil {
			return known, err
		}
	} else {
		if keys, known.End, known.After, err = serverKnowsOfLog(c, cmd); err != nil {
			if cmd.Context().Err() != nil {
				return known, context.Cause(cmd.Context())
			}
			c.Say("warning: the signatures over the log are not checked: %s", c.Text(err))
			return known, nil
		}
	}
	for _, id := range keys.Revoked {
		c.Say("warning: key %s is revoked: somebody who has stolen it can sign a false log with it", id)
	}
	known.Open = checkpoint(keys.Set)
	return known, nil
}

// serverKnowsOfLog returns the keys that sign the log, its last record, and a function that asks for the latter again.
func serverKnowsOfLog(c *base.CLI, cmd *cobra.Command) (keys *key.Ring, end audit.Position, again func() (audit.Position, error), err error) {
	admin, keys, err := key.OfServer(c, cmd, "audit")
	if err != nil {
		return nil, end, nil, err
	}
	again = func() (audit.Position, error) {
		info, err := admin.Info(cmd.Context())
		return audit.Position{Seq: info.AuditEnd.Record, Hash: info.AuditEnd.Hash}, err
	}
	end, err = again()
	return keys, end, again, err
}

func checkpoint(set *jose.KeySet) func(string) ([]byte, error) {
	return func(jws string) ([]byte, error) {
		token, err := jose.Parse(jws)
		if err != nil {
			return nil, err
		}
		if err := token.Verify(set, jose.Algorithms()); err != nil {
			return nil, err
		}
		return token.Payload, nil
	}
}

func printReport(c *base.CLI, r audit.Report, known audit.Known, v auditVerdict) error {
	if c.JSON {
		return c.PrintJSON(struct {
			audit.Report
			CheckpointsChecked bool   `json:"checkpointsChecked"`
			ProvedThrough      uint64 `json:"provedThrough"`
			Verdict            string `json:"verdict"`
		}{r, known.Open != nil, v.proved, v.text})
	}
	checked := "not checked"
	if known.Open != nil {
		checked = fmt.Sprintf("%d valid; %d records were written after the last signature", r.Checkpoints, r.Uncovered)
	}
	fields := []string{"records", fmt.Sprintf("%d, files: %d", r.Records, r.Files)}
	if r.Records > 0 {
		fields = append(fields, "first", fmt.Sprintf("%d, %s", r.First.Seq, base.Moment(r.First.Time)), "last", fmt.Sprintf("%d, %s", r.Last.Seq, base.Moment(r.Last.Time)))
	}
	if r.DeletedThrough > 0 {
		fields = append(fields, "deleted for age", fmt.Sprintf("up to %d", r.DeletedThrough))
	}
	fields = append(fields, "signatures", checked)
	return c.PrintFields(append(fields, "verdict", v.text)...)
}

// auditVerdict is the result of a verification, in words, and the record up to which the log is proved. If the
// log is not proved, cause says why and next says what to do.
type auditVerdict struct {
	text   string
	proved uint64
	cause  error
	next   string
}

// judge claims no more than was proved. Anyone who can write the files can compute all hashes again, and can
// remove records at the end.
func judge(r audit.Report, known audit.Known, now time.Time) auditVerdict {
	unproved := func(cause, next string) auditVerdict {
		return auditVerdict{text: "not proved", cause: errors.New(cause), next: next}
	}
	through := r.Last.Seq - r.Uncovered
	switch {
	case r.Bad != nil:
		v := auditVerdict{text: "changed", cause: r.Bad, next: "All records before that one are unchanged. Keep the files as they are, and compare them with a backup."}
		if known.End.Seq > 0 {
			v.next += " If they are a copy or belong to another replica, verify them with --keys."
		}
		return v
	case r.Records == 0:
		return unproved("the audit log has no record", "Name the folder of the log with --audit-dir or WATCHWORD_AUDIT_DIR.")
	case known.Open == nil:
		return unproved("the records are consistent, but without the keys nothing proves that nobody computed them again", "Start the server, or give the keys with --keys.")
	case r.Checkpoints > 0 && known.End.Seq > 0:
		return auditVerdict{text: fmt.Sprintf("unchanged up to record %d, the last that the server has written", known.End.Seq), proved: known.End.Seq}
	case r.Checkpoints > 0:
		return auditVerdict{text: fmt.Sprintf("unchanged up to record %d; only the running server knows whether records after it were removed", through), proved: through}
	case r.First.Seq == 1 && now.Sub(r.First.Time) < audit.DefaultCheckpointAfter:
		return unproved("the records are consistent, but the server has not signed any yet",
			fmt.Sprintf("A server signs its log when it starts and then every %d minutes: verify it again after %s.",
				int(audit.DefaultCheckpointAfter.Minutes()), base.Moment(r.First.Time.Add(audit.DefaultCheckpointAfter))))
	default:
		return unproved("the records are consistent, but none is signed, so that somebody who can write the files could have written all of them",
			"Compare it with a backup, or with a copy that was kept elsewhere.")
	}
}
