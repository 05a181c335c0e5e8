package base

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// NewFile creates a file. It fails if the name exists, also as a symbolic link (open(2), O_EXCL), so that
// nothing is written to the place to which a link leads.
func NewFile(name string, mode fs.FileMode) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return nil, Next(fmt.Errorf("%s exists already, and no file is overwritten", name), "Name another file, or remove this one.")
	}
	if err != nil {
		return nil, fmt.Errorf("create the file: %w", PathError(err))
	}
	return f, nil
}

// WriteNewFile creates a file with content, and returns when it is on the disk. If it fails it leaves no
// file.
func WriteNewFile(name string, mode fs.FileMode, content []byte) error {
	f, err := NewFile(name, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(fmt.Errorf("write the file: %w", PathError(err)), os.Remove(name))
	}
	return nil
}

// WriteOut writes the answer to a new file, or to stdout if file is empty.
func (c *CLI) WriteOut(file string, content []byte) error {
	if file == "" {
		return c.Answer(string(content))
	}
	if err := WriteNewFile(file, 0o644, content); err != nil {
		return err
	}
	c.Say("wrote %s", file)
	return nil
}

// ReadFile reads a small file that the user named: at most 1 MiB of it.
func ReadFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, PathError(err)
	}
	defer func() { _ = f.Close() }() // only read from
	return io.ReadAll(io.LimitReader(f, 1<<20))
}
