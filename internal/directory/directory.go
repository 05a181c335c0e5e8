// Package directory keeps the services, their credentials and the rules between them, and
// the rules for changing all three. It does not know how they are stored, how a credential
// proves anything, or what a token is.
package directory

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/internal/policy"
)

// Control-flow errors of this package and of every Store.
var (
	// ErrNotFound: no such service, credential or rule.
	ErrNotFound = errors.New("not found")
	// ErrExists: the name is taken.
	ErrExists = errors.New("already exists")
	// ErrConflict: the version named is not the version stored; read again and retry.
	ErrConflict = errors.New("changed meanwhile")
	// ErrStale: the snapshot could not be refreshed for longer than the bound.
	ErrStale = errors.New("directory is out of date")
)

// InvalidError is a value the operator sent that breaks a rule of this package. Its text is
// for the operator.
type InvalidError struct{ Field, Problem string }

func (e *InvalidError) Error() string { return e.Field + " " + e.Problem }

// UID is a service's immutable identity, 128 random bits.
type UID = policy.ServiceID

// FormatUID is the text form of a UID: "svc_" and 32 hexadecimal digits.
func FormatUID(u UID) string { return "svc_" + hex.EncodeToString(u[:]) }

// ParseUID reads what FormatUID wrote.
func ParseUID(s string) (u UID, err error) {
	h, ok := strings.CutPrefix(s, "svc_")
	if n, err := hex.Decode(u[:], []byte(h)); !ok || err != nil || n != len(u) || len(h) != 2*len(u) {
		return UID{}, fmt.Errorf("service uid %q is not svc_ and 32 hexadecimal digits", s)
	}
	return u, nil
}

// Service is an actor: it calls, it is called, or both.
type Service struct {
	UID         UID
	Name        string
	Description string
	// Disabled services get no tokens and nobody gets a token for them.
	Disabled bool
	// TokenTTL of tokens for this service as a target. Zero: the server's default.
	TokenTTL time.Duration
	// Algorithm that signs tokens for this service as a target. Empty: the server's default.
	Algorithm string
	// Version counts changes, from 1. An update names the version it was made from.
	Version              int64
	CreatedAt, UpdatedAt time.Time
}

// Kind of credential.
type Kind string

// KindBootstrap is a long-lived JWT with iss = aud = the server's plain name.
const KindBootstrap Kind = "bootstrap"

// Credential is one way in which a service proves itself. It holds no secret.
type Credential struct {
	// ID is the credential's jti: 128 random bits in hexadecimal. Not a secret.
	ID      string
	Service UID
	Kind    Kind
	// Name an operator gave it, for people. May be empty.
	Name      string
	CreatedAt time.Time
	ExpiresAt time.Time
	// RevokedAt is zero while the credential is good.
	RevokedAt time.Time
	// CIDR pins the credential to a network. The zero prefix: anywhere.
	CIDR netip.Prefix
	// LastUsedAt and LastUsedFrom are written in batches, some seconds late.
	LastUsedAt   time.Time
	LastUsedFrom string
	Version      int64
}

// Rule is one edge of the call map as the operator sees it: policy.Rule and its history.
type Rule struct {
	policy.Edge
	Scopes               []string
	Until                time.Time
	Version              int64
	CreatedAt, UpdatedAt time.Time
}

// Compiled is what of r counts in a decision.
func (r Rule) Compiled() policy.Rule {
	c := policy.Rule{Edge: r.Edge, Scopes: r.Scopes}
	if !r.Until.IsZero() {
		c.Until = r.Until.UnixMicro()
	}
	return c
}

// Change is one committed change of the directory or of the keys: what replicas follow,
// and the audit event of the change, stored in the same transaction.
type Change struct {
	// Revision is set by the store: one more than the change before.
	Revision int64
	At       time.Time
	// Actor is who made it: "operator", or "system" for scheduled work.
	Actor     string
	RequestID string
	// Action is what was done, as in "service.create", "rule.delete", "key.rotate".
	Action string
	// Subject says what replicas must load again, as SubjectService and its fellows write it.
	Subject string
	// Detail is for people and the audit log; never a secret.
	Detail map[string]string
}

// Subjects of changes.
func SubjectService(u UID) string        { return "service/" + FormatUID(u) }
func SubjectCredential(id string) string { return "credential/" + id }
func SubjectRule(e policy.Edge) string {
	return "rule/" + FormatUID(e.Caller) + "/" + FormatUID(e.Target)
}

// SubjectKeys is the subject of every change of the key ring.
const SubjectKeys = "keys"

// ParseName checks a service's name: 1 to 128 of A-Z a-z 0-9 . _ -, beginning with a letter
// or a digit. Clients put names into Basic headers, URLs and shell commands, some of them
// unescaped. The names the server uses for itself are refused by the caller, who knows them.
func ParseName(s string) (string, error) {
	if len(s) == 0 || len(s) > 128 {
		return "", &InvalidError{"name", "must have 1 to 128 characters"}
	}
	for i, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9':
		case i > 0 && (c == '.' || c == '_' || c == '-'):
		default:
			return "", &InvalidError{"name", "must begin with a letter or a digit and have only letters, digits, '.', '_' and '-'"}
		}
	}
	return s, nil
}

// MaxScopes bounds what one rule or request may name.
const MaxScopes = 64

// ParseScopes reads a space-separated scope (RFC 6749, section 3.3) into a sorted list
// without repetition. Empty text is no scope.
func ParseScopes(s string) ([]string, error) {
	if s == "" {
		return nil, nil
	}
	if len(s) > 4096 {
		return nil, &InvalidError{"scope", "must not be longer than 4096 bytes"}
	}
	scopes := strings.Split(s, " ")
	if len(scopes) > MaxScopes {
		return nil, &InvalidError{"scope", fmt.Sprintf("must not name more than %d scopes", MaxScopes)}
	}
	for _, scope := range scopes {
		if scope == "" {
			return nil, &InvalidError{"scope", "must have exactly one space between two scopes"}
		}
		for _, c := range []byte(scope) {
			// RFC 6749, appendix A.4: scope-token = 1*( %x21 / %x23-5B / %x5D-7E )
			if c < 0x21 || c > 0x7e || c == '"' || c == '\\' {
				return nil, &InvalidError{"scope", `must have only printable ASCII characters other than space, '"' and '\'`}
			}
		}
	}
	slices.Sort(scopes)
	return slices.Compact(scopes), nil
}
