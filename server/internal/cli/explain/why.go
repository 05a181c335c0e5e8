// Package explain contains the commands that answer questions about the rules: why, blast, graph, impact,
// unused and suggest.
package explain

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/cli/base"
	"github.com/watchword-dev/watchword/server/internal/cli/platform"
)

// Why makes the command "why".
func Why(c *base.CLI) *cobra.Command {
	var q api.Question
	var at, file, to, as string
	cmd := &cobra.Command{
		Use:   "why ID | CALLER TARGET | --token FILE",
		Short: "Explain why a token is allowed or refused",
		Long: `With the id of a decision, the command shows what was decided and why, and what would be decided
today. The caller receives the id in the header Watchword-Decision, and the audit log has it.

With two services the command shows whether CALLER would get a token for TARGET and why, and a
command that would change the answer. No token is issued. The server never tells a caller why it
is refused.

With --token the command tests a token of a platform, from a file or from standard input ("-"):
which service it proves or, if it would be refused, why, claim by claim. With --to it continues
with whether that service would get a token for the target. The token is not used up.`,
		Example: `  watchword why 5f1e2d3c4b5a69788796a5b4c3d2e1f0
  watchword why m1 m2 --scope write
  watchword why m1 m2 --auth private_key_jwt --bound --network 10.1.2.3 --at 2026-11-24T20:00:00Z
  watchword why m2 m3 --on-behalf-of m1
  watchword why --token /var/run/secrets/watchword/token --to m2`,
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case file != "" && len(args) > 0:
				return base.Usage(cmd, "%q is one argument too many: with --token the target is --to", args[0])
			case file != "":
				return nil
			case to != "":
				return base.Usage(cmd, "--to requires --token")
			case len(args) == 0:
				return base.Usage(cmd, "an ID, or CALLER and TARGET, is missing")
			case len(args) == 1 && strings.Count(args[0], ".") == 2 && strings.HasPrefix(args[0], "eyJ"):
				return base.Usage(cmd, "a token must not be an argument, since every user of the machine can read it there: write it to standard input, as in: watchword token inspect < FILE")
			case len(args) == 1 && isID(args[0]):
				return nil
			}
			if err := base.Exactly("CALLER", "TARGET")(cmd, args); err != nil {
				return base.Usage(cmd, "%v; write two services, as in \"watchword why m1 m2\", or the id of a decision, which has 32 hexadecimal digits", err)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return whyRecorded(c, cmd, args[0])
			}
			var err error
			var token *platform.Token
			if file != "" {
				if token, err = platform.Read(c, cmd, "token", file); err != nil {
					return err
				}
			}
			if q.Scopes, err = base.Scopes(cmd, q.Scopes); err != nil {
				return err
			}
			if q.Method != "" {
				if q.Method, err = base.NameOf(cmd, "--auth", api.AuthMethods(), q.Method); err != nil {
					return err
				}
			}
			if at != "" {
				if q.At, err = base.ParseMoment(at); err != nil {
					return base.Usage(cmd, "--at: %v", err)
				}
			}
			if token != nil {
				q.Target = to
				return whyToken(c, cmd, token, as, q)
			}
			q.Caller, q.Target = args[0], args[1]
			return why(c, cmd, q)
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&q.Scopes, "scope", nil, "`scope` that is requested; may be repeated")
	flags.StringVar(&q.Method, "auth", "", "authentication `method` of the caller: "+base.Names(api.AuthMethods()))
	flags.BoolVar(&q.Bound, "bound", false, "the request proves a key to which the token is bound")
	flags.StringVar(&q.Network, "network", "", "`address` of the caller, as in 10.1.2.3")
	flags.StringVar(&q.OnBehalfOf, "on-behalf-of", "", "`service` whose token is exchanged")
	flags.BoolVar(&q.Impersonate, "impersonate", false, "with --on-behalf-of: for a token that does not name the actor")
	flags.StringVar(&at, "at", "", "`time` of the request, as in 2027-01-01T12:00:00Z")
	flags.StringVar(&file, "token", "", "`file` with a token of a platform, or - for standard input")
	flags.StringVar(&to, "to", "", "with --token: `service` for which a token is requested")
	flags.StringVar(&as, "as", "", "with --token: `service` that the request names, if the token could prove several")
	return base.AsOperator(c.WithJSON(cmd))
}

// whyToken tests a platform's token and, if it proves a service, explains the decision about its request.
func whyToken(c *base.CLI, cmd *cobra.Command, token *platform.Token, as string, q api.Question) error {
	admin, err := c.Admin(cmd)
	if err != nil {
		return err
	}
	v, err := admin.TestPlatformToken(cmd.Context(), api.PlatformTokenTest{Token: token.Text, Service: as})
	if err != nil {
		return err
	}
	decides := v.Accepted && q.Target != ""
	if c.JSON && !decides {
		return c.PrintJSON(map[string]any{"token": v})
	}
	if !c.JSON {
		if err := platform.PrintVerdict(c, v); err != nil || !decides {
			return err
		}
		if err := c.Printf(""); err != nil {
			return err
		}
	}
	q.Caller = v.Service
	if q.Method == "" {
		q.Method = api.WorkloadJWT
		if strings.HasPrefix(token.Issuer, "spiffe://") {
			q.Method = api.SPIFFEJWT
		}
	}
	e, err := admin.Explain(cmd.Context(), q)
	if err != nil {
		return err
	}
	if c.JSON {
		return c.PrintJSON(map[string]any{"token": v, "decision": e})
	}
	return explained(c, q, e)
}

// isID reports whether text can be the id of a decision: 16 bytes in hexadecimal.
func isID(text string) bool {
	raw, err := hex.DecodeString(text)
	return err == nil && len(raw) == 16
}

func why(c *base.CLI, cmd *cobra.Command, q api.Question) error {
	admin, err := c.Admin(cmd)
	if err != nil {
		return err
	}
	e, err := admin.Explain(cmd.Context(), q)
	switch {
	case err != nil:
		return err
	case c.JSON:
		return c.PrintJSON(e)
	}
	return explained(c, q, e)
}

// explained writes the answer to a question.
func explained(c *base.CLI, q api.Question, e api.Explanation) error {
	if missing := missingFrom(q, e.Reason); missing != "" {
		e.Advice, e.Command = missing, ""
	}
	return printExplanation(c, e)
}

// missingFrom returns what to add to a question if the reason of the answer is that the question did not have it.
func missingFrom(q api.Question, reason string) string {
	switch {
	case reason == "condition_network" && q.Network == "":
		return "No address of the caller was given. Give it with --network, as in --network 10.1.2.3."
	case reason == "condition_method" && q.Method == "":
		return "No authentication method was given. Give it with --auth, as in --auth private_key_jwt."
	}
	return ""
}

func printExplanation(c *base.CLI, e api.Explanation) error {
	verdict, change := "refused", "To change it"
	if e.Allowed {
		verdict, change = "allowed", "To forbid it"
	}
	text := fmt.Sprintf("%s: %s", verdict, base.Line(e.Text))
	if len(e.Scopes) > 0 {
		text += "\nScopes of the token: " + strings.Join(e.Scopes, " ")
	}
	if e.Shadow != "" {
		text += "\nDecision under the shadow: " + e.Shadow
	}
	switch {
	case e.Command != "":
		text += "\n" + change + ": " + base.Line(e.Command)
	case e.Advice != "":
		text += "\nWhat to do: " + e.Advice
	}
	if e.See != "" {
		text += "\nSee " + e.See
	}
	return c.Printf("%s", text)
}

func whyRecorded(c *base.CLI, cmd *cobra.Command, id string) error {
	admin, err := c.Admin(cmd)
	if err != nil {
		return err
	}
	a, err := admin.Decision(cmd.Context(), id)
	switch {
	case base.StatusOf(err) == http.StatusNotFound:
		return base.Next(fmt.Errorf("the audit log of this server has no decision %q", id), "The id is in the header Watchword-Decision of the answer, and at the end of each line of: watchword audit tail\nEach replica has its own log: ask the replica that made the decision.\nIf it is the id of a token (jti), see what the token contains with: watchword token inspect < FILE")
	case err != nil:
		return err
	case c.JSON:
		return c.PrintJSON(a)
	}
	d := a
	switch {
	case d.Today == nil:
	case d.Today.Reason == d.Reason:
		d.Advice, d.See = "", "" // told below
	case d.Today.Allowed:
		d.Advice = "" // nothing is left to do
	}
	err = c.PrintFields(
		"decision", fmt.Sprintf("%s, record %d", d.At.UTC().Format("2006-01-02 15:04:05Z"), d.Record),
		"asked", cmp.Or(d.Caller, "?")+" -> "+cmp.Or(d.Target, "?"), "scope", d.Scope, "on behalf of", d.OnBehalfOf,
		"method", d.Method, "credential", d.Credential, "from", d.Address,
		"outcome", d.Outcome+": "+d.Text, "what to do", d.Advice, "see", d.See, "observed", d.Observed, "shadow", d.Shadow,
	)
	if err == nil && len(d.Claims) > 0 {
		if err = c.Printf("\nClaims of the token:"); err == nil {
			err = platform.PrintFindings(c, d.Claims)
		}
	}
	if err != nil || d.Today == nil {
		return err
	}
	if err := c.Printf("\nToday:"); err != nil {
		return err
	}
	return printExplanation(c, *d.Today)
}
