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
		Short: "Apply a call map file",
		Long: `Plans the files as "watchword plan" does, shows the plan, asks for confirmation, and applies
exactly that plan. Either all changes are made or none. None is made if a test fails, or if
anything was changed after the plan was made. The changes are in force when the command returns.
The audit log and the history record them with the author and the reason.

With --base the plan is applied only if the server is still at that revision, the one for which
the plan was reviewed.

A plan that removes all services or all trusts of the files, or at least ten things that are a
quarter or more of what the files own, is applied only if --remove repeats the number that it
removes.`,
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
	cmd.Flags().StringVar(&what.Reason, "reason", "", "`reason` that the history shows")
	cmd.Flags().StringVar(&what.Author, "author", "", "`author` that the history shows (default the operator)")
	cmd.Flags().Int64Var(&what.Base, "base", 0, "apply only if the server is at this `revision`")
	return base.AsOperator(c.WithJSON(base.WithConfirmation(withRemove(withFiles(cmd, &names)))))
}

// withRemove gives a command that applies a plan the flag --remove.
func withRemove(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().Int("remove", 0, "`number` of services, rules, trusts and identities that the plan removes; required if it removes many")
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
		return base.Next(fmt.Errorf("the server is at revision %d and no longer at %d, so nothing was done", plan.Base, what.Base), "Plan again, and review the new plan.")
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
		if err := c.Ask(cmd, "Apply these changes?", "this changes which service may call which, or which tokens prove a service"); err != nil {
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
		// A new key or credential is a new revision, too. The plan that was shown still holds if the plan on
		// that revision is the same.
		again, planErr := planOn(c, cmd, admin, what.Files, 0)
		if planErr != nil || !sameChanges(plan, again) {
			return notApplied(err)
		}
		plan = again
	}
}

// removed is the number that --remove repeats, or nil if the flag is absent and not required.
func removed(cmd *cobra.Command, plan api.CallMapPlan) (*int, error) {
	n, err := cmd.Flags().GetInt("remove")
	if err != nil {
		return nil, err
	}
	switch said := cmd.Flags().Changed("remove"); {
	case said && n != plan.Removed:
		return nil, base.Next(fmt.Errorf("the plan removes %d services, rules, trusts and identities, and not %d, so nothing was done", plan.Removed, n), "Review what the plan removes.")
	case said:
		return &n, nil
	case plan.RemovesMany:
		return nil, base.Next(fmt.Errorf("the plan removes %d services, rules, trusts and identities, so nothing was done", plan.Removed), "If that is intended, add: --remove %d", plan.Removed)
	}
	return nil, nil
}

// sameChanges reports whether two plans make the same changes, if both list all of them.
func sameChanges(a, b api.CallMapPlan) bool {
	const shown = 1000 // the server lists no more
	return len(a.Changes) < shown && a.Summary == b.Summary && a.Failed == b.Failed && slices.Equal(a.Changes, b.Changes)
}

func isConflict(err error) bool {
	refused, ok := errors.AsType[*operator.Error](err)
	return ok && refused.Status == http.StatusConflict && len(refused.Errors) == 0
}

// notApplied adds advice to a refusal to apply.
func notApplied(err error) error {
	if isConflict(err) {
		return base.Next(errors.New("something was changed on the server after the plan was made, so nothing was applied"), "Run the command again, and review the new plan.")
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
