package directory

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/watchword-dev/watchword/server/internal/policy"
)

// Options of a Directory. The zero value works.
type Options struct {
	// MaxStaleness is how long the snapshot may go without word from the store before Fresh
	// says so. Zero: no bound, for a store that only this process writes.
	MaxStaleness time.Duration
	// Poll is how often the store is asked for changes when nothing notifies. Zero: never.
	Poll time.Duration
	// MaxTokenTTL bounds what a service may be given. Zero: 24 h.
	MaxTokenTTL time.Duration
	// Reserved are the server's own names and issuers: no service may have one as its name, in any case,
	// nor as an audience, nor an audience below it.
	Reserved []string
	// Issuer is the issuer URL of the server, which no trust may have as its own.
	Issuer string
	// AuthMethods and GrantTypes are those a service may be given. Nil: any.
	AuthMethods, GrantTypes []string
	// Keys returns the signing keys that have to be stored with services that ask for algorithms, or nil
	// if there are keys for all of them. Its error refuses the change.
	Keys func(ctx context.Context, algorithms []string) (NewKeys, error)
	// OnKeys is called when a change of the key ring was committed, by this replica or another.
	OnKeys func(ctx context.Context) error
	// OnChange is called after another snapshot came into force. It must not wait for anything.
	OnChange func()
	Now      func() time.Time
	// Passing is a clock that nobody sets, by which time passes. Nil: time.Now, of which the monotonic reading counts.
	Passing func() time.Time
	Logger  *slog.Logger
}

const defaultMaxTokenTTL = 24 * time.Hour

// Directory changes the store and follows it. Snapshot is always at hand; Load must have
// succeeded once before it is used, and Run keeps it fresh.
type Directory struct {
	store    Store
	follower Follower
	o        Options

	snapshot atomic.Pointer[Snapshot]
	// synced is when the store last confirmed the snapshot, on o.Now's clock.
	synced atomic.Pointer[time.Time]
	sync   sync.Mutex // one catchUp at a time
	newest Change     // the newest change that is in force, if it is known; guarded by sync
	adding sync.Mutex // one new credential at a time

	uses   uses
	steady steady
}

// New makes a directory over store. follower may be nil.
func New(store Store, follower Follower, o Options) *Directory {
	if o.MaxTokenTTL == 0 {
		o.MaxTokenTTL = defaultMaxTokenTTL
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Passing == nil {
		o.Passing = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	d := &Directory{store: store, follower: follower, o: o, uses: uses{now: make(chan struct{}, 1)}}
	d.snapshot.Store(NewSnapshot(&State{}, o.MaxTokenTTL))
	d.synced.Store(&time.Time{})
	return d
}

// Snapshot is the directory as it stands now.
func (d *Directory) Snapshot() *Snapshot { return d.snapshot.Load() }

// Fresh is nil while the snapshot is recent enough to decide from, else ErrStale.
func (d *Directory) Fresh() error {
	if d.o.MaxStaleness == 0 {
		return nil
	}
	if age := d.o.Now().Sub(*d.synced.Load()); age > d.o.MaxStaleness {
		return fmt.Errorf("%w: no word from the store for %s", ErrStale, age.Round(time.Second))
	}
	return nil
}

// Load reads everything anew.
func (d *Directory) Load(ctx context.Context) error {
	d.sync.Lock()
	defer d.sync.Unlock()
	return d.load(ctx)
}

func (d *Directory) load(ctx context.Context) error {
	asked := d.o.Now()
	state, err := d.store.Load(ctx)
	if err != nil {
		return fmt.Errorf("load directory: %w", err)
	}
	if err := d.setClock(ctx, state.Steady); err != nil {
		return fmt.Errorf("load directory: %w", err)
	}
	d.publish(NewSnapshot(state, max(state.TokenLife, d.o.MaxTokenTTL)).withoutEnded(d.Ended()), asked)
	return nil
}

// Begin makes known that a server starts to issue tokens that live up to the longest life of its settings. It
// raises the epoch, so that verifiers take what this server publishes for newer than what they have, also when the
// database was put back to a backup before the start.
func (d *Directory) Begin(ctx context.Context, by Author) error {
	_, err := d.store.Begin(ctx, d.o.MaxTokenTTL, d.change(by, "epoch.raise", SubjectEpoch))
	return d.settle(ctx, err, "raise the epoch")
}

// publish puts s in force. The moment is that of the question, not of the answer: the store
// may have changed while it answered.
func (d *Directory) publish(s *Snapshot, asked time.Time) {
	changed := d.snapshot.Swap(s) != s
	d.synced.Store(&asked)
	if changed && d.o.OnChange != nil {
		d.o.OnChange()
	}
}

// Run follows the store until ctx ends: at every notice, and at every Poll in any case. It
// also writes down when credentials were used. It returns nil when ctx ends.
func (d *Directory) Run(ctx context.Context) error {
	notices := make(chan struct{}, 1)
	var wg sync.WaitGroup
	defer wg.Wait()
	if d.follower != nil {
		wg.Go(func() { d.listen(ctx, notices) })
	}
	wg.Go(func() { d.recordUses(ctx) })
	wg.Go(func() { d.purge(ctx) })

	var poll <-chan time.Time
	if d.o.Poll > 0 {
		t := time.NewTicker(d.o.Poll)
		defer t.Stop()
		poll = t.C
	}
	failing := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-notices:
		case <-poll:
		}
		// A store that hangs must not keep the loop from trying again.
		c, cancel := context.WithTimeout(ctx, 2*time.Second)
		err := d.CatchUp(c)
		cancel()
		if ctx.Err() != nil {
			return nil
		}
		if failed := err != nil; failed != failing {
			failing = failed
			if failed {
				d.o.Logger.Error("cannot follow the store; answering from what is known", "error", err, "bound", d.o.MaxStaleness)
			} else {
				d.o.Logger.Info("following the store again", "revision", d.Snapshot().Revision())
			}
		}
	}
}

// listen turns the follower's notices into wake-ups, and connects again when it breaks.
func (d *Directory) listen(ctx context.Context, notices chan<- struct{}) {
	wake := func() {
		select {
		case notices <- struct{}{}:
		default: // one is waiting already and will see this change too
		}
	}
	for ctx.Err() == nil {
		for _, err := range d.follower.Notifications(ctx) {
			if err != nil {
				d.o.Logger.Debug("listening for changes failed; the server polls for changes until it works again", "error", err)
				break
			}
			wake()
		}
		// What was announced while nobody listened is seen now.
		wake()
		select {
		case <-ctx.Done():
		case <-time.After(250 * time.Millisecond):
		}
	}
}

// most changes applied one by one; behind by more, everything is read anew.
const catchUpLimit = 1000

// CatchUp applies all changes committed before it was called. When it returns nil, they
// are in force in this process.
func (d *Directory) CatchUp(ctx context.Context) error {
	d.sync.Lock()
	defer d.sync.Unlock()
	asked := d.o.Now()
	s := d.Snapshot()
	changes, err := d.store.ChangesAfter(ctx, s.revision-1, catchUpLimit+1)
	if err != nil {
		return fmt.Errorf("read changes after revision %d: %w", s.revision, err)
	}
	if s.revision > 0 {
		if !d.continues(s.revision, changes) {
			return d.startOver(context.WithoutCancel(ctx))
		}
		changes = changes[1:]
	}
	switch {
	case len(changes) == 0:
		d.publish(s, asked)
		return nil
	case len(changes) == catchUpLimit:
		// A large directory takes longer to load than the caller would wait for a change; the
		// store has its own bound.
		return d.loadAll(context.WithoutCancel(ctx)) // the caller's time may be over by now
	}
	d.newest = changes[len(changes)-1]
	seen := map[string]bool{}
	for _, c := range changes {
		subjects := []string{c.Subject}
		switch c.Subject {
		case SubjectEverything:
			return d.loadAll(context.WithoutCancel(ctx))
		case SubjectMany:
			if subjects, err = d.store.Subjects(ctx, c.Revision); err != nil {
				return fmt.Errorf("read what change %d touched: %w", c.Revision, err)
			}
			slices.SortStableFunc(subjects, trustsFirst)
		}
		for _, subject := range subjects {
			if seen[subject] {
				continue
			}
			seen[subject] = true
			switch s, err = d.reload(ctx, s, subject); {
			case errors.Is(err, errUnknownSubject):
				// What it is that changed only a newer version knows. It may be that a rule went, so nothing of
				// what is in force can be kept unread.
				d.o.Logger.Warn("a newer version made a change that this version does not know; the server reads everything again", "subject", subject, "revision", c.Revision)
				if err := d.load(context.WithoutCancel(ctx)); err != nil {
					return err
				}
				return d.keysChanged(context.WithoutCancel(ctx))
			case err != nil:
				return fmt.Errorf("apply change %d of %s: %w", c.Revision, subject, err)
			}
		}
	}
	d.publish(s.at(changes[len(changes)-1].Revision), asked)
	return nil
}

// trustsFirst orders the subjects of one change: what a credential is found by depends on its trust.
func trustsFirst(a, b string) int {
	of := func(s string) int {
		if strings.HasPrefix(s, SubjectTrust("")) {
			return 0
		}
		return 1
	}
	return of(a) - of(b)
}

// continues reports whether changes, those from the revision on that is in force, begin with the change that is in
// force. If not, the database was put back to an earlier state.
func (d *Directory) continues(revision int64, changes []Change) bool {
	if len(changes) == 0 || changes[0].Revision != revision {
		return false
	}
	known, found := d.newest, changes[0]
	d.newest = found
	return known.Revision != revision || known.At.Equal(found.At) && known.Subject == found.Subject && known.RequestID == found.RequestID
}

// startOver follows a database that was put back to an earlier state: it reads everything, and raises the epoch.
func (d *Directory) startOver(ctx context.Context) error {
	d.o.Logger.Warn("the database was restored to an earlier state; the server reads everything again", "revision", d.Snapshot().Revision())
	by := Author{Actor: "server"}
	if _, err := d.store.Begin(ctx, d.o.MaxTokenTTL, d.change(by, "epoch.raise", SubjectEpoch)); err != nil {
		return fmt.Errorf("raise the epoch: %w", err)
	}
	d.newest = Change{}
	return d.loadAll(ctx)
}

// loadAll reads everything anew. The keys come first: services may ask for one that is new.
func (d *Directory) loadAll(ctx context.Context) error {
	if err := d.keysChanged(ctx); err != nil {
		return err
	}
	return d.load(ctx)
}

func (d *Directory) keysChanged(ctx context.Context) error {
	if d.o.OnKeys == nil {
		return nil
	}
	return d.o.OnKeys(ctx)
}

// reload reads what subject names and returns s with it, or without it when it is gone.
func (d *Directory) reload(ctx context.Context, s *Snapshot, subject string) (*Snapshot, error) {
	kind, rest, _ := strings.Cut(subject, "/")
	switch kind {
	case "service":
		uid, err := ParseUID(rest)
		if err != nil {
			return nil, errUnknownSubject
		}
		svc, err := d.store.ReadService(ctx, uid)
		if errors.Is(err, ErrNotFound) {
			until, err := d.tombstone(ctx, uid)
			return s.withoutService(uid, until), err
		} else if err != nil {
			return nil, err
		}
		return s.withService(svc), nil
	case "credential":
		c, err := d.store.ReadCredential(ctx, rest)
		if errors.Is(err, ErrNotFound) {
			return s.withoutCredential(rest), nil
		} else if err != nil {
			return nil, err
		}
		return s.withCredential(c), nil
	case "rule":
		e, err := parseEdge(rest)
		if err != nil {
			return nil, errUnknownSubject
		}
		r, err := d.store.ReadRule(ctx, e)
		if errors.Is(err, ErrNotFound) {
			return s.withoutRule(e), nil
		} else if err != nil {
			return nil, err
		}
		return s.withRule(r.Compiled()), nil
	case "trust":
		t, err := d.store.ReadTrust(ctx, rest)
		if errors.Is(err, ErrNotFound) { // its credentials are revoked, each by a subject of its own
			return s.withoutTrust(rest), nil
		} else if err != nil {
			return nil, err
		}
		return s.withTrust(t), nil
	case "revocation":
		r, err := d.store.ReadRevocation(ctx, rest)
		if errors.Is(err, ErrNotFound) { // expired meanwhile
			return s, nil
		} else if err != nil {
			return nil, err
		}
		return s.withRevocation(r), nil
	case SubjectShadow:
		rules, err := d.store.Shadow(ctx)
		if err != nil {
			return nil, err
		}
		return s.withShadow(rules), nil
	case SubjectEpoch:
		epoch, life, err := d.store.Epoch(ctx)
		if err != nil {
			return nil, err
		}
		if life > s.keep { // what was revoked counts for longer
			state, err := d.store.Load(ctx)
			if err != nil {
				return nil, err
			}
			return NewSnapshot(state, life), nil
		}
		return s.withEpoch(epoch), nil
	case SubjectKeys:
		return s, d.keysChanged(ctx)
	case "supertokens", "secrets": // keys of that interface and resealed secrets, on which nothing here depends
		return s, nil
	default:
		return nil, errUnknownSubject
	}
}

// errUnknownSubject reports that a newer version wrote the change.
var errUnknownSubject = errors.New("unknown kind of subject")

// tombstone says until when the tokens of a deleted service must be denied.
func (d *Directory) tombstone(ctx context.Context, uid UID) (until time.Time, err error) {
	r, err := d.store.ReadRevocation(ctx, FormatUID(uid))
	if errors.Is(err, ErrNotFound) { // deleted by a version that left none, or long ago
		return d.latest().Add(d.Snapshot().TokenLife()), nil
	}
	return r.Until, err
}

func parseEdge(s string) (e policy.Edge, err error) {
	caller, target, _ := strings.Cut(s, "/")
	if e.Caller, err = ParseUID(caller); err != nil {
		return e, err
	}
	e.Target, err = ParseUID(target)
	return e, err
}
