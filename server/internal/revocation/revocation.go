// Package revocation publishes what was revoked, for resource servers that check tokens offline: as a signed
// deny-list whose changes verifiers follow, and as Token Status Lists. It does not know who may revoke what, nor how
// revocations are stored.
package revocation

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/keys"
)

// What a Publisher needs of its neighbours.
type (
	// Directory has what is denied.
	Directory interface {
		Snapshot() *directory.Snapshot
		Fresh() error
		// Ended is the moment before which what ended may be left out.
		Ended() time.Time
	}
	// Keys sign, and some of them were revoked.
	Keys interface {
		Signer(use keys.Use, alg jose.Algorithm) (*jose.Signer, error)
		List() []keys.Record
	}
)

// Options of a Publisher.
type Options struct {
	// Issuer is the iss of tokens of the OAuth endpoints, a URL; PlainIssuer is that of tokens of /accesstoken.
	Issuer, PlainIssuer string
	// Algorithm that signs. Zero: ES256.
	Algorithm jose.Algorithm
	// StatusKey makes the names of status lists, at least 16 bytes, the same on all replicas.
	StatusKey []byte
	Now       func() time.Time
	Logger    *slog.Logger
}

// Publisher has what was revoked, signed and ready to be served. Load must have succeeded before
// it serves, and Run keeps it up to date.
type Publisher struct {
	directory Directory
	keys      Keys
	o         Options

	building sync.Mutex
	history  history
	edition  atomic.Pointer[edition]
	wake     chan struct{}

	drained chan struct{}
	drain   sync.Once

	places *places
	signed signedLists
}

// New makes a publisher.
func New(d Directory, k Keys, o Options) *Publisher {
	if o.Algorithm == "" {
		o.Algorithm = jose.ES256
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Publisher{
		directory: d, keys: k, o: o, wake: make(chan struct{}, 1), drained: make(chan struct{}),
		places: newPlaces(o.Issuer, o.StatusKey),
	}
}

// Load makes the first list.
func (p *Publisher) Load() error { return p.update() }

// Changed tells the publisher that the directory or the key ring may have changed. It returns at once.
func (p *Publisher) Changed() {
	select {
	case p.wake <- struct{}{}:
	default: // one is waiting already and will see this change too
	}
}

// Drain ends all waiting, now and from now on: the server is about to stop.
func (p *Publisher) Drain() { p.drain.Do(func() { close(p.drained) }) }

// renewEvery is when entries that have ended leave the list: at whole hours, so that replicas agree.
const renewEvery = time.Hour

// Run publishes what changes until ctx ends. It returns nil then.
func (p *Publisher) Run(ctx context.Context) error {
	failing := false
	for {
		began := time.Now()
		err := p.update()
		took := time.Since(began)
		if failed := err != nil; failed != failing {
			failing = failed
			if failed {
				p.o.Logger.Error("cannot publish what was revoked; verifiers have the last list", "error", err)
			} else {
				p.o.Logger.Info("publishing what is revoked again")
			}
		}
		if !p.pause(ctx, took, failing) {
			return nil
		}
	}
}

// restAtMost is how long a change may wait for the one before.
const restAtMost = 500 * time.Millisecond

// pause waits until there is something to do. A list that changes all the time shall not take more
// than a fifth of one processor, unless it is so long that news would then come late.
func (p *Publisher) pause(ctx context.Context, took time.Duration, failing bool) bool {
	rest := min(4*took, restAtMost)
	now := p.o.Now()
	due := now.Truncate(renewEvery).Add(renewEvery).Sub(now)
	if failing {
		due = time.Second
	}
	if took > time.Millisecond && !sleep(ctx, rest) {
		return false
	}
	t := time.NewTimer(due)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-p.wake:
	case <-t.C:
	}
	return true
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// signer is the key that signs access tokens: verifiers have it.
func (p *Publisher) signer() (*jose.Signer, error) {
	s, err := p.keys.Signer(keys.UseAccess, p.o.Algorithm)
	if err != nil {
		return nil, fmt.Errorf("no key to sign with: %w", err)
	}
	return s, nil
}
