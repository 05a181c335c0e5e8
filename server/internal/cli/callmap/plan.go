package callmap

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/operator"
	"github.com/watchword-dev/watchword/server/internal/cli/base"
)

// Plan makes the command "plan".
func Plan(c *base.CLI) *cobra.Command {
	var names []string
	var format string
	var days int
	var shadow bool
	cmd := &cobra.Command{
		Use:   "plan -f FILE|FOLDER | --from-shadow",
		Short: "Show what a call map file would change",
		Long: `Compares the call map file, or all files of a folder, with the server. The command shows what
applying the file would add (+), change (~) and remove (-), and which of its tests would fail. It
changes nothing. Trusts, services and rules that the file does not contain remain, unless the file
owns them: see managed-by in docs/callmap.md.

The command also decides about the tokens of the last days again, as if the file was applied. It
shows how many would have been refused, and which rules of the file nobody used.

With --from-shadow no file is read: the command shows which decisions would have been different
under the shadow call map (see "watchword callmap shadow"), or if services that only observe had
refused calls without a rule. With --format the changes of rules are drawn as a graph, in which
changed rules have thick lines and removed ones have dotted lines.

The exit code is 0 if nothing would change, 3 if something would change, 1 if the command or a
test failed, and 2 if the command line is wrong.`,
		Example: `  watchword plan -f callmap.yaml
  watchword plan -f callmap/ --format mermaid
  watchword plan -f callmap/ --days 90 --json
  watchword plan --from-shadow --days 7`,
		Args: base.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			draw, known := map[string]func([]api.PlannedChange) string{"text": nil, "mermaid": drawMermaid, "dot": drawDOT}[format]
			if !known {
				return base.Usage(cmd, "--format: %q is not text, mermaid or dot", format)
			}
			switch {
			case days < 0 || days > 400 || shadow && days == 0:
				return base.Usage(cmd, "--days must be from 1 to 400, or 0 with -f")
			case shadow && len(names) > 0:
				return base.Usage(cmd, "-f and --from-shadow exclude each other")
			case shadow:
				return planFromShadow(c, cmd, days)
			}
			files, _, err := readFiles(c, cmd, names)
			if err != nil {
				return err
			}
			admin, err := c.Admin(cmd)
			if err != nil {
				return err
			}
			plan, err := planOn(c, cmd, admin, files, days)
			if err != nil {
				return err
			}
			switch {
			case c.JSON:
				err = c.PrintJSON(plan)
			case draw != nil:
				err = c.Answer(base.Clean(draw(plan.Changes)))
			default:
				err = c.Answer(base.Clean(planText(plan)))
			}
			if err != nil {
				return err
			}
			return planned(c, plan)
		},
	}
	cmd.Flags().IntVar(&days, "days", 30, "`number` of days whose decisions are repeated; 0 for none")
	cmd.Flags().BoolVar(&shadow, "from-shadow", false, "show which decisions would have been different under the shadow")
	cmd.Flags().StringVar(&format, "format", "text", "`format` of the plan: text, or a graph of the changes in mermaid or dot")
	return base.AsOperator(c.WithJSON(withFiles(cmd, &names)))
}

// planOn requests the plan of files, with the decisions of so many days.
func planOn(c *base.CLI, cmd *cobra.Command, admin *operator.Client, files []api.CallMapFile, days int) (plan api.CallMapPlan, err error) {
	err = patiently(c, "planning "+sizeOf(files), func() error {
		plan, err = admin.PlanCallMap(cmd.Context(), api.PlanCallMap{CallMapFiles: api.CallMapFiles{Files: files}, ReplayDays: &days})
		return err
	})
	return plan, serverMistakes(err)
}

// planned is the error with which a command that only plans ends.
func planned(c *base.CLI, p api.CallMapPlan) error {
	switch {
	case p.Failed > 0:
		c.Say("watchword: %d of %d tests fail, so the plan could not be applied", p.Failed, len(p.Tests))
		return base.ErrSaid
	case !p.Empty:
		return base.ErrChanges
	}
	return nil
}

// planText is a plan in words.
func planText(p api.CallMapPlan) string {
	var b strings.Builder
	for _, change := range p.Changes {
		fmt.Fprintln(&b, change)
	}
	if more := strings.Count(b.String(), "\n"); more >= 1000 {
		b.WriteString("  and more: only the first 1,000 are shown\n")
	}
	switch {
	case p.Empty:
		fmt.Fprintf(&b, "no changes on revision %d\n", p.Base)
	default:
		fmt.Fprintf(&b, "on revision %d: %s\n", p.Base, p.Summary)
	}
	if p.RemovesMany {
		fmt.Fprintf(&b, "note: this removes a large part of what the files own; to apply it, add --remove %d\n", p.Removed)
	}
	for _, w := range p.Withheld {
		fmt.Fprintf(&b, "note: %s\n", w)
	}
	for _, e := range p.Ended {
		fmt.Fprintf(&b, "note: the rule %s has ended and allows nothing\n", e)
	}
	if p.Replay != nil {
		b.WriteString(replayed(*p.Replay))
	}
	for _, t := range p.Tests {
		if !t.Passed() {
			fmt.Fprintln(&b, t)
		}
	}
	if len(p.Tests) > 0 {
		fmt.Fprintln(&b, testSummary(len(p.Tests), p.Failed))
	}
	return b.String()
}

func testSummary(all, failed int) string {
	if failed == 0 {
		return fmt.Sprintf("tests: %d passed", all)
	}
	return fmt.Sprintf("tests: %d passed, %d failed", all-failed, failed)
}
