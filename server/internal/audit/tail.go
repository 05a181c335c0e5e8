package audit

import (
	"context"
	"os"
	"path/filepath"
	"time"
)

// pollEvery is how often Tail looks for more. Notifications of the kernel would need a
// library for each system and still miss what network file systems do.
const pollEvery = 200 * time.Millisecond

// Tail calls yield with the last n lines of the log in dir, oldest first, without newline,
// and then, when follow is set, with each line that is added, in whatever file, until ctx
// ends (which is no error). It stops when yield returns an error, and returns that. The line
// is yield's only until it returns. Lines are not checked: ParseLine does that.
func Tail(ctx context.Context, dir string, n int, follow bool, yield func(line []byte) error) error {
	files, err := inOrder(dir)
	if err != nil {
		return err
	}
	start, skip, err := lastN(files, max(0, n))
	if err != nil {
		return err
	}
	t := tailer{dir: dir, yield: yield, skip: skip}
	defer t.closeFile()
	for _, s := range files[start:] {
		if err := t.open(s); err != nil {
			return err
		}
		if err := t.drain(ctx); err != nil {
			return err
		}
	}
	if !follow {
		return nil
	}
	return t.follow(ctx)
}

// lastN finds the file, and the number of its lines to leave out, at which the last n lines
// begin. The newest file is among those to read even when n is 0, to be followed.
func lastN(files []segment, n int) (start, skip int, err error) {
	for start = len(files); start > 0; {
		start--
		lines, err := openLines(files[start])
		if err != nil {
			return 0, 0, err
		}
		count := 0
		for lines.next() {
			if lines.complete {
				count++
			}
		}
		lines.close()
		if lines.err != nil {
			return 0, 0, lines.err
		}
		if count >= n {
			return start, count - n, nil
		}
		n -= count
	}
	return 0, 0, nil
}

type tailer struct {
	dir   string
	yield func([]byte) error
	skip  int // lines to leave out
	file  *lineReader
	path  string
	seq   uint64 // of the last line
}

func (t *tailer) open(s segment) error {
	lines, err := openLines(s)
	if err != nil {
		return err
	}
	t.closeFile()
	t.file, t.path = lines, s.path
	return nil
}

func (t *tailer) closeFile() {
	if t.file != nil {
		t.file.close()
	}
}

// drain yields the complete lines there are. A number seen before is a line that was
// written again after another program emptied the file.
func (t *tailer) drain(ctx context.Context) error {
	for t.file.next() && t.file.complete && ctx.Err() == nil {
		seq, ok := seqOf(t.file.line)
		if ok && seq <= t.seq {
			continue
		}
		if ok {
			t.seq = seq
		}
		if t.skip > 0 {
			t.skip--
			continue
		}
		if err := t.yield(t.file.line); err != nil {
			return err
		}
	}
	return t.file.err
}

func (t *tailer) follow(ctx context.Context) error {
	t.skip = 0
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for {
		if err := t.catchUp(ctx); err != nil {
			return err
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// catchUp reads what was added to the file, and goes on to the files after it.
func (t *tailer) catchUp(ctx context.Context) error {
	list, err := segments(t.dir)
	if err != nil {
		if os.IsNotExist(err) {
			return nil // it may come back
		}
		return err
	}
	if t.file != nil {
		if err := t.file.rewindIfShort(); err != nil {
			return err
		}
		if err := t.drain(ctx); err != nil {
			return err
		}
	}
	for _, s := range list {
		if s.suffix != "" || t.file != nil && filepath.Base(s.path) <= filepath.Base(t.path) {
			continue
		}
		// The list was made before the file was drained, and the writer starts a file only
		// when the one before is complete: nothing was missed.
		if err := t.open(s); err != nil {
			return err
		}
		if err := t.drain(ctx); err != nil {
			return err
		}
	}
	return nil
}
