package server

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/server/internal/cli/base"
	"github.com/watchword-dev/watchword/server/internal/config"
)

// Config makes the command "config".
func Config(c *base.CLI) *cobra.Command {
	group := &cobra.Command{
		Use:   "config",
		Short: "Show and check the configuration of the server",
		Long: `Shows and checks the configuration with which a server would start. These commands do not call a
running server.`,
		Example: `  watchword config print
  watchword config validate /etc/watchword.yaml`,
	}
	group.AddCommand(configPrint(c), configValidate(c))
	return base.Group(group)
}

func configPrint(c *base.CLI) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "print",
		Short: "Show every setting and where it comes from",
		Long: `Shows the value of every setting and where it comes from, as "watchword serve" would use it with
the same flags and environment. Secrets are not shown. A configuration file has the same names,
nested where a name has a dot:

  listen: 0.0.0.0:8443
  tls:
    cert_file: /etc/watchword/tls.crt
    key_file: /etc/watchword/tls.key
  issuer: https://auth.example.com
  token:
    ttl: 5m`,
		Example: `  watchword config print
  watchword config print --config /etc/watchword.yaml --json`,
		Args: base.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			loaded, problems := loadConfig(c, cmd)
			if err := printSettings(c, loaded); err != nil {
				return err
			}
			return problems
		},
	}
	settingFlags(cmd.Flags())
	return c.WithJSON(cmd)
}

func printSettings(c *base.CLI, loaded *config.Loaded) error {
	type setting struct {
		Key     string `json:"key"`
		Value   string `json:"value"`
		Source  string `json:"source"`
		Env     string `json:"env"`
		Flag    string `json:"flag,omitempty"`
		Default string `json:"default"`
		Doc     string `json:"doc"`
	}
	var all []setting
	rows := [][]string{{"SETTING", "VALUE", "SOURCE"}}
	for _, v := range loaded.Values() {
		s := v.Setting
		rows = append(rows, []string{s.Key, v.Text, v.Source})
		all = append(all, setting{s.Key, v.Text, v.Source, s.Env, s.Flag, s.Default, s.Doc})
	}
	if c.JSON {
		return c.PrintJSON(map[string]any{"settings": all})
	}
	return c.PrintTable(rows)
}

func configValidate(c *base.CLI) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "validate [FILE]",
		Short: "Check the configuration",
		Long: `Checks the configuration file together with the environment and the flags, and lists all problems
with what to do about each. The file is FILE, else the one that --config or WATCHWORD_CONFIG
names. The exit code is 1 if there is a problem. A warning is about what is probably not meant.`,
		Example: `  watchword config validate /etc/watchword.yaml
  watchword config validate --json`,
		Args: base.AtMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				if cmd.Flags().Changed("config") {
					return base.Usage(cmd, "FILE and --config both name a file; give one of them")
				}
				if err := cmd.Flags().Set("config", args[0]); err != nil {
					return err
				}
			}
			loaded, err := loadConfig(c, cmd)
			if !c.JSON {
				if err == nil {
					for _, w := range loaded.Warnings() {
						c.Say("warning: %s", w)
					}
					c.Say("the configuration is valid")
				}
				return err
			}
			problems, warnings := []config.Problem{}, loaded.Warnings()
			if all, ok := errors.AsType[*config.Error](err); ok {
				problems, err = all.Problems, base.ErrSaid
			}
			return errors.Join(c.PrintJSON(map[string]any{"problems": problems, "warnings": warnings}), err)
		},
	}
	settingFlags(cmd.Flags())
	return c.WithJSON(cmd)
}
