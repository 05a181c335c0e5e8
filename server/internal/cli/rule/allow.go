// Package rule has the commands about single rules: allow, disallow and rules.
package rule

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/operator"
	"github.com/watchword-dev/watchword/server/internal/cli/base"
)

// Allow makes the command "allow".
func Allow(c *base.CLI) *cobra.Command {
	var rule api.RuleTerms
	var until string
	cmd := &cobra.Command{
		Use:   "allow CALLER TARGET",
		Short: "Let one service call another",
		Long: `Lets CALLER have tokens for TARGET, with the scopes given, until the date given. It
sets the rule as a whole: scopes and date it had before and that are not given again are
gone. A date without time is the moment that day begins, in UTC. A service that calls
itself needs a rule too. The rule is in force when the command returns.

With --exchange delegate CALLER may also exchange the token of a service that called it for
one for TARGET that says so; with impersonate for one that does not. --may-act names the one
service that may exchange the tokens of this rule; without it TARGET may.`,
		Example: `  watchword allow m1 m2
  watchword allow m1 m2 --scope read --scope write --until 2027-01-01
  watchword allow m2 m3 --exchange delegate
  watchword allow m1 m2 --may-act m9`,
		Args: base.Exactly("CALLER", "TARGET"),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch rule.Exchange {
			case "", "delegate", "impersonate":
			default:
				return base.Usage(cmd, "--exchange: %q is neither delegate nor impersonate", rule.Exchange)
			}
			if until != "" {
				at, err := base.ParseMoment(until)
				if err != nil {
					return base.Usage(cmd, "--until: %v", err)
				}
				rule.Until = &at
			}
			return allow(c, cmd, args[0], args[1], rule)
		},
	}
	cmd.Flags().StringVar(&rule.Exchange, "exchange", "", "what the caller may do with tokens it received: delegate, or also impersonate")
	cmd.Flags().StringVar(&rule.MayAct, "may-act", "", "the one service that may exchange the tokens of this rule, in place of their target")
	cmd.Flags().StringArrayVar(&rule.Scopes, "scope", nil, "scope the tokens may have; repeat for more")
	cmd.Flags().StringVar(&until, "until", "", "when the rule ends, as in 2027-01-01")
	return base.AsOperator(c.WithJSON(cmd))
}

func allow(c *base.CLI, cmd *cobra.Command, caller, target string, rule api.RuleTerms) error {
	admin, err := c.Admin(cmd)
	if err != nil {
		return err
	}
	before, err := operator.Collect(admin.Rules(cmd.Context(), caller, target))
	if err != nil {
		return c.UnknownOf(cmd, admin, err, caller, target)
	}
	after, created, err := admin.PutRule(cmd.Context(), caller, target, operator.AnyVersion, rule)
	if err != nil {
		return c.UnknownOf(cmd, admin, err, caller, target, rule.MayAct)
	}
	if c.JSON {
		return c.PrintJSON(after)
	}
	what := "changed"
	switch {
	case created:
		what = "allowed"
	case len(before) == 1 && before[0].Version == after.Version:
		what = "already allowed"
	}
	if what == "changed" && len(before) == 1 {
		c.Say("before: %s may call %s%s", caller, target, terms(before[0]))
	}
	return c.Printf("%s: %s may call %s%s", what, caller, target, terms(after))
}

// terms are what a rule says beside who may call whom.
func terms(r api.Rule) (text string) {
	if len(r.Scopes) > 0 {
		text = ", scope " + strings.Join(r.Scopes, " ")
	}
	switch r.Exchange {
	case "delegate":
		text += ", also on behalf of others"
	case "impersonate":
		text += ", also on behalf of others and as others"
	}
	if r.MayAct != "" {
		text += ", and only " + r.MayAct + " may exchange its tokens"
	}
	if r.Until != nil {
		text += ", until " + base.Moment(*r.Until)
	}
	return text
}
