package directory

import (
	"context"
	"fmt"
	"slices"
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
	// PutTrusts are new (Version 0) or changed from their Version. DeleteTrusts names trusts by ID and Version, and Apply
	// revokes their credentials.
	PutTrusts, DeleteTrusts []Trust
	// PutCredentials are new ones of KindWorkload: Apply gives them an ID and their dates, and NewTrustID makes the ID of a
	// trust of the same batch. RevokeCredentials names credentials by ID and Version.
	PutCredentials, RevokeCredentials []Credential
	// AdoptCredentials get another ManagedBy, and stay as they are. It names credentials by ID and Version.
	AdoptCredentials []Credential
	// Withdrawn are generations of trusts on which no token may depend any more. Apply adds those that follow from
	// PutTrusts and DeleteTrusts.
	Withdrawn []Revocation
	// Shadow takes the place of the overlay. Nil leaves it as it is.
	Shadow *[]ShadowRule
	// Applied is the file that says all this. Nil: there is none.
	Applied *Applied
}

// Empty reports whether the batch changes nothing.
func (b *Batch) Empty() bool {
	return len(b.PutServices)+len(b.DeleteServices)+len(b.PutRules)+len(b.DeleteRules) == 0 && b.Shadow == nil && !b.identities()
}

// identities reports whether the batch changes trusts or credentials.
func (b *Batch) identities() bool {
	return len(b.PutTrusts)+len(b.DeleteTrusts)+len(b.PutCredentials)+len(b.RevokeCredentials)+len(b.AdoptCredentials)+len(b.Withdrawn) > 0
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
	for _, list := range [][]Trust{b.PutTrusts, b.DeleteTrusts} {
		for _, t := range list {
			all = append(all, SubjectTrust(t.ID))
		}
	}
	for _, list := range [][]Credential{b.PutCredentials, b.RevokeCredentials, b.AdoptCredentials} {
		for _, c := range list {
			all = append(all, SubjectCredential(c.ID))
		}
	}
	for _, r := range b.Withdrawn {
		all = append(all, SubjectRevocation(r.ID))
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
	if b, err = d.withIdentities(ctx, b); err != nil {
		return 0, err
	}
	c, err := d.withKeys(ctx, d.change(by, action, subjectOf(len(b.Subjects())),
		"services", count(len(b.PutServices)), "services deleted", count(len(b.DeleteServices)),
		"rules", count(len(b.PutRules)), "rules deleted", count(len(b.DeleteRules)),
		"trusts", count(len(b.PutTrusts)), "trusts deleted", count(len(b.DeleteTrusts)),
		"credentials", count(len(b.PutCredentials)), "credentials revoked", count(len(b.RevokeCredentials)), "reason", reason), b.PutServices...)
	if err == nil {
		revision, err = d.store.Apply(ctx, b, d.latest().Add(d.Snapshot().TokenLife()), c)
	}
	return revision, d.settleAll(ctx, c, err, "apply the plan")
}

// subjectOf is the subject of a change of so many things.
func subjectOf(n int) string {
	if n > catchUpLimit {
		return SubjectEverything
	}
	return SubjectMany
}

// settleAll is settle for a change of many things.
func (d *Directory) settleAll(ctx context.Context, c Change, err error, format string, args ...any) error {
	within := 2 * time.Second
	if c.Subject == SubjectEverything {
		within = time.Minute // all is loaded again: a million rules take some seconds
	}
	return d.settleWithin(ctx, within, err, format, args...)
}

// withIdentities is b with what follows from its trusts and credentials, after it has checked them.
func (d *Directory) withIdentities(ctx context.Context, b Batch) (Batch, error) {
	if !b.identities() {
		return b, nil
	}
	if d.Snapshot().Revision() < b.Base {
		if err := d.CatchUp(ctx); err != nil {
			return b, err
		}
	}
	s := d.Snapshot()
	if s.Revision() != b.Base {
		return b, fmt.Errorf("planned on revision %d, and %d is stored: %w", b.Base, s.Revision(), ErrConflict)
	}
	b.PutTrusts, b.PutCredentials = slices.Clone(b.PutTrusts), slices.Clone(b.PutCredentials)
	b.RevokeCredentials, b.AdoptCredentials = slices.Clone(b.RevokeCredentials), slices.Clone(b.AdoptCredentials)
	// s becomes the directory as it would be, as far as the checks need it.
	s, err := d.endIdentities(s, &b)
	if err != nil {
		return b, err
	}
	for i := range b.PutTrusts {
		t := &b.PutTrusts[i]
		if err := d.putTrust(s, t, &b); err != nil {
			return b, fmt.Errorf("trust %q: %w", t.Name, err)
		}
		s = s.withTrust(*t)
	}
	if err := s.hasRoom(MaxTrusts); err != nil {
		return b, err
	}
	for i := range b.PutCredentials {
		c := &b.PutCredentials[i]
		if err := d.putCredential(s, c); err != nil {
			return b, fmt.Errorf("credential of %s: %w", FormatUID(c.Service), err)
		}
		s = s.withCredential(*c)
	}
	return b, nil
}

// endIdentities completes what b revokes and deletes, and returns s without it.
func (d *Directory) endIdentities(s *Snapshot, b *Batch) (*Snapshot, error) {
	now := d.latest()
	revoked := map[string]bool{}
	for i := range b.RevokeCredentials {
		c, err := s.named(b.RevokeCredentials[i])
		if err != nil {
			return nil, err
		}
		b.RevokeCredentials[i] = c
		revoked[c.ID] = true
	}
	for i := range b.AdoptCredentials {
		c, err := s.named(b.AdoptCredentials[i])
		if err != nil {
			return nil, err
		}
		c.ManagedBy = b.AdoptCredentials[i].ManagedBy
		b.AdoptCredentials[i] = c
	}
	for i := range b.DeleteTrusts {
		given := b.DeleteTrusts[i]
		t, ok := s.Trust(given.ID)
		if !ok {
			return nil, fmt.Errorf("trust %q: %w", given.Name, ErrNotFound)
		}
		b.Withdrawn = append(slices.Clip(b.Withdrawn), d.withdrawal(t))
		for _, c := range s.workloadsOf(t.ID, d.now()) {
			if !revoked[c.ID] {
				b.RevokeCredentials = append(b.RevokeCredentials, *c)
			}
		}
		s = s.withoutTrust(t.ID)
	}
	for i := range b.RevokeCredentials {
		c := &b.RevokeCredentials[i]
		if c.RevokedAt.IsZero() {
			c.RevokedAt = now
		}
		c.ManagedBy = "" // it is the file's no more, as it would be after it was revoked by hand
		s = s.withCredential(*c)
	}
	return s, nil
}

// named is the credential that a batch names by its ID and Version.
func (s *Snapshot) named(given Credential) (Credential, error) {
	c, ok := s.Credential(given.ID)
	switch {
	case !ok:
		return given, fmt.Errorf("credential %s: %w", given.ID, ErrNotFound)
	case c.Version != given.Version:
		return given, fmt.Errorf("credential %s has version %d: %w", given.ID, c.Version, ErrConflict)
	}
	return *c, nil
}

// putTrust completes a trust that b makes or changes.
func (d *Directory) putTrust(s *Snapshot, t *Trust, b *Batch) error {
	if t.Version == 0 {
		t.create(d.now())
		t.Version = 0
		return d.o.CheckTrust(*t)
	}
	old, ok := s.Trust(t.ID)
	switch {
	case !ok:
		return ErrNotFound
	case old.Version != t.Version:
		return ErrConflict
	}
	withdrawn, err := d.succeed(s, t, old)
	if withdrawn != nil {
		b.Withdrawn = append(slices.Clip(b.Withdrawn), *withdrawn)
	}
	return err
}

// putCredential completes a credential that a batch makes.
func (d *Directory) putCredential(s *Snapshot, c *Credential) error {
	t, ok := s.Trust(c.Trust)
	if !ok {
		return fmt.Errorf("trust %s: %w", c.Trust, ErrNotFound)
	}
	n := NewCredential{Kind: c.Kind, Material: c.Material, Name: c.Name, TTL: c.Life, CIDR: c.CIDR}
	if err := n.prove(t); err != nil {
		return err
	}
	if err := n.check(); err != nil {
		return err
	}
	made := d.newCredential(c.Service, n)
	if c.ID != "" {
		made.ID = c.ID
	}
	made.ManagedBy = c.ManagedBy
	*c = made
	return s.admits(c, d.now())
}

// count is empty for none, which is not worth recording.
func count(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}
