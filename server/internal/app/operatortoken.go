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

// openOperatorTokens reads the operator token and, if there is one, the token of the trust operator.
func (s *Server) openOperatorTokens(context.Context) (err error) {
	if s.operatorToken, err = s.openOperatorToken(s.cfg.Admin.TokenFile); err != nil || s.cfg.Admin.TrustTokenFile == "" {
		return err
	}
	s.trustToken, err = s.openOperatorToken(s.cfg.Admin.TrustTokenFile)
	if err == nil && s.trustToken.current() == s.operatorToken.current() {
		return fmt.Errorf("operator token: %s and %s contain the same token: write another long random value to the file of the setting admin.trust_token_file, or delete it, and the server creates one at the next start", s.cfg.Admin.TokenFile, s.cfg.Admin.TrustTokenFile)
	}
	return err
}

// openOperatorToken reads an operator token, or makes one on the first start. There is no
// default one. Its path is logged, its value never. A file that is replaced is read again.
func (s *Server) openOperatorToken(path string) (*reloaded[operatorToken], error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := makeOperatorToken(path); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("operator token: %w", err)
		}
		s.logger.Info("created an operator token", "file", path)
	}
	r, err := reload("operator token", []string{path}, s.logger, func() (operatorToken, error) { return readOperatorToken(path) })
	if err != nil {
		return nil, err
	}
	s.reloading = append(s.reloading, r)
	return r, nil
}

// trustOperator reports whether a token is that of the trust operator. It is nil if there is none.
func (s *Server) trustOperator() func(string) bool {
	if s.trustToken == nil {
		return nil
	}
	return func(token string) bool { return s.trustToken.current().verify(token) }
}

func readOperatorToken(path string) (operatorToken, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return operatorToken{}, fmt.Errorf("operator token: %w", err)
	}
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows" { // which has no such modes
		return operatorToken{}, fmt.Errorf("operator token: %s can be read by others: chmod 600 %s", path, path)
	}
	token := strings.TrimSpace(string(raw))
	if len(token) < 32 {
		return operatorToken{}, fmt.Errorf("operator token: %s has fewer than 32 characters: write a long random value to it, or delete it, and the server creates one at the next start", path)
	}
	return operatorToken{sha256.Sum256([]byte(token))}, nil
}

// NewOperatorToken makes an operator token of 256 random bits.
func NewOperatorToken() string {
	secret := make([]byte, 32)
	rand.Read(secret)
	return redact.OperatorToken + base64.RawURLEncoding.EncodeToString(secret)
}

func makeOperatorToken(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return disk.Create(path, []byte(NewOperatorToken()+"\n"))
}
