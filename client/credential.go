package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/watchword-dev/watchword/internal/jose"
)

// redacted is printed instead of a secret.
const redacted = "[redacted]"

// secret has a value that is not printed. The value is behind a function because fmt prints unexported fields
// without calling their methods.
type secret struct{ value func() string }

func newSecret(s string) secret { return secret{func() string { return s }} }

// Reveal returns the secret itself, to be sent. Do not log it.
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

// Credential is a secret with which this service authenticates. Printing it shows "[redacted]".
type Credential struct{ secret }

// NewCredential returns the credential whose text is s.
func NewCredential(s string) Credential { return Credential{newSecret(s)} }

// CredentialSource returns the credential to use. It is called before each request to the server, so that a rotated
// credential is used. There are few such requests.
type CredentialSource interface {
	Credential(ctx context.Context) (Credential, error)
}

// CredentialFunc is a function that is a CredentialSource.
type CredentialFunc func(ctx context.Context) (Credential, error)

// Credential calls f.
func (f CredentialFunc) Credential(ctx context.Context) (Credential, error) { return f(ctx) }

// Static returns a source of a credential that does not change.
func Static(s string) CredentialSource {
	c := NewCredential(s)
	return CredentialFunc(func(context.Context) (Credential, error) { return c, nil })
}

// File returns a source that reads a credential from a file, for each request to the server. The file may be replaced
// at any time. Errors contain the path, and never the content, nor a credential that was given instead of a path.
func File(path string) CredentialSource {
	return CredentialFunc(func(context.Context) (Credential, error) {
		f, err := os.Open(path)
		if err != nil && jose.LooksLikeToken(path) {
			return Credential{}, errors.New("the name of the credential file is itself a credential, which is not shown here; write it to a file, and give the name of that file")
		}
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

// maxCredential is more than servers accept in a header.
const maxCredential = 16 << 10

// check returns an error if the credential cannot be in an Authorization header. The error does not contain it.
func (c Credential) check() error { return checkToken("credential", c.Reveal()) }

// checkToken returns an error if s cannot be in an Authorization header. kind is what s is, for the error, which does
// not contain s.
func checkToken(kind, s string) error {
	switch {
	case s == "":
		return errors.New("it is empty")
	case len(s) > maxCredential:
		return fmt.Errorf("it is longer than %d bytes", maxCredential)
	case !isB64Token(s):
		return fmt.Errorf("it is not one %[1]s: it contains a space, a line break or another character that %[1]ss do not have", kind)
	}
	return nil
}

// isB64Token reports whether s may follow "Bearer ", by a slightly wider grammar than that of RFC 6750, section 2.1.
func isB64Token(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		alnum := r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z'
		return !alnum && !strings.ContainsRune("-._~+/=", r)
	})
}
