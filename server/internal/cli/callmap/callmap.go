// Package callmap contains the commands about call map files: plan, apply, test and callmap.
package callmap

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/server/internal/callmap"
	"github.com/watchword-dev/watchword/server/internal/cli/base"
)

// CallMap makes the command "callmap".
func CallMap(c *base.CLI) *cobra.Command {
	group := &cobra.Command{
		Use:   "callmap",
		Short: "Check, format and export call map files, and show their history",
		Long: `A call map file declares trusts, services, rules that say which service may call which, and tests.
These commands check and write such files, and show which were applied. "watchword plan" shows what
a file would change, and "watchword apply" applies it.`,
		Example: `  watchword callmap export --out callmap.yaml
  watchword callmap validate -f callmap/
  watchword callmap history`,
	}
	group.AddCommand(callMapValidate(c), callMapFmt(c), callMapSchema(c), callMapShadow(c), callMapExport(c), callMapHistory(c), callMapShow(c), callMapRollback(c))
	return base.Group(group)
}

func callMapValidate(c *base.CLI) *cobra.Command {
	var names []string
	cmd := &cobra.Command{
		Use:   "validate -f FILE|FOLDER",
		Short: "Find mistakes in call map files",
		Long: `Reads the files and reports every mistake with its line and column. The command does not call a
server: services and trusts that the files name and do not declare are listed, and assumed to exist.
It does not run the tests of the files: see "watchword test --offline".`,
		Example: `  watchword callmap validate -f callmap.yaml
  watchword callmap validate -f callmap/`,
		Args: base.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			files, parsed, err := readFiles(c, cmd, names)
			if err != nil {
				return err
			}
			others, trusts := callmap.Strangers(parsed)
			plan, err := planOffline(parsed, others, trusts, time.Now())
			if err != nil {
				return mistakes(err)
			}
			if len(others) > 0 {
				c.Say("these services are named but not declared in the files: %s", strings.Join(others, " "))
			}
			if len(trusts) > 0 {
				c.Say("these trusts are named but not declared in the files, so claims of their tokens were not checked: %s", strings.Join(trusts, " "))
			}
			trusted := ""
			if n := len(plan.Trusts) + len(plan.Identities); n > 0 {
				trusted = fmt.Sprintf(" %d trusts, %d identities,", len(plan.Trusts), len(plan.Identities))
			}
			return c.Printf("valid: %d services, %d rules,%s in %s", len(plan.Services), len(plan.Rules), trusted, sizeOf(files))
		},
	}
	return withFiles(cmd, &names)
}

func callMapFmt(c *base.CLI) *cobra.Command {
	var names []string
	var write, check bool
	cmd := &cobra.Command{
		Use:   "fmt -f FILE|FOLDER",
		Short: "Format call map files",
		Long: `Prints the file in the standard format: sections and members in a fixed order, indented by two
spaces, with all comments. With -w the command rewrites the files that are formatted differently.
With --check it only lists them, and the exit code is 1 if there are any.`,
		Example: `  watchword callmap fmt -f callmap.yaml
  watchword callmap fmt -w -f callmap/
  watchword callmap fmt --check -f callmap/`,
		Args: base.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if write && check {
				return base.Usage(cmd, "-w and --check exclude each other")
			}
			files, _, err := readFiles(c, cmd, names)
			switch {
			case err != nil:
				return err
			case len(files) > 1 && !write && !check:
				return base.Usage(cmd, "%d files cannot be printed as one: use -w or --check", len(files))
			}
			other := false
			for _, f := range files {
				text, err := callmap.Format(f.Name, []byte(f.Text))
				if err != nil {
					return mistakes(err)
				}
				switch changed := string(text) != f.Text; {
				case !write && !check, f.Name == "stdin":
					if err := c.Answer(string(text)); err != nil {
						return err
					}
				case changed:
					other = true
					if err := reformatted(c, f.Name, text, write); err != nil {
						return err
					}
				}
			}
			if other && check {
				c.Say("Format them with: watchword callmap fmt -w")
				return base.ErrSaid
			}
			return nil
		},
	}
	cmd.Flags().BoolVarP(&write, "write", "w", false, "rewrite the files")
	cmd.Flags().BoolVar(&check, "check", false, "list the files that are formatted differently")
	return withFiles(cmd, &names)
}

// reformatted reports a file that was formatted differently, and with write rewrites it.
func reformatted(c *base.CLI, name string, text []byte, write bool) error {
	if write {
		root, err := os.OpenRoot(filepath.Dir(name)) // as in readRegular
		if err != nil {
			return base.PathError(err)
		}
		if err := errors.Join(root.WriteFile(filepath.Base(name), text, 0o644), root.Close()); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	return c.Printf("%s", name)
}

func callMapSchema(c *base.CLI) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of call map files",
		Long: `Prints the JSON Schema of call map files, with which an editor completes and checks them. For the
YAML language server, begin a file with this line:

  # yaml-language-server: $schema=callmap.schema.json`,
		Example: `  watchword callmap schema --out callmap.schema.json`,
		Args:    base.Exactly(),
		RunE: func(*cobra.Command, []string) error {
			return c.WriteOut(out, callmap.Schema())
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "write the schema to this new `file`")
	return cmd
}
