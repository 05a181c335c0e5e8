package audit

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// found is what open learned of an existing log.
type found struct {
	last link
	// cut describes the torn tail that was cut off, for the start event. Empty: none.
	cutFile  string
	cutBytes int64
}

// open locks the folder and finds the end of the chain in its newest file. It looks at the end of that file, and at where
// it continues the one before it: a log of any size opens at once, and VerifyDir looks at all of it.
func (o *output) open() (found, error) {
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return found{}, fmt.Errorf("create folder of audit log: %w", err)
	}
	lock, err := o.takeLock()
	if err != nil {
		return found{}, err
	}
	o.lock = lock
	end, err := o.findEnd()
	if err != nil {
		o.close()
	}
	return end, err
}

func (o *output) findEnd() (end found, err error) {
	list, err := segments(o.dir)
	if err != nil {
		return found{}, err
	}
	for len(list) > 0 && end.last.seq == 0 {
		newest := list[len(list)-1]
		list = list[:len(list)-1]
		if newest.suffix == "" {
			if err = o.resume(newest.path, &end); err == nil && end.last.seq != 0 {
				err = continues(o.dir, newest.path)
			}
		} else {
			end.last, err = lastOf(newest)
		}
		if err != nil {
			return found{}, err
		}
	}
	return end, nil
}

// resume opens the file at path to go on writing it, unless it holds no record.
func (o *output) resume(path string, end *found) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		return fmt.Errorf("open audit log: %w", err)
	}
	t, err := readTail(f)
	if err == nil && t.torn > 0 {
		end.cutFile, end.cutBytes = path, t.torn
		err = f.Truncate(t.size)
	}
	if err == nil {
		err = o.sync(f) // a process that was killed may have left lines in the page cache only
	}
	if err != nil || t.last.seq == 0 {
		f.Close()
		return err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return fmt.Errorf("look at audit log: %w", err)
	}
	o.file, o.info, o.path, o.size = f, info, path, t.size
	o.remember(lastLines(t.lines))
	end.last = t.last
	return nil
}

// continues returns a DamageError if the file at path does not continue the file before it. To go on in a file that somebody
// put into the folder would hide that the records since then are gone. As in VerifyDir, a file may begin with lines that
// the one before it has, too.
func continues(dir, path string) error {
	files, err := inOrder(dir)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(files, func(s segment) bool { return s.path == path })
	if i < 1 {
		return nil
	}
	lines, err := openLines(files[i])
	if err != nil {
		return err
	}
	defer lines.close()
	before := map[uint64]link{}
	var last link
	for lines.next() && lines.complete {
		f, err := parseFrame(lines.line)
		if err != nil {
			return &DamageError{File: path, Line: lines.number, Problem: err.Error()}
		}
		if lines.number == 1 {
			if last, err = linksFrom(files[i-1], f.seq, before); err != nil {
				return err
			}
		}
		switch {
		case f.seq == last.seq+1 && f.prev == last.hash:
			return nil
		case f.seq > last.seq || before[f.seq] != f.link:
			return &DamageError{File: path, Line: lines.number, Problem: fmt.Sprintf("does not continue %s, which ends with record %d", filepath.Base(files[i-1].path), last.seq)}
		}
	}
	return lines.err
}

// linksFrom puts the records of a file from the number first on into links, and returns the last one.
func linksFrom(s segment, first uint64, links map[uint64]link) (last link, err error) {
	lines, err := openLines(s)
	if err != nil {
		return link{}, err
	}
	defer lines.close()
	for lines.next() {
		if f, err := parseFrame(lines.line); err == nil && lines.complete {
			last = f.link
			if f.seq >= first {
				links[f.seq] = f.link
			}
		}
	}
	return last, lines.err
}

// lastOf reads a file that another program moved aside, to its end.
func lastOf(s segment) (last link, err error) {
	lines, err := openLines(s)
	if err != nil {
		return link{}, err
	}
	defer lines.close()
	for lines.next() {
		f, err := parseFrame(lines.line)
		if err != nil && lines.complete {
			return link{}, &DamageError{File: s.path, Line: lines.number, Problem: err.Error()}
		}
		if err == nil {
			last = f.link
		}
	}
	return last, lines.err
}
