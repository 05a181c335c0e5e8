// Package service contains the commands about services.
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
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Create a service",
		Long: `Creates a service. A new service has no credentials, and no rule allows it to call others or to be
called: see "watchword credential create" and "watchword allow". A name has 1 to 128 letters,
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
					return base.Next(fmt.Errorf("the name in another case, or one of the audiences, belongs to another service"), "See the names and audiences of all services with: watchword service list --json")
				}
				return base.Next(fmt.Errorf("service %q exists already", s.Name), "Show it with: %s", shell.Command("watchword", "service", "show", s.Name))
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
		Long: `Shows all settings of a service. For its credentials and rules see "watchword credential list" and
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
