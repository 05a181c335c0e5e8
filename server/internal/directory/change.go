package directory

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/policy"
)

// Bounds of what an operator may ask.
const (
	DefaultCredentialTTL = 90 * 24 * time.Hour
	MaxCredentialTTL     = 100 * 365.25 * 24 * time.Hour
	MaxDescription       = 1024
)

// AnyVersion makes a change whatever the stored version is; MustNotExist only when there is
// nothing yet.
const (
	AnyVersion   int64 = 0
	MustNotExist int64 = -1
)

// Author is who changes something, by which request.
type Author struct {
	Actor, RequestID string
	// Once is that of Change.
	Once *Once
}

// NewService is a service to be made.
type NewService struct {
	Name string
	api.ServiceSettings
}

// NewRule is what a rule is to say.
type NewRule struct {
	Scopes   []string
	Exchange policy.Exchange
	// MayAct names a service, or is empty.
	MayAct string
	// When are the conditions under which it counts. Nil: always.
	When  *policy.When
	Until time.Time
}

// Every change below is in force in this process when it returns nil. When the change is
// stored and the snapshot could not follow, the error says so.

// CreateService makes a service. ErrExists: the name is taken.
func (d *Directory) CreateService(ctx context.Context, by Author, n NewService) (Service, error) {
	now := d.now()
	s := Service{Name: n.Name, ServiceSettings: n.ServiceSettings, Version: 1, CreatedAt: now, UpdatedAt: now}
	rand.Read(s.UID[:])
	s.sort()
	if err := d.o.CheckService(s); err != nil {
		return Service{}, err
	}
	return retried(AnyVersion, func() (Service, error) { // another replica may add keys meanwhile
		c, err := d.withKeys(ctx, d.change(by, "service.create", SubjectService(s.UID), "service", s.Name), s)
		if err == nil {
			_, err = d.store.InsertService(ctx, s, c)
		}
		return s, d.settle(ctx, err, "create service %q", s.Name)
	})
}

// UpdateService changes a service by edit, which must not touch UID, Name, Version or the dates.
func (d *Directory) UpdateService(ctx context.Context, by Author, name string, version int64, edit func(*Service)) (Service, error) {
	return retried(version, func() (Service, error) {
		old, err := d.read(ctx, name, version)
		if err != nil {
			return Service{}, err
		}
		s := old
		edit(&s)
		s.UID, s.Name, s.Version, s.CreatedAt, s.UpdatedAt = old.UID, old.Name, old.Version, old.CreatedAt, old.UpdatedAt
		s.sort()
		if s.Equal(old) {
			return old, nil
		}
		// To disable what a file owns must be possible at once, in an emergency.
		if free := old; old.ManagedBy != "" {
			if free.Disabled = s.Disabled; !s.Equal(free) {
				return Service{}, fmt.Errorf("service %q %w: %q", name, ErrManaged, old.ManagedBy)
			}
		}
		if err := d.o.checkSettings(s); err != nil {
			return Service{}, err
		}
		s.UpdatedAt = d.now()
		action := "service.update"
		if s.Disabled != old.Disabled {
			action = map[bool]string{true: "service.disable", false: "service.enable"}[s.Disabled]
		}
		c, err := d.withKeys(ctx, d.change(by, action, SubjectService(s.UID), "service", s.Name), s)
		if err == nil {
			_, err = d.store.UpdateService(ctx, s, c)
		}
		s.Version++
		return s, d.settle(ctx, err, "update service %q", name)
	})
}

// DeleteService deletes a service, its credentials and every rule that names it.
func (d *Directory) DeleteService(ctx context.Context, by Author, name string, version int64) error {
	_, err := retried(version, func() (Service, error) {
		s, err := d.read(ctx, name, version)
		if err != nil {
			return s, err
		}
		if s.ManagedBy != "" {
			return s, fmt.Errorf("service %q %w: %q", name, ErrManaged, s.ManagedBy)
		}
		now := d.latest()
		gone := Revocation{ID: FormatUID(s.UID), RevokedAt: now, Until: now.Add(d.Snapshot().TokenLife())}
		_, err = d.store.DeleteService(ctx, s.UID, s.Version, gone, d.change(by, "service.delete", SubjectService(s.UID), "service", s.Name))
		return s, d.settle(ctx, err, "delete service %q", name)
	})
	return err
}

// RevokeToken records that the token with this jti is good no longer, wherever it is asked about.
// expiry is the token's own end; zero, when it is not known: the longest a token can live.
// status is its place in a status list, as Revocation has it. Revoking it again changes nothing, unless it is until
// more than a minute later.
func (d *Directory) RevokeToken(ctx context.Context, by Author, jti string, expiry time.Time, status string) error {
	return d.revokeToken(ctx, by, "", jti, expiry, status)
}

// MaxOwnRevocations is how many tokens of its own a service can have revoked at once, those left out that have
// expired: what one service can add to the deny-list. Beyond, revoking its credential takes one entry.
const MaxOwnRevocations = 1000

// RevokeOwnToken is RevokeToken by the service that the token was issued to. ErrTooMany: it has
// MaxOwnRevocations already.
func (d *Directory) RevokeOwnToken(ctx context.Context, by Author, owner UID, jti string, expiry time.Time, status string) error {
	return d.revokeToken(ctx, by, FormatUID(owner), jti, expiry, status)
}

func (d *Directory) revokeToken(ctx context.Context, by Author, owner, jti string, expiry time.Time, status string) error {
	now := d.latest()
	if last := now.Add(d.Snapshot().TokenLife()); expiry.IsZero() || expiry.After(last) {
		expiry = last
	}
	// Tokens that were exchanged for it end no later than it does.
	r := Revocation{ID: jti, RevokedAt: now, Until: expiry.Add(time.Minute), Status: status, Owner: owner} // clocks differ
	known, denied := d.Snapshot().Denials().Find(jti)
	if !expiry.After(d.Ended()) || denied && !known.Until.Before(r.Until.Add(-time.Minute)) {
		return nil
	}
	_, err := d.store.InsertRevocation(ctx, r, d.change(by, "token.revoke", SubjectRevocation(jti), "token", jti))
	if errors.Is(err, ErrExists) {
		err = nil
	}
	return d.settle(ctx, err, "revoke token %s", jti)
}

// Allow makes or changes the rule from caller to target, and reports whether it made one. A
// rule that says so already stays as it is.
func (d *Directory) Allow(ctx context.Context, by Author, caller, target string, n NewRule, version int64) (r Rule, created bool, err error) {
	scopes, err := ParseScopes(strings.Join(n.Scopes, " "))
	if err != nil {
		return Rule{}, false, err
	}
	now := d.now()
	switch n.Exchange {
	case policy.NoExchange, policy.Delegate, policy.Impersonate:
	default:
		return Rule{}, false, &InvalidError{"exchange", "must be delegate or impersonate, or empty for neither"}
	}
	if !n.Until.IsZero() && !n.Until.After(now) {
		return Rule{}, false, &InvalidError{"until", "must be in the future"}
	}
	e, err := d.edge(ctx, caller, target)
	if err != nil {
		return Rule{}, false, err
	}
	var mayAct UID
	gone := false // who may act was deleted: a rule that names it already may go on to
	if n.MayAct != "" {
		s, err := d.resolve(ctx, n.MayAct)
		if err == nil {
			mayAct = s.UID
		} else if mayAct, gone = deletedService(n.MayAct); !gone {
			return Rule{}, false, err
		}
	}
	r, err = retried(version, func() (Rule, error) {
		old, err := d.store.ReadRule(ctx, e)
		created = errors.Is(err, ErrNotFound)
		switch {
		case err != nil && !created:
			return Rule{}, fmt.Errorf("read rule: %w", err)
		case created && version > 0, !created && version != AnyVersion && version != old.Version:
			return old, ErrConflict
		}
		if old.ManagedBy != "" {
			return old, fmt.Errorf("rule %s -> %s %w: %q", caller, target, ErrManaged, old.ManagedBy)
		}
		if gone && old.MayAct != mayAct {
			return old, fmt.Errorf("service %q: %w", n.MayAct, ErrNotFound)
		}
		until := n.Until.UTC().Truncate(time.Microsecond)
		if !created && slices.Equal(old.Scopes, scopes) && old.Until.Equal(until) && old.Exchange == n.Exchange && old.MayAct == mayAct && FormatWhen(old.When) == FormatWhen(n.When) {
			return old, nil
		}
		r := Rule{Edge: e, Scopes: scopes, Exchange: n.Exchange, MayAct: mayAct, When: n.When, Until: until, Version: old.Version, CreatedAt: old.CreatedAt, UpdatedAt: now}
		if created {
			r.CreatedAt = now
		}
		_, err = d.store.PutRule(ctx, r, d.change(by, "rule.allow", SubjectRule(e),
			"caller", caller, "target", target, "scope", strings.Join(scopes, " "), "exchange", string(n.Exchange), "mayAct", n.MayAct))
		r.Version++
		return r, d.settle(ctx, err, "allow %s to call %s", caller, target)
	})
	return r, created, err
}

// deletedService is the service of which only the uid is left to name it.
func deletedService(uid string) (UID, bool) {
	u, err := ParseUID(uid)
	return u, err == nil
}

// Disallow removes the rule from caller to target. ErrNotFound: there is none.
func (d *Directory) Disallow(ctx context.Context, by Author, caller, target string, version int64) error {
	e, err := d.edge(ctx, caller, target)
	if err != nil {
		return err
	}
	_, err = retried(version, func() (Rule, error) {
		r, err := d.store.ReadRule(ctx, e)
		if err != nil {
			return r, fmt.Errorf("read rule: %w", err)
		}
		if version != AnyVersion && version != r.Version {
			return r, ErrConflict
		}
		if r.ManagedBy != "" {
			return r, fmt.Errorf("rule %s -> %s %w: %q", caller, target, ErrManaged, r.ManagedBy)
		}
		_, err = d.store.DeleteRule(ctx, e, r.Version, d.change(by, "rule.disallow", SubjectRule(e), "caller", caller, "target", target))
		return r, d.settle(ctx, err, "disallow %s to call %s", caller, target)
	})
	return err
}

// settle turns the outcome of a write into the outcome of the change: nil only when it is
// in force here.
func (d *Directory) settle(ctx context.Context, err error, format string, args ...any) error {
	return d.settleWithin(ctx, 2*time.Second, err, format, args...)
}

// settleWithin waits so long for the change to be in force.
func (d *Directory) settleWithin(ctx context.Context, within time.Duration, err error, format string, args ...any) error {
	if err != nil {
		return fmt.Errorf(format+": %w", append(args, err)...)
	}
	// The write is committed; a caller who went away must not keep it from being in force.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), within)
	defer cancel()
	if err := d.CatchUp(ctx); err != nil {
		return fmt.Errorf(format+": stored, but not yet in force here: %w", append(args, err)...)
	}
	return nil
}

// retried makes a change again when another one came between reading and writing, unless
// the caller named the version it must be made from.
func retried[T any](version int64, change func() (T, error)) (T, error) {
	for attempt := 0; ; attempt++ {
		v, err := change()
		if errors.Is(err, ErrConflict) && version == AnyVersion && attempt < 10 {
			continue
		}
		return v, err
	}
}

// resolve finds a service by name, asking the store when another replica may have just made it.
func (d *Directory) resolve(ctx context.Context, name string) (*Service, error) {
	if s, ok := d.Snapshot().Service(name); ok {
		return s, nil
	}
	if err := d.CatchUp(ctx); err != nil {
		return nil, err
	}
	if s, ok := d.Snapshot().Service(name); ok {
		return s, nil
	}
	return nil, fmt.Errorf("service %q: %w", name, ErrNotFound)
}

// read reads the service of that name as stored, which must be of that version.
func (d *Directory) read(ctx context.Context, name string, version int64) (Service, error) {
	known, err := d.resolve(ctx, name)
	if err != nil {
		return Service{}, err
	}
	s, err := d.store.ReadService(ctx, known.UID)
	if err != nil {
		return Service{}, fmt.Errorf("read service %q: %w", name, err)
	}
	if version != AnyVersion && version != s.Version {
		return Service{}, fmt.Errorf("service %q has version %d: %w", name, s.Version, ErrConflict)
	}
	return s, nil
}

func (d *Directory) edge(ctx context.Context, caller, target string) (e policy.Edge, err error) {
	c, err := d.resolve(ctx, caller)
	if err != nil {
		return e, err
	}
	t, err := d.resolve(ctx, target)
	if err != nil {
		return e, err
	}
	return policy.Edge{Caller: c.UID, Target: t.UID}, nil
}

// withKeys is c with the signing keys that are needed once services are stored.
func (d *Directory) withKeys(ctx context.Context, c Change, services ...Service) (Change, error) {
	var algorithms []string
	for _, s := range services {
		if s.Algorithm != "" && !slices.Contains(algorithms, s.Algorithm) {
			algorithms = append(algorithms, s.Algorithm)
		}
	}
	if len(algorithms) == 0 || d.o.Keys == nil {
		return c, nil
	}
	var err error
	if c.Keys, err = d.o.Keys(ctx, algorithms); err == nil && c.Keys != nil {
		maps.Copy(c.Detail, c.Keys.Detail())
	}
	return c, err
}

// CheckService holds a service against the rules of this package. The error is an *InvalidError.
func (d *Directory) CheckService(s Service) error { return d.o.CheckService(s) }

// CheckService holds a service against the rules of this package, without a directory. The error is
// an *InvalidError.
func (o Options) CheckService(s Service) error {
	if _, err := ParseName(s.Name); err != nil {
		return err
	}
	switch {
	case o.isOwn(s.Name):
		return &InvalidError{"name", fmt.Sprintf("%q is a name of the server itself; choose another", s.Name)}
	case looksLikeUID(s.Name):
		return &InvalidError{"name", "must not look like the identity of a service (svc_ and 32 hexadecimal digits)"}
	}
	return o.checkSettings(s)
}

// checkSettings holds all of a service against the rules of this package but its name, which never changes.
func (o Options) checkSettings(s Service) error {
	switch {
	case !text(s.Description, MaxDescription):
		return &InvalidError{"description", fmt.Sprintf("must be text of at most %d bytes without control characters", MaxDescription)}
	case s.TokenTTLSeconds < 0 || s.TokenTTLSeconds > int64(cmp.Or(o.MaxTokenTTL, defaultMaxTokenTTL)/time.Second):
		return &InvalidError{"tokenTtlSeconds", fmt.Sprintf("must be between 1 s and %s; the server's token.max_ttl sets the bound", cmp.Or(o.MaxTokenTTL, defaultMaxTokenTTL))}
	}
	return o.checkTerms(s)
}

// isOwn reports whether a name, or an audience, is one of the server's own. People take names that differ in case
// only for one.
func (o Options) isOwn(name string) bool {
	return slices.ContainsFunc(o.Reserved, func(own string) bool { return strings.EqualFold(name, own) })
}

// Owner returns a service that has what is now one of the server's own names or issuers: as its name, or as an
// audience, or an audience below it. Nil: there is none. Services are checked when they are made, but the server
// may be given another name later.
func (s *Snapshot) Owner(own string) *Service {
	if svc, ok := s.Service(own); ok {
		return svc
	}
	for svc := range s.All() {
		if slices.ContainsFunc(svc.Audiences, func(a string) bool { return within(a, own) }) {
			return svc
		}
	}
	return nil
}

// looksLikeUID reports whether tokens could name a service of that name where they mean the service with that
// identity, as in may_act, where the identity of a service that was deleted stands in the place of its name.
func looksLikeUID(name string) bool {
	_, err := ParseUID(strings.ToLower(name))
	return err == nil
}

func (d *Directory) change(by Author, action, subject string, detail ...string) Change {
	c := Change{At: d.now(), Actor: by.Actor, RequestID: by.RequestID, Action: action, Subject: subject, Detail: map[string]string{}, Once: by.Once}
	for i := 0; i+1 < len(detail); i += 2 {
		if detail[i+1] != "" {
			c.Detail[detail[i]] = detail[i+1]
		}
	}
	return c
}

// now is what stores can hold: UTC and whole microseconds.
func (d *Directory) now() time.Time { return d.o.Now().UTC().Truncate(time.Microsecond) }

// RandomID is 128 random bits in hexadecimal.
func RandomID() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// text reports whether s can be stored and shown: UTF-8, no control characters, not too long.
// PostgreSQL refuses NUL and invalid UTF-8.
func text(s string, limit int) bool {
	if len(s) > limit || !utf8.ValidString(s) {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r == 0x7f })
}
