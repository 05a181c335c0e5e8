package directory

import (
	"strings"
	"time"

	"github.com/watchword-dev/watchword/api"
)

// MaxTrusts bounds the trusts: each has keys in memory, and may have them fetched.
const MaxTrusts = 1000

// Trust is an outside issuer whose tokens prove services, for credentials of KindWorkload.
type Trust struct {
	// ID is "trust_" and 128 random bits in hexadecimal. It never changes.
	ID   string
	Name string
	// TrustSettings are what an operator says of the trust. Lists are sorted, and nil when empty.
	api.TrustSettings
	// Generation is an id on which tokens depend, of the form of ID. A change by which the trust accepts less gives it another one, and
	// denies the tokens that depend on the one before.
	Generation string
	// ManagedBy is the call map file that owns the trust. Empty: it is changed by hand.
	ManagedBy            string
	Version              int64
	CreatedAt, UpdatedAt time.Time
	// KeysAt is when the keys were uploaded. Zero: they are fetched.
	KeysAt time.Time
}

// trustPrefix begins the ids of trusts, and their generations.
const trustPrefix = "trust_"

// IsGeneration reports whether an id on which a token depends is the generation of a trust.
func IsGeneration(id string) bool { return strings.HasPrefix(id, trustPrefix) }

// SubjectTrust is the subject of every change of a trust.
func SubjectTrust(id string) string { return "trust/" + id }

// UnmatchedAfter is how long no token has matched a credential of a trust before an operator should look at it.
const UnmatchedAfter = 30 * 24 * time.Hour

// TrustUses are the credentials of a trust that have not ended, in numbers.
type TrustUses struct {
	Credentials, Services int
	// Unmatched is how many no token has matched for UnmatchedAfter, and Example is the id of one of them.
	Unmatched int
	Example   string
}
