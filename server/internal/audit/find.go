package audit

import (
	"bytes"
	"context"
	"strconv"
	"time"
)

// Search is how far Find looked.
type Search struct {
	Bytes int64 // read, as they stand in the files
	// Since is the time of the oldest record of the files that were read. Zero: there was none.
	Since time.Time
	// Whole says that all of the log was read.
	Whole bool
}

// Find looks for the record of the event with that id in the log in dir, which may be in use: the
// newest file first, until limit bytes were read or ctx ends. Nil: it is not there.
func Find(ctx context.Context, dir, id string, limit int64) (*Record, Search, error) {
	files, err := inOrder(dir)
	if err != nil {
		return nil, Search{}, err
	}
	// Strings in the log are escaped, so these bytes are a member; ParseLine says of which object.
	f := finder{ctx: ctx, id: id, member: []byte(`"id":` + strconv.Quote(id)), limit: limit}
	for i := len(files) - 1; i >= 0; i-- {
		r, err := f.in(files[i])
		if r != nil || err != nil {
			return r, f.Search, err
		}
		if f.Bytes >= limit {
			return nil, f.Search, nil
		}
	}
	f.Whole = true
	return nil, f.Search, nil
}

// Find looks for the record of the event with that id, as the function Find does.
func (l *Log) Find(ctx context.Context, id string, limit int64) (*Record, Search, error) {
	return Find(ctx, l.dir, id, limit)
}

type finder struct {
	Search
	ctx    context.Context
	id     string
	member []byte
	limit  int64
}

func (f *finder) in(s segment) (*Record, error) {
	lines, err := openLines(s)
	if err != nil {
		return nil, err
	}
	defer lines.close()
	for lines.next() && lines.complete {
		if lines.number == 1 {
			if first, err := ParseLine(lines.line); err == nil {
				f.Since = first.At
			}
		}
		if lines.number%1024 == 0 && f.ctx.Err() != nil {
			return nil, f.ctx.Err()
		}
		if f.Bytes += int64(len(lines.line)) + 1; f.Bytes >= f.limit {
			return nil, nil
		}
		if !bytes.Contains(lines.line, f.member) {
			continue
		}
		if r, err := ParseLine(lines.line); err == nil && r.ID == f.id {
			return &r, nil
		}
	}
	return nil, lines.err
}
