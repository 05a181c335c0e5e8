package audit

import (
	"fmt"
	"os"
)

// found is what open learned of an existing log.
type found struct {
	last link
	// cut describes the torn tail that was cut off, for the start event. Empty: none.
	cutFile  string
	cutBytes int64
}

// open locks the folder and finds the end of the chain in its newest file. It looks at the
// end of that file only: a log of any size opens at once, and VerifyDir looks at all of it.
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
			err = o.resume(newest.path, &end)
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
