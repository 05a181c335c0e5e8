// Package service contains the commands about services.
package service

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/shell"
	"github.com/watchword-dev/watchword/operator"
	"github.com/watchword-dev/watchword/server/internal/cli/base"
	"github.com/watchword-dev/watchword/server/internal/cli/platform"
)

// Command makes the command "service".
func Command(c *base.CLI) *cobra.Command {
	group := &cobra.Command{
		Use:   "service",
		Short: "Manage services",
		Long: `A service calls other services, is called by them, or both. Its name is the subject (sub) and the
audience (aud) of tokens. A service that is deleted and created again under the same name has none
of the credentials and rules that it had before.`,
		Example: `  watchword service create m1 --description "orders"
  watchword service list`,
	}
	group.AddCommand(serviceCreate(c), serviceList(c), serviceShow(c), serviceUpdate(c),
		serviceDisable(c), serviceEnable(c), serviceDelete(c))
	return base.AsOperator(base.Group(group))
}

func serviceCreate(c *base.CLI) *cobra.Command {
	var from string // file of a platform's token, or platform.Stdin
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Create a service",
		Long: `Creates a service. A new service has no credentials, and no rule allows it to call others or to be
called: see "watchword credential create" and "watchword allow". A name has 1 to 128 letters,
digits, '.', '_' and '-', and begins with a letter or a digit.

With --from-token the service gets a credential without a secret. The command reads a token of the
platform on which the service runs, from standard input or from the file in --from-token=FILE, and
proposes the tightest claims by which such tokens prove the service. It shows them and asks; --yes
answers. A trust must have the issuer of the token: see "watchword trust add".`,
		Example: `  watchword service create m1
  kubectl create token m1 -n shop --audience http://localhost:8000 | \
    watchword service create m1 --from-token
  watchword service create payments --token-ttl 5m --algorithm EdDSA
  watchword service create m1 --auth-method private_key_jwt --binding dpop
  watchword service create orders --audience https://orders.example.com`,
		Args: func(cmd *cobra.Command, args []string) error {
			return platform.MistakenFile(cmd, base.Exactly("NAME")(cmd, args), args, "from-token")
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			settings, err := settingsGiven(cmd)
			if err != nil {
				return err
			}
			s := api.NewService{Name: args[0], ServicePatch: settings}
			var token *platform.Token
			if from != "" {
				if token, err = platform.Read(c, cmd, "from-token", from); err != nil {
					return err
				}
			}
			admin, err := c.Admin(cmd)
			if err != nil {
				return err
			}
			var joins *platform.Proposal
			if token != nil {
				if joins, err = proposed(c, cmd, admin, s.Name, token); err != nil {
					return err
				}
			}
			made, err := admin.CreateService(cmd.Context(), s)
			if base.StatusOf(err) == http.StatusConflict {
				if _, err := admin.Service(cmd.Context(), s.Name); err != nil {
					return base.Next(fmt.Errorf("the name in another case, or one of the audiences, belongs to another service"), "See the names and audiences of all services with: watchword service list --json")
				}
				return base.Next(fmt.Errorf("service %q exists already", s.Name), "Show it with: %s", shell.Command("watchword", "service", "show", s.Name))
			}
			if err != nil {
				return err
			}
			if joins != nil {
				return join(c, cmd, admin, made, joins)
			}
			if c.JSON {
				return c.PrintJSON(made)
			}
			return c.Printf("created service %s (%s)", made.Name, made.UID)
		},
	}
	defineSettings(cmd)
	platform.OptionalFile(cmd, &from, "from-token", platform.Stdin, "also create a credential for tokens such as the one in this `file`, or on standard input")
	return base.WithConfirmation(c.WithJSON(cmd))
}

// proposed shows which tokens would prove the service, and asks.
func proposed(c *base.CLI, cmd *cobra.Command, admin *operator.Client, service string, t *platform.Token) (*platform.Proposal, error) {
	tr, err := t.Trust(cmd.Context(), admin, "")
	if err != nil {
		return nil, err
	}
	p, err := platform.Propose(t, tr)
	if err != nil {
		return nil, err
	}
	p.Show(cmd.Context(), c, admin, service)
	return p, p.Confirm(c, cmd, fmt.Sprintf("Create the service %s with this credential?", service))
}

// join creates the credential of a new service. Without it, the service would not be what was asked for, so it is deleted
// again.
func join(c *base.CLI, cmd *cobra.Command, admin *operator.Client, made api.Service, p *platform.Proposal) error {
	ctx := cmd.Context()
	issued, err := admin.CreateCredential(ctx, made.Name, api.NewCredential{Kind: api.KindWorkload, Trust: p.Trust.Name, Claims: p.Claims})
	if err != nil {
		if base.StatusOf(err) == http.StatusForbidden {
			err = base.Next(err, "Create the service without --from-token. Its owner then creates the credential with: %s", shell.Command("watchword", "credential", "create", made.Name, "--from-token"))
		}
		return errors.Join(err, admin.DeleteService(ctx, made.Name, made.Version))
	}
	cr := issued.Credential
	if c.JSON {
		err = c.PrintJSON(map[string]any{"service": made, "credential": cr})
	} else {
		err = c.Printf("created service %s (%s)\ncreated credential %s for tokens of %s", made.Name, made.UID, cr.ID, cr.Trust)
	}
	if issued.Warning != "" && !p.Warned {
		c.Say("warning: %s", issued.Warning)
	}
	if err == nil {
		p.Check(ctx, c, admin, made.Name)
	}
	return err
}

func serviceList(c *base.CLI) *cobra.Command {
	return c.WithJSON(&cobra.Command{
		Use:   "list",
		Short: "List the services",
		Long: `Lists all services, ordered by name, with their status, token lifetime and algorithm. For a
service that only observes every service gets tokens, whatever the rules say.`,
		Example: `  watchword service list
  watchword service list --json`,
		Args: base.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			admin, err := c.Admin(cmd)
			if err != nil {
				return err
			}
			all, err := operator.Collect(admin.Services(cmd.Context()))
			if err != nil {
				return err
			}
			if c.JSON {
				return c.PrintJSON(map[string]any{"services": all})
			}
			rows := [][]string{{"NAME", "STATUS", "TOKEN TTL", "ALGORITHM", "CREATED", "DESCRIPTION"}}
			for _, s := range all {
				rows = append(rows, []string{s.Name, status(s), words("tokenTtlSeconds", s), words("algorithm", s), base.Moment(s.CreatedAt), s.Description})
			}
			return c.PrintTable(rows)
		},
	})
}

// status is whether a service is enabled, and whether it only observes, in words.
func status(s api.Service) string {
	if s.Observe {
		return words("disabled", s) + ", only observes"
	}
	return words("disabled", s)
}

func serviceShow(c *base.CLI) *cobra.Command {
	return c.WithJSON(&cobra.Command{
		Use:   "show NAME",
		Short: "Show a service",
		Long: `Shows all settings of a service, and first what needs attention about the platforms that vouch for
it. For its credentials and rules see "watchword credential list" and
"watchword rules".`,
		Example: `  watchword service show m1
  watchword service show m1 --json`,
		Args: base.Exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			admin, err := c.Admin(cmd)
			if err != nil {
				return err
			}
			s, err := admin.Service(cmd.Context(), args[0])
			if err != nil {
				return base.UnknownService(err, args[0])
			}
			if !c.JSON {
				lines, err := attention(cmd.Context(), admin, s.Name)
				if err == nil {
					err = platform.PrintAttention(c, lines)
				}
				if err != nil {
					return err
				}
			}
			return printService(c, s)
		},
	})
}

// attention is what needs attention about how a service authenticates, a line each.
func attention(ctx context.Context, admin *operator.Client, service string) (lines []string, err error) {
	all, err := operator.Collect(admin.Credentials(ctx, service))
	if err != nil {
		return nil, err
	}
	var asked []string
	for _, cr := range all {
		if cr.Kind != api.KindWorkload || cr.Status != "active" || slices.Contains(asked, cr.Trust) {
			continue
		}
		asked = append(asked, cr.Trust)
		t, err := admin.Trust(ctx, cr.Trust)
		switch {
		case base.StatusOf(err) == http.StatusNotFound: // removed meanwhile
		case err != nil:
			return nil, err
		default:
			lines = append(lines, platform.Attention(t)...)
		}
	}
	return append(platform.Unmatched(all, time.Now()), lines...), nil
}

func printService(c *base.CLI, s api.Service) error {
	if c.JSON {
		return c.PrintJSON(s)
	}
	fields := []string{"name", s.Name, "uid", s.UID}
	for _, m := range api.ServiceMembers() {
		fields = append(fields, m.Label, settingWords(m, s))
	}
	return c.PrintFields(append(fields, "managed by", s.ManagedBy, "version", fmt.Sprint(s.Version),
		"created", base.Moment(s.CreatedAt), "updated", base.Moment(s.UpdatedAt))...)
}

func serviceUpdate(c *base.CLI) *cobra.Command {
	var version int64
	cmd := &cobra.Command{
		Use:   "update NAME",
		Short: "Change a service",
		Long: `Changes the settings that are given as flags, and no others. A flag that may be repeated replaces
all values of its setting, and an empty value, as in --audience "", removes them. With
--if-version the command changes nothing if the service has another version. See the version with
"watchword service show".`,
		Example: `  watchword service update m1 --token-ttl 5m
  watchword service update m1 --auth-method private_key_jwt --auth-method tls_client_auth
  watchword service update m1 --binding required --multiple-targets=false
  watchword service update m1 --algorithm "" --if-version 3`,
		Args: base.Exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			change, err := settingsGiven(cmd)
			if err != nil {
				return err
			}
			if change == (api.ServicePatch{}) {
				return base.Usage(cmd, "nothing to change: give at least one of the flags that --help lists")
			}
			return changeService(c, cmd, args[0], version, change)
		},
	}
	defineSettings(cmd)
	cmd.Flags().Int64Var(&version, "if-version", 0, "change the service only if it has this `version`")
	return c.WithJSON(cmd)
}

func changeService(c *base.CLI, cmd *cobra.Command, name string, version int64, change api.ServicePatch) error {
	admin, err := c.Admin(cmd)
	if err != nil {
		return err
	}
	s, err := admin.UpdateService(cmd.Context(), name, version, change)
	if base.StatusOf(err) == http.StatusConflict && change.Audiences != nil {
		return base.Next(err, "See the audiences of all services with: watchword service list --json")
	}
	if err != nil {
		return base.UnknownService(err, name)
	}
	return printService(c, s)
}

func serviceDisable(c *base.CLI) *cobra.Command {
	return serviceSwitch(c, true, &cobra.Command{
		Use:   "disable NAME",
		Short: "Disable a service",
		Long: `Disables a service until it is enabled again: it gets no tokens, and other services get no tokens
for it. Its credentials and rules remain. Introspection refuses the tokens that it already has at
once. Services that follow the deny-list refuse them within a second, and services that only
verify signatures accept them until they expire.`,
		Example: `  watchword service disable m1
  watchword service disable m1 --json`,
	})
}

func serviceEnable(c *base.CLI) *cobra.Command {
	return serviceSwitch(c, false, &cobra.Command{
		Use:   "enable NAME",
		Short: "Enable a disabled service",
		Long:  `Enables a disabled service: it may call and be called again as its rules say.`,
		Example: `  watchword service enable m1
  watchword service enable m1 --json`,
	})
}

func serviceSwitch(c *base.CLI, disabled bool, cmd *cobra.Command) *cobra.Command {
	cmd.Args = base.Exactly("NAME")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return changeService(c, cmd, args[0], 0, api.ServicePatch{Disabled: &disabled})
	}
	return c.WithJSON(cmd)
}

func serviceDelete(c *base.CLI) *cobra.Command {
	var version int64
	cmd := &cobra.Command{
		Use:   "delete NAME",
		Short: "Delete a service with its credentials and rules",
		Long: `Deletes a service, its credentials and every rule that names it. The command asks for
confirmation; without a terminal it requires --yes. To stop a service temporarily, disable
it.`,
		Example: `  watchword service delete m1
  watchword service delete m1 --yes`,
		Args: base.Exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.Confirm(cmd, fmt.Sprintf("Delete service %s, its credentials and its rules?", args[0])); err != nil {
				return err
			}
			admin, err := c.Admin(cmd)
			if err != nil {
				return err
			}
			if err := admin.DeleteService(cmd.Context(), args[0], version); err != nil {
				return base.UnknownService(err, args[0])
			}
			c.Say("deleted service %s", args[0])
			return nil
		},
	}
	cmd.Flags().Int64Var(&version, "if-version", 0, "delete the service only if it has this `version`")
	return base.WithConfirmation(c.WithJSON(cmd))
}
