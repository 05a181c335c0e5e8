package audit

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/watchword-dev/watchword/server/internal/disk"
)

// written is the text of a small log: its start and ten events.
func written(t testing.TB) (dir, path string, text []byte) {
	dir = t.TempDir()
	l := start(t, dir, Options{})
	for i := range 10 {
		add(t, l, fmt.Sprint(i))
	}
	l.Close()
	path = onlyFile(t, dir)
	return dir, path, read(t, path)
}

// FLT-001: what a kill in the middle of a write leaves is cut off, and said.
func TestTornTailIsCutOff(t *testing.T) {
	_, _, text := written(t)
	last := bytes.LastIndexByte(text[:len(text)-1], '\n') + 1
	for name, torn := range map[string][]byte{
		"one byte":            append(bytes.Clone(text), '{'),
		"half a line":         text[:last+100],
		"all but the newline": text[:len(text)-1],
		"zero bytes":          append(bytes.Clone(text), make([]byte, 5000)...),
		"half a line of zero": append(bytes.Clone(text[:last+100]), make([]byte, 100)...),
		"a whole batch of it": append(append(bytes.Clone(text[:last+100]), make([]byte, 100)...), "\n\n{}\n"...),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "audit-00000000000000000001.jsonl"), torn)
			logger, cut := notices("cut off")
			l := start(t, dir, Options{Logger: logger})
			add(t, l, "after")
			select {
			case <-cut:
			default:
				t.Error("no warning")
			}
			sound(t, dir)
			all := records(t, dir)
			if r := all[len(all)-2]; r.Kind != KindStart || r.Detail["cutFile"] != "audit-00000000000000000001.jsonl" || r.Detail["cutBytes"] == "" {
				t.Errorf("got %+v; want a start event that tells of the cut", r)
			}
			if n := len(all); n != 12 && n != 13 {
				t.Errorf("got %d records; want those before the tear and two more", n)
			}
		})
	}
}

func TestFileWithNothingButATornLine(t *testing.T) {
	dir, _, text := written(t)
	torn := segmentPath(dir, 12)
	write(t, torn, text[:50])
	l := start(t, dir, Options{MaxSize: 1})
	add(t, l, "after")
	l.Close()
	if report := sound(t, dir); report.Records != 13 {
		t.Errorf("got %d records, want 13", report.Records)
	}
}

func TestDamageIsRefusedAndLeftAlone(t *testing.T) {
	_, _, text := written(t)
	lines := bytes.SplitAfter(text, []byte("\n"))
	line5 := len(bytes.Join(lines[:4], nil)) // offset of line 5
	edit := func(offset int, b string) []byte {
		c := bytes.Clone(text)
		copy(c[offset:], b)
		return c
	}
	for name, c := range map[string]struct {
		text []byte
		line int
	}{
		"an edited line":         {edit(line5+30, "X"), 5},
		"a deleted line":         {bytes.Join(append(append([][]byte{}, lines[:4]...), lines[5:]...), nil), 5},
		"lines in another order": {bytes.Join([][]byte{lines[0], lines[1], lines[3], lines[2], lines[4]}, nil), 3},
		"a hole of zero bytes":   {edit(line5+30, strings.Repeat("\x00", 600)), 5},
		"an edited last line":    {edit(len(text)-200, "X"), len(lines) - 1},
		"text of someone else":   {[]byte("hello\nworld"), 1},
		"text without an end":    {append(bytes.Clone(text), "hello"...), len(lines)},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "audit-00000000000000000001.jsonl")
			write(t, path, c.text)
			_, err := Open(dir, Options{})
			if damage, ok := errors.AsType[*DamageError](err); !ok || damage.File != path || damage.Line != c.line {
				t.Errorf("got %v; want a DamageError that names line %d", err, c.line)
			}
			if !bytes.Equal(read(t, path), c.text) {
				t.Error("the damaged file was changed")
			}
			if _, err := Open(dir, Options{}); errors.Is(err, disk.ErrInUse) {
				t.Error("the refused Open kept the lock")
			}
		})
	}
}

func TestChainGoesOnAfterFilesWereMovedAsideWhileStopped(t *testing.T) {
	for suffix, change := range map[string]func([]byte) []byte{
		".1":        bytes.Clone,
		"-20261124": bytes.Clone,
		".1.gz": func(b []byte) []byte {
			var z bytes.Buffer
			w := gzip.NewWriter(&z)
			w.Write(b)
			w.Close()
			return z.Bytes()
		},
	} {
		dir, path, text := written(t)
		write(t, path+suffix, change(text))
		write(t, path, nil) // logrotate's "create"
		l := start(t, dir, Options{})
		add(t, l, "after")
		l.Close()
		if report := sound(t, dir); report.Records != 13 || report.First.Seq != 1 {
			t.Errorf("%s: got %+v, want 13 records from 1", suffix, report)
		}
	}
}

func TestOpenLooksAtTheEndOfABigFileOnly(t *testing.T) {
	dir := t.TempDir()
	var l link
	var lines []byte
	for range 2 * tailWindow / 600 {
		lines, l = l.appendRecord(lines, &sample)
	}
	lines[10_000] ^= 1 // found by VerifyDir, not by Open
	write(t, segmentPath(dir, 1), lines)
	log := start(t, dir, Options{})
	add(t, log, "after")
	report, err := VerifyDir(dir, Known{})
	if err != nil || report.Bad == nil || report.Bad.Fault != Edited {
		t.Errorf("VerifyDir: got %+v, %v; want the edited line", report.Bad, err)
	}
	err = Tail(t.Context(), dir, 1, false, func(line []byte) error {
		last, err := ParseLine(line)
		if last.ID != "after" || last.Seq != l.seq+2 {
			t.Errorf("got %+v, want record %d", last, l.seq+2)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// F93: a file that somebody puts into the folder while the server runs is not gone on in by the next start: the records that
// the server writes meanwhile could be removed then, and the log would hold together.
func TestAFileThatDoesNotContinueTheLogIsRefused(t *testing.T) {
	dir, path, text := written(t)
	lines := bytes.SplitAfter(text, []byte("\n"))
	atLine := func(n int) link {
		f, err := parseFrame(bytes.TrimSuffix(lines[n-1], []byte("\n")))
		must(t, err)
		return f.link
	}
	forged := func(after link) []byte {
		line, _ := after.appendRecord(nil, &Event{Kind: KindChange, Action: "token.revoke", Actor: "operator"})
		return line
	}
	for name, c := range map[string]struct {
		first uint64
		text  []byte
		good  bool
	}{
		"in the place of a record":   {5, forged(atLine(4)), false},
		"after a record of its own":  {13, forged(link{12, link{}.hash}), false},
		"with a gap":                 {20, forged(link{19, atLine(11).hash}), false},
		"after the last record":      {12, forged(atLine(11)), true},
		"with lines from before":     {10, append(bytes.Join(lines[9:11], nil), forged(atLine(11))...), true},
		"with other lines of before": {10, append(bytes.Clone(lines[9]), forged(atLine(10))...), false},
	} {
		t.Run(name, func(t *testing.T) {
			placed := segmentPath(dir, c.first)
			write(t, placed, c.text)
			defer os.Remove(placed)
			l, err := Open(dir, Options{})
			damage, refused := errors.AsType[*DamageError](err)
			switch {
			case c.good && err != nil:
				t.Error(err)
			case !c.good && (!refused || damage.File != placed):
				t.Errorf("got %v, want a DamageError that names %s", err, placed)
			}
			if err == nil {
				l.Close()
			}
			if !bytes.Equal(read(t, path), text) {
				t.Error("the file before it was changed")
			}
		})
	}
}
