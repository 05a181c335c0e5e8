package config

import (
	"fmt"
	"log/slog"
)

// Secret is a text that prints as "[secret]" in every format, log and encoding. Reveal
// is the one way to it.
//
// It holds a pointer because fmt calls no method on what it finds in an unexported field: there
// it prints an address.
type Secret struct{ text *string }

const redacted = "[secret]"

// NewSecret hides s. The empty text makes the zero Secret.
func NewSecret(s string) Secret {
	if s == "" {
		return Secret{}
	}
	return Secret{&s}
}

// Reveal returns the text.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsZero reports whether there is no secret.
func (s Secret) IsZero() bool { return s.text == nil }

func (s Secret) String() string {
	if s.IsZero() {
		return ""
	}
	return redacted
}

// Format writes what String says, whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// LogValue is for log/slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText is for every encoding.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
