package directory

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/trust"
)

// NewCredential is a credential to be made.
type NewCredential struct {
	// Kind is KindBootstrap when empty.
	Kind Kind
	// Material is what proofs are held against, as Credential has it. The code that makes it knows what
	// is right for the kind. KindWorkload has Trust and Claims instead.
	Material string
	// Trust is the name of the trust, and Claims are those that its tokens must have.
	Trust  string
	Claims map[string]string
	Name   string
	// NotBefore is when it begins to be good. Zero: at once.
	NotBefore time.Time
	// TTL is how long it is good from then. Zero: DefaultCredentialTTL, and MaxCredentialTTL for KindWorkload, which holds
	// no secret.
	TTL  time.Duration
	CIDR netip.Prefix

	trust string // the id
}

// maxMaterial is room for the JWK of the longest RSA key, and for any name and URL.
const maxMaterial = 4096

// AddCredential records a credential. Bootstrap ones the issuer then signs.
func (d *Directory) AddCredential(ctx context.Context, by Author, service string, n NewCredential) (Credential, error) {
	if err := d.proveBy(ctx, &n); err != nil {
		return Credential{}, err
	}
	if err := n.check(); err != nil {
		return Credential{}, err
	}
	s, err := d.resolve(ctx, service)
	if err != nil {
		return Credential{}, err
	}
	c := d.newCredential(s.UID, n)
	if !c.ExpiresAt.After(d.now()) || c.ExpiresAt.Sub(c.CreatedAt) > 2*MaxCredentialTTL {
		return Credential{}, &InvalidError{"notBefore", "must not make it expire in the past, or later than 200 years from now"}
	}
	err = d.insertCredential(ctx, by, s.Name, c, nil)
	return c, err
}

// insertCredential stores c, which replaces old unless that is nil.
func (d *Directory) insertCredential(ctx context.Context, by Author, service string, c Credential, old *Credential) error {
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
	detail := []string{"service", service, "credential", c.ID, "kind", string(c.Kind), "expires", c.ExpiresAt.Format(time.RFC3339)}
	if old != nil {
		if err := d.replaceable(old); err != nil {
			return err
		}
		detail = append(detail, "replaces", old.ID)
	}
	_, err := d.store.InsertCredential(ctx, c, d.change(by, "credential.create", SubjectCredential(c.ID), detail...))
	return d.settle(ctx, err, "create credential of %q", service)
}

// proveBy makes n a credential of the trust that it names, if it is of KindWorkload.
func (d *Directory) proveBy(ctx context.Context, n *NewCredential) error {
	if n.Kind != KindWorkload {
		if n.Trust != "" || n.Claims != nil {
			return &InvalidError{"trust", "is for credentials of kind workload"}
		}
		return nil
	}
	t, err := d.resolveTrust(ctx, n.Trust)
	switch {
	case errors.Is(err, ErrNotFound):
		return &InvalidError{"trust", fmt.Sprintf("must be the name of a trust, and %q is none; add it first", n.Trust)}
	case err != nil:
		return err
	}
	if n.Claims != nil || n.Material == "" {
		n.Material = FormatClaims(n.Claims)
	}
	return n.prove(t)
}

// prove makes n a credential of t, if its material is claims that credentials of t may have.
func (n *NewCredential) prove(t *Trust) error {
	claims, err := ParseClaims(n.Material)
	if n.Kind != KindWorkload || err != nil {
		return &InvalidError{"kind", "does not belong to its claims"}
	}
	if claims, err = trust.CheckClaims(&t.TrustSettings, claims); err != nil {
		return invalid(err)
	}
	n.trust, n.Material = t.ID, FormatClaims(claims)
	if len(n.Material) > maxMaterial {
		return &InvalidError{"claims", fmt.Sprintf("are longer than %d bytes; name those only that tell the workload from others", maxMaterial)}
	}
	if n.TTL == 0 {
		n.TTL = MaxCredentialTTL
	}
	return nil
}

func (n *NewCredential) check() error {
	if n.Kind == "" {
		n.Kind = KindBootstrap
	}
	if n.TTL == 0 {
		n.TTL = DefaultCredentialTTL
	}
	if !slices.Contains(api.NamesOf(api.CredentialKinds()), string(n.Kind)) {
		return &InvalidError{"kind", "is not a kind of credential"}
	}
	switch {
	case (n.Material == "") != (n.Kind == KindBootstrap) || (n.trust == "") != (n.Kind != KindWorkload) || !text(n.Material, maxMaterial):
		return &InvalidError{"kind", "does not belong to its key material"}
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
		ID: RandomID(), Service: owner, Kind: n.Kind, Material: n.Material, Trust: n.trust, Name: n.Name, CIDR: n.CIDR,
		CreatedAt: now, Life: n.TTL.Truncate(time.Second), Version: 1,
	}
	c.ExpiresAt = now.Add(c.Life)
	if !n.NotBefore.IsZero() {
		c.NotBefore = n.NotBefore.UTC().Truncate(time.Second)
		c.ExpiresAt = c.NotBefore.Add(c.Life)
	}
	return c
}

// RotateCredential creates a credential that replaces that of id: with the same kind, name, network and lifetime, and
// with the material that remake returns. The old one is not changed: it ends overlap after the new one was first used
// (endReplaced), or when it would have ended anyway. So if nobody received the new one, the service still has the old
// one. While both are good neither can be replaced (RFC 9700, section 2.5: what is replaced goes away): the answer is
// an *InvalidError.
func (d *Directory) RotateCredential(ctx context.Context, by Author, id string, overlap time.Duration, remake func(Kind) (material string, err error)) (fresh, old Credential, err error) {
	if overlap < 0 || overlap > MaxCredentialTTL {
		return fresh, old, &InvalidError{"overlap", "must be between 0 seconds and 100 years"}
	}
	fresh, err = retried(AnyVersion, func() (fresh Credential, err error) { // another replica may replace it meanwhile
		if old, err = d.store.ReadCredential(ctx, id); err != nil {
			return fresh, fmt.Errorf("read credential: %w", err)
		}
		if old.Kind == KindWorkload {
			return fresh, &InvalidError{"id", "is of a credential of kind workload, which holds no secret: there is nothing to rotate"}
		}
		if err := d.CatchUp(ctx); err != nil {
			return fresh, err
		}
		s, ok := d.Snapshot().ServiceByUID(old.Service)
		if !ok {
			return fresh, fmt.Errorf("service of credential %s: %w", id, ErrNotFound)
		}
		if err := d.replaceable(&old); err != nil {
			return fresh, err
		}
		material, err := remake(old.Kind)
		if err != nil {
			return fresh, err
		}
		n := NewCredential{Kind: old.Kind, Material: material, Name: old.Name, TTL: old.Life, CIDR: old.CIDR}
		if err := n.check(); err != nil {
			return fresh, err
		}
		fresh = d.newCredential(old.Service, n)
		fresh.Replaces, fresh.Overlap = old.ID, overlap
		return fresh, d.insertCredential(ctx, by, s.Name, fresh, &old)
	})
	return fresh, old, err
}

func (d *Directory) replaceable(old *Credential) error {
	now := d.now()
	if old.Good(now) != "" {
		return &InvalidError{"id", "is of a credential that is not valid now; create a new one instead"}
	}
	for _, c := range d.Snapshot().CredentialsOf(old.Service) {
		if (c.Replaces == old.ID || c.ID == old.Replaces) && !c.Ended(now) {
			return &InvalidError{"id", "is of one of two valid credentials: " + c.ID + " is the other; revoke the one that is no longer used"}
		}
	}
	return nil
}

// replacedBy returns the id and the new end of the credential that ends because of a use of its replacement, if u is one.
func (d *Directory) replacedBy(u Use) (id string, end time.Time, ok bool) {
	s := d.Snapshot()
	fresh, ok := s.Credential(u.Credential)
	if !ok || fresh.Replaces == "" {
		return "", end, false
	}
	old, ok := s.Credential(fresh.Replaces)
	if !ok || old.Ended(u.At) {
		return "", end, false
	}
	end = u.At.Add(fresh.Overlap)
	return old.ID, end, end.Before(old.ExpiresAt)
}

// endReplaced gives the credentials whose replacement was used their end.
func (d *Directory) endReplaced(ctx context.Context, uses map[string]Use) error {
	for _, u := range uses {
		id, end, ok := d.replacedBy(u)
		if !ok {
			continue
		}
		_, err := retried(AnyVersion, func() (Credential, error) {
			c, err := d.store.ReadCredential(ctx, id)
			if err != nil || !end.Before(c.ExpiresAt) { // another replica saw an earlier use
				return c, err
			}
			c.ExpiresAt = end
			_, err = d.store.UpdateCredential(ctx, c, d.change(Author{Actor: "server"}, "credential.replace", SubjectCredential(id),
				"credential", id, "replacedBy", u.Credential, "expires", end.Format(time.RFC3339)))
			return c, d.settle(ctx, err, "end credential %s", id)
		})
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
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
		c.RevokedAt = d.latest()
		if c.Kind == KindWorkload {
			t, err := d.store.ReadTrust(ctx, c.Trust)
			if err != nil && !errors.Is(err, ErrNotFound) {
				return Credential{}, fmt.Errorf("read the trust of credential %s: %w", id, err)
			}
			c.Withheld = t.Issuer
		}
		_, err = d.store.UpdateCredential(ctx, c, d.change(by, "credential.revoke", SubjectCredential(id), "credential", id))
		c.Version++
		return c, d.settle(ctx, err, "revoke credential %s", id)
	})
}
