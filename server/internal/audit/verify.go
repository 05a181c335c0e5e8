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
	// First and Last record that are good. A log whose oldest files were deleted for their age
	// begins after DeletedThrough, and has a record of that deletion.
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
	Reordered     Fault = "reordered"  // is in the wrong place
	Torn          Fault = "torn"       // the last line is not complete
	Added         Fault = "added"      // was not written by the server
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
	where := ""
	if p.File != "" {
		where = p.File + ", "
	}
	if p.Line > 0 {
		where += fmt.Sprintf("line %d, ", p.Line)
	}
	return fmt.Sprintf("%srecord %d: %s: %s", where, p.Seq, p.Fault, p.Detail)
}

// Known is what a verification is told about the log from elsewhere. The zero value works.
type Known struct {
	// Open checks the signature of a checkpoint and returns what it signs. Nil: the signatures
	// are not checked, and count for nothing.
	Open func(jws string) (payload []byte, err error)
	// End is a record the log must have, because the server had it on disk before the files
	// were read: see Log.End. Only Seq and Hash are looked at. Zero: nothing is known.
	End Position
	// After returns Log.End after the files were read: there are no records after that one. Nil: it is not known.
	After func() (Position, error)
}

// VerifyDir reads the whole log in dir, which may be in use, and reports the first bad
// record. An error is returned only when the log cannot be read.
func VerifyDir(dir string, known Known) (Report, error) {
	files, err := inOrder(dir)
	if err != nil {
		return Report{}, err
	}
	return verifyFiles(files, known, true)
}

// verifyFiles verifies files; live reports whether the last line of the last one may be being
// written.
func verifyFiles(files []segment, known Known, live bool) (report Report, err error) {
	v := verifier{known: known, files: files, hashes: make([]link, rememberedHashes)}
	for i, s := range files {
		if err := v.file(s, live && i == len(files)-1 && s.suffix == ""); err != nil {
			return v.report, err
		}
		if v.report.Bad != nil {
			v.classify(files[i:])
			break
		}
	}
	for _, check := range []func() *Problem{v.notTorn, v.beginning, v.end} {
		if v.report.Bad == nil {
			v.report.Bad = check()
		}
	}
	if v.report.Bad == nil && known.After != nil {
		if v.report.Bad, err = v.added(); err != nil {
			return v.report, fmt.Errorf("ask for the last record again: %w", err)
		}
	}
	return v.report, v.finish()
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
	known    Known
	files    []segment
	report   Report
	anchor   link // the place before the first record that is left
	last     link
	hashes   []link // of recent records, by seq modulo length
	covered  uint64 // by the last good checkpoint
	lastLine []byte
	torn     *Problem // an incomplete line nothing has made up for yet
	deletion uint64   // the record of the deletion of all up to anchor
	named    uint64   // the number in the name of the file before
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
		if problem == nil && lines.number == 1 {
			problem = v.name(s, lines.line)
		}
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

// name compares the number of the first record of a file with that in the file's name. A higher one
// is right only after another program emptied the file, and then its copy came before. A lower one
// is right after another program emptied the file before: its last lines were written again.
func (v *verifier) name(s segment, line []byte) *Problem {
	first, _ := seqOf(line)
	before := v.named
	v.named = s.named
	if first <= s.named || before == s.named {
		return nil
	}
	return &Problem{Seq: first, Fault: Deleted, Detail: fmt.Sprintf("the file begins with it, but is named after record %d: its beginning was removed", s.named)}
}

// line takes the next line; repeats reports whether the file had only lines known so far, as it
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
		return v.begin(f, lines.line)
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
	switch known := v.hashes[f.seq%rememberedHashes]; {
	case known.seq != f.seq:
		return &Problem{Seq: f.seq, Fault: Reordered, Detail: fmt.Sprintf("stands after record %d, too far from its place for a repetition of what another file has: move a copy of a file out of the folder", v.last.seq)}
	case known.hash != f.hash:
		return &Problem{Seq: f.seq, Fault: Edited, Detail: "is not the record another file has under this number"}
	}
	return nil
}

// begin takes the first record that is left. Of what was before it only its prev tells.
func (v *verifier) begin(f frame, line []byte) *Problem {
	if f.seq == 1 && f.prev != (link{}).hash {
		return &Problem{Seq: 1, Fault: Edited, Detail: "is the first record, but continues another one"}
	}
	v.anchor = link{f.seq - 1, f.prev}
	v.last = v.anchor
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
		r, err := ParseLine(line)
		if err == nil && r.Kind == KindLog && r.Detail[deletedSeq] == strconv.FormatUint(v.anchor.seq, 10) && r.Detail[deletedHash] == hex.EncodeToString(v.anchor.hash[:]) {
			v.deletion = r.Seq
		}
	}
	if f.seq == v.known.End.Seq && hex.EncodeToString(f.hash[:]) != v.known.End.Hash {
		return &Problem{Seq: f.seq, Fault: Edited, Detail: "is not the record that the server has under this number"}
	}
	v.last, v.torn = f.link, nil
	v.hashes[f.seq%rememberedHashes] = f.link
	v.lastLine = append(v.lastLine[:0], line...)
	v.report.Records++
	return nil
}

func (v *verifier) checkpoint(f frame, line []byte) *Problem {
	if v.known.Open == nil {
		return nil
	}
	bad := func(detail string) *Problem {
		return &Problem{Seq: f.seq, Fault: BadCheckpoint, Detail: detail}
	}
	r, err := ParseLine(line)
	if err != nil {
		return bad(err.Error())
	}
	payload, err := v.known.Open(r.Detail[checkpointToken])
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
	if v.report.Bad.Fault != Deleted || v.report.Bad.Seq <= v.last.seq {
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

func (v *verifier) notTorn() *Problem { return v.torn }

// beginning wants a signed record of the deletion of what is missing before the first record. Who
// can write the files can add a record of their own, but not under a signature.
func (v *verifier) beginning() *Problem {
	if v.anchor.seq == 0 {
		return nil
	}
	bad := &Problem{File: filepath.Base(v.files[0].path), Line: 1, Seq: v.anchor.seq + 1, Fault: Deleted}
	switch {
	case v.deletion == 0:
		bad.Detail = fmt.Sprintf("records 1 to %d before it are missing, and no record says that the server deleted them for their age", v.anchor.seq)
	case v.known.Open != nil && v.deletion > v.covered:
		bad.Detail = fmt.Sprintf("records 1 to %d before it are missing, and record %d, which says that the server deleted them for their age, is not signed", v.anchor.seq, v.deletion)
	default:
		v.report.DeletedThrough = v.anchor.seq
		return nil
	}
	return bad
}

// end wants the record that the server had on disk before the files were read.
func (v *verifier) end() *Problem {
	missing := v.known.End.Seq
	if missing <= v.last.seq {
		return nil
	}
	bad := &Problem{Seq: v.last.seq + 1, Fault: Deleted, Detail: fmt.Sprintf("the log ends before it, but the server has recorded up to %d", missing)}
	if n := len(v.files); n > 0 {
		bad.File = filepath.Base(v.files[n-1].path)
	}
	return bad
}

// added wants no record after the last one of the server, and that one as the server has it. A record can be read a moment
// before the server knows that it is on the disk.
func (v *verifier) added() (*Problem, error) {
	for tries := 0; ; tries++ {
		end, err := v.known.After()
		known := v.hashes[end.Seq%rememberedHashes]
		switch {
		case err != nil:
			return nil, err
		case v.last.seq > end.Seq && tries < 20:
			time.Sleep(giveUpAfter / 20)
		case v.last.seq > end.Seq:
			return &Problem{Seq: end.Seq + 1, Fault: Added, Detail: fmt.Sprintf("the server has recorded up to %d only", end.Seq)}, nil
		case known.seq == end.Seq && hex.EncodeToString(known.hash[:]) != end.Hash:
			return &Problem{Seq: end.Seq, Fault: Edited, Detail: "is not the record that the server has under this number"}, nil
		default:
			return nil, nil
		}
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
