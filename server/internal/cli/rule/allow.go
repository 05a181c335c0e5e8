// Package rule contains the commands about single rules: allow, disallow and rules.
package rule

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/shell"
	"github.com/watchword-dev/watchword/operator"
	"github.com/watchword-dev/watchword/server/internal/cli/base"
)

// Allow makes the command "allow".
func Allow(c *base.CLI) *cobra.Command {
	var given api.RuleTerms
	var when api.Conditions
	var until string
	cmd := &cobra.Command{
		Use:   "allow CALLER TARGET",
		Short: "Allow a service to call another",
		Long: `Creates the rule that allows CALLER to get tokens for TARGET, or changes the rule if it exists. A
service that calls itself needs a rule, too. The rule is in force when the command returns.

A rule that exists keeps what no flag names. A flag that may be repeated replaces all values, and
an empty value removes them: --scope "" allows tokens without scope only, --until "" is a rule
that does not end, and --network "" allows all networks.

With --exchange delegate, CALLER may also exchange a token that it has received from another
service for a token for TARGET that names CALLER as the actor. With --exchange impersonate, it may
also get a token that does not name CALLER. TARGET may exchange the tokens of the rule. With
--may-act, only the service that it names may exchange them.

The flags --auth, --bound, --network, --hours and --chain are conditions: the rule allows a
request only if all of them are met.`,
		Example: `  watchword allow m1 m2
  watchword allow m1 m2 --scope read --scope write --until 2027-01-01
  watchword allow m1 m2 --network 10.0.0.0/8 --hours "Mon-Fri 08:00-18:00"
  watchword allow m1 m2 --until "" --may-act m9
  watchword allow m2 m3 --exchange delegate`,
		Args: base.Exactly("CALLER", "TARGET"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if given.Exchange != "" {
				if given.Exchange, err = base.NameOf(cmd, "--exchange", api.Exchanges(), given.Exchange); err != nil {
					return err
				}
			}
			if when.Chain != "" {
				if when.Chain, err = base.NameOf(cmd, "--chain", api.Chains(), when.Chain); err != nil {
					return err
				}
			}
			if until != "" {
				at, err := base.ParseMoment(until)
				if err != nil {
					return base.Usage(cmd, "--until: %v", err)
				}
				given.Until = &at
			}
			if given.Scopes, err = base.Scopes(cmd, given.Scopes); err != nil {
				return err
			}
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
	flags.StringVar(&given.Exchange, "exchange", "", "`kind` of token exchange that the caller may use: delegate, for tokens that name the caller as the actor, or impersonate, also for tokens that do not")
	flags.StringVar(&given.MayAct, "may-act", "", "the only `service` that may exchange the tokens of this rule (default TARGET)")
	flags.StringArrayVar(&given.Scopes, "scope", nil, "`scope` that the tokens may have; may be repeated")
	flags.StringVar(&until, "until", "", "`time` at which the rule ends, as in 2027-01-01 (in UTC) or 2027-01-01T12:00:00Z")
	flags.StringArrayVar(&when.Auth, "auth", nil, "authentication `method` that the caller must use: "+base.Names(api.AuthMethods())+"; may be repeated")
	flags.BoolVar(&when.Bound, "bound", false, "the token must be bound to a key of the caller")
	flags.StringArrayVar(&when.Networks, "network", nil, "`network` from which the caller must send the request, as in 10.0.0.0/8; may be repeated")
	flags.StringVar(&when.Hours, "hours", "", "`hours` of the week, in UTC, in which the rule allows requests, as in \"Mon-Fri 08:00-18:00\"")
	flags.StringVar(&when.Chain, "chain", "", "`chain` of services: direct, if the caller must not act on behalf of another service, or any")
	return base.AsOperator(c.WithJSON(cmd))
}

// filled removes empty values from a list: on a command line an empty value stands for no values.
func filled(list []string) []string {
	return slices.DeleteFunc(list, func(s string) bool { return s == "" })
}

// change changes the terms that the command line names.
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
	case base.StatusOf(err) == http.StatusConflict && before != nil && before.ManagedBy != "":
		return base.Next(fmt.Errorf("the rule %s -> %s belongs to the call map file of %q, so it can only be changed there", caller, target, before.ManagedBy),
			"Change the rule in that file, and apply it with: watchword apply -f FILE")
	case isAbout(err, "until") && cmd.Flags().Changed("until"):
		return base.Next(err, "To end the rule now, remove it with: %s", shell.Command("watchword", "disallow", caller, target))
	case isAbout(err, "until") && before != nil && before.Until != nil:
		return base.Next(err, "The rule ended or ends on %s. Give another end with --until, or none with --until \"\".", base.Moment(*before.Until))
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

// isAbout reports whether the server refused the value of a member.
func isAbout(err error, member string) bool {
	refused, ok := errors.AsType[*operator.Error](err)
	return ok && len(refused.Errors) == 1 && refused.Errors[0].Location == "body."+member
}

// terms are the terms of a rule in words.
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
