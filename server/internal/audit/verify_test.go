package audit

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// files is a log in memory: names in order, and their lines, newlines included.
type files struct {
	names []string
	lines [][][]byte
}

func signedLog(t *testing.T) files {
	dir := t.TempDir()
	l := start(t, dir, Options{MaxSize: 4000, Sign: signToken, CheckpointEvery: 7})
	for i := range 60 {
		add(t, l, fmt.Sprintf("event-%d", i))
	}
	l.Close()
	if report := sound(t, dir); report.Files < 4 || report.Checkpoints < 3 {
		t.Fatalf("got %+v; want several files and checkpoints", report)
	}
	list, err := segments(dir)
	if err != nil {
		t.Fatal(err)
	}
	var f files
	for _, s := range list {
		f.names = append(f.names, filepath.Base(s.path))
		f.lines = append(f.lines, bytes.SplitAfter(bytes.TrimSuffix(read(t, s.path), []byte("\n")), []byte("\n")))
		last := len(f.lines) - 1
		f.lines[last][len(f.lines[last])-1] = append(f.lines[last][len(f.lines[last])-1], '\n')
	}
	return f
}

func (f files) clone() files {
	c := files{f.names, make([][][]byte, len(f.lines))}
	for i, lines := range f.lines {
		for _, line := range lines {
			c.lines[i] = append(c.lines[i], bytes.Clone(line))
		}
	}
	return c
}

// AUD-006: whoever edits, deletes, reorders or cuts a line is found at that line.
func TestTamperingIsFoundWhereItWasDone(t *testing.T) {
	original := signedLog(t)
	root := t.TempDir()
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		f := original.clone()
		file := rapid.IntRange(0, len(f.lines)-1).Draw(t, "file")
		lines := f.lines[file]
		i := rapid.IntRange(0, len(lines)-1).Draw(t, "line")
		last := file == len(f.lines)-1 && i == len(lines)-1
		first := file == 0 && i == 0
		wantLine, wantFault := i+1, Edited
		switch what := rapid.SampledFrom([]string{"edit", "delete", "swap", "repeat", "cut", "rehash"}).Draw(t, "what"); {
		case what == "edit":
			at := rapid.IntRange(0, len(lines[i])-2).Draw(t, "at") // not the newline
			to := rapid.Byte().Filter(func(b byte) bool { return b != lines[i][at] && b != '\n' }).Draw(t, "to")
			lines[i][at] = to
		case what == "delete" && !first && !last && len(lines) > 1:
			f.lines[file] = append(lines[:i:i], lines[i+1:]...)
			wantFault = Deleted
			if i == len(lines)-1 { // found at the first line of the next file
				file, wantLine = file+1, 1
			}
		case what == "swap" && i+1 < len(lines) && !first:
			lines[i], lines[i+1] = lines[i+1], lines[i]
			wantFault = Reordered
		case what == "repeat":
			f.lines[file] = append(lines[:i+1:i+1], lines[i:]...)
			wantLine, wantFault = i+2, Reordered
		case what == "cut" && last:
			lines[i] = lines[i][:rapid.IntRange(1, len(lines[i])-1).Draw(t, "at")]
			wantFault = Torn
		case what == "rehash" && !last: // edited by someone who knows how the chain is made
			r, err := ParseLine(lines[i])
			if err != nil {
				t.Fatal(err)
			}
			var before link
			before.seq = r.Seq - 1
			hex.Decode(before.hash[:], []byte(r.Prev))
			r.Reason = "rewritten"
			r.Detail = nil
			lines[i], _ = before.appendRecord(nil, &r.Event)
			wantLine++
			if i == len(lines)-1 {
				file, wantLine = file+1, 1
			}
			if r.Kind == KindCheckpoint {
				file, wantLine, wantFault = -1, 0, BadCheckpoint
			}
		default:
			return
		}

		n++
		dir := filepath.Join(root, fmt.Sprint(n))
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for i, name := range f.names {
			if err := os.WriteFile(filepath.Join(dir, name), bytes.Join(f.lines[i], nil), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		report, err := VerifyDir(dir, openToken)
		if err != nil {
			t.Fatal(err)
		}
		bad := report.Bad
		if bad == nil || bad.Fault != wantFault || file >= 0 && (bad.File != f.names[file] || bad.Line != wantLine) {
			t.Fatalf("got %v; want %s in %s, line %d", bad, wantFault, f.names[max(file, 0)], wantLine)
		}
	})
}

// rechain makes a sound chain of the events of f, as someone could who can write the files.
func (f files) rechain(t *testing.T, change func(r *Record)) {
	var l link
	for _, lines := range f.lines {
		for i, line := range lines {
			r, err := ParseLine(line)
			if err != nil {
				t.Fatal(err)
			}
			change(&r)
			lines[i], l = l.appendRecord(nil, &r.Event)
		}
	}
}

// AUD-006: a chain made anew needs the signing key.
func TestRewrittenChainFailsAtItsFirstCheckpoint(t *testing.T) {
	for name, change := range map[string]func(r *Record){
		"an event rewritten": func(r *Record) {
			if r.ID == "event-3" {
				r.Outcome = Refused
			}
		},
		"signatures of another key": func(r *Record) {
			if r.Kind == KindCheckpoint {
				r.Detail[checkpointToken] = strings.ToUpper(r.Detail[checkpointToken])
			}
		},
		"signature over something else": func(r *Record) {
			if r.Kind == KindCheckpoint {
				r.Detail[checkpointToken] = "signed {}"
			}
		},
	} {
		f := signedLog(t)
		f.rechain(t, change)
		dir := t.TempDir()
		for i, file := range f.names {
			write(t, filepath.Join(dir, file), bytes.Join(f.lines[i], nil))
		}
		report, err := VerifyDir(dir, openToken)
		if err != nil || report.Bad == nil || report.Bad.Fault != BadCheckpoint {
			t.Errorf("%s: got %v, %v; want a bad checkpoint", name, report.Bad, err)
		}
		report, err = VerifyDir(dir, nil)
		if err != nil || report.Bad != nil || report.Checkpoints != 0 || report.Uncovered != report.Records {
			t.Errorf("%s, without keys: got %+v, %v; want a sound chain no checkpoint covers", name, report, err)
		}
	}
}

func TestMissingFileIsFound(t *testing.T) {
	f := signedLog(t)
	for gone := range f.names {
		dir := t.TempDir()
		for i, file := range f.names {
			if i != gone {
				write(t, filepath.Join(dir, file), bytes.Join(f.lines[i], nil))
			}
		}
		report, err := VerifyDir(dir, openToken)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case gone == 0: // as after deletion by age
			if report.Bad != nil || report.First.Seq == 1 || report.DeletedThrough != 0 {
				t.Errorf("first file gone: got %+v; want a log that begins later, unexplained", report)
			}
		case gone == len(f.names)-1: // only a checkpoint kept elsewhere could tell
			if report.Bad != nil {
				t.Errorf("last file gone: got %v", report.Bad)
			}
		default:
			if report.Bad == nil || report.Bad.Fault != Deleted || report.Bad.File != f.names[gone+1] || report.Bad.Line != 1 {
				t.Errorf("file %d gone: got %v, want Deleted at the start of the next", gone, report.Bad)
			}
		}
	}
}

func TestVerifyOfWhatIsNotThere(t *testing.T) {
	if _, err := VerifyDir(filepath.Join(t.TempDir(), "none"), nil); err == nil {
		t.Error("no folder: got no error")
	}
	report, err := VerifyDir(t.TempDir(), nil)
	if err != nil || report.Records != 0 || report.Bad != nil {
		t.Errorf("empty folder: got %+v, %v", report, err)
	}
}

func FuzzVerify(f *testing.F) {
	var l link
	var lines []byte
	lines, l = l.appendRecord(lines, &Event{Kind: KindStart})
	lines, l = l.appendRecord(lines, &sample)
	token, _, _ := signToken(fmt.Appendf(nil, `{"seq":2,"hash":"%x"}`, l.hash))
	lines, l = l.appendRecord(lines, &Event{Kind: KindCheckpoint, Detail: map[string]string{checkpointToken: token}})
	lines, _ = l.appendRecord(lines, &Event{Kind: KindLog, Action: "log.delete", Detail: map[string]string{deletedSeq: "x"}})
	f.Add(lines)
	f.Add(lines[:len(lines)-1])
	f.Add(lines[500:])
	f.Add([]byte("{\"seq\":1,\n\x00\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		path := segmentPath(dir, 1)
		write(t, path, text)
		files, err := inOrder(dir)
		if err != nil {
			t.Fatal(err)
		}
		report, err := verifyFiles(files, openToken, false)
		if err != nil {
			t.Fatal(err)
		}
		o := output{dir: dir, sync: func(*os.File) error { return nil }} // the disk is not what is tested
		if _, err := o.open(); err != nil {
			return
		}
		o.close()
		if kept := read(t, path); !bytes.HasPrefix(text, kept) || report.Bad == nil && !bytes.Equal(kept, text) {
			t.Errorf("Open changed a sound file, or more than its end")
		}
	})
}
