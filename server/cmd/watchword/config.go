package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/server/internal/config"
)

func (c *cli) configCommand() *cobra.Command {
	group := &cobra.Command{
		Use:   "config",
		Short: "The server's configuration",
		Long: `Shows and checks the configuration a server would start with. Nothing is asked of a
running server.`,
		Example: `  watchword config print
  watchword config validate /etc/watchword.yaml`,
	}
	group.AddCommand(c.configPrint(), c.configValidate())
	return asGroup(group)
}

func (c *cli) configPrint() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "print",
		Short: "Show the settings in force, and where each comes from",
		Long: `Shows every setting with its value and where that comes from, as "watchword serve" with
the same flags and environment would see it. Secrets are not shown. A configuration file
has the same names, nested where they have dots:

  listen: 0.0.0.0:8443
  tls:
    cert_file: /etc/watchword/tls.crt
    key_file: /etc/watchword/tls.key
  issuer: https://auth.example.com
  token:
    ttl: 5m`,
		Example: `  watchword config print
  watchword config print --config /etc/watchword.yaml --json`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			loaded, problems := c.loadConfig(cmd)
			if err := c.printSettings(loaded); err != nil {
				return err
			}
			return problems
		},
	}
	settingFlags(cmd.Flags())
	return c.withJSON(cmd)
}

func (c *cli) printSettings(loaded *config.Loaded) error {
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
	if c.json {
		return c.printJSON(map[string]any{"settings": all})
	}
	return c.printTable(rows)
}

func (c *cli) configValidate() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "validate [FILE]",
		Short: "Check a configuration",
		Long: `Checks the file given, or that named by --config or WATCHWORD_CONFIG, together with the
environment and the flags, and lists every problem with what to do about it. It exits with
1 when there is one.`,
		Example: `  watchword config validate /etc/watchword.yaml`,
		Args:    atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				if cmd.Flags().Changed("config") {
					return usage(cmd, "FILE and --config name two files")
				}
				if err := cmd.Flags().Set("config", args[0]); err != nil {
					return err
				}
			}
			_, err := c.loadConfig(cmd)
			if !c.json {
				if err == nil {
					c.say("the configuration is valid")
				}
				return err
			}
			problems := []config.Problem{}
			if all, ok := errors.AsType[*config.Error](err); ok {
				problems, err = all.Problems, errSaid
			}
			return errors.Join(c.printJSON(map[string]any{"problems": problems}), err)
		},
	}
	settingFlags(cmd.Flags())
	return c.withJSON(cmd)
}
