package app

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/watchword-dev/watchword/server/internal/disk"
	"github.com/watchword-dev/watchword/server/internal/redact"
)

// operatorToken is the hash of the secret that opens the admin API.
type operatorToken struct{ sum [sha256.Size]byte }

// verify reports whether token is the operator's, in a time that does not tell how nearly.
func (t operatorToken) verify(token string) bool {
	sum := sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(sum[:], t.sum[:]) == 1
}

// openOperatorToken reads the operator token, or makes one on the first start. There is no
// default one. Its path is logged, its value never.
func (s *Server) openOperatorToken(context.Context) error {
	path := s.cfg.Admin.TokenFile
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if raw, err = makeOperatorToken(path); err == nil {
			s.logger.Info("made an operator token", "file", path)
		}
	}
	if err != nil {
		return fmt.Errorf("operator token: %w", err)
	}
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows" { // which has no such modes
		return fmt.Errorf("operator token: %s can be read by others: chmod 600 %s", path, path)
	}
	token := strings.TrimSpace(string(raw))
	if len(token) < 32 {
		return fmt.Errorf("operator token: %s has fewer than 32 characters: put a long random value there, or delete it and one is made", path)
	}
	s.operatorToken = operatorToken{sha256.Sum256([]byte(token))}
	return nil
}

func makeOperatorToken(path string) ([]byte, error) {
	secret := make([]byte, 32)
	rand.Read(secret)
	token := []byte(redact.OperatorToken + base64.RawURLEncoding.EncodeToString(secret) + "\n")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	return token, disk.Create(path, token)
}
