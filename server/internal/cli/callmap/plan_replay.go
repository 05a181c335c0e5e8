package callmap

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/operator"
	"github.com/watchword-dev/watchword/server/internal/cli/base"
)

// mostUnused is the number of unused rules that are printed. --json has more.
const mostUnused = 20

// replayed is the part of a plan about recorded decisions, with the period to which they belong.
func replayed(r api.CallMapReplay) string {
	var b strings.Builder
	fmt.Fprintf(&b, "replayed %s: %d tokens under the rules that change, of which %d would have been refused\n", windowOf(r.UsageWindow), r.Looked, r.Refused)
	for _, s := range r.Sentences {
		b.WriteString("  " + s + "\n")
	}
	if r.UnusedRules > 0 {
		fmt.Fprintf(&b, "declared but not used in that time: %d rules\n", r.UnusedRules)
		for _, u := range r.Unused[:min(len(r.Unused), mostUnused)] {
			fmt.Fprintf(&b, "  %s -> %s, created on %s\n", u.Caller, u.Target, u.CreatedAt.UTC().Format(base.Day))
		}
		if more := r.UnusedRules - mostUnused; more > 0 {
			fmt.Fprintf(&b, "  and %d more\n", more)
		}
	}
	for _, n := range r.Notes {
		b.WriteString("note: " + n + "\n")
	}
	return b.String()
}

func windowOf(w api.UsageWindow) string {
	text := fmt.Sprintf("%d days, %s to %s", w.Days, w.From.UTC().Format(base.Day), base.Moment(w.To))
	switch {
	case w.Since == nil:
		text += ", without records so far"
	case w.Since.After(w.From):
		text += ", with records since " + w.Since.UTC().Format(base.Day)
	}
	return text
}

// planFromShadow shows which decisions would have been different. It ends as a plan does.
func planFromShadow(c *base.CLI, cmd *cobra.Command, days int) error {
	admin, err := c.Admin(cmd)
	if err != nil {
		return err
	}
	report, err := admin.ShadowReport(cmd.Context(), days)
	if err != nil {
		return err
	}
	r := report
	if c.JSON {
		if err := c.PrintJSON(report); err != nil {
			return err
		}
	} else {
		c.Say("the shadow has %d rules now; %s", r.Rules, windowOf(r.UsageWindow))
		rows := [][]string{{"CALLER", "TARGET", "BY", "WOULD HAVE BEEN", "TOKENS", "REASON", "SCOPES", "LAST"}}
		for _, e := range r.Edges {
			rows = append(rows, []string{e.Caller, e.Target, e.By, strings.ReplaceAll(e.Outcome, "_", " "), strconv.FormatInt(e.Tokens, 10), e.Reason, strings.Join(e.Scopes, " "), base.Moment(e.Last)})
		}
		if err := c.PrintTable(rows); err != nil {
			return err
		}
	}
	if len(r.Edges) > 0 {
		return base.ErrChanges
	}
	return nil
}

func callMapShadow(c *base.CLI) *cobra.Command {
	var names []string
	var end bool
	cmd := &cobra.Command{
		Use:   "shadow -f FILE|FOLDER | --end",
		Short: "Try a call map file without applying it",
		Long: `Makes the files the shadow call map: from now on the server makes each decision a second time, as
if the files were applied, and records where the result differs. The decisions that are in force
do not change. "watchword plan --from-shadow" shows the differences.

There is one shadow at a time. Another shadow replaces it, and "watchword apply" and --end end it.
Rules with shadow: true in an applied file belong to the shadow, too.`,
		Example: `  watchword callmap shadow -f callmap.yaml
  watchword callmap shadow --end`,
		Args: base.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if end == (len(names) > 0) {
				return base.Usage(cmd, "give one of -f and --end")
			}
			var files []api.CallMapFile
			if !end {
				var err error
				if files, _, err = readFiles(c, cmd, names); err != nil {
					return err
				}
			}
			admin, err := c.Admin(cmd)
			if err != nil {
				return err
			}
			return shadow(c, cmd, admin, files)
		},
	}
	cmd.Flags().BoolVar(&end, "end", false, "end the shadow")
	return base.AsOperator(c.WithJSON(withFiles(cmd, &names)))
}

// shadow makes files the shadow, or ends the shadow if there are none.
func shadow(c *base.CLI, cmd *cobra.Command, admin *operator.Client, files []api.CallMapFile) (err error) {
	var set api.CallMapShadow
	err = patiently(c, "planning "+sizeOf(files), func() error {
		if files == nil {
			set, err = admin.DeleteShadow(cmd.Context())
		} else {
			set, err = admin.PutShadow(cmd.Context(), api.CallMapFiles{Files: files})
		}
		return err
	})
	switch {
	case err != nil:
		return serverMistakes(err)
	case c.JSON:
		return c.PrintJSON(set)
	case files == nil:
		return c.Printf("the shadow has ended with revision %d", set.Revision)
	}
	for _, l := range set.LeftOut {
		c.Say("not part of the shadow: %s", l)
	}
	return c.Printf("the shadow has %d rules, from revision %d on", set.Rules, set.Revision)
}
