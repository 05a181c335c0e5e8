// Package rule has the commands about single rules: allow, disallow and rules.
package rule

import (
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/cli/base"
)

// Allow makes the command "allow".
func Allow(c *base.CLI) *cobra.Command {
	var given api.RuleTerms
	var when api.Conditions
	var until string
	cmd := &cobra.Command{
		Use:   "allow CALLER TARGET",
		Short: "Let one service call another",
		Long: `Lets CALLER have tokens for TARGET, with the scopes given, until the date given. A service
that calls itself needs a rule too. The rule is in force when the command returns. Where
there is a rule already, it is changed as the flags say, and keeps what no flag names. What
can be given more than once is set as a whole. An empty value clears: --scope "" leaves
tokens without scope, --until "" a rule that does not end, --network "" any network, and
--bound=false tokens that need not be bound. A date without time is the moment that day
begins, in UTC.

With --exchange delegate CALLER may also exchange the token of a service that called it for
one for TARGET that says so; with impersonate for one that does not. --may-act names the one
service that may exchange the tokens of this rule; without it TARGET may.

--auth, --bound, --network, --hours and --chain are conditions: the rule counts only when all
of them hold.`,
		Example: `  watchword allow m1 m2
  watchword allow m1 m2 --scope read --scope write --until 2027-01-01
  watchword allow m1 m2 --network 10.0.0.0/8 --hours "Mon-Fri 08:00-18:00"
  watchword allow m1 m2 --until "" --may-act m9
  watchword allow m2 m3 --exchange delegate`,
		Args: base.Exactly("CALLER", "TARGET"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			switch given.Exchange {
			case "", "delegate", "impersonate":
			default:
				return base.Usage(cmd, "--exchange: %q is neither delegate nor impersonate", given.Exchange)
			}
			if until != "" {
				at, err := base.ParseMoment(until)
				if err != nil {
					return base.Usage(cmd, "--until: %v", err)
				}
				given.Until = &at
			}
			given.Scopes = filled(given.Scopes)
			when.Auth, when.Networks = filled(when.Auth), filled(when.Networks)
			for i, method := range when.Auth {
				if when.Auth[i], err = base.NameOf(cmd, "--auth", api.AuthMethods(), method); err != nil {
					return err
				}
			}
			return allow(c, cmd, args[0], args[1], func(r *api.RuleTerms) { change(cmd.Flags().Changed, r, given, when) })
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&given.Exchange, "exchange", "", "what the caller may do with tokens it received: delegate, or also impersonate")
	flags.StringVar(&given.MayAct, "may-act", "", "the one service that may exchange the tokens of this rule, in place of their target")
	flags.StringArrayVar(&given.Scopes, "scope", nil, "scope the tokens may have; repeat for more")
	flags.StringVar(&until, "until", "", "when the rule ends, as in 2027-01-01")
	flags.StringArrayVar(&when.Auth, "auth", nil, "the caller proves itself so: "+strings.Join(base.Names(api.AuthMethods()), ", ")+"; repeat for more")
	flags.BoolVar(&when.Bound, "bound", false, "the token is bound to a key of the caller")
	flags.StringArrayVar(&when.Networks, "network", nil, "the caller asks from this network, as in 10.0.0.0/8; repeat for more")
	flags.StringVar(&when.Hours, "hours", "", `the caller asks in this part of the week, in UTC, as in "Mon-Fri 08:00-18:00"`)
	flags.StringVar(&when.Chain, "chain", "", "direct: the caller does not act on behalf of another; any: it may")
	return base.AsOperator(c.WithJSON(cmd))
}

// filled is a list without what is empty, by which a command line says that it has nothing.
func filled(list []string) []string {
	return slices.DeleteFunc(list, func(s string) bool { return s == "" })
}

// change changes what of a rule the command line names.
func change(named func(flag string) bool, r *api.RuleTerms, given api.RuleTerms, when api.Conditions) {
	if r.When == nil {
		r.When = &api.Conditions{}
	}
	set(named("scope"), &r.Scopes, given.Scopes)
	set(named("exchange"), &r.Exchange, given.Exchange)
	set(named("may-act"), &r.MayAct, given.MayAct)
	set(named("until"), &r.Until, given.Until)
	set(named("auth"), &r.When.Auth, when.Auth)
	set(named("bound"), &r.When.Bound, when.Bound)
	set(named("network"), &r.When.Networks, when.Networks)
	set(named("hours"), &r.When.Hours, when.Hours)
	set(named("chain"), &r.When.Chain, when.Chain)
	if r.When.String() == "" {
		r.When = nil
	}
}

func set[T any](named bool, to *T, value T) {
	if named {
		*to = value
	}
}

func allow(c *base.CLI, cmd *cobra.Command, caller, target string, edit func(*api.RuleTerms)) error {
	admin, err := c.Admin(cmd)
	if err != nil {
		return err
	}
	var mayAct string
	before, after, err := admin.ChangeRule(cmd.Context(), caller, target, func(r *api.RuleTerms) {
		edit(r)
		mayAct = r.MayAct
	})
	switch {
	case err != nil && before != nil && before.Until != nil && !cmd.Flags().Changed("until") && base.StatusOf(err) == http.StatusUnprocessableEntity:
		return base.Next(err, "The rule ends on %s. If that is past, name another --until, or none with --until \"\".", base.Moment(*before.Until))
	case err != nil:
		return c.UnknownOf(cmd, admin, err, caller, target, mayAct)
	case c.JSON:
		return c.PrintJSON(after)
	case before == nil:
		return c.Printf("allowed: %s may call %s%s", caller, target, terms(after))
	case before.Version == after.Version:
		return c.Printf("already allowed: %s may call %s%s", caller, target, terms(after))
	}
	c.Say("before:  %s may call %s%s", caller, target, terms(*before))
	return c.Printf("changed: %s may call %s%s", caller, target, terms(after))
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
	if when := r.When.String(); when != "" {
		text += ", only when " + when
	}
	if r.Until != nil {
		text += ", until " + base.Moment(*r.Until)
	}
	return text
}
