package callmap

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/operator"
	"github.com/watchword-dev/watchword/server/internal/cli/base"
)

// Apply makes the command "apply".
func Apply(c *base.CLI) *cobra.Command {
	var names []string
	var what api.ApplyCallMap
	cmd := &cobra.Command{
		Use:   "apply -f FILE|FOLDER",
		Short: "Make the directory what a call map file says",
		Long: `Plans the files as "watchword plan" does, shows the plan, asks, and applies just that plan:
all of it at once, or nothing when a test fails or anything was changed since the plan was
made. It is in force when the command returns, and the audit log and the history have it
with author and reason. With --base only a plan on that revision is applied: the one that
was reviewed.

A plan that removes all services of the files, or at least ten services and rules that are
a quarter or more of what the files own, is applied only if --remove repeats how many.`,
		Example: `  watchword apply -f callmap.yaml
  watchword apply -f callmap/ --yes --reason "orders reads stock" --author anna@example.com
  watchword apply -f callmap/ --yes --base 42`,
		Args: base.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if what.Files, _, err = readFiles(c, cmd, names); err != nil {
				return err
			}
			admin, err := c.Admin(cmd)
			if err != nil {
				return err
			}
			return apply(c, cmd, admin, what, admin.ApplyCallMap)
		},
	}
	cmd.Flags().StringVar(&what.Reason, "reason", "", "why, for the history")
	cmd.Flags().StringVar(&what.Author, "author", "", "who, for the history; the operator if nobody is named")
	cmd.Flags().Int64Var(&what.Base, "base", 0, "apply only a plan on this revision")
	return base.AsOperator(c.WithJSON(base.WithConfirmation(withRemove(withFiles(cmd, &names)))))
}

// withRemove gives a command that applies a plan its --remove.
func withRemove(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().Int("remove", 0, "how many services and rules the plan removes; it must be repeated if they are many")
	return cmd
}

// apply plans the files of what, shows the plan, asks, and sends what with the revision of the plan.
func apply(c *base.CLI, cmd *cobra.Command, admin *operator.Client, what api.ApplyCallMap, send func(context.Context, api.ApplyCallMap) (api.AppliedCallMap, error)) error {
	answer, err := planOn(c, cmd, admin, what.Files, 0)
	if err != nil {
		return err
	}
	plan := answer
	if what.Base != 0 && what.Base != plan.Base {
		return base.Next(fmt.Errorf("the directory is at revision %d, and not at %d any more: nothing was done", plan.Base, what.Base), "Plan again, and look at what is different.")
	}
	c.Say("%s", strings.TrimSuffix(planText(plan), "\n"))
	if plan.Failed > 0 {
		c.Say("watchword: %d of %d tests fail, so nothing was changed", plan.Failed, len(plan.Tests))
		return base.ErrSaid
	}
	if what.Remove, err = removed(cmd, plan); err != nil {
		return err
	}
	if !plan.Empty {
		if err := c.Ask(cmd, "Apply this?", "this changes who may call whom"); err != nil {
			return err
		}
	}
	reviewed := what.Base != 0
	for attempt := 0; ; attempt++ {
		what.Base = plan.Base
		var applied api.AppliedCallMap
		err = patiently(c, "applying "+sizeOf(what.Files), func() error {
			applied, err = send(cmd.Context(), what)
			return err
		})
		if err == nil {
			return printApplied(c, plan.Empty, applied)
		}
		if !isConflict(err) || reviewed || attempt == 5 {
			return notApplied(err)
		}
		// A key or a credential that was made meanwhile is a change too. What was shown still counts
		// when the plan says the same on the new revision.
		again, planErr := planOn(c, cmd, admin, what.Files, 0)
		if planErr != nil || !sameChanges(plan, again) {
			return notApplied(err)
		}
		plan = again
	}
}

// removed is the number that --remove repeats, or nil if it repeats none and need not.
func removed(cmd *cobra.Command, plan api.CallMapPlan) (*int, error) {
	n, err := cmd.Flags().GetInt("remove")
	if err != nil {
		return nil, err
	}
	switch said := cmd.Flags().Changed("remove"); {
	case said && n != plan.Removed:
		return nil, base.Next(fmt.Errorf("the plan removes %d services and rules, and not %d: nothing was done", plan.Removed, n), "Look at what it removes.")
	case said:
		return &n, nil
	case plan.RemovesMany:
		return nil, base.Next(fmt.Errorf("the plan removes %d services and rules: nothing was done", plan.Removed), "If that is wanted, add: --remove %d", plan.Removed)
	}
	return nil, nil
}

// sameChanges says whether two plans are one, as far as both say all that they change.
func sameChanges(a, b api.CallMapPlan) bool {
	const shown = 1000 // the server names no more
	return len(a.Changes) < shown && a.Summary == b.Summary && a.Failed == b.Failed && slices.Equal(a.Changes, b.Changes)
}

func isConflict(err error) bool {
	refused, ok := errors.AsType[*operator.Error](err)
	return ok && refused.Status == http.StatusConflict && len(refused.Errors) == 0
}

// notApplied says what to do about a refusal to apply.
func notApplied(err error) error {
	if isConflict(err) {
		return base.Next(errors.New("the directory was changed after the plan was made, so nothing was done"), "Run the command again, and look at the new plan.")
	}
	return serverMistakes(err)
}

func printApplied(c *base.CLI, empty bool, a api.AppliedCallMap) error {
	if c.JSON {
		return c.PrintJSON(a)
	}
	if empty {
		return c.Printf("nothing to change on revision %d", a.Revision)
	}
	return c.Printf("applied in revision %d: %s", a.Revision, a.Summary)
}
