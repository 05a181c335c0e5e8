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
	cmd.Flags().StringArrayVarP(files, "file", "f", nil, "`file` of the call map, a folder of *.yaml and *.yml files, or - for standard input; may be repeated")
	return cmd
}

// readFiles reads and parses the files of the call map, so that mistakes are reported before a server is
// called.
func readFiles(c *base.CLI, cmd *cobra.Command, names []string) ([]api.CallMapFile, []*callmap.File, error) {
	files, err := readTexts(c, cmd, names)
	if err != nil {
		return nil, nil, err
	}
	parsed, err := parseFiles(files)
	return files, parsed, err
}

// maxText is what the operator API takes in one request.
const maxText = 64 << 20

// readTexts reads the files of the call map.
func readTexts(c *base.CLI, cmd *cobra.Command, names []string) (files []api.CallMapFile, err error) {
	if len(names) == 0 {
		return nil, base.Usage(cmd, "-f is missing: name the file or the folder of the call map")
	}
	for _, name := range names {
		if name == "-" {
			text, err := io.ReadAll(io.LimitReader(c.Stdin, maxText))
			if err != nil {
				return nil, fmt.Errorf("read stdin: %w", err)
			}
			files = append(files, api.CallMapFile{Name: "stdin", Text: string(text)})
			continue
		}
		found, err := readBelow(name)
		if err != nil {
			return nil, err
		}
		files = append(files, found...)
	}
	return files, nil
}

// readBelow reads a file, or of a folder those that end with .yaml or .yml, in the order of their names.
func readBelow(name string) (files []api.CallMapFile, err error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, base.Next(base.PathError(err), "Name the file or the folder of the call map. To create a file from the rules of the server: watchword callmap export --out callmap.yaml")
	}
	if !info.IsDir() {
		text, err := readRegular(name)
		return []api.CallMapFile{{Name: filepath.ToSlash(name), Text: text}}, err
	}
	entries, err := os.ReadDir(name) // sorted
	if err != nil {
		return nil, base.PathError(err)
	}
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); e.IsDir() || strings.HasPrefix(e.Name(), ".") || ext != ".yaml" && ext != ".yml" {
			continue
		}
		path := filepath.Join(name, e.Name())
		text, err := readRegular(path)
		if err != nil {
			return nil, err
		}
		files = append(files, api.CallMapFile{Name: filepath.ToSlash(path), Text: text})
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s has no *.yaml or *.yml files", name)
	}
	return files, nil
}

// readRegular reads a regular file. The author of a change of the call map can put a symbolic link to a
// secret or a device into its folder, and a message about the file would quote what is there. So a link
// that leads out of the folder is not followed.
func readRegular(name string) (string, error) {
	root, err := os.OpenRoot(filepath.Dir(name))
	if err != nil {
		return "", base.PathError(err)
	}
	defer func() { _ = root.Close() }() // only read from
	info, err := root.Stat(filepath.Base(name))
	switch {
	case err != nil:
		return "", base.Next(fmt.Errorf("%s: %w", name, errors.Unwrap(err)), "A symbolic link may only lead to a file in the same folder.")
	case !info.Mode().IsRegular():
		return "", base.Next(fmt.Errorf("%s is not a regular file", name), "To read standard input, use: -f -")
	case info.Size() > maxText:
		return "", fmt.Errorf("%s has %d bytes, and a call map has at most %d", name, info.Size(), maxText)
	}
	text, err := root.ReadFile(filepath.Base(name))
	return string(text), base.PathError(err)
}

// parseFiles parses files. All mistakes are reported at once.
func parseFiles(files []api.CallMapFile) ([]*callmap.File, error) {
	parsed, err := callmap.ParseAll(files)
	if err != nil {
		return nil, mistakes(err)
	}
	return parsed, nil
}

// mistakes adds advice to mistakes in files.
func mistakes(err error) error {
	return base.Next(fmt.Errorf("the call map has mistakes:\n%w", err), "Correct them, and check the file with: watchword callmap validate -f FILE")
}

// serverMistakes makes of the server's refusal of files the mistakes in them.
func serverMistakes(err error) error {
	refused, ok := errors.AsType[*operator.Error](err)
	if !ok || refused.Status != http.StatusUnprocessableEntity {
		return err
	}
	var texts []string
	for _, e := range refused.Errors {
		texts = append(texts, e.Message)
	}
	// Only the server knows which services exist and who owns them.
	return base.Next(fmt.Errorf("the call map has mistakes:\n%s", strings.Join(texts, "\n")), "Correct them, and plan again: watchword plan -f FILE")
}

// patiently does what may take long, and reports every three seconds that it is under way.
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
	<-quiet // so that no report follows what is printed next
	return err
}

// sizeOf is the number and the size of files, in words.
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
