package keys

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"

	"github.com/watchword-dev/watchword/server/internal/disk"
)

const (
	kekSize        = 32 // AES-256
	maxSealingKeys = 64
	maxSealingFile = 64 << 10
)

// NewSealer reads the sealing key file: base64 of 32 random bytes a line, the first line
// seals, the others only open. Empty lines and those that begin with # are comments. With
// create, a file that is not there is made with one new key; create only when nothing was
// sealed yet.
func NewSealer(path string, create bool) (*Sealer, error) {
	s := &Sealer{path: path}
	err := s.Reload()
	if errors.Is(err, fs.ErrNotExist) {
		if !create {
			return nil, fmt.Errorf("sealing key file %s is missing; restore it from a backup: without it the private keys cannot be read", path)
		}
		if err := createSealingFile(path); err != nil {
			return nil, fmt.Errorf("create sealing key file: %w", err)
		}
		err = s.Reload()
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Reload reads the file again. When it cannot be read, the keys read before stay.
func (s *Sealer) Reload() error {
	data, err := readPrivate(s.path)
	if err != nil {
		return fmt.Errorf("read sealing key file: %w", err)
	}
	defer clear(data)
	keks, err := parseSealingKeys(data)
	if err != nil {
		return fmt.Errorf("sealing key file %s: %w", s.path, err)
	}
	s.keks.Store(&keks)
	return nil
}

// readPrivate reads a small file that only its owner may read.
func readPrivate(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	info, err := f.Stat()            // of what was opened, not of what the path names now
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", path)
	case info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows": // which has no such modes
		return nil, fmt.Errorf("%s can be read by others than its owner (mode %#o); run: chmod 600 %s", path, info.Mode().Perm(), path)
	case info.Size() > maxSealingFile:
		return nil, fmt.Errorf("%s has %d bytes, which is no sealing key file", path, info.Size())
	}
	return io.ReadAll(io.LimitReader(f, maxSealingFile))
}

// parseSealingKeys names the line that is wrong, and never what is in it.
func parseSealingKeys(data []byte) ([]kek, error) {
	var keks []kek
	seen := map[kekID]int{}
	for i, line := range bytes.Split(data, []byte("\n")) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		k, err := parseSealingKey(line)
		if err != nil {
			return nil, fmt.Errorf("line %d %w", i+1, err)
		}
		if first, repeated := seen[k.id]; repeated {
			return nil, fmt.Errorf("line %d repeats line %d", i+1, first)
		}
		if len(keks) == maxSealingKeys {
			return nil, fmt.Errorf("line %d is one key too many: at most %d", i+1, maxSealingKeys)
		}
		seen[k.id] = i + 1
		keks = append(keks, k)
	}
	if len(keks) == 0 {
		return nil, errors.New("has no key; restore it from a backup, or delete it if the server never started with it")
	}
	return keks, nil
}

// guessable reports whether key is one that nobody gets by chance: bytes that count up or down, or fewer than 8 different
// ones, as in a key of zeros. The chance that a random key has so few is less than 1 in 10^30.
func guessable(key []byte) bool {
	different, steps := map[byte]bool{}, map[byte]bool{}
	last := key[0]
	for _, b := range key[1:] {
		different[b], steps[b-last] = true, true
		last = b
	}
	return len(different) < 8 || len(steps) == 1
}

func parseSealingKey(line []byte) (kek, error) {
	malformed := errors.New("is not base64 of 32 bytes")
	// The decoder skips CR and LF, so length counts too.
	if len(line) != base64.StdEncoding.EncodedLen(kekSize) {
		return kek{}, malformed
	}
	key, err := base64.StdEncoding.Strict().AppendDecode(nil, line)
	defer clear(key)
	if err != nil || len(key) != kekSize {
		return kek{}, malformed
	}
	if guessable(key) {
		return kek{}, errors.New("is not random; make a key with: openssl rand -base64 32")
	}
	aead, err := newAEAD(key)
	if err != nil {
		return kek{}, malformed
	}
	// The key is 256 random bits: a hash of it tells nothing about it.
	h := sha256.New()
	h.Write([]byte("watchword sealing key id\x00"))
	h.Write(key)
	return kek{kekID(h.Sum(nil)[:kekIDSize]), aead}, nil
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// createSealingFile makes the file unless there is one: if another process makes it first, that one counts.
func createSealingFile(path string) error {
	var key [kekSize]byte
	rand.Read(key[:])
	defer clear(key[:])
	line := append(base64.StdEncoding.AppendEncode(nil, key[:]), '\n')
	defer clear(line)
	if err := disk.Create(path, line); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}
