package callmap

import (
	"bytes"
	"slices"
	"strings"
)

// Text is a file by its name.
type Text struct{ Name, Text string }

// Separator stands before each file in a joined document. A line of YAML that begins with it is a
// comment, so a document of one file is that file.
const Separator = "#:file: "

// Join puts files into one text, for the history.
func Join(files []*File) []byte {
	var b bytes.Buffer
	for _, f := range files {
		b.WriteString(Separator + f.Name + "\n" + strings.Join(f.lines, "\n"))
		if len(f.lines) > 0 && f.lines[len(f.lines)-1] != "" {
			b.WriteByte('\n')
		}
	}
	return b.Bytes()
}

// Split is the reverse of Join.
func Split(document []byte) (files []Text) {
	for line := range strings.Lines(string(document)) {
		if name, ok := strings.CutPrefix(line, Separator); ok {
			files = append(files, Text{Name: strings.TrimSpace(name)})
		} else if len(files) > 0 {
			files[len(files)-1].Text += line
		}
	}
	return files
}

// Owners of the files, sorted.
func Owners(files []*File) string {
	var all []string
	for _, f := range files {
		all = append(all, f.Owner)
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), " ")
}
