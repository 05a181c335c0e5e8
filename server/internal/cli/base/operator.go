package base

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/watchword-dev/watchword/operator"
	"github.com/watchword-dev/watchword/server/internal/config"
)

// AsOperator gives a command, and those below it, the flags that name the server and the operator token.
func AsOperator(cmd *cobra.Command) *cobra.Command {
	flags := cmd.PersistentFlags()
	flags.String("admin-url", "", "`URL` of the operator API (default WATCHWORD_ADMIN_URL or http://127.0.0.1:8010)")
	flags.String("admin-token-file", "", "`file` with the operator token (default WATCHWORD_ADMIN_TOKEN_FILE or operator.token in the data folder)")
	flags.String("data", "", "data `folder` of the server (default WATCHWORD_DATA or ./watchword-data)")
	return cmd
}

// Settings returns the server's configuration as far as this environment has it: the addresses and
// folders. Mistakes in the rest are not reported: the environment of an operator need not be complete.
func (c *CLI) Settings(cmd *cobra.Command) config.Config {
	flags := map[string]string{}
	for _, name := range []string{"data", "admin-token-file", "audit-dir"} {
		if f := cmd.Flag(name); f != nil && f.Changed {
			flags[name] = f.Value.String()
		}
	}
	loaded, _ := config.Load(config.Sources{File: c.Getenv(config.ConfigEnv), Environ: c.Environ, Flags: flags})
	return loaded.Config
}

// Admin makes a client of the operator API.
func (c *CLI) Admin(cmd *cobra.Command) (*operator.Client, error) {
	cfg := c.Settings(cmd)
	c.tokenFile = cfg.Admin.TokenFile
	raw, err := os.ReadFile(c.tokenFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, Next(fmt.Errorf("there is no operator token: %w", PathError(err)),
			"The server creates the token when it starts for the first time: watchword serve\nName the data folder with --data or WATCHWORD_DATA, or the file with --admin-token-file.")
	}
	if err != nil {
		return nil, Next(fmt.Errorf("read the operator token: %w", PathError(err)), "Run the command as the user who runs the server, or name a file that you can read with --admin-token-file.")
	}
	token := strings.TrimSpace(string(raw))
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, Next(fmt.Errorf("%s does not contain an operator token", c.tokenFile), "Name the right file with --admin-token-file.")
	}
	return operator.New(c.adminURL(cmd, cfg), token)
}

func (c *CLI) adminURL(cmd *cobra.Command, cfg config.Config) string {
	return cmp.Or(cmd.Flag("admin-url").Value.String(), c.Getenv("WATCHWORD_ADMIN_URL"), urlOf(cfg.Admin.Listen, cfg.Admin.TLS))
}

// PublicURL is the address at which services request tokens.
func (c *CLI) PublicURL(cmd *cobra.Command) string {
	if url := cmp.Or(cmd.Flag("url").Value.String(), c.Getenv("WATCHWORD_URL")); url != "" {
		return strings.TrimRight(url, "/")
	}
	cfg := c.Settings(cmd)
	return urlOf(cfg.Listen, cfg.TLS)
}

// IssuerURL is the issuer URL by which OAuth clients know the server and find its endpoints.
func (c *CLI) IssuerURL(cmd *cobra.Command) string {
	if cmp.Or(cmd.Flag("url").Value.String(), c.Getenv("WATCHWORD_URL")) == "" {
		return c.Settings(cmd).Issuer
	}
	return c.PublicURL(cmd)
}

// urlOf is the URL of a listener of this machine.
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

// WithConfirmation gives a command the flag --yes, which answers its question.
func WithConfirmation(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().Bool("yes", false, "do not ask for confirmation")
	return cmd
}

// Confirm asks before something that cannot be undone. Without a terminal it requires --yes.
func (c *CLI) Confirm(cmd *cobra.Command, question string) error {
	return c.Ask(cmd, question, "this cannot be undone")
}

// Ask asks a question. Without a terminal it requires --yes, and why is the reason that it gives.
func (c *CLI) Ask(cmd *cobra.Command, question, why string) error {
	return c.ask(cmd, c.Stdin, question, why)
}

// AskTerminal is Ask for a command that reads something else from standard input: who sits at the terminal is asked.
func (c *CLI) AskTerminal(cmd *cobra.Command, question, why string) error {
	if !isTerminal(c.Stdin) && isTerminal(c.Stderr) { // else nobody sees the question
		if terminal, err := os.Open("/dev/tty"); err == nil {
			defer func() { _ = terminal.Close() }() // only read from
			return c.ask(cmd, terminal, question, why)
		}
	}
	return c.Ask(cmd, question, why)
}

// ReadToken reads at most limit bytes of standard input. Who sits at a terminal is told to paste a token.
func (c *CLI) ReadToken(ctx context.Context, limit int64) ([]byte, error) {
	if isTerminal(c.Stdin) {
		c.Say("Paste the token, then press Ctrl-D:")
	}
	return untilDone(ctx, func() ([]byte, error) { return io.ReadAll(io.LimitReader(c.Stdin, limit)) })
}

// untilDone is read, or an error as soon as ctx is done: a read of a terminal does not end by itself then. It is left
// behind, and ends with the process.
func untilDone[T any](ctx context.Context, read func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	ended := make(chan result, 1)
	go func() {
		value, err := read()
		ended <- result{value, err}
	}()
	select {
	case r := <-ended:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, errors.New("interrupted")
	}
}

func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

func (c *CLI) ask(cmd *cobra.Command, from io.Reader, question, why string) error {
	if yes, err := cmd.Flags().GetBool("yes"); yes || err != nil {
		return err
	}
	if !isTerminal(from) {
		return Usage(cmd, "%s: confirm it with --yes", why)
	}
	fmt.Fprintf(c.Stderr, "%s [y/N] ", Clean(question))
	answer, _ := untilDone(cmd.Context(), func() (string, error) { return bufio.NewReader(from).ReadString('\n') })
	if a := strings.ToLower(strings.TrimSpace(answer)); a != "y" && a != "yes" {
		return errors.New("nothing was done")
	}
	return nil
}
