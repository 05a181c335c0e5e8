package callmap

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/operator"
	"github.com/watchword-dev/watchword/server/internal/callmap"
	"github.com/watchword-dev/watchword/server/internal/cli/base"
)

// withFiles gives a command the flag that names the files of the call map.
func withFiles(cmd *cobra.Command, files *[]string) *cobra.Command {
	cmd.Flags().StringArrayVarP(files, "file", "f", nil, "file of the call map, a folder of *.yaml files, or - for stdin; repeat for more")
	return cmd
}

// readFiles reads the files of the call map, and what they say. Mistakes are told before any server is
// asked.
func readFiles(c *base.CLI, cmd *cobra.Command, names []string) ([]api.CallMapFile, []*callmap.File, error) {
	files, err := readTexts(c, cmd, names)
	if err != nil {
		return nil, nil, err
	}
	parsed, err := parseFiles(files)
	return files, parsed, err
}

// readTexts reads the files of the call map; of a folder those that end with .yaml or .yml, in
// the order of their names.
func readTexts(c *base.CLI, cmd *cobra.Command, names []string) (files []api.CallMapFile, err error) {
	if len(names) == 0 {
		return nil, base.Usage(cmd, "-f is missing: name the file of the call map, or its folder")
	}
	for _, name := range names {
		if name == "-" {
			text, err := io.ReadAll(c.Stdin)
			if err != nil {
				return nil, fmt.Errorf("read stdin: %w", err)
			}
			files = append(files, api.CallMapFile{Name: "stdin", Text: string(text)})
			continue
		}
		paths, err := filesBelow(name)
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				return nil, base.PathError(err)
			}
			files = append(files, api.CallMapFile{Name: filepath.ToSlash(path), Text: string(text)})
		}
	}
	return files, nil
}

func filesBelow(name string) (paths []string, err error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, base.Next(base.PathError(err), "Name the file of the call map, or its folder. There is none yet? Write what is there with: watchword callmap export --out callmap.yaml")
	}
	if !info.IsDir() {
		return []string{name}, nil
	}
	entries, err := os.ReadDir(name) // sorted
	if err != nil {
		return nil, base.PathError(err)
	}
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); !e.IsDir() && !strings.HasPrefix(e.Name(), ".") && (ext == ".yaml" || ext == ".yml") {
			paths = append(paths, filepath.Join(name, e.Name()))
		}
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("%s has no *.yaml files", name)
	}
	return paths, nil
}

// parseFiles reads what the files say, without any server. Mistakes are told all at once.
func parseFiles(files []api.CallMapFile) ([]*callmap.File, error) {
	parsed, err := callmap.ParseAll(files)
	if err != nil {
		return nil, mistakes(err)
	}
	return parsed, nil
}

// mistakes says what to do about mistakes in files.
func mistakes(err error) error {
	return base.Next(fmt.Errorf("the call map has mistakes:\n%w", err), "Mend them, and see again with: watchword callmap validate -f FILE")
}

// serverMistakes makes of a refusal of files the mistakes in them.
func serverMistakes(err error) error {
	refused, ok := errors.AsType[*operator.Error](err)
	if !ok || refused.Status != http.StatusUnprocessableEntity {
		return err
	}
	var texts []string
	for _, e := range refused.Errors {
		texts = append(texts, e.Message)
	}
	// Whose things are, and which services there are, only the server knows.
	return base.Next(fmt.Errorf("the call map has mistakes:\n%s", strings.Join(texts, "\n")), "Mend them, and plan again: watchword plan -f FILE")
}

// patiently does what may take long, and says every some seconds that it is being done.
func patiently(c *base.CLI, what string, do func() error) error {
	done, quiet := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(quiet)
		tick := time.NewTicker(3 * time.Second)
		defer tick.Stop()
		start := time.Now()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				c.Say("%s, %d s", what, int(time.Since(start).Seconds()))
			}
		}
	}()
	err := do()
	close(done)
	<-quiet // what is said next is said alone
	return err
}

// sizeOf files, for people who wait.
func sizeOf(files []api.CallMapFile) string {
	var n int
	for _, f := range files {
		n += len(f.Text)
	}
	count := "1 file"
	if len(files) != 1 {
		count = fmt.Sprintf("%d files", len(files))
	}
	return fmt.Sprintf("%s of %.1f MiB", count, float64(n)/(1<<20))
}
