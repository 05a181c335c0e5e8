package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/operator"
	"github.com/watchword-dev/watchword/server/internal/app"
	"github.com/watchword-dev/watchword/server/internal/cli/base"
	"github.com/watchword-dev/watchword/server/internal/disk"
)

// OperatorToken makes the command "operator-token".
func OperatorToken(c *base.CLI) *cobra.Command {
	group := &cobra.Command{
		Use:   "operator-token",
		Short: "Replace the operator token",
		Long: `Operators authenticate with a token, which the server writes to a file when it starts for the
first time. Whoever has the token can change everything.`,
		Example: `  watchword operator-token replace`,
	}
	group.AddCommand(operatorTokenReplace(c))
	return base.AsOperator(base.Group(group))
}

// acceptedWithin is how long the server may take to read a new operator token.
const acceptedWithin = 5 * time.Second

func operatorTokenReplace(c *base.CLI) *cobra.Command {
	return &cobra.Command{
		Use:   "replace",
		Short: "Replace the operator token",
		Long: `Writes a new operator token to the file of the old one, and waits until the server accepts it.
From then on the server refuses the old token. Run the command on the machine of the server as the
user who runs the server.`,
		Example: `  watchword operator-token replace`,
		Args:    base.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			path := c.Settings(cmd).Admin.TokenFile
			if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
				return base.Next(fmt.Errorf("there is no operator token: %w", base.PathError(err)), "The server creates the token when it starts for the first time.\nName the data folder with --data or WATCHWORD_DATA, or the file with --admin-token-file.")
			}
			if err := disk.Replace(path, []byte(app.NewOperatorToken()+"\n")); err != nil {
				return base.Next(fmt.Errorf("replace the operator token: %w", base.PathError(err)), "The old token is still valid. Run the command as the user who runs the server.")
			}
			c.Say("wrote %s", path)
			switch err := accepted(cmd.Context(), c, cmd); {
			case err == nil:
				c.Say("The server accepts the new token and refuses the old one.")
			case isUnreachable(err):
				c.Say("The server does not answer. It accepts the new token when it starts. (%s)", c.Text(err))
			default:
				return base.Next(fmt.Errorf("the server does not accept the new operator token: %w", err), "The log of the server has the file that it reads. Name that with --admin-token-file.")
			}
			return nil
		},
	}
}

// accepted asks the server until it takes the token in the file.
func accepted(ctx context.Context, c *base.CLI, cmd *cobra.Command) error {
	ctx, cancel := context.WithTimeout(ctx, acceptedWithin)
	defer cancel()
	for {
		admin, err := c.Admin(cmd)
		if err != nil {
			return err
		}
		if _, err = admin.Info(ctx); err == nil || isUnreachable(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func isUnreachable(err error) bool {
	_, ok := errors.AsType[*operator.UnreachableError](err)
	return ok
}
