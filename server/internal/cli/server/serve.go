// Package server has the commands that run the server or ask about it: serve, demo, config,
// status and version.
package server

import (
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/watchword-dev/watchword/server/internal/app"
	"github.com/watchword-dev/watchword/server/internal/cli/base"
	"github.com/watchword-dev/watchword/server/internal/config"
	"github.com/watchword-dev/watchword/server/internal/logs"
)

// Serve makes the command "serve".
func Serve(c *base.CLI) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the server",
		Long: `Runs the server until it is told to stop (SIGTERM, or Ctrl-C): the public listener, where
services get tokens and keys, and the operator's listener. On its first start it makes the
data folder with database, keys and operator token.

Settings come from the file named by --config or WATCHWORD_CONFIG, then the environment,
then flags; the later wins. Every setting is in all three: token.ttl in the file is
WATCHWORD_TOKEN_TTL and --token-ttl. Secrets are no flags, since everybody can read the
arguments of a process; name their files instead.`,
		Example: `  watchword serve
  watchword serve --config /etc/watchword.yaml
  WATCHWORD_DATABASE_FILE=/run/secrets/database watchword serve --listen 0.0.0.0:8000 --insecure-http`,
		Args: base.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			loaded, err := loadConfig(c, cmd)
			if err != nil {
				return base.Next(err, "See what is in force with: watchword config print")
			}
			hangups := make(chan os.Signal, 1)
			signal.Notify(hangups, syscall.SIGHUP)
			defer signal.Stop(hangups)
			return app.Run(cmd.Context(), loaded.Config, newLogger(c, loaded.Config.Log), hangups)
		},
	}
	settingFlags(cmd.Flags())
	return cmd
}

// settingFlags gives a command the flags of all settings, in the order of their table.
func settingFlags(flags *pflag.FlagSet) {
	flags.SortFlags = false
	flags.String("config", "", "configuration file, YAML ("+config.ConfigEnv+")")
	for _, s := range config.Settings() {
		doc := s.Doc
		if s.Default != "" {
			doc += " (default " + s.Default + ")"
		}
		if s.Flag != "" {
			flags.String(s.Flag, "", doc)
			if s.Default == "false" {
				flags.Lookup(s.Flag).NoOptDefVal = "true"
			}
		}
		if s.FileFlag != "" {
			flags.String(s.FileFlag, "", "File that holds: "+s.Doc)
		}
	}
}

// loadConfig reads the configuration for a command with the flags of all settings.
func loadConfig(c *base.CLI, cmd *cobra.Command) (*config.Loaded, error) {
	from := config.Sources{File: c.Getenv(config.ConfigEnv), Environ: c.Environ, Flags: map[string]string{}}
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if f.Name == "config" {
			from.File = f.Value.String()
			return
		}
		from.Flags[f.Name] = f.Value.String()
	})
	return config.Load(from)
}

// newLogger makes the log of a server, which from now on all that goes to stderr passes through: a
// stderr that blocks must hold up neither requests nor the end of the process.
func newLogger(c *base.CLI, l config.Log) *logs.Logger {
	logger := logs.New(c.Stderr, l.Level, l.Format == "json")
	c.Stderr, c.AtEnd = logger, logger.Close
	return logger
}
