package directory

import (
	"context"
	"iter"
	"time"

	"github.com/watchword-dev/watchword/server/internal/policy"
)

// Store is what the directory needs of storage. Every method is one transaction. A method
// that changes something takes the Change that describes it, stores it with the next
// revision, and returns that revision: both commit or neither.
//
// Updates name the version they were made from in the Version field of their argument, store
// Version+1, and answer ErrConflict when the stored version is another one, ErrNotFound when
// there is nothing.
type Store interface {
	// Load reads everything, with the revision it is of, in one consistent read.
	Load(ctx context.Context) (*State, error)
	// ChangesAfter lists the changes after revision, oldest first, at most limit.
	ChangesAfter(ctx context.Context, revision int64, limit int) ([]Change, error)
	// The methods that read one thing answer ErrNotFound for what is not there.
	ReadService(ctx context.Context, uid UID) (Service, error)
	ReadCredential(ctx context.Context, id string) (Credential, error)
	ReadRule(ctx context.Context, e policy.Edge) (Rule, error)
	ReadRevocation(ctx context.Context, id string) (Revocation, error)
	ReadTrust(ctx context.Context, id string) (Trust, error)

	// Apply makes all changes of b in one transaction, if b.Base is the revision stored: else
	// ErrConflict. Tokens of deleted services are denied until a moment.
	Apply(ctx context.Context, b Batch, until time.Time, c Change) (revision int64, err error)
	// Begin raises the epoch and, when life is longer, State.TokenLife.
	Begin(ctx context.Context, life time.Duration, c Change) (revision int64, err error)
	// Epoch reads the epoch and State.TokenLife.
	Epoch(ctx context.Context) (epoch int64, life time.Duration, err error)
	// Subjects lists what the change SubjectMany of that revision touched.
	Subjects(ctx context.Context, revision int64) ([]string, error)
	// Shadow reads the overlay.
	Shadow(ctx context.Context) ([]ShadowRule, error)

	// InsertRevocation records a revocation, also in the place of one that ends more than a minute earlier, which keeps
	// its other fields. Again: ErrExists. When its owner has MaxOwnRevocations that have not ended: ErrTooMany.
	InsertRevocation(ctx context.Context, r Revocation, c Change) (revision int64, err error)
	// PurgeRevocations deletes those that ended before, and what Once recorded longer ago than RepeatsKept, and stores
	// State.Steady. Not a change: no revision.
	PurgeRevocations(ctx context.Context, before, steady time.Time) error
	// Now is the clock that replicas share.
	Now(ctx context.Context) (time.Time, error)

	// InsertService and UpdateService answer ErrExists when the name, in any case, or an audience is taken.
	InsertService(ctx context.Context, s Service, c Change) (revision int64, err error)
	UpdateService(ctx context.Context, s Service, c Change) (revision int64, err error)
	// DeleteService removes the service with its credentials and every rule that names it, and
	// records r, the revocation of its uid.
	DeleteService(ctx context.Context, uid UID, version int64, r Revocation, c Change) (revision int64, err error)

	// InsertTrust and UpdateTrust answer ErrExists when the name, in any case, or the issuer is taken, and InsertTrust
	// ErrTooMany when there are MaxTrusts. UpdateTrust records withdrawn, unless it is nil.
	InsertTrust(ctx context.Context, t Trust, c Change) (revision int64, err error)
	UpdateTrust(ctx context.Context, t Trust, withdrawn *Revocation, c Change) (revision int64, err error)
	// DeleteTrust removes the trust, records withdrawn, and revokes the credentials of the trust that have not ended.
	DeleteTrust(ctx context.Context, id string, version int64, withdrawn Revocation, c Change) (revision int64, err error)

	// InsertCredential answers ErrNotFound when its service or its trust is not there, and ErrConflict when another credential that has not ended replaces the same one.
	InsertCredential(ctx context.Context, cr Credential, c Change) (revision int64, err error)
	UpdateCredential(ctx context.Context, cr Credential, c Change) (revision int64, err error)
	// RecordUse stores when and from where credentials were last used. Not a change: no
	// revision. An earlier moment never overwrites a later one.
	RecordUse(ctx context.Context, uses []Use) error

	// PutRule inserts (Version 0) or updates (Version as stored) a rule. Inserting what is
	// there: ErrConflict. A caller or target that is not there: ErrNotFound.
	PutRule(ctx context.Context, r Rule, c Change) (revision int64, err error)
	DeleteRule(ctx context.Context, e policy.Edge, version int64, c Change) (revision int64, err error)
}

// CredentialFilter chooses credentials. The zero value: all.
type CredentialFilter struct {
	// Service is their owner. Zero: any.
	Service UID
	// Trust is the id of the trust that they name. Empty: any, and none.
	Trust string
	// EndsBy chooses those that are not revoked and end after EndsAfter, and at the latest then. Zero: all.
	EndsAfter, EndsBy time.Time
}

// Use is a moment a credential was used.
type Use struct {
	Credential string
	At         time.Time
	From       string
}

// State is everything the directory holds at one revision.
type State struct {
	Revision int64
	// Epoch: see Snapshot.Epoch.
	Epoch int64
	// TokenLife is the longest that a token of any server on this database can live.
	TokenLife time.Duration
	// Steady is what the clock said last by which revocations are forgotten. Zero: they never were.
	Steady      time.Time
	Services    []Service
	Credentials []Credential
	Rules       []Rule
	Shadow      []ShadowRule
	// Revocations that have not ended.
	Revocations []Revocation
	Trusts      []Trust
}

// Follower tells when the store may have changed. On SQLite only this process writes;
// on PostgreSQL it is LISTEN.
type Follower interface {
	// Notifications yields once for each notice, until ctx ends or the connection is lost,
	// which it yields as an error. The revision is a hint: 0 when unknown.
	Notifications(ctx context.Context) iter.Seq2[int64, error]
}
