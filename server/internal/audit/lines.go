package audit

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// lineReader reads the lines of one file of the log, compressed or not. After the end it
// goes on with what was added to the file meanwhile.
type lineReader struct {
	line     []byte // without newline; valid until the next call of next
	number   int    // from 1
	complete bool   // the line ends with a newline; else next may bring more of it
	err      error

	file *os.File
	r    *bufio.Reader
	part []byte // of a line that is not complete, or longer than r's buffer
	read int64
}

func openLines(s segment) (*lineReader, error) {
	f, err := os.Open(s.path)
	if err != nil {
		return nil, fmt.Errorf("read audit log: %w", err)
	}
	var r io.Reader = f
	if strings.HasSuffix(s.suffix, ".gz") {
		if r, err = gzip.NewReader(f); err != nil {
			f.Close()
			return nil, fmt.Errorf("read compressed audit log %s: %w", s.path, err)
		}
	}
	return &lineReader{file: f, r: bufio.NewReaderSize(r, 64<<10), complete: true}, nil
}

func (l *lineReader) close() { l.file.Close() }

// next reads a line, or more of an incomplete one. It returns false when there is nothing
// more; err says if that is because of an error.
func (l *lineReader) next() bool {
	if l.complete {
		l.part = l.part[:0]
		l.number++
	}
	for {
		text, err := l.r.ReadSlice('\n')
		l.read += int64(len(text))
		full := errors.Is(err, bufio.ErrBufferFull)
		if err != nil && err != io.EOF && !full {
			l.err = fmt.Errorf("read audit log %s: %w", l.file.Name(), err)
			return false
		}
		if err == nil && len(l.part) == 0 {
			l.line, l.complete = text[:len(text)-1], true
			return true
		}
		l.part = append(l.part, text...)
		if full && len(l.part) <= maxLine {
			continue
		}
		l.line, l.complete = bytes.CutSuffix(l.part, []byte("\n"))
		l.complete = l.complete || full // too long to be one of ours, wherever it ends
		return len(text) > 0
	}
}

// awaitEnd gives the writer of an incomplete line a moment to complete it.
func (l *lineReader) awaitEnd() {
	for range 20 {
		if l.complete {
			return
		}
		time.Sleep(10 * time.Millisecond)
		l.next()
	}
}

// rewindIfShort begins the file again when another program emptied it.
func (l *lineReader) rewindIfShort() error {
	info, err := l.file.Stat()
	if err != nil {
		return fmt.Errorf("look at audit log: %w", err)
	}
	if info.Size() >= l.read {
		return nil
	}
	if _, err := l.file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read audit log from its start: %w", err)
	}
	l.r.Reset(l.file)
	l.read, l.part, l.complete = 0, nil, true
	return nil
}
