package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
)

// redacted is what a secret prints as, everywhere.
const redacted = "[redacted]"

// secret holds a value that no way of printing shows. The value is behind a function
// because fmt looks into unexported fields without asking their methods.
type secret struct{ value func() string }

func newSecret(s string) secret { return secret{func() string { return s }} }

// Reveal returns the secret itself. Send it; do not log it.
func (s secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return s.value()
}

func (secret) String() string               { return redacted }
func (secret) GoString() string             { return redacted }
func (secret) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
func (secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Credential is what this service proves itself with to the server. It does not print.
type Credential struct{ secret }

// NewCredential makes a credential of its text.
func NewCredential(s string) Credential { return Credential{newSecret(s)} }

// CredentialSource answers with the credential to use now. It is asked before each
// request to the server, which is seldom, so that a rotated credential is taken up.
type CredentialSource interface {
	Credential(ctx context.Context) (Credential, error)
}

// CredentialFunc is a function as a CredentialSource.
type CredentialFunc func(ctx context.Context) (Credential, error)

// Credential calls f.
func (f CredentialFunc) Credential(ctx context.Context) (Credential, error) { return f(ctx) }

// Static is a credential that does not change.
func Static(s string) CredentialSource {
	c := NewCredential(s)
	return CredentialFunc(func(context.Context) (Credential, error) { return c, nil })
}

// File is a credential in a file, which may be replaced or rewritten at any time: it is
// read anew for each request to the server. Errors name the path, never the content.
func File(path string) CredentialSource {
	return CredentialFunc(func(context.Context) (Credential, error) {
		f, err := os.Open(path)
		if err != nil {
			return Credential{}, fmt.Errorf("open the credential file: %w", err)
		}
		defer func() { _ = f.Close() }() // only read from
		b, err := io.ReadAll(io.LimitReader(f, maxCredential+1))
		if err != nil {
			return Credential{}, fmt.Errorf("read the credential file: %w", err)
		}
		c := NewCredential(strings.TrimSpace(string(b)))
		if err := c.check(); err != nil {
			return Credential{}, fmt.Errorf("credential file %s: %w", path, err)
		}
		return c, nil
	})
}

// maxCredential is more than any server takes in a header.
const maxCredential = 16 << 10

// check finds what would break the Authorization header, without repeating it.
func (c Credential) check() error {
	s := c.Reveal()
	switch {
	case s == "":
		return errors.New("it is empty")
	case len(s) > maxCredential:
		return fmt.Errorf("it is longer than %d bytes", maxCredential)
	case !isB64Token(s):
		return errors.New("it is not one credential: it holds a space, a line break or another character that no credential has")
	}
	return nil
}

// isB64Token holds to RFC 6750, section 2.1, a little wider: what may follow "Bearer ".
func isB64Token(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		alnum := r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z'
		return !alnum && !strings.ContainsRune("-._~+/=", r)
	})
}
