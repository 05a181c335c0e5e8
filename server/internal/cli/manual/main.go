// Manual writes the man pages and the shell completions of the command line into a folder, for the packages
// of a release: go run ./server/internal/cli/manual FOLDER. The man pages bear the date SOURCE_DATE_EPOCH.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra/doc"

	"github.com/watchword-dev/watchword/server/internal/cli"
	"github.com/watchword-dev/watchword/server/internal/cli/base"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: manual FOLDER")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "manual:", err)
		os.Exit(1)
	}
}

// write makes man1/watchword*.1 and completions/watchword.{bash,zsh,fish,ps1} in folder.
func write(folder string) error {
	pages, completions := filepath.Join(folder, "man1"), filepath.Join(folder, "completions")
	if err := errors.Join(os.MkdirAll(pages, 0o700), os.MkdirAll(completions, 0o700)); err != nil {
		return err
	}
	root := cli.Root(&base.CLI{})
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	root.DisableAutoGenTag = true // which has the date of today
	name := filepath.Join(completions, "watchword.")
	return errors.Join(
		doc.GenManTree(root, &doc.GenManHeader{Section: "1", Source: "Watchword", Manual: "Watchword"}, pages),
		root.GenBashCompletionFileV2(name+"bash", true),
		root.GenZshCompletionFile(name+"zsh"),
		root.GenFishCompletionFile(name+"fish", true),
		root.GenPowerShellCompletionFileWithDesc(name+"ps1"),
	)
}
