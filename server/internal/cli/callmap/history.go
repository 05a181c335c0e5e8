package callmap

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/operator"
	"github.com/watchword-dev/watchword/server/internal/callmap"
	"github.com/watchword-dev/watchword/server/internal/cli/base"
)

func callMapExport(c *base.CLI) *cobra.Command {
	var owner, out string
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write trusts, services and rules as a call map file",
		Long: `Writes the trusts, services and rules of one owner as a call map file. The owner is --managed-by, or
"callmap", the owner of files that name none. The file of "callmap" also contains what no file owns.
Applying the file makes it the owner of that, and changes nothing else. An identity of a service is
in the file if it has neither a network nor dates, which a file cannot say.`,
		Example: `  watchword callmap export --out callmap.yaml
  watchword callmap export --managed-by payments`,
		Args: base.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			admin, err := c.Admin(cmd)
			if err != nil {
				return err
			}
			document, err := admin.ExportCallMap(cmd.Context(), owner)
			switch {
			case err != nil:
				return err
			case c.JSON:
				return c.PrintJSON(document)
			}
			return c.WriteOut(out, []byte(joined(document)))
		},
	}
	cmd.Flags().StringVar(&owner, "managed-by", "", "`owner` of what is written (default \"callmap\", with those that no file owns)")
	cmd.Flags().StringVar(&out, "out", "", "write the call map to this new `file`")
	return base.AsOperator(c.WithJSON(cmd))
}

// joined is the text of a document. If it has several files, each begins with its name.
func joined(d api.CallMapDocument) (text string) {
	for _, f := range d.Files {
		if len(d.Files) > 1 {
			text += callmap.Separator + f.Name + "\n"
		}
		text += f.Text
	}
	return text
}

func callMapHistory(c *base.CLI) *cobra.Command {
	var before int64
	var limit int
	cmd := &cobra.Command{
		Use:   "history",
		Short: "List the applied call maps",
		Long:  `Lists the call map files that were applied, newest first, with the author and the reason.`,
		Example: `  watchword callmap history -n 20
  watchword callmap history --before 43 --json`,
		Args: base.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 || limit > 1000 {
				return base.Usage(cmd, "-n must be from 1 to 1000")
			}
			admin, err := c.Admin(cmd)
			if err != nil {
				return err
			}
			all, err := admin.CallMapHistory(cmd.Context(), before, limit)
			switch {
			case err != nil:
				return err
			case c.JSON:
				return c.PrintJSON(all)
			}
			rows := [][]string{{"REVISION", "APPLIED", "AUTHOR", "MANAGED BY", "SUMMARY", "REASON"}}
			for _, a := range all {
				v := a
				rows = append(rows, []string{strconv.FormatInt(v.Revision, 10), base.Moment(v.At), v.Author, v.ManagedBy, v.Summary, v.Reason})
			}
			return c.PrintTable(rows)
		},
	}
	cmd.Flags().Int64Var(&before, "before", 0, "list only revisions before this `revision`")
	cmd.Flags().IntVarP(&limit, "lines", "n", 100, "`number` of revisions")
	return base.AsOperator(c.WithJSON(cmd))
}

// revision parses the argument REVISION.
func revision(cmd *cobra.Command, arg string) (int64, error) {
	n, err := strconv.ParseInt(arg, 10, 64)
	if err != nil || n < 1 {
		return 0, base.Usage(cmd, "%q is not a revision, which is a number from 1", arg)
	}
	return n, nil
}

// noApplied turns "not found" into an error that tells how to find the revisions.
func noApplied(err error, rev int64) error {
	if base.StatusOf(err) != http.StatusNotFound {
		return err
	}
	return base.Next(fmt.Errorf("no call map file was applied in revision %d", rev), "List the revisions with: watchword callmap history")
}

func callMapShow(c *base.CLI) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show REVISION",
		Short: "Print an applied call map",
		Long: `Prints the files that were applied in a revision. If there were several, each begins with a line
that has its name.`,
		Example: `  watchword callmap show 43
  watchword callmap show 43 --json`,
		Args: base.Exactly("REVISION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			rev, err := revision(cmd, args[0])
			if err != nil {
				return err
			}
			admin, err := c.Admin(cmd)
			if err != nil {
				return err
			}
			document, err := admin.AppliedCallMap(cmd.Context(), rev)
			switch {
			case err != nil:
				return noApplied(err, rev)
			case c.JSON:
				return c.PrintJSON(document)
			}
			return c.Answer(joined(document))
		},
	}
	return base.AsOperator(c.WithJSON(cmd))
}

func callMapRollback(c *base.CLI) *cobra.Command {
	var reason, author string
	cmd := &cobra.Command{
		Use:   "rollback REVISION",
		Short: "Apply the call map of an earlier revision again",
		Long: `Applies the files of a revision again. The command first shows what that changes and runs the
tests of the files. A rollback is a new revision, which can be rolled back, too. Services and
rules of other owners do not change. The flag --remove is as for "watchword apply".`,
		Example: `  watchword callmap rollback 43
  watchword callmap rollback 43 --yes --reason "orders broke"`,
		Args: base.Exactly("REVISION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			rev, err := revision(cmd, args[0])
			if err != nil {
				return err
			}
			admin, err := c.Admin(cmd)
			if err != nil {
				return err
			}
			return rollback(c, cmd, admin, rev, reason, author)
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "`reason` that the history shows")
	cmd.Flags().StringVar(&author, "author", "", "`author` that the history shows (default the operator)")
	return base.AsOperator(c.WithJSON(base.WithConfirmation(withRemove(cmd))))
}

func rollback(c *base.CLI, cmd *cobra.Command, admin *operator.Client, rev int64, reason, author string) error {
	document, err := admin.AppliedCallMap(cmd.Context(), rev)
	if err != nil {
		return noApplied(err, rev)
	}
	if reason == "" {
		reason = fmt.Sprintf("back to revision %d", rev)
	}
	what := api.ApplyCallMap{CallMapFiles: api.CallMapFiles{Files: document.Files}, Reason: reason, Author: author}
	return apply(c, cmd, admin, what, func(ctx context.Context, planned api.ApplyCallMap) (api.AppliedCallMap, error) {
		return admin.RollbackCallMap(ctx, rev, api.RollbackCallMap{Base: planned.Base, Remove: planned.Remove, Reason: reason, Author: author})
	})
}
