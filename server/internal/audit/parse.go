package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"

	"github.com/watchword-dev/watchword/internal/strictjson"
)

// maxLine bounds what a reader takes for one line. The writer stays below it: at most 90
// strings of maxField bytes. Logs of earlier versions have lines that are six times as long.
const maxLine = 4 << 20

// The fixed parts of a line.
const (
	openText = `{"seq":`
	prevText = `,"prev":"`
	hashText = `,"hash":"`
	endText  = `"}`
	hexSize  = 2 * sha256.Size
	hashTail = len(hashText) + hexSize + len(endText)
	prevTail = len(prevText) + hexSize + len(`"`) + hashTail
)

// frame is what the chain needs of a line.
type frame struct {
	link
	prev [sha256.Size]byte
}

var (
	errNotALine = errors.New("is not a line of the audit log")
	errHash     = errors.New("does not have the hash it states")
)

// parseFrame reads the chain's parts of a line, given without its newline, and checks the
// line against its own hash.
func parseFrame(line []byte) (f frame, err error) {
	var ok bool
	if f.seq, ok = seqOf(line); !ok || len(line) < prevTail || len(line) > maxLine {
		return frame{}, errNotALine
	}
	hashed, own := line[:len(line)-hashTail], line[len(line)-hashTail:]
	if !cut(line[len(line)-prevTail:], prevText, f.prev[:], `"`) || !cut(own, hashText, f.hash[:], endText) {
		return frame{}, errNotALine
	}
	if sha256.Sum256(hashed) != f.hash {
		return frame{}, errHash
	}
	return f, nil
}

// cut reads the hash between the texts before and after.
func cut(b []byte, before string, hash []byte, after string) bool {
	text, ok := bytes.CutPrefix(b, []byte(before))
	if !ok || len(text) < hexSize || !bytes.HasPrefix(text[hexSize:], []byte(after)) {
		return false
	}
	for _, c := range text[:hexSize] {
		if 'A' <= c && c <= 'F' { // hex.Decode would take them; the writer writes none
			return false
		}
	}
	_, err := hex.Decode(hash, text[:hexSize])
	return err == nil
}

// ParseLine reads one line of the log, with or without its newline, and checks it against
// its own hash. VerifyDir checks whether it is in the right place.
func ParseLine(line []byte) (Record, error) {
	line = bytes.TrimSuffix(line, []byte("\n"))
	if _, err := parseFrame(line); err != nil {
		return Record{}, fmt.Errorf("line %w", err)
	}
	var r Record
	if err := strictjson.Unmarshal(line, &r); err != nil {
		return Record{}, fmt.Errorf("line %w: %w", errNotALine, err)
	}
	return r, nil
}

// seqOf reads the sequence number of a line, without checking the rest of it.
func seqOf(line []byte) (uint64, bool) {
	rest, ok := bytes.CutPrefix(line, []byte(openText))
	digits := bytes.IndexByte(rest, ',')
	if !ok || digits < 1 {
		return 0, false
	}
	seq, err := strconv.ParseUint(string(rest[:digits]), 10, 64)
	return seq, err == nil && seq > 0 && rest[0] != '0'
}
