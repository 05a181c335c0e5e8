package audit

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
)

// segment is one file of the log. Suffix is what an outside program put behind the name it
// had: logrotate's ".1", "-20261124" or ".1.gz". Only files without suffix are written.
type segment struct {
	path   string
	named  uint64 // the number in the name: that of its first record when it was begun
	first  uint64 // number of its first record as it is, once inOrder has looked; else named
	suffix string
}

var segmentName = regexp.MustCompile(`^audit-([0-9]{20})\.jsonl(.*)$`)

func segmentPath(dir string, first uint64) string {
	return filepath.Join(dir, fmt.Sprintf("audit-%020d.jsonl", first))
}

// segments lists the files of the log in dir, oldest first as far as names tell.
func segments(dir string) ([]segment, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list audit log: %w", err)
	}
	var list []segment
	for _, entry := range entries {
		m := segmentName.FindStringSubmatch(entry.Name())
		if m == nil || entry.IsDir() {
			continue
		}
		first, err := strconv.ParseUint(m[1], 10, 64)
		if err != nil {
			continue
		}
		list = append(list, segment{path: filepath.Join(dir, entry.Name()), named: first, first: first, suffix: m[2]})
	}
	slices.SortFunc(list, func(a, b segment) int {
		return cmp.Or(cmp.Compare(a.first, b.first), -cmp.Compare(a.suffix, b.suffix))
	})
	return list, nil
}

// tailWindow is how much of a file's end is looked at when it is opened. A batch is never
// larger, so whatever a crash may have left half written is inside.
const tailWindow = 4 << 20

// tail is what the end of a file says.
type tail struct {
	last  link   // of the last good record; zero: the file has none
	size  int64  // up to and with the last good record
	torn  int64  // bytes after it that a crash left
	lines []byte // the good lines looked at
}

// DamageError says that a file of the log holds something the log never wrote there.
type DamageError struct {
	File    string
	Line    int
	Problem string
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("audit log %s is damaged: line %d %s. Nothing was changed. Find out what happened to it (`watchword audit verify` lists the first bad record); then restore the file from a backup, or move it to a safe place outside the folder: the log then goes on in a new file",
		e.File, e.Line, e.Problem)
}

// readTail looks at the end of the file. An incomplete last line, or zero bytes that a power
// loss left in its place, are a torn tail: it was never acknowledged. All else that is wrong
// is damage.
func readTail(f *os.File) (tail, error) {
	info, err := f.Stat()
	if err != nil {
		return tail{}, fmt.Errorf("read end of audit log: %w", err)
	}
	start := max(0, info.Size()-tailWindow)
	window := make([]byte, info.Size()-start)
	if _, err := f.ReadAt(window, start); err != nil && err != io.EOF {
		return tail{}, fmt.Errorf("read end of audit log: %w", err)
	}
	if start > 0 { // the window begins inside a line
		partial := bytes.IndexByte(window, '\n') + 1
		start, window = start+int64(partial), window[partial:]
	}
	t := tail{size: start}
	for rest := window; len(rest) > 0; {
		line, after, complete := bytes.Cut(rest, []byte("\n"))
		next, err := parseFrame(line)
		switch {
		case err == nil && complete && (t.last.seq == 0 || next.prev == t.last.hash && next.seq == t.last.seq+1):
		case err != nil && isTorn(line, complete, after), err == nil && !complete:
			t.torn = int64(len(rest))
			return t, nil
		default:
			return tail{}, damage(f, t.size, cmp.Or(err, errors.New("does not continue the line before it")))
		}
		t.last, t.size, rest = next.link, t.size+int64(len(line))+1, after
		t.lines = window[:len(window)-len(rest)]
	}
	return t, nil
}

// isTorn reports whether a crash may have left this bad line and what comes after it. What only
// begins like no line of ours was not written by us, and is never cut off.
func isTorn(line []byte, complete bool, after []byte) bool {
	for later := range bytes.SplitSeq(after, []byte("\n")) {
		if _, err := parseFrame(later); err == nil {
			return false // a crash leaves nothing good after something bad
		}
	}
	if bytes.IndexByte(line, 0) >= 0 { // JSON has no zero byte
		return true
	}
	n := min(len(line), len(openText))
	return !complete && string(line[:n]) == openText[:n]
}

// damage makes the error for the line that begins at offset.
func damage(f *os.File, offset int64, problem error) error {
	lines := 1
	buf := make([]byte, 64<<10)
	for r := io.NewSectionReader(f, 0, offset); ; {
		n, err := r.Read(buf)
		lines += bytes.Count(buf[:n], []byte("\n"))
		if err != nil {
			return &DamageError{File: f.Name(), Line: lines, Problem: problem.Error()}
		}
	}
}

// lastRecord is the last of the good lines.
func (t tail) lastRecord() (Record, error) {
	lines := bytes.TrimSuffix(t.lines, []byte("\n"))
	return ParseLine(lines[bytes.LastIndexByte(lines, '\n')+1:])
}
