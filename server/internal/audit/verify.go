package audit

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/watchword-dev/watchword/internal/strictjson"
)

// Position names a record.
type Position struct {
	Seq  uint64    `json:"seq"`
	Time time.Time `json:"time"`
	Hash string    `json:"hash"`
}

// Report is what VerifyDir found.
type Report struct {
	Files   int    `json:"files"`
	Records uint64 `json:"records"`
	// First and Last record that are good. A log whose oldest files were deleted begins at
	// a First.Seq above 1; DeletedThrough is the last record of which the log itself says
	// that it was deleted for its age.
	First          Position `json:"first"`
	Last           Position `json:"last"`
	DeletedThrough uint64   `json:"deletedThrough,omitempty"`
	// Checkpoints whose signature is good, and how many records follow the last record one
	// of them covers: those could have been rewritten, or cut off, by who can write the file.
	Checkpoints int    `json:"checkpoints"`
	Uncovered   uint64 `json:"uncovered"`
	// Bad is the first bad record; nil: there is none.
	Bad *Problem `json:"bad,omitempty"`
}

// Fault is what is wrong with a record.
type Fault string

// The faults.
const (
	Edited        Fault = "edited"     // is not what was written
	Deleted       Fault = "deleted"    // records before it are missing
	Reordered     Fault = "reordered"  // stands in the wrong place
	Torn          Fault = "torn"       // the last line is not complete
	BadCheckpoint Fault = "checkpoint" // signature is not good, or is over another record
)

// Problem is the first bad record of a log.
type Problem struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Seq    uint64 `json:"seq"` // it has, or should have
	Fault  Fault  `json:"fault"`
	Detail string `json:"detail"`
}

func (p *Problem) Error() string {
	return fmt.Sprintf("%s, line %d: record %d: %s: %s", p.File, p.Line, p.Seq, p.Fault, p.Detail)
}

// VerifyDir reads the whole log in dir, which may be in use, and reports the first bad
// record. The function verify checks the signature of a checkpoint and returns its payload;
// without it checkpoints count for nothing. An error is returned only when the log cannot
// be read.
func VerifyDir(dir string, verify func(jws string) (payload []byte, err error)) (Report, error) {
	files, err := inOrder(dir)
	if err != nil {
		return Report{}, err
	}
	return verifyFiles(files, verify, true)
}

// verifyFiles verifies files; live says that the last line of the last one may be being
// written.
func verifyFiles(files []segment, verify func(string) ([]byte, error), live bool) (Report, error) {
	v := verifier{verify: verify, hashes: make([]link, rememberedHashes)}
	for i, s := range files {
		if err := v.file(s, live && i == len(files)-1 && s.suffix == ""); err != nil {
			return v.report, err
		}
		if v.report.Bad != nil {
			v.classify(files[i:])
			break
		}
	}
	if v.report.Bad == nil {
		v.report.Bad = v.torn
	}
	if err := v.finish(); err != nil {
		return v.report, err
	}
	return v.report, nil
}

// inOrder lists the files of the log by the sequence numbers in them, which is what counts
// after another program renamed or emptied some. Files without a line are left out.
func inOrder(dir string) ([]segment, error) {
	list, err := segments(dir)
	if err != nil {
		return nil, err
	}
	var files []segment
	for _, s := range list {
		lines, err := openLines(s)
		if err != nil {
			return nil, err
		}
		some := lines.next()
		if seq, ok := seqOf(lines.line); ok {
			s.first = seq
		}
		lines.close()
		if lines.err != nil {
			return nil, lines.err
		}
		if some {
			files = append(files, s)
		}
	}
	// Of a file and the copy another program made of it before it emptied the file, the copy
	// has the older records.
	slices.SortStableFunc(files, func(a, b segment) int {
		return cmp.Or(cmp.Compare(a.first, b.first), -cmp.Compare(a.suffix, b.suffix))
	})
	return files, nil
}

// rememberedHashes is how far back a repetition or a checkpoint is checked. A checkpoint is
// signed while further records are written; recentSize bytes may be repeated.
const rememberedHashes = 1 << 16

type verifier struct {
	verify   func(string) ([]byte, error)
	report   Report
	last     link
	hashes   []link // of recent records, by seq modulo length
	covered  uint64 // by the last good checkpoint
	lastLine []byte
	torn     *Problem // an incomplete line nothing has made up for yet
}

func (v *verifier) file(s segment, live bool) error {
	lines, err := openLines(s)
	if err != nil {
		return err
	}
	defer lines.close()
	v.report.Files++
	repeats := true
	for lines.next() {
		if live {
			lines.awaitEnd()
		}
		problem := v.line(lines, &repeats)
		if problem == nil {
			continue
		}
		problem.File, problem.Line = filepath.Base(s.path), lines.number
		if problem.Fault == Torn {
			v.torn = problem
			continue
		}
		v.report.Bad = problem
		return nil
	}
	return lines.err
}

// line takes the next line; repeats says that the file had only lines known so far, as it
// may begin with after another program emptied it.
func (v *verifier) line(lines *lineReader, repeats *bool) *Problem {
	f, err := parseFrame(lines.line)
	if !lines.complete {
		return &Problem{Seq: v.last.seq + 1, Fault: Torn, Detail: "the line is not complete: a crash left it, or it was cut; a start of the server cuts it off"}
	}
	if err != nil {
		return &Problem{Seq: v.last.seq + 1, Fault: Edited, Detail: "line " + err.Error()}
	}
	if v.report.Records == 0 {
		*repeats = false
		return v.anchor(f, lines.line)
	}
	switch {
	case f.seq == v.last.seq+1 && f.prev == v.last.hash:
		*repeats = false
		return v.accept(f, lines.line)
	case f.seq == v.last.seq+1:
		return &Problem{Seq: f.seq, Fault: Edited, Detail: "does not continue the record before it: one of the two was rewritten"}
	case f.seq > v.last.seq:
		return &Problem{Seq: f.seq, Fault: Deleted, Detail: fmt.Sprintf("records %d to %d before it are missing", v.last.seq+1, f.seq-1)}
	case !*repeats:
		return &Problem{Seq: f.seq, Fault: Reordered, Detail: fmt.Sprintf("stands after record %d", v.last.seq)}
	}
	if known := v.hashes[f.seq%rememberedHashes]; known.seq == f.seq && known.hash != f.hash {
		return &Problem{Seq: f.seq, Fault: Edited, Detail: "is not the record another file has under this number"}
	}
	return nil
}

// anchor takes the first record that is left. Of what was before it only its prev tells.
func (v *verifier) anchor(f frame, line []byte) *Problem {
	if f.seq == 1 && f.prev != (link{}).hash {
		return &Problem{Seq: 1, Fault: Edited, Detail: "is the first record, but continues another one"}
	}
	v.last = link{f.seq - 1, f.prev}
	v.hashes[v.last.seq%rememberedHashes] = v.last
	v.covered = v.last.seq
	first, err := position(line)
	if err != nil {
		return &Problem{Seq: f.seq, Fault: Edited, Detail: err.Error()}
	}
	v.report.First = first
	return v.accept(f, line)
}

func (v *verifier) accept(f frame, line []byte) *Problem {
	if bytes.Contains(line, []byte(`"kind":"checkpoint"`)) {
		if problem := v.checkpoint(f, line); problem != nil {
			return problem
		}
	}
	if bytes.Contains(line, []byte(`"action":"log.delete"`)) {
		if r, err := ParseLine(line); err == nil && r.Kind == KindLog {
			through, _ := strconv.ParseUint(r.Detail[deletedSeq], 10, 64)
			v.report.DeletedThrough = max(v.report.DeletedThrough, through)
		}
	}
	v.last, v.torn = f.link, nil
	v.hashes[f.seq%rememberedHashes] = f.link
	v.lastLine = append(v.lastLine[:0], line...)
	v.report.Records++
	return nil
}

func (v *verifier) checkpoint(f frame, line []byte) *Problem {
	if v.verify == nil {
		return nil
	}
	bad := func(detail string) *Problem {
		return &Problem{Seq: f.seq, Fault: BadCheckpoint, Detail: detail}
	}
	r, err := ParseLine(line)
	if err != nil {
		return bad(err.Error())
	}
	payload, err := v.verify(r.Detail[checkpointToken])
	if err != nil {
		return bad("signature: " + err.Error())
	}
	var s statement
	if err := strictjson.Unmarshal(payload, &s); err != nil {
		return bad("signed text: " + err.Error())
	}
	if s.Seq+1 < v.report.First.Seq {
		return nil // over a record that was deleted for its age
	}
	var hash [sha256.Size]byte
	known := v.hashes[s.Seq%rememberedHashes]
	if n, err := hex.Decode(hash[:], []byte(s.Hash)); len(s.Hash) != hexSize || n != len(hash) || err != nil || known != (link{s.Seq, hash}) {
		return bad(fmt.Sprintf("is signed over a record %d that is not the one in this log", s.Seq))
	}
	v.covered = max(v.covered, s.Seq)
	v.report.Checkpoints++
	return nil
}

// classify tells records that were moved from records that were deleted: it looks for the
// missing one further on.
func (v *verifier) classify(files []segment) {
	if v.report.Bad.Fault != Deleted {
		return
	}
	for _, s := range files {
		lines, err := openLines(s)
		if err != nil {
			continue // it stays with "deleted"
		}
		for lines.next() {
			if seq, ok := seqOf(lines.line); ok && seq == v.last.seq+1 {
				v.report.Bad.Fault = Reordered
				v.report.Bad.Detail = fmt.Sprintf("stands before record %d", seq)
				break
			}
		}
		lines.close()
	}
}

func (v *verifier) finish() (err error) {
	if v.report.Records > 0 {
		v.report.Last, err = position(v.lastLine)
		v.report.Uncovered = v.last.seq - v.covered
	}
	return err
}

func position(line []byte) (Position, error) {
	r, err := ParseLine(line)
	return Position{r.Seq, r.At, r.Hash}, err
}
