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
		Short: "The token that operators authenticate with",
		Long: `The operator token is in a file that the server creates on its first start. Whoever has it can
change everything.`,
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
		Long: `Writes a new operator token to the file of the old one, and waits until the server accepts it. From
then on the old token is refused. Run it on the machine of the server, as the user who runs the
server: whoever can write the file is the operator.`,
		Example: `  watchword operator-token replace`,
		Args:    base.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			path := c.Settings(cmd).Admin.TokenFile
			if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
				return base.Next(fmt.Errorf("no operator token: %w", base.PathError(err)), "The server makes it on its first start. Name its folder with --data or WATCHWORD_DATA, or the file itself with --admin-token-file.")
			}
			if err := disk.Replace(path, []byte(app.NewOperatorToken()+"\n")); err != nil {
				return base.Next(fmt.Errorf("replace the operator token: %w", base.PathError(err)), "The old token is still in force. Be the user who runs the server.")
			}
			c.Say("wrote %s", base.Clean(path))
			switch err := accepted(cmd.Context(), c, cmd); {
			case err == nil:
				c.Say("The server accepts it, and refuses the old one.")
			case isUnreachable(err):
				c.Say("The server is not running, or not reached: it accepts the token when it starts. %s", base.Clean(c.Text(err)))
			default:
				return base.Next(fmt.Errorf("the server does not accept the new operator token: %w", err), "Does it use this file? Its log says which one. Name it with --admin-token-file.")
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
