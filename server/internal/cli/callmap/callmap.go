// Package callmap has the commands about call map files: plan, apply, test and callmap.
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
		Short: "Call map files: check, write, history",
		Long: `A call map file says which services there are, who may call whom, and what must stay so.
These commands check and write such files, and show what was applied. What a file would
change says "watchword plan", and "watchword apply" changes it.`,
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
		Short: "Find mistakes in a call map file",
		Long: `Reads the files and tells every mistake with its line, its column and a caret under the
place. No server is asked: a service that the files name and do not declare is told of, and
taken for one that is there. Tests are not run: see "watchword test --offline".`,
		Example: `  watchword callmap validate -f callmap.yaml
  watchword callmap validate -f callmap/`,
		Args: base.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			files, parsed, err := readFiles(c, cmd, names)
			if err != nil {
				return err
			}
			others := callmap.Strangers(parsed)
			plan, err := planOffline(parsed, others, time.Now())
			if err != nil {
				return mistakes(err)
			}
			if len(others) > 0 {
				c.Say("named, and not declared in these files: %s", strings.Join(others, " "))
			}
			return c.Printf("good: %d services, %d rules, in %s", len(plan.Services), len(plan.Rules), sizeOf(files))
		},
	}
	return withFiles(cmd, &names)
}

func callMapFmt(c *base.CLI) *cobra.Command {
	var names []string
	var write, check bool
	cmd := &cobra.Command{
		Use:   "fmt -f FILE|FOLDER",
		Short: "Bring a call map file into the one layout",
		Long: `Prints the file in the one layout: parts and members in their order, two spaces, comments
kept. With -w it rewrites the files that look otherwise, and with --check it only names
them, and exits with 1 when there are some.`,
		Example: `  watchword callmap fmt -f callmap.yaml
  watchword callmap fmt -w -f callmap/
  watchword callmap fmt --check -f callmap/`,
		Args: base.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if write && check {
				return base.Usage(cmd, "-w and --check: say one of them")
			}
			files, _, err := readFiles(c, cmd, names)
			switch {
			case err != nil:
				return err
			case len(files) > 1 && !write && !check:
				return base.Usage(cmd, "%d files cannot be printed as one: say -w or --check", len(files))
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
				c.Say("Bring them into the layout with: watchword callmap fmt -w")
				return base.ErrSaid
			}
			return nil
		},
	}
	cmd.Flags().BoolVarP(&write, "write", "w", false, "rewrite the files")
	cmd.Flags().BoolVar(&check, "check", false, "name the files that look otherwise")
	return withFiles(cmd, &names)
}

// reformatted names a file that looked otherwise, and writes it if it is to be.
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
		Short: "Print the JSON Schema of call map files, for editors",
		Long: `Prints the JSON Schema of call map files, with which an editor completes and checks them
while they are written. For the YAML language server, begin a file with this line:
  # yaml-language-server: $schema=callmap.schema.json`,
		Example: `  watchword callmap schema --out callmap.schema.json`,
		Args:    base.Exactly(),
		RunE: func(*cobra.Command, []string) error {
			return c.WriteOut(out, callmap.Schema())
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "write it to this new file")
	return cmd
}
