package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/watchword-dev/watchword/server/internal/config"
	"github.com/watchword-dev/watchword/server/internal/operator"
)

// asOperator gives a command, and those below it, the flags that find the server and the
// operator token.
func asOperator(cmd *cobra.Command) *cobra.Command {
	flags := cmd.PersistentFlags()
	flags.String("admin-url", "", "the server's operator listener (WATCHWORD_ADMIN_URL, else http://127.0.0.1:8010)")
	flags.String("admin-token-file", "", "file of the operator token (WATCHWORD_ADMIN_TOKEN_FILE, else operator.token in the data folder)")
	flags.String("data", "", "the server's data folder (WATCHWORD_DATA, else ./watchword-data)")
	return cmd
}

// settings is the server's configuration as far as this environment tells it: where it
// listens and keeps its files. What is wrong with the rest is the server's to complain of,
// and the operator's environment need not have all of it.
func (c *cli) settings(cmd *cobra.Command) config.Config {
	flags := map[string]string{}
	for _, name := range []string{"data", "admin-token-file", "audit-dir"} {
		if f := cmd.Flag(name); f != nil && f.Changed {
			flags[name] = f.Value.String()
		}
	}
	loaded, _ := config.Load(config.Sources{File: c.env(config.ConfigEnv), Environ: c.environ, Flags: flags})
	return loaded.Config
}

// admin makes the client of the operator's API.
func (c *cli) admin(cmd *cobra.Command) (*operator.Client, error) {
	cfg := c.settings(cmd)
	c.tokenFile = cfg.Admin.TokenFile
	raw, err := os.ReadFile(c.tokenFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, next(fmt.Errorf("no operator token: %w", pathError(err)),
			"The server makes it on its first start: watchword serve\nName its folder with --data or WATCHWORD_DATA, or the file itself with --admin-token-file.")
	}
	if err != nil {
		return nil, next(fmt.Errorf("read the operator token: %w", pathError(err)), "Be the user who runs the server, or name a file you can read with --admin-token-file.")
	}
	token := strings.TrimSpace(string(raw))
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, next(fmt.Errorf("%s does not hold an operator token", c.tokenFile), "Name the right file with --admin-token-file.")
	}
	return operator.New(c.adminURL(cmd, cfg), token)
}

func (c *cli) adminURL(cmd *cobra.Command, cfg config.Config) string {
	if url := cmd.Flag("admin-url").Value.String(); url != "" {
		return url
	}
	if url := c.env("WATCHWORD_ADMIN_URL"); url != "" {
		return url
	}
	return urlOf(cfg.Admin.Listen, cfg.Admin.TLS)
}

// publicURL is where services ask for tokens.
func (c *cli) publicURL(cmd *cobra.Command) string {
	if url := cmd.Flag("url").Value.String(); url != "" {
		return strings.TrimRight(url, "/")
	}
	if url := c.env("WATCHWORD_URL"); url != "" {
		return strings.TrimRight(url, "/")
	}
	cfg := c.settings(cmd)
	return urlOf(cfg.Listen, cfg.TLS)
}

// issuerURL is the name of the server among OAuth clients, which is its address too.
func (c *cli) issuerURL(cmd *cobra.Command) string {
	if cmd.Flag("url").Value.String() == "" && c.env("WATCHWORD_URL") == "" {
		return c.settings(cmd).Issuer
	}
	return c.publicURL(cmd)
}

// urlOf is how a listener of this machine is reached from it.
func urlOf(listen string, tls config.TLS) string {
	scheme := "http"
	if tls.Enabled() {
		scheme = "https"
	}
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return scheme + "://" + listen
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}

// withConfirmation gives a command that cannot be undone its --yes.
func withConfirmation(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().Bool("yes", false, "do not ask")
	return cmd
}

// confirm asks before something that cannot be undone. Where there is nobody to ask it
// takes --yes only.
func (c *cli) confirm(cmd *cobra.Command, question string) error {
	return c.ask(cmd, question, "this cannot be undone")
}

// ask asks before something; why is what there is to say to those who cannot answer.
func (c *cli) ask(cmd *cobra.Command, question, why string) error {
	if yes, err := cmd.Flags().GetBool("yes"); yes || err != nil {
		return err
	}
	file, ok := c.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return usage(cmd, "%s: say --yes", why)
	}
	fmt.Fprintf(c.stderr, "%s [y/N] ", clean(question))
	answer, _ := bufio.NewReader(c.stdin).ReadString('\n')
	if a := strings.ToLower(strings.TrimSpace(answer)); a != "y" && a != "yes" {
		return errors.New("nothing was done")
	}
	return nil
}
