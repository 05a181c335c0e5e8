package audit

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// ErrUnproved reports that the files of the log do not hold together, so that what they say is
// not what the server wrote. VerifyDir finds where.
var ErrUnproved = errors.New("audit log was changed")

// Find looks for the record of the event with that id: the newest first, until limit bytes were
// read or ctx ends. Nil: it was not found. A record is found only when the chain leads from it to
// the newest record this log wrote: a file that somebody put into the folder says nothing, and when
// records that somebody changed stand between, Find returns ErrUnproved.
func (l *Log) Find(ctx context.Context, id string, limit int64) (*Record, error) {
	end := l.endLink()
	files, err := segments(l.dir)
	if err != nil {
		return nil, err
	}
	// Strings in the log are escaped, so these bytes are a member; ParseLine says of which object.
	f := finder{ctx: ctx, id: id, member: []byte(`"id":` + strconv.Quote(id)), limit: limit, end: end}
	slices.Reverse(files)
	var outside []error // why files do not lead to the end
	for _, s := range files {
		r, err := f.in(s)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			outside = append(outside, fmt.Errorf("%s: %w", s.path, err))
		case r != nil || f.read >= f.limit:
			return r, nil
		}
	}
	if f.end.seq > 0 && f.missed > 0 && f.missed <= f.end.seq {
		return nil, fmt.Errorf("%w: record %d is in no file: %w", ErrUnproved, f.end.seq, errors.Join(outside...))
	}
	return nil, nil
}

func (l *Log) endLink() link {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.durable
}

var errOutside = errors.New("the file does not lead to the newest record")

type finder struct {
	ctx    context.Context
	id     string
	member []byte
	limit  int64  // of read
	read   int64  // bytes, as they stand in the files
	end    link   // all that is found is before it, or it
	missed uint64 // the lowest number with which a file begins that does not lead to the end
}

// in looks for the record in one file, up to the end. When the file has the end, the place before
// the file's first record becomes the end for the files before it.
func (f *finder) in(s segment) (found *Record, err error) {
	lines, err := openLines(s)
	if err != nil {
		return nil, err
	}
	defer lines.close()
	first := s.named
	defer func() {
		if err != nil && (f.missed == 0 || first < f.missed) {
			f.missed = first
		}
	}()
	var before, last link // before the first record, and the last one that was read
	for lines.next() && lines.complete {
		if lines.number%1024 == 0 && f.ctx.Err() != nil {
			return nil, f.ctx.Err()
		}
		if f.read += int64(len(lines.line)) + 1; f.read >= f.limit {
			return nil, nil
		}
		r, err := parseFrame(lines.line)
		switch {
		case err != nil:
			return nil, fmt.Errorf("line %d %w", lines.number, err)
		case lines.number == 1:
			first, before = r.seq, link{r.seq - 1, r.prev}
		case r.seq != last.seq+1 || r.prev != last.hash:
			return nil, fmt.Errorf("line %d does not continue the one before it", lines.number)
		}
		if r.seq > f.end.seq {
			break
		}
		if found == nil && bytes.Contains(lines.line, f.member) {
			if r, err := ParseLine(lines.line); err == nil && r.ID == f.id {
				found = &r
			}
		}
		if last = r.link; last == f.end {
			f.end = before
			return found, nil
		}
	}
	if lines.err == nil && lines.read == 0 {
		return nil, nil // a crash, or a program that rotates files, left it without a line
	}
	return nil, cmp.Or(lines.err, errOutside)
}
