// Package probe asks whether a service really refuses the tokens it must refuse: it sends them to
// the URL the service declared for that, and reports what came back. The server's tokens it is handed, for a
// subject that is no service; the forged ones it makes of those, with keys of its own (forge.go).
package probe

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/issuer"
)

// Minter begins a probe, which records it, and makes its tokens.
type Minter interface {
	Probe(ctx context.Context, by directory.Author, service *directory.Service, url string) (*issuer.Prober, error)
	Issuers() (oauth, plain string)
}

// Store keeps the last result of each service.
type Store interface {
	// SaveProbe puts r in the place of the last one. ErrNotFound: the service is gone.
	SaveProbe(ctx context.Context, service directory.UID, at time.Time, result []byte) error
	// ClaimProbe says that the service is being probed now, unless that was said at or after notAfter.
	// Of several that claim at once one gets true.
	ClaimProbe(ctx context.Context, service directory.UID, now, notAfter time.Time) (bool, error)
	// ProbeTimes says when services were probed last.
	ProbeTimes(ctx context.Context) (map[directory.UID]time.Time, error)
}

// Options of a Prober.
type Options struct {
	// Failed is called for each check in which a service accepted what it must refuse. It may be nil.
	Failed func(service, check string)
	// Patience is how long a service may take to hear of a revocation. Zero: 3 s, thrice what
	// followers of the deny-list are promised.
	Patience time.Duration
	Now      func() time.Time
}

// Prober probes services.
type Prober struct {
	minter Minter
	store  Store
	o      Options
	client *http.Client
}

// New makes a Prober.
func New(m Minter, s Store, o Options) *Prober {
	if o.Patience == 0 {
		o.Patience = 3 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Failed == nil {
		o.Failed = func(string, string) {}
	}
	return &Prober{minter: m, store: s, o: o, client: newClient()}
}

// limit is how long one probe takes at most. A callee that does not answer at all ends it at once.
const limit = 2 * time.Minute

// again is how often a revoked token is sent until it is refused.
const again = 100 * time.Millisecond

// Probe sends the tokens to the service's probe URL, which must not be empty, and keeps the result.
// Other names the service that the token for another service is for; empty: one that there is not,
// so that who is probed gains nothing from it.
func (p *Prober) Probe(ctx context.Context, by directory.Author, service *directory.Service, other string) (api.ProbeResult, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	minter, err := p.minter.Probe(ctx, by, service, service.Probe)
	if err != nil {
		return api.ProbeResult{}, err
	}
	forger, err := newForger(minter.Key())
	if err != nil {
		return api.ProbeResult{}, err
	}
	run := &run{Prober: p, minter: minter, forger: forger, other: other, ProbeResult: api.ProbeResult{
		Service: service.Name, URL: service.Probe, At: p.o.Now().UTC().Truncate(time.Microsecond), Checks: []api.ProbeCheck{},
	}}
	if err := run.all(ctx); err != nil {
		return api.ProbeResult{}, err
	}
	judge(&run.ProbeResult)
	for _, c := range run.Failures() {
		p.o.Failed(service.Name, c.Name)
	}
	return run.ProbeResult, p.save(ctx, service.UID, run.ProbeResult)
}

// run is one probe.
type run struct {
	*Prober
	api.ProbeResult
	minter *issuer.Prober
	forger *forger
	other  string
	oauth  bool
	nonce  string
}

func (r *run) all(ctx context.Context) error {
	for _, c := range Checks() {
		if r.other != "" && c.Name == "another_audience" {
			c.What, c.Token = "a token for "+r.other, func(t *issuer.ProbeToken) { t.Audience = r.other }
		}
		a, err := r.check(ctx, c)
		if err != nil {
			return err
		}
		r.Checks = append(r.Checks, c.result(r.Service, a))
		if len(r.Checks) == 1 && a.outcome != api.ProbeAccepted {
			return nil // nothing else would mean anything
		}
	}
	return nil
}

func (r *run) check(ctx context.Context, c Check) (answer, error) {
	switch {
	case c.Token == nil:
		return send(ctx, r.client, r.URL, http.Header{}), nil
	case c.Revoked:
		return r.revoked(ctx, c)
	case len(r.Checks) == 0:
		return r.first(ctx, c)
	}
	return r.mintAndSend(ctx, c)
}

func (r *run) mintAndSend(ctx context.Context, c Check) (answer, error) {
	token, err := r.token(c)
	if err != nil {
		return answer{}, err
	}
	return r.send(ctx, c, token)
}

func (r *run) token(c Check) (string, error) {
	t := issuer.ProbeToken{OAuth: r.oauth}
	if r.Bound || c.Bound {
		t.Key = r.forger.holder.ID()
	}
	c.Token(&t)
	token, err := r.minter.Token(t)
	if err != nil || c.Forge == nil {
		return token, err
	}
	return r.forger.forge(c.Forge, token)
}

// send sends a token with the proof it needs. A service that wants its nonce in the proof says so once
// (RFC 9449, section 9).
func (r *run) send(ctx context.Context, c Check, token string) (a answer, err error) {
	if c.Proof == NoProof || c.Proof == AsNeeded && !r.Bound {
		return send(ctx, r.client, r.URL, http.Header{"Authorization": {"Bearer " + token}}), nil
	}
	for range 2 {
		proof, err := r.forger.proof(r.URL, r.nonce, token, c.Proof == WrongProof, r.o.Now())
		if err != nil {
			return answer{}, err
		}
		a = send(ctx, r.client, r.URL, http.Header{"Authorization": {"DPoP " + token}, "Dpop": {proof}})
		if a.nonce == "" || a.nonce == r.nonce {
			break
		}
		if r.nonce = a.nonce; a.outcome != api.ProbeRefused {
			break
		}
	}
	return a, nil
}

// first finds out what the service takes: tokens of which of the server's two issuers, and whether
// only bound ones.
func (r *run) first(ctx context.Context, c Check) (a answer, err error) {
	oauth, plain := r.Prober.minter.Issuers()
	for _, r.Bound = range []bool{false, true} {
		for _, r.oauth = range []bool{true, false} {
			if a, err = r.mintAndSend(ctx, c); err != nil || a.status == 0 {
				return a, err // of a service that is not there nothing can be found out
			}
			if a.outcome == api.ProbeAccepted {
				if r.Issuer = plain; r.oauth {
					r.Issuer = oauth
				}
				return a, nil
			}
		}
	}
	r.Bound = false
	return a, nil
}

// revoked sends a token, revokes it, and sends it again until it is refused. That it was accepted
// before has a service that remembers good tokens take a second look.
func (r *run) revoked(ctx context.Context, c Check) (answer, error) {
	token, err := r.token(c)
	if err != nil {
		return answer{}, err
	}
	a, err := r.send(ctx, c, token)
	if err != nil {
		return a, err
	}
	if a.outcome != api.ProbeAccepted {
		return answer{outcome: api.ProbeUnclear, status: a.status, why: "it did not accept it before it was revoked"}, nil
	}
	if err := r.minter.Revoke(ctx, token); err != nil {
		return answer{}, fmt.Errorf("probe %q: %w", r.Service, err)
	}
	for end := time.Now().Add(r.o.Patience); ; {
		a, err := r.send(ctx, c, token)
		if err != nil || a.outcome != api.ProbeAccepted || time.Now().After(end) {
			return a, err
		}
		select {
		case <-ctx.Done():
			return answer{outcome: api.ProbeUnclear, status: a.status, why: "there was no time left"}, nil
		case <-time.After(again):
		}
	}
}
