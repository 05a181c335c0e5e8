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
		Long: `Runs the server until it receives SIGTERM or SIGINT (Ctrl-C). Services request tokens and keys at
the public listener, and operators use the operator's listener. When the server starts for the
first time it creates the data folder with the database, the keys and the operator token.

A setting is read from the flags, else from the environment, else from the configuration file,
which --config or WATCHWORD_CONFIG names. The setting token.ttl of the file is the variable
WATCHWORD_TOKEN_TTL and the flag --token-ttl. Secrets have no flags, since every user of a machine
can read the arguments of its processes: use the flags that name a file.`,
		Example: `  watchword serve
  watchword serve --config /etc/watchword.yaml
  watchword serve --database-file /run/secrets/database --listen 0.0.0.0:8000 --insecure-http`,
		Args: base.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			loaded, err := loadConfig(c, cmd)
			if err != nil {
				return base.Next(err, "See the settings and where they come from with: watchword config print")
			}
			hangups := make(chan os.Signal, 1)
			signal.Notify(hangups, syscall.SIGHUP)
			defer signal.Stop(hangups)
			logger := newLogger(c, loaded.Config.Log)
			for _, w := range loaded.Warnings() {
				logger.Warn("the configuration may not be what is meant", "warning", w.String())
			}
			return app.Run(cmd.Context(), loaded.Config, logger, hangups)
		},
	}
	settingFlags(cmd.Flags())
	return cmd
}

// settingFlags gives a command the flags of all settings, in the order of the table of settings.
func settingFlags(flags *pflag.FlagSet) {
	flags.SortFlags = false
	flags.String("config", "", "configuration `file`, YAML (default "+config.ConfigEnv+")")
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
			flags.String(s.FileFlag, "", "File with this setting: "+s.Doc)
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

// newLogger makes the log of a server. From now on everything that is written to stderr passes through
// it: a stderr that blocks must delay neither requests nor the end of the process.
func newLogger(c *base.CLI, l config.Log) *logs.Logger {
	logger := logs.New(c.Stderr, l.Level, l.Format == "json")
	c.Stderr, c.AtEnd = logger, logger.Close
	return logger
}
