package directory

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/trust"
)

// NewTrustID is the id of a trust, or of a generation of one, that is to be made.
func NewTrustID() string { return trustPrefix + RandomID() }

// AddTrust makes a trust. ErrExists: the name or the issuer is taken; the text says which.
func (d *Directory) AddTrust(ctx context.Context, by Author, name string, s api.TrustSettings) (Trust, error) {
	t := Trust{Name: name, TrustSettings: s}
	t.create(d.now())
	if err := d.o.CheckTrust(t); err != nil {
		return Trust{}, err
	}
	if err := d.CatchUp(ctx); err != nil {
		return Trust{}, err
	}
	if err := d.Snapshot().hasRoom(MaxTrusts - 1); err != nil {
		return Trust{}, err
	}
	_, err := d.store.InsertTrust(ctx, t, d.change(by, "trust.create", SubjectTrust(t.ID), "trust", t.Name, "issuer", t.Issuer))
	return t, d.settle(ctx, err, "add trust %q", name)
}

// hasRoom refuses more trusts than most.
func (s *Snapshot) hasRoom(most int) error {
	if n := s.trusts.byID.Len(); n > most {
		return &InvalidError{"name", fmt.Sprintf("would be that of one trust more than the %d there may be; remove those that are not used", MaxTrusts)}
	}
	return nil
}

// create gives a new trust, which may have an id, what it has from the beginning.
func (t *Trust) create(now time.Time) {
	if t.ID == "" {
		t.ID = NewTrustID()
	}
	t.sort()
	t.Generation, t.Version, t.CreatedAt, t.UpdatedAt, t.KeysAt = NewTrustID(), 1, now, now, time.Time{}
	if t.JWKS != "" {
		t.KeysAt = now
	}
}

// sort brings the settings into the form in which they are stored and compared.
func (t *Trust) sort() {
	if t.Preset == "" {
		t.Preset = trust.OIDC
	}
	t.Algorithms = slices.Clone(t.Algorithms) // the caller's stays as it is
	if slices.Sort(t.Algorithms); len(t.Algorithms) == 0 {
		t.Algorithms = nil
	}
}

// CheckTrust holds a trust against the rules of this package. The error is an *InvalidError.
func (d *Directory) CheckTrust(t Trust) error { return d.o.CheckTrust(t) }

// CheckTrust holds a trust against the rules of this package, without a directory. The error is an *InvalidError.
func (o Options) CheckTrust(t Trust) error {
	if _, err := ParseName(t.Name); err != nil {
		return err
	}
	// Tokens of this server name a caller as their subject, and the callee that received one could present it.
	if slices.Contains(o.Reserved, t.Issuer) {
		return &InvalidError{"issuer", "is an issuer of this server, whose tokens never prove who presents them"}
	}
	return invalid(trust.CheckSettings(t.TrustSettings, o.Issuer))
}

// invalid is an error of package trust as one of this package.
func invalid(err error) error {
	if e, ok := errors.AsType[*trust.InvalidError](err); ok {
		return &InvalidError{e.Field, "cannot be stored: " + e.Problem}
	}
	return err
}

// UpdateTrust changes the settings of a trust by edit. Tokens that depend on it are denied if it accepts less then.
func (d *Directory) UpdateTrust(ctx context.Context, by Author, name string, version int64, edit func(*api.TrustSettings)) (Trust, error) {
	return retried(version, func() (Trust, error) {
		old, err := d.readTrust(ctx, name, version)
		if err != nil {
			return Trust{}, err
		}
		t := old
		t.Algorithms = slices.Clone(old.Algorithms)
		edit(&t.TrustSettings)
		if t.Issuer != old.Issuer {
			if err := d.CatchUp(ctx); err != nil { // with credentials that another replica added
				return Trust{}, err
			}
		}
		withdrawn, err := d.succeed(d.Snapshot(), &t, &old)
		if err != nil {
			return Trust{}, err
		}
		if reflect.DeepEqual(t.TrustSettings, old.TrustSettings) {
			return old, nil
		}
		// To disable what a file owns must be possible at once, in an emergency.
		if free := old; old.ManagedBy != "" {
			if free.Disabled = t.Disabled; !reflect.DeepEqual(t.TrustSettings, free.TrustSettings) {
				return Trust{}, fmt.Errorf("trust %q %w: %q", name, ErrManaged, old.ManagedBy)
			}
		}
		action := "trust.update"
		if t.Disabled != old.Disabled {
			action = map[bool]string{true: "trust.disable", false: "trust.enable"}[t.Disabled]
		}
		c := d.change(by, action, SubjectTrust(t.ID), "trust", t.Name)
		if withdrawn != nil {
			c.Subject = SubjectMany
		}
		_, err = d.store.UpdateTrust(ctx, t, withdrawn, c)
		t.Version++
		return t, d.settle(ctx, err, "update trust %q", name)
	})
}

// RemoveTrust removes a trust, and revokes the credentials that name it. Tokens that depend on it are denied.
func (d *Directory) RemoveTrust(ctx context.Context, by Author, name string, version int64) error {
	_, err := retried(version, func() (Trust, error) {
		t, err := d.readTrust(ctx, name, version)
		if err != nil {
			return t, err
		}
		if t.ManagedBy != "" {
			return t, fmt.Errorf("trust %q %w: %q", name, ErrManaged, t.ManagedBy)
		}
		revoked := len(d.Snapshot().workloadsOf(t.ID, d.now()))
		c := d.change(by, "trust.delete", subjectOf(2+revoked), "trust", t.Name, "credentials revoked", count(revoked))
		_, err = d.store.DeleteTrust(ctx, t.ID, t.Version, d.withdrawal(&t), c)
		return t, d.settleAll(ctx, c, err, "remove trust %q", name)
	})
	return err
}

// readTrust reads the trust of that name as stored, which must be of that version.
func (d *Directory) readTrust(ctx context.Context, name string, version int64) (Trust, error) {
	known, err := d.resolveTrust(ctx, name)
	if err != nil {
		return Trust{}, err
	}
	t, err := d.store.ReadTrust(ctx, known.ID)
	if err != nil {
		return Trust{}, fmt.Errorf("read trust %q: %w", name, err)
	}
	if version != AnyVersion && version != t.Version {
		return Trust{}, fmt.Errorf("trust %q has version %d: %w", name, t.Version, ErrConflict)
	}
	return t, nil
}

// resolveTrust finds a trust by name, asking the store when another replica may have just made it.
func (d *Directory) resolveTrust(ctx context.Context, name string) (*Trust, error) {
	if t, ok := d.Snapshot().TrustByName(name); ok {
		return t, nil
	}
	if err := d.CatchUp(ctx); err != nil {
		return nil, err
	}
	if t, ok := d.Snapshot().TrustByName(name); ok {
		return t, nil
	}
	return nil, fmt.Errorf("trust %q: %w", name, ErrNotFound)
}

// succeed checks t, which is to take the place of old in s, and gives it what follows from the change. withdrawn is nil if
// t accepts all that old did.
func (d *Directory) succeed(s *Snapshot, t, old *Trust) (withdrawn *Revocation, err error) {
	t.sort()
	switch {
	case t.Name != old.Name:
		return nil, &InvalidError{"name", "cannot be changed; add another trust"}
	case t.Preset != old.Preset:
		return nil, &InvalidError{"preset", "cannot be changed; remove the trust, and add it again"}
	}
	if err := d.o.CheckTrust(*t); err != nil {
		return nil, err
	}
	// The same claims are those of another workload with another issuer.
	if t.Issuer != old.Issuer {
		if n := len(s.workloadsOf(old.ID, d.now())); n > 0 {
			return nil, &InvalidError{"issuer", fmt.Sprintf("cannot be changed while credentials name the trust, of which there are %d; revoke them, or add another trust", n)}
		}
	}
	t.Generation, t.CreatedAt, t.UpdatedAt, t.KeysAt = old.Generation, old.CreatedAt, d.now(), old.KeysAt
	switch {
	case t.JWKS == "":
		t.KeysAt = time.Time{}
	case t.JWKS != old.JWKS:
		t.KeysAt = t.UpdatedAt
	}
	if AcceptsAllOf(&t.TrustSettings, &old.TrustSettings) {
		return nil, nil
	}
	gone := d.withdrawal(old)
	t.Generation = NewTrustID()
	return &gone, nil
}

// withdrawal is the revocation of the generation of t.
func (d *Directory) withdrawal(t *Trust) Revocation {
	now := d.latest()
	return Revocation{ID: t.Generation, RevokedAt: now, Until: now.Add(d.Snapshot().TokenLife())}
}

// AcceptsAllOf reports whether s, settings of the same preset, accepts every token that old accepts. If not, the tokens
// that depend on the trust are denied when s takes the place of old.
func AcceptsAllOf(s, old *api.TrustSettings) bool {
	switch {
	case old.Disabled: // no token depends on it
		return true
	case s.Disabled, s.Issuer != old.Issuer, s.Audience != old.Audience,
		s.JWKSURI != old.JWKSURI, s.EndpointID != old.EndpointID, (s.JWKS == "") != (old.JWKS == ""),
		trust.LongestLife(s) < trust.LongestLife(old), trust.LongestSVID(s) < trust.LongestSVID(old), trust.OnceOnly(s) && !trust.OnceOnly(old):
		return false
	}
	return hasAll(trust.Algorithms(s), trust.Algorithms(old)) && hasAll(keysIn(s.JWKS), keysIn(old.JWKS)) &&
		hasAll(certificatesIn(s.Authorities), certificatesIn(old.Authorities))
}

func hasAll(some, wanted []string) bool {
	return !slices.ContainsFunc(wanted, func(w string) bool { return !slices.Contains(some, w) })
}

// keysIn are the keys of a JWK Set that was checked, each in one form.
func keysIn(jwks string) (all []string) {
	var set struct {
		Keys []any `json:"keys"`
	}
	if jwks == "" {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader([]byte(jwks)))
	d.UseNumber()
	if d.Decode(&set) != nil {
		return []string{jwks}
	}
	for _, key := range set.Keys {
		b, err := json.Marshal(key) // sorts the names
		if err != nil {
			panic(err) // it was JSON
		}
		all = append(all, string(b))
	}
	return all
}

// certificatesIn are the certificates of a text in PEM that was checked, in DER.
func certificatesIn(text string) (all []string) {
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return all
		}
		all = append(all, string(block.Bytes))
	}
}
