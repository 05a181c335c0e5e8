package main

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/server/internal/operator"
)

func (c *cli) applyCommand() *cobra.Command {
	var names []string
	var what operator.ApplyCallMap
	cmd := &cobra.Command{
		Use:   "apply -f FILE|FOLDER",
		Short: "Make the directory what a call map file says",
		Long: `Plans the files as "watchword plan" does, shows the plan, asks, and applies just that plan:
all of it at once, or nothing when a test fails or anything was changed since the plan was
made. It is in force when the command returns, and the audit log and the history have it
with author and reason. With --base only a plan on that revision is applied: the one that
was reviewed.`,
		Example: `  watchword apply -f callmap.yaml
  watchword apply -f callmap/ --yes --reason "orders reads stock" --author anna@example.com
  watchword apply -f callmap/ --yes --base 42`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if what.Files, _, err = c.readFiles(cmd, names); err != nil {
				return err
			}
			admin, err := c.admin(cmd)
			if err != nil {
				return err
			}
			return c.apply(cmd, admin, what)
		},
	}
	cmd.Flags().StringVar(&what.Reason, "reason", "", "why, for the history")
	cmd.Flags().StringVar(&what.Author, "author", "", "who, for the history; the operator if nobody is named")
	cmd.Flags().Int64Var(&what.Base, "base", 0, "apply only a plan on this revision")
	return asOperator(c.withJSON(withConfirmation(withFiles(cmd, &names))))
}

func (c *cli) apply(cmd *cobra.Command, admin *operator.Client, what operator.ApplyCallMap) error {
	answer, err := c.planOn(cmd, admin, what.Files, 0)
	if err != nil {
		return err
	}
	plan := answer.Value
	if what.Base != 0 && what.Base != plan.Base {
		return next(fmt.Errorf("the directory is at revision %d, and not at %d any more: nothing was done", plan.Base, what.Base), "Plan again, and look at what is different.")
	}
	if err := c.printPlan(c.stderr, plan); err != nil {
		return err
	}
	if plan.Failed > 0 {
		c.say("watchword: %d of %d tests fail, so nothing was changed", plan.Failed, len(plan.Tests))
		return errSaid
	}
	if !plan.Empty {
		if err := c.ask(cmd, "Apply this?", "this changes who may call whom"); err != nil {
			return err
		}
	}
	reviewed := what.Base != 0
	for attempt := 0; ; attempt++ {
		what.Base = plan.Base
		var applied operator.Answer[operator.AppliedCallMap]
		err = c.patiently("applying "+sizeOf(what.Files), func() error {
			applied, err = admin.ApplyCallMap(cmd.Context(), what)
			return err
		})
		if err == nil {
			return c.printApplied(plan.Empty, applied)
		}
		if !isConflict(err) || reviewed || attempt == 5 {
			return notApplied(err)
		}
		// A key or a credential that was made meanwhile is a change too. What was shown still counts
		// when the plan says the same on the new revision.
		again, planErr := c.planOn(cmd, admin, what.Files, 0)
		if planErr != nil || !sameChanges(plan, again.Value) {
			return notApplied(err)
		}
		plan = again.Value
	}
}

// sameChanges says whether two plans are one, as far as both say all that they change.
func sameChanges(a, b operator.CallMapPlan) bool {
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
		return next(errors.New("the directory was changed after the plan was made, so nothing was done"), "Run the command again, and look at the new plan.")
	}
	return serverMistakes(err)
}

func (c *cli) printApplied(empty bool, a operator.Answer[operator.AppliedCallMap]) error {
	if c.json {
		return c.printJSON(a)
	}
	if empty {
		return c.printf("nothing to change on revision %d", a.Value.Revision)
	}
	return c.printf("applied in revision %d: %s", a.Value.Revision, a.Value.Summary)
}
