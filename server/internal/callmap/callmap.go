// Package callmap is the call map as a file that people review: which services there are, by which tokens of which
// platforms they prove themselves, who may call whom, and tests of what must stay so. It reads and writes such files, and returns what
// would change and what the tests say. It does no I/O and stores nothing; whether a call is
// allowed is the directory's to say.
package callmap

import (
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/trust"
)

// DefaultOwner owns what is in files that name no owner.
const DefaultOwner = "callmap"

// File is one file as it was read.
type File struct {
	Name string
	// Owner is its managed-by: what the owner had and the file has not is removed.
	Owner    string
	Trusts   []Trust
	Services []Service
	Groups   []Group
	Rules    []Rule
	Tests    []Test

	lines []string
}

// Position of something in a file.
type Position struct {
	file         *File
	Line, Column int
}

// Service as the file wants it. Its UID, version and dates are of no meaning.
type Service struct {
	directory.Service
	Identities    []Identity
	keepsDisabled bool // the file does not say whether the service is disabled
	at            Position
}

// Trust as the file wants it. Its ID, generation, version and dates are of no meaning.
type Trust struct {
	directory.Trust
	keepsDisabled bool // the file does not say whether the trust is disabled
	at            Position
	places        map[string]Position // of the settings, by their name in the API
}

// Identity is the claims by which tokens of a trust prove a service.
type Identity struct {
	Trust  Name
	Claims []Claim
	at     Position
}

// Claim of a token, and its text.
type Claim struct {
	Name, Value string
	at          Position
}

// Group is a name for several services.
type Group struct {
	Name    string
	Members []Name
	// Labels select members: the services that have all of them.
	Labels []string
	at     Position
}

// Name of a service, or with Group of a group, and where it stands.
type Name struct {
	Text  string
	Group bool
	at    Position
}

// Rule allows each of From to call each of To.
type Rule struct {
	From, To []Name
	Scopes   []string
	Until    time.Time
	Exchange string
	MayAct   Name
	When     api.Conditions
	// Shadow rules are decided beside the call map, and are not in force.
	Shadow bool
	at     Position
}

// Test is a request and the decision that it must get.
type Test struct {
	From, To []Name
	// As is a token that the caller presents, which says who it is, in place of From.
	As       *Identity
	Scopes   []string
	With     Circumstances
	Allow    bool
	expected bool
	token    *trust.Claims // of As
	at       Position
}

// Circumstances under which a test asks.
type Circumstances struct {
	Auth       string
	Bound      bool
	Network    string    // an address
	At         time.Time // zero: now
	OnBehalfOf string
}
