package directory

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/watchword-dev/watchword/api"
)

// NewCredential is a credential to be made.
type NewCredential struct {
	// Kind is KindBootstrap when empty.
	Kind Kind
	// Material is what proofs are held against, as Credential has it. The code that makes it knows what
	// is right for the kind.
	Material string
	Name     string
	// NotBefore is when it begins to be good. Zero: at once.
	NotBefore time.Time
	// TTL is how long it is good from then. Zero: DefaultCredentialTTL.
	TTL  time.Duration
	CIDR netip.Prefix
}

// maxMaterial is room for the JWK of the longest RSA key, and for any name and URL.
const maxMaterial = 4096

// AddCredential records a credential. Bootstrap ones the issuer then signs.
func (d *Directory) AddCredential(ctx context.Context, by Author, service string, n NewCredential) (Credential, error) {
	if err := n.check(); err != nil {
		return Credential{}, err
	}
	s, err := d.resolve(ctx, service)
	if err != nil {
		return Credential{}, err
	}
	c := d.newCredential(s.UID, n)
	if !c.ExpiresAt.After(d.now()) || c.ExpiresAt.Sub(c.CreatedAt) > 2*MaxCredentialTTL {
		return Credential{}, &InvalidError{"notBefore", "must not make it end before now, nor later than 200 years from now"}
	}
	err = d.insertCredential(ctx, by, s.Name, c)
	return c, err
}

func (d *Directory) insertCredential(ctx context.Context, by Author, service string, c Credential, detail ...string) error {
	// One at a time, so that each sees the one before. Another replica may add one in the same
	// moment: two of one key id are then both tried.
	d.adding.Lock()
	defer d.adding.Unlock()
	if err := d.CatchUp(ctx); err != nil {
		return err
	}
	if err := d.Snapshot().admits(&c, d.now()); err != nil {
		return err
	}
	detail = append(detail, "service", service, "credential", c.ID, "kind", string(c.Kind), "expires", c.ExpiresAt.Format(time.RFC3339))
	_, err := d.store.InsertCredential(ctx, c, d.change(by, "credential.create", SubjectCredential(c.ID), detail...))
	return d.settle(ctx, err, "create credential of %q", service)
}

func (n *NewCredential) check() error {
	if n.Kind == "" {
		n.Kind = KindBootstrap
	}
	if n.TTL == 0 {
		n.TTL = DefaultCredentialTTL
	}
	if !slices.Contains(api.NamesOf(api.CredentialKinds()), string(n.Kind)) {
		return &InvalidError{"kind", "is not one there is"}
	}
	switch {
	case (n.Material == "") != (n.Kind == KindBootstrap) || !text(n.Material, maxMaterial):
		return &InvalidError{"kind", "does not fit what it is made from"}
	case n.TTL < time.Second || n.TTL > MaxCredentialTTL:
		return &InvalidError{"ttl", "must be between 1 second and 100 years"}
	case !text(n.Name, 128):
		return &InvalidError{"name", "must be printable text of at most 128 bytes"}
	case n.CIDR.IsValid() && n.CIDR != n.CIDR.Masked():
		return &InvalidError{"cidr", "must be a network: " + n.CIDR.Masked().String()}
	}
	return nil
}

func (d *Directory) newCredential(owner UID, n NewCredential) Credential {
	// Whole seconds, as a JWT will say (RFC 7519, section 2: NumericDate).
	now := d.now().Truncate(time.Second)
	c := Credential{
		ID: RandomID(), Service: owner, Kind: n.Kind, Material: n.Material, Name: n.Name, CIDR: n.CIDR,
		CreatedAt: now, ExpiresAt: now.Add(n.TTL.Truncate(time.Second)), Version: 1,
	}
	if !n.NotBefore.IsZero() {
		c.NotBefore = n.NotBefore.UTC().Truncate(time.Second)
		c.ExpiresAt = c.NotBefore.Add(n.TTL.Truncate(time.Second))
	}
	return c
}

// RotateCredential makes a credential like that of id, with the material that remake gives for its
// kind and as long a life from now on, and lets the old one end after overlap, or when it would have ended anyway. Of those of
// one service, kind and name no more than two are good at once (RFC 9700, section 2.5: what is
// replaced goes away): with two there already the answer is an *InvalidError.
func (d *Directory) RotateCredential(ctx context.Context, by Author, id string, overlap time.Duration, remake func(Kind) (material string, err error)) (fresh, old Credential, err error) {
	if old, err = d.store.ReadCredential(ctx, id); err != nil {
		return fresh, old, fmt.Errorf("read credential: %w", err)
	}
	if err := d.CatchUp(ctx); err != nil {
		return fresh, old, err
	}
	s, ok := d.Snapshot().ServiceByUID(old.Service)
	if !ok {
		return fresh, old, fmt.Errorf("service of credential %s: %w", id, ErrNotFound)
	}
	if err := d.rotatable(&old, overlap); err != nil {
		return fresh, old, err
	}
	start := old.CreatedAt
	if !old.NotBefore.IsZero() {
		start = old.NotBefore
	}
	material, err := remake(old.Kind)
	if err != nil {
		return fresh, old, err
	}
	n := NewCredential{Kind: old.Kind, Material: material, Name: old.Name, TTL: old.ExpiresAt.Sub(start), CIDR: old.CIDR}
	if err := n.check(); err != nil {
		return fresh, old, err
	}
	// The new one first: whatever fails then, the service is left with one that works.
	fresh = d.newCredential(old.Service, n)
	if err := d.insertCredential(ctx, by, s.Name, fresh, "replaces", old.ID); err != nil {
		return fresh, old, err
	}
	if end := d.now().Add(overlap); end.Before(old.ExpiresAt) {
		old.ExpiresAt = end
	}
	_, err = d.store.UpdateCredential(ctx, old, d.change(by, "credential.rotate", SubjectCredential(id),
		"service", s.Name, "credential", id, "replacedBy", fresh.ID, "expires", old.ExpiresAt.Format(time.RFC3339)))
	if err = d.settle(ctx, err, "end credential %s", id); err != nil {
		// Nobody is told of the new one, so it must not stay.
		_, undone := d.RevokeCredential(context.WithoutCancel(ctx), by, fresh.ID)
		return fresh, old, errors.Join(err, undone)
	}
	old.Version++
	return fresh, old, nil
}

func (d *Directory) rotatable(old *Credential, overlap time.Duration) error {
	now := d.now()
	switch {
	case overlap < 0 || overlap > MaxCredentialTTL:
		return &InvalidError{"overlap", "must be between 0 seconds and 100 years"}
	case old.Good(now) != "":
		return &InvalidError{"id", "is of a credential that is not good now; make a new one instead"}
	}
	for _, c := range d.Snapshot().CredentialsOf(old.Service) {
		if c.ID != old.ID && c.Kind == old.Kind && c.Name == old.Name && c.RevokedAt.IsZero() && now.Before(c.ExpiresAt) {
			return &InvalidError{"id", "is of one of two that are good already: " + c.ID + " is the other; revoke the one that is no longer used, or give them different names"}
		}
	}
	return nil
}

// RevokeCredential revokes a credential; revoking it again changes nothing.
func (d *Directory) RevokeCredential(ctx context.Context, by Author, id string) (Credential, error) {
	return retried(AnyVersion, func() (Credential, error) {
		c, err := d.store.ReadCredential(ctx, id)
		if err != nil {
			return Credential{}, fmt.Errorf("read credential: %w", err)
		}
		if !c.RevokedAt.IsZero() {
			return c, nil
		}
		c.RevokedAt = d.now()
		_, err = d.store.UpdateCredential(ctx, c, d.change(by, "credential.revoke", SubjectCredential(id), "credential", id))
		c.Version++
		return c, d.settle(ctx, err, "revoke credential %s", id)
	})
}
