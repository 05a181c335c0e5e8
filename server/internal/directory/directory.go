// Package directory keeps the services, their credentials and the rules between them, and
// the rules for changing all three. It does not know how they are stored, how a credential
// proves anything, or what a token is.
package directory

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/policy"
)

// Control-flow errors of this package and of every Store.
var (
	// ErrNotFound: no such service, credential or rule.
	ErrNotFound = errors.New("not found")
	// ErrExists: the name is taken, perhaps in another case.
	ErrExists = errors.New("already exists")
	// ErrTooMany: there are as many as one owner may have.
	ErrTooMany = errors.New("too many")
	// ErrConflict: the version named is not the version stored; read again and retry.
	ErrConflict = errors.New("changed in the meantime")
	// ErrManaged: a call map file owns it, and a change by hand would be undone by the next apply.
	ErrManaged = errors.New("belongs to a call map file")
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
	if !ok || len(h) != 2*len(u) { // hex.Decode writes past the end of what is too short for it
		return UID{}, fmt.Errorf("service uid of %d characters is not svc_ and 32 hexadecimal digits", len(s))
	}
	if _, err := hex.Decode(u[:], []byte(h)); err != nil {
		return UID{}, fmt.Errorf("service uid %q is not svc_ and 32 hexadecimal digits", s)
	}
	return u, nil
}

// Service is an actor: it calls, it is called, or both.
type Service struct {
	UID  UID
	Name string
	// ServiceSettings are what an operator says of the service. Their lists are sorted, and nil when empty.
	api.ServiceSettings
	// ManagedBy is the call map file that owns the service. Empty: it is changed by hand.
	ManagedBy string
	// Version counts changes, from 1. An update names the version it was made from.
	Version              int64
	CreatedAt, UpdatedAt time.Time
}

// TokenTTL is the lifetime of tokens for this service as a target. Zero: the server's default.
func (s *Service) TokenTTL() time.Duration { return time.Duration(s.TokenTTLSeconds) * time.Second }

// Equal reports whether all of s and o is the same.
func (s Service) Equal(o Service) bool { return reflect.DeepEqual(s, o) }

// Kind of credential.
type Kind string

// The kinds.
const (
	// KindBootstrap is a long-lived JWT with iss = aud = the server's plain name.
	KindBootstrap Kind = api.KindBootstrap
	// KindSecret is a client secret (RFC 6749, section 2.3.1) that this server made.
	KindSecret Kind = api.KindSecret
	// KindKey is a public key, whose private half signs assertions (RFC 7523).
	KindKey Kind = api.KindKey
	// KindJWKS is a place where the service publishes such keys.
	KindJWKS Kind = api.KindJWKS
	// KindCertificate is a self-signed certificate (RFC 8705, section 2.2).
	KindCertificate Kind = api.KindCertificate
	// KindTLSSubject is a name in certificates of a trusted authority (RFC 8705, section 2.1).
	KindTLSSubject Kind = api.KindTLSSubject
	// KindWorkload is claims that a token of a trust must have.
	KindWorkload Kind = api.KindWorkload
)

// Credential is one way in which a service proves itself. It holds no secret.
type Credential struct {
	// ID is the credential's jti: 128 random bits in hexadecimal. Not a secret.
	ID      string
	Service UID
	Kind    Kind
	// Name an operator gave it, for people. May be empty.
	Name string
	// Material is what a proof is held against, by kind. None for KindBootstrap. KindSecret: the
	// keyed SHA-256 of the secret, hexadecimal, not for display. KindKey: the public JWK.
	// KindJWKS: the URL. KindCertificate: the base64url SHA-256 of the certificate. KindTLSSubject:
	// "dn:", "dns:", "uri:", "ip:" or "email:" and the name. KindWorkload: the claims and their values, as a JSON object
	// with sorted names.
	Material string
	// Trust is the id of the trust that a KindWorkload names. Empty: it is of another kind.
	Trust string
	// ManagedBy is the call map file that owns the credential. Empty: it is changed by hand.
	ManagedBy string
	// Withheld is the issuer of the trust of a KindWorkload that was revoked by hand. A plan makes no other one of the same
	// service, issuer and claims, whatever became of the trust. Empty: it was not revoked, or by a plan, or with its trust.
	Withheld  string
	CreatedAt time.Time
	// NotBefore is when it begins to be good; zero: at once.
	NotBefore time.Time
	// ExpiresAt is when it ends, that moment excluded.
	ExpiresAt time.Time
	// RevokedAt is zero while the credential is good.
	RevokedAt time.Time
	// Life is how long the credential was created for. ExpiresAt is earlier once its replacement is in use.
	Life time.Duration
	// Replaces is the id of the credential that this one replaces, and that ends Overlap after this one was first
	// used. Empty: it replaces none.
	Replaces string
	Overlap  time.Duration
	// CIDR pins the credential to a network. The zero prefix: anywhere.
	CIDR netip.Prefix
	// LastUsedAt and LastUsedFrom are written in batches, some seconds late.
	LastUsedAt   time.Time
	LastUsedFrom string
	Version      int64
}

// Good is "" when c may be used at the moment now, else why not, in a word for the audit log.
func (c *Credential) Good(now time.Time) (why string) {
	switch {
	case !c.RevokedAt.IsZero():
		return "revoked"
	case !now.Before(c.ExpiresAt):
		return "expired"
	case now.Before(c.NotBefore):
		return "not_yet_valid"
	}
	return ""
}

// Revocation is an id that no token may depend on any more: the jti of a token, or the uid of a
// service that was deleted.
type Revocation struct {
	ID        string
	RevokedAt time.Time
	// Until is when the last token that could depend on it has expired.
	Until time.Time
	// Status is the place of the token in a status list: the list, "/" and the index. Empty: it has
	// none, or it is not known.
	Status string
	// Owner is the uid of the service that revoked a token of its own. Empty: an operator did.
	Owner string
}

// Probe is what came of the last probe of a service, as package probe writes it, in JSON.
type Probe struct {
	Service UID
	BegunAt time.Time
	Result  []byte
}

// Rule is one edge of the call map as the operator sees it: policy.Rule and its history.
type Rule struct {
	policy.Edge
	Scopes []string
	// Exchange is what the caller may do with tokens of others that it received.
	Exchange policy.Exchange
	// MayAct is the one service that may exchange tokens of this rule. Zero: their audience may.
	MayAct UID
	// When are the conditions under which the rule counts. Nil: always.
	When *policy.When
	// ManagedBy is the call map file that owns the rule. Empty: it is changed by hand.
	ManagedBy            string
	Until                time.Time
	Version              int64
	CreatedAt, UpdatedAt time.Time
}

// Compiled is what of r counts in a decision.
func (r Rule) Compiled() policy.Rule {
	c := policy.Rule{Edge: r.Edge}
	if len(r.Scopes) > 0 || r.Exchange != policy.NoExchange || r.MayAct != (UID{}) || r.When != nil {
		c.Terms = &policy.Terms{Scopes: r.Scopes, Exchange: r.Exchange, MayAct: r.MayAct, When: r.When}
	}
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
	// Action is what was done, as in "service.create", "rule.disallow", "key.rotate".
	Action string
	// Subject names what replicas must load again, as SubjectService and its fellows write it.
	Subject string
	// Detail is for people and the audit log; never a secret.
	Detail map[string]string
	// Keys are stored in the same transaction, and make Subject one of many. Nil: there are none.
	Keys NewKeys
	// Once is recorded in the same transaction. The change is not made (ErrRepeated) if it was recorded before. Nil: the
	// change is made in any case.
	Once *Once
}

// NewKeys are signing keys that a change needs, as package keys makes them and the store knows them.
type NewKeys interface {
	// Detail is what to record of each key, by its id.
	Detail() map[string]string
}

// Subjects of changes.
func SubjectService(u UID) string        { return "service/" + FormatUID(u) }
func SubjectCredential(id string) string { return "credential/" + id }
func SubjectRule(e policy.Edge) string {
	return "rule/" + FormatUID(e.Caller) + "/" + FormatUID(e.Target)
}

// SubjectRevocation is the subject of the revocation of a token by its jti.
func SubjectRevocation(id string) string { return "revocation/" + id }

// SubjectEpoch is the subject of the change that raises the epoch.
const SubjectEpoch = "epoch"

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
				return nil, &InvalidError{"scope", "must have only printable ASCII characters, and no space, quotation mark or backslash"}
			}
		}
	}
	slices.Sort(scopes)
	return slices.Compact(scopes), nil
}
