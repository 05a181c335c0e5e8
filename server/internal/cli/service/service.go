// Package service has the commands about services.
package service

import (
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/shell"
	"github.com/watchword-dev/watchword/operator"
	"github.com/watchword-dev/watchword/server/internal/cli/base"
)

// Command makes the command "service".
func Command(c *base.CLI) *cobra.Command {
	group := &cobra.Command{
		Use:   "service",
		Short: "The services that call and are called",
		Long: `Services are the actors: each calls, is called, or both. A service has a name, which
is the sub and the aud of tokens, and an identity of its own: a name that is deleted
and made again inherits no credential and no rule.`,
		Example: `  watchword service create m1 --description "orders"
  watchword service list`,
	}
	group.AddCommand(serviceCreate(c), serviceList(c), serviceShow(c), serviceUpdate(c),
		serviceDisable(c), serviceEnable(c), serviceDelete(c))
	return base.AsOperator(base.Group(group))
}

func serviceCreate(c *base.CLI) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make a service",
		Long: `Makes a service. It has no credential yet, may call nobody and be called by nobody:
see "watchword credential create" and "watchword allow". A name has 1 to 128 letters,
digits, '.', '_' and '-', and begins with a letter or a digit.`,
		Example: `  watchword service create m1
  watchword service create payments --token-ttl 5m --algorithm EdDSA
  watchword service create m1 --auth-method private_key_jwt --binding dpop
  watchword service create orders --audience https://orders.example.com`,
		Args: base.Exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			settings, err := settingsGiven(cmd)
			if err != nil {
				return err
			}
			s := api.NewService{Name: args[0], ServicePatch: settings}
			admin, err := c.Admin(cmd)
			if err != nil {
				return err
			}
			made, err := admin.CreateService(cmd.Context(), s)
			if base.StatusOf(err) == http.StatusConflict {
				if _, err := admin.Service(cmd.Context(), s.Name); err != nil {
					return base.Next(fmt.Errorf("the name, in another case, or one of the audiences is another service's"), "See whose with: watchword service list --json")
				}
				return base.Next(fmt.Errorf("there is a service %q already", s.Name), "See it with: %s", shell.Command("watchword", "service", "show", s.Name))
			}
			if err != nil {
				return err
			}
			if c.JSON {
				return c.PrintJSON(made)
			}
			return c.Printf("created service %s (%s)", made.Name, made.UID)
		},
	}
	defineSettings(cmd)
	return c.WithJSON(cmd)
}

func serviceList(c *base.CLI) *cobra.Command {
	return c.WithJSON(&cobra.Command{
		Use:   "list",
		Short: "List the services",
		Long: `Lists all services by name, whether each is enabled, and whether it only observes: then any
service gets a token for it, whatever the rules say.`,
		Example: `  watchword service list --json`,
		Args:    base.Exactly(),
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

// status tells whether a service is enabled, and whether its rules count.
func status(s api.Service) string {
	if s.Observe {
		return words("disabled", s) + ", only observes"
	}
	return words("disabled", s)
}

func serviceShow(c *base.CLI) *cobra.Command {
	return c.WithJSON(&cobra.Command{
		Use:     "show NAME",
		Short:   "Show a service",
		Long:    `Shows a service. Its credentials and rules are shown by "watchword credential list NAME" and "watchword rules --caller NAME".`,
		Example: `  watchword service show m1`,
		Args:    base.Exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			admin, err := c.Admin(cmd)
			if err != nil {
				return err
			}
			s, err := admin.Service(cmd.Context(), args[0])
			if err != nil {
				return base.UnknownService(err, args[0])
			}
			return printService(c, s)
		},
	})
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
		Long: `Changes what is given and leaves the rest. What can be given more than once is set as a
whole, and --audience "" leaves none. With --if-version the change is made only while the
service has that version, which "watchword service show" tells.`,
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
				return base.Usage(cmd, "nothing to change: give one of the flags that --help lists")
			}
			return changeService(c, cmd, args[0], version, change)
		},
	}
	defineSettings(cmd)
	cmd.Flags().Int64Var(&version, "if-version", 0, "change only this version")
	return c.WithJSON(cmd)
}

func changeService(c *base.CLI, cmd *cobra.Command, name string, version int64, change api.ServicePatch) error {
	admin, err := c.Admin(cmd)
	if err != nil {
		return err
	}
	s, err := admin.UpdateService(cmd.Context(), name, version, change)
	if base.StatusOf(err) == http.StatusConflict && change.Audiences != nil {
		return base.Next(err, "See whose the audiences are with: watchword service list --json")
	}
	if err != nil {
		return base.UnknownService(err, name)
	}
	return printService(c, s)
}

func serviceDisable(c *base.CLI) *cobra.Command {
	return serviceSwitch(c, true, &cobra.Command{
		Use:   "disable NAME",
		Short: "Take a service out, for a while",
		Long: `Refuses the service every token, and everybody tokens for it, until it is enabled again.
Its credentials and rules stay. Tokens it has already are refused by introspection at once
and by who follows the deny-list within a second; who only checks signatures takes them
until they expire.`,
		Example: `  watchword service disable m1`,
	})
}

func serviceEnable(c *base.CLI) *cobra.Command {
	return serviceSwitch(c, false, &cobra.Command{
		Use:     "enable NAME",
		Short:   "Put a service back",
		Long:    `Lets a disabled service call and be called again, by the rules it has.`,
		Example: `  watchword service enable m1`,
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
		Long: `Deletes a service, its credentials and every rule that names it. It asks before, or
takes --yes where there is nobody to ask. To take a service out for a while, disable it.`,
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
	cmd.Flags().Int64Var(&version, "if-version", 0, "delete only this version")
	return base.WithConfirmation(c.WithJSON(cmd))
}
