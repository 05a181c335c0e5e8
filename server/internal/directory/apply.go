package directory

import (
	"context"
	"fmt"
	"time"
)

// Batch is many changes that come into force as one, or not at all.
type Batch struct {
	// Base is the revision the batch was planned on. When another change has come since:
	// ErrConflict.
	Base int64
	// PutServices are new (Version 0) or changed from their Version.
	PutServices []Service
	// DeleteServices names services by UID and Version.
	DeleteServices []Service
	// PutRules are new (Version 0) or changed from their Version.
	PutRules []Rule
	// DeleteRules names rules by Edge and Version.
	DeleteRules []Rule
	// PutTrusts are new (Version 0) or changed from their Version, and DeleteTrusts names trusts by ID and Version.
	PutTrusts, DeleteTrusts []Trust
	// PutCredentials are new, and RevokeCredentials names credentials by ID and Version.
	PutCredentials, RevokeCredentials []Credential
	// Withdrawn are generations of trusts on which no token may depend any more.
	Withdrawn []Revocation
	// Shadow takes the place of the overlay. Nil leaves it as it is.
	Shadow *[]ShadowRule
	// Applied is the file that says all this. Nil: there is none.
	Applied *Applied
}

// Empty reports whether the batch changes nothing.
func (b *Batch) Empty() bool {
	return len(b.PutServices)+len(b.DeleteServices)+len(b.PutRules)+len(b.DeleteRules) == 0 && b.Shadow == nil
}

// ShadowRule is a rule of the overlay, which is decided beside the call map. Absent: in the overlay
// there is no rule for the edge.
type ShadowRule struct {
	Rule
	Absent bool
}

// Applied is a call map file that was applied.
type Applied struct {
	Revision  int64
	At        time.Time
	Author    string
	Reason    string
	ManagedBy string
	// Summary is one line of what changed, for people.
	Summary string
	// Document is the file. Lists leave it out.
	Document []byte
}

// SubjectMany is the subject of a change of many things, which the store lists by its revision, and
// SubjectEverything that of a change of more than are worth listing.
const (
	SubjectMany       = "many"
	SubjectEverything = "everything"
)

// Subjects of all that b touches.
func (b *Batch) Subjects() (all []string) {
	for _, list := range [][]Service{b.PutServices, b.DeleteServices} {
		for _, s := range list {
			all = append(all, SubjectService(s.UID))
		}
	}
	for _, list := range [][]Rule{b.PutRules, b.DeleteRules} {
		for _, r := range list {
			all = append(all, SubjectRule(r.Edge))
		}
	}
	if b.Shadow != nil {
		all = append(all, SubjectShadow)
	}
	return all
}

// SubjectShadow is the subject of a change of the overlay.
const SubjectShadow = "shadow"

// Apply makes all changes of b at once. What is in them was checked when they were planned, with
// CheckService for services; here new services get their identity only where they have none.
func (d *Directory) Apply(ctx context.Context, by Author, b Batch, action, reason string) (revision int64, err error) {
	for _, s := range b.PutServices {
		if err := d.o.CheckService(s); err != nil {
			return 0, fmt.Errorf("service %q: %w", s.Name, err)
		}
	}
	subject := SubjectMany
	if len(b.PutServices)+len(b.DeleteServices)+len(b.PutRules)+len(b.DeleteRules) > catchUpLimit {
		subject = SubjectEverything
	}
	c, err := d.withKeys(ctx, d.change(by, action, subject,
		"services", count(len(b.PutServices)), "services deleted", count(len(b.DeleteServices)),
		"rules", count(len(b.PutRules)), "rules deleted", count(len(b.DeleteRules)), "reason", reason), b.PutServices...)
	if err == nil {
		revision, err = d.store.Apply(ctx, b, d.latest().Add(d.Snapshot().TokenLife()), c)
	}
	within := 2 * time.Second
	if subject == SubjectEverything {
		within = time.Minute // all is loaded again: a million rules take some seconds
	}
	return revision, d.settleWithin(ctx, within, err, "apply the plan")
}

// count is empty for none, which is not worth recording.
func count(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}
