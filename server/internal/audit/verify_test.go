package audit

import (
	"bytes"
	"encoding/hex"
	"errors"
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
	must(t, err)
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
		case what == "delete" && !last && len(lines) > 1:
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
		report, err := VerifyDir(dir, Known{Open: openToken})
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
			must(t, err)
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
		report, err := VerifyDir(dir, Known{Open: openToken})
		if err != nil || report.Bad == nil || report.Bad.Fault != BadCheckpoint {
			t.Errorf("%s: got %v, %v; want a bad checkpoint", name, report.Bad, err)
		}
		report, err = VerifyDir(dir, Known{})
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
		end, err := ParseLine(f.lines[len(f.lines)-1][len(f.lines[len(f.lines)-1])-1])
		must(t, err)
		report, err := VerifyDir(dir, Known{Open: openToken, End: Position{Seq: end.Seq, Hash: end.Hash}})
		must(t, err)
		file, line := "", 1
		switch {
		case gone < len(f.names)-1: // F17, when it is the first
			file = f.names[gone+1]
		default:
			file, line = f.names[gone-1], 0
		}
		if report.Bad == nil || report.Bad.Fault != Deleted || report.Bad.File != file || report.Bad.Line != line {
			t.Errorf("file %d gone: got %v, want Deleted in %s", gone, report.Bad, file)
		}
		// Without its end known from elsewhere, a log that was cut off is a log.
		if gone == len(f.names)-1 {
			sound(t, dir)
		}
	}
}

// F17.
func TestAMissingBeginningIsFound(t *testing.T) {
	for name, cut := range map[string]func(f *files){
		"the oldest file":           func(f *files) { f.names, f.lines = f.names[1:], f.lines[1:] },
		"the first line":            func(f *files) { f.lines[0] = f.lines[0][1:] },
		"lines, and the file named": func(f *files) { f.lines[0] = f.lines[0][2:]; f.names[0] = filepath.Base(segmentPath("", 3)) },
	} {
		for keys, known := range map[string]Known{"with keys": {Open: openToken}, "without": {}} {
			f := signedLog(t)
			cut(&f)
			report, err := VerifyDir(f.write(t), known)
			if err != nil || report.Bad == nil || report.Bad.Fault != Deleted || report.Bad.File != f.names[0] || report.Bad.Line != 1 {
				t.Errorf("%s, %s: got %v, %v; want Deleted at the first line", name, keys, report.Bad, err)
			}
		}
	}
}

// F17: a deletion that the server recorded and signed explains a beginning; a record that was added
// behind the last signature does not.
func TestOnlyASignedDeletionExplainsABeginning(t *testing.T) {
	f := signedLog(t)
	last := len(f.lines) - 1
	before, err := ParseLine(f.lines[0][len(f.lines[0])-1])
	must(t, err)
	deletion := Event{Kind: KindLog, Action: "log.delete", Detail: map[string]string{deletedSeq: fmt.Sprint(before.Seq), deletedHash: before.Hash}}
	end, err := parseFrame(bytes.TrimSuffix(f.lines[last][len(f.lines[last])-1], []byte("\n")))
	must(t, err)
	line, after := end.appendRecord(nil, &deletion)
	f.lines[last] = append(f.lines[last], line)
	f.names, f.lines = f.names[1:], f.lines[1:]
	report, err := VerifyDir(f.write(t), Known{Open: openToken})
	if err != nil || report.Bad == nil || report.Bad.Fault != Deleted || !strings.Contains(report.Bad.Detail, "not signed") {
		t.Errorf("not signed: got %v, %v", report.Bad, err)
	}
	token, _, _ := signToken(fmt.Appendf(nil, `{"seq":%d,"hash":"%x","time":""}`, after.seq, after.hash))
	line, _ = after.appendRecord(nil, &Event{Kind: KindCheckpoint, Detail: map[string]string{checkpointToken: token}})
	f.lines[last-1] = append(f.lines[last-1], line)
	if report := sound(t, f.write(t)); report.DeletedThrough != before.Seq || report.First.Seq != before.Seq+1 {
		t.Errorf("signed: got %+v", report)
	}
	deletion.Detail[deletedHash] = before.Prev // of another log
	line, _ = end.appendRecord(nil, &deletion)
	f.lines[last-1] = append(f.lines[last-1][:len(f.lines[last-1])-2], line)
	if report, err := VerifyDir(f.write(t), Known{}); err != nil || report.Bad == nil || report.Bad.Fault != Deleted {
		t.Errorf("of another record: got %v, %v", report.Bad, err)
	}
}

// F18.
func TestAFileThatSomebodyPutThereIsAProblem(t *testing.T) {
	dir := t.TempDir()
	var l link
	var lines []byte
	for range rememberedHashes + 10 {
		lines, l = l.appendRecord(lines, &Event{Kind: KindDecision, ID: "true"})
	}
	write(t, segmentPath(dir, 1), lines)
	if report, err := VerifyDir(dir, Known{}); err != nil || report.Bad != nil {
		t.Fatalf("got %v, %v", report.Bad, err)
	}
	for name, c := range map[string]struct {
		named, seq uint64
		fault      Fault
	}{
		"too old to be compared":         {2, 2, Reordered},
		"another record":                 {l.seq - 5, l.seq - 5, Edited},
		"named after a later record":     {l.seq + 5, 2, Reordered},
		"named after an earlier record":  {l.seq - 5, l.seq + 1, Edited},
		"that continues, but not at all": {l.seq + 1, l.seq + 1, Edited},
	} {
		path := segmentPath(dir, c.named)
		write(t, path, planted(c.seq, "forged"))
		report, err := VerifyDir(dir, Known{})
		if err != nil || report.Bad == nil || report.Bad.Fault != c.fault || report.Bad.File != filepath.Base(path) || report.Bad.Line != 1 {
			t.Errorf("%s: got %v, %v; want %s", name, report.Bad, err, c.fault)
		}
		must(t, os.Remove(path))
	}
	// A record that would continue the log, in a file that cannot begin with it.
	line, _ := l.appendRecord(nil, &sample)
	write(t, segmentPath(dir, 3), line)
	if report, err := VerifyDir(dir, Known{}); err != nil || report.Bad == nil || report.Bad.Fault != Deleted {
		t.Errorf("a file that is named after an earlier record: got %v, %v; want Deleted", report.Bad, err)
	}
}

// F19: a log that was computed anew ends, at its latest, where the server knows better.
func TestALogComputedAnewIsNotTheServers(t *testing.T) {
	f := signedLog(t)
	lastLines := f.lines[len(f.lines)-1]
	end, err := ParseLine(lastLines[len(lastLines)-1])
	must(t, err)
	known := Known{Open: openToken, End: Position{Seq: end.Seq, Hash: end.Hash}}
	if report, err := VerifyDir(f.write(t), known); err != nil || report.Bad != nil {
		t.Errorf("as it was written: got %v, %v", report.Bad, err)
	}
	f.rechain(t, func(r *Record) {
		if r.Kind == KindCheckpoint {
			r.Event = Event{Kind: KindDecision, At: r.At}
		}
	})
	if report := sound(t, f.write(t)); report.Checkpoints != 0 || report.Uncovered != report.Records {
		t.Errorf("without the end: got %+v; want a sound log without a signature", report)
	}
	if report, err := VerifyDir(f.write(t), known); err != nil || report.Bad == nil || report.Bad.Fault != Edited || report.Bad.Seq != end.Seq {
		t.Errorf("with the end: got %v, %v; want Edited at record %d", report.Bad, err, end.Seq)
	}
}

// F94: records that somebody adds behind the last one of the server are not the server's, though they continue the log.
func TestRecordsThatWereAddedAreFound(t *testing.T) {
	f := signedLog(t)
	dir := f.write(t)
	lastLines := f.lines[len(f.lines)-1]
	end, err := ParseLine(lastLines[len(lastLines)-1])
	must(t, err)
	last := Position{Seq: end.Seq, Hash: end.Hash}
	asked := 0
	known := Known{Open: openToken, End: last, After: func() (Position, error) { asked++; return last, nil }}
	if report, err := VerifyDir(dir, known); err != nil || report.Bad != nil || asked != 1 {
		t.Errorf("as it was written: got %v, %v after %d questions", report.Bad, err, asked)
	}
	file, err := parseFrame(bytes.TrimSuffix(lastLines[len(lastLines)-1], []byte("\n")))
	must(t, err)
	line, added := file.link.appendRecord(nil, &Event{Kind: KindChange, Action: "service.delete", Actor: "operator"})
	write(t, segmentPath(dir, end.Seq+1), line)
	if report, err := VerifyDir(dir, known); err != nil || report.Bad == nil || report.Bad.Fault != Added || report.Bad.Seq != end.Seq+1 {
		t.Errorf("with one more: got %v, %v; want Added at record %d", report.Bad, err, end.Seq+1)
	}
	// The server may have written it a moment ago.
	known.After = func() (Position, error) {
		asked++
		return Position{Seq: added.seq, Hash: hex.EncodeToString(added.hash[:])}, nil
	}
	if report, err := VerifyDir(dir, known); err != nil || report.Bad != nil {
		t.Errorf("written by the server: got %v, %v", report.Bad, err)
	}
	known.After = func() (Position, error) { return Position{Seq: added.seq, Hash: last.Hash}, nil }
	if report, err := VerifyDir(dir, known); err != nil || report.Bad == nil || report.Bad.Fault != Edited {
		t.Errorf("another one than the server wrote: got %v, %v", report.Bad, err)
	}
	known.After = func() (Position, error) { return Position{}, errors.New("no answer") }
	if _, err := VerifyDir(dir, known); err == nil {
		t.Error("without an answer: got no error")
	}
}

// write writes the files into a folder of their own.
func (f files) write(t *testing.T) (dir string) {
	dir = t.TempDir()
	for i, name := range f.names {
		write(t, filepath.Join(dir, name), bytes.Join(f.lines[i], nil))
	}
	return dir
}

func TestVerifyOfWhatIsNotThere(t *testing.T) {
	if _, err := VerifyDir(filepath.Join(t.TempDir(), "none"), Known{}); err == nil {
		t.Error("no folder: got no error")
	}
	report, err := VerifyDir(t.TempDir(), Known{})
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
		must(t, err)
		report, err := verifyFiles(files, Known{Open: openToken}, false)
		must(t, err)
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
