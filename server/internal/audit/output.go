package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/watchword-dev/watchword/server/internal/disk"
)

// recentSize is how many bytes of durable lines are kept in memory, so that those an outside
// copytruncate lost between its copy and its truncate can be written again.
const recentSize = 1 << 20

// output writes lines to the newest file of the folder. It is used by one goroutine.
type output struct {
	dir     string
	mode    fs.FileMode
	maxSize int64
	sync    func(*os.File) error

	lock *os.File
	file *os.File    // nil: the next lines need a new one
	info fs.FileInfo // identity of file
	path string      // that file had when it was opened
	size int64       // of what is durable in file
	// recent holds the newest durable lines of file. When size is zero and recent is not,
	// the file was emptied by another program and they are to be written again.
	recent []byte
}

// What became of the file since the last lines were written.
const (
	unchanged = ""
	moved     = "moved or removed"
	emptied   = "emptied"
	altered   = "changed by another program"
)

// commit makes lines durable: it returns nil only when they, and the folder's entry of the
// file they are in, are on disk. The first of them has the sequence number first. It starts
// a new file when the present one is full, when asked for a fresh one, or when another
// program changed it, and then returns what that was.
func (o *output) commit(first uint64, lines []byte, fresh bool) (meddled string, err error) {
	if o.file != nil {
		if meddled, err = o.look(); err != nil {
			return meddled, err
		}
	}
	switch {
	case meddled == emptied: // logrotate's copytruncate: the file is as good as new
		o.size = 0
	case o.file == nil, meddled != unchanged, o.size > 0 && (fresh || o.size >= o.maxSize):
		if err := o.create(first); err != nil {
			return meddled, err
		}
	}
	if err := o.write(lines); err != nil {
		return meddled, err
	}
	o.remember(lines)
	return meddled, nil
}

// look compares the file with what is now under its name.
func (o *output) look() (string, error) {
	info, err := os.Lstat(o.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return moved, nil
	case err != nil:
		return unchanged, fmt.Errorf("look at audit log: %w", err)
	case !os.SameFile(info, o.info):
		return moved, nil
	case info.Size() == 0 && o.size > 0:
		return emptied, nil
	case info.Size() != o.size:
		return altered, nil
	}
	return unchanged, nil
}

// write appends what is owed and lines, and syncs. Another program may empty the file in
// the same moment, so its size is compared afterwards.
func (o *output) write(lines []byte) error {
	for range 3 {
		text := lines
		if o.size == 0 && len(o.recent) > 0 {
			text = append(bytes.Clone(o.recent), lines...)
		}
		if _, err := o.file.Write(text); err != nil {
			return fmt.Errorf("write audit log: %w", err)
		}
		if err := o.sync(o.file); err != nil {
			return fmt.Errorf("sync audit log %s: %w", o.path, err)
		}
		info, err := o.file.Stat()
		if err != nil {
			return fmt.Errorf("look at audit log: %w", err)
		}
		o.size += int64(len(text))
		if info.Size() == o.size || info.Size() != int64(len(text)) {
			return nil // a size that fits neither case is found by the next look
		}
		if err := o.file.Truncate(0); err != nil {
			return fmt.Errorf("begin emptied audit log again: %w", err)
		}
		o.size = 0
	}
	return fmt.Errorf("audit log %s is emptied again and again by another program", o.path)
}

func (o *output) remember(lines []byte) {
	o.recent = append(o.recent, lines...)
	if len(o.recent) > 2*recentSize { // cut seldom: it copies
		o.recent = append(o.recent[:0], lastLines(o.recent)...)
	}
}

// lastLines is the whole lines in the last recentSize bytes.
func lastLines(lines []byte) []byte {
	over := max(0, len(lines)-recentSize)
	if over == 0 {
		return lines
	}
	return lines[over+bytes.IndexByte(lines[over:], '\n')+1:]
}

// create starts the file whose first record is first. The file before it is complete and
// durable, or it could not be helped.
func (o *output) create(first uint64) error {
	path := segmentPath(o.dir, first)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, o.mode)
	if err != nil {
		return fmt.Errorf("create audit log: %w", err)
	}
	info, err := f.Stat()
	if err == nil && (info.Size() != 0 || !info.Mode().IsRegular()) {
		err = fmt.Errorf("%s exists and was not written by this log; move it away", path)
	}
	if err == nil {
		err = disk.SyncDir(o.dir)
	}
	if err != nil {
		f.Close()
		return fmt.Errorf("create audit log: %w", err)
	}
	o.closeFile()
	if o.size > 0 {
		o.recent = o.recent[:0]
	}
	o.file, o.info, o.path, o.size = f, info, path, 0
	return nil
}

// repair brings the folder back to what is durable, after a failed commit. The kernel may
// have dropped what it could not write and report no second error, so nothing after the
// last success is trusted: it is cut off, and the next commit goes to a new file.
func (o *output) repair() error {
	if err := o.relock(); err != nil {
		return err
	}
	if o.file == nil {
		return nil
	}
	if err := o.cutBack(); err != nil {
		// A file that is no longer in the folder cannot stand in the way.
		if what, lookErr := o.look(); lookErr != nil || what != moved {
			return fmt.Errorf("cut audit log %s back to its last durable record: %w", o.path, err)
		}
	}
	o.closeFile()
	return nil
}

// cutBack removes what is not durable from the end of the file. When another program emptied
// the file meanwhile, what is kept of its lines is owed to the next one.
func (o *output) cutBack() error {
	info, err := o.file.Stat()
	if err != nil {
		return err
	}
	switch {
	case info.Size() > o.size:
		if err := o.file.Truncate(o.size); err != nil {
			return err
		}
		return o.sync(o.file)
	case info.Size() == 0:
		o.size = 0
	}
	return nil
}

const lockName = "audit.lock"

// takeLock keeps other processes away from the folder.
func (o *output) takeLock() (*os.File, error) {
	lock, err := disk.Lock(filepath.Join(o.dir, lockName))
	if errors.Is(err, disk.ErrInUse) {
		err = fmt.Errorf("%w; stop that process, or give this one a data folder of its own", err)
	}
	if err != nil {
		return nil, fmt.Errorf("lock audit log: %w", err)
	}
	return lock, nil
}

// relock takes the lock again when the folder was taken away and came back without it.
func (o *output) relock() error {
	held, err := o.lock.Stat()
	if err != nil {
		return fmt.Errorf("look at lock of audit log: %w", err)
	}
	there, err := os.Lstat(filepath.Join(o.dir, lockName))
	if err == nil && os.SameFile(held, there) {
		return nil
	}
	lock, err := o.takeLock()
	if err != nil {
		return err
	}
	o.lock.Close()
	o.lock = lock
	return nil
}

func (o *output) closeFile() {
	if o.file != nil {
		o.file.Close() // synced before, or given up
		o.file = nil
	}
}

func (o *output) close() {
	o.closeFile()
	o.lock.Close()
}
