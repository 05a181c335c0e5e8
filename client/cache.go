package client

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// A token is renewed after a random 20 to 50 % of its lifetime. It is not renewed later, so that at least
	// half of it is left if the server cannot be reached (FLT-025). The interval is wide, so that clients that
	// start together soon renew at different times: with 50 to 80 % the peak stays 2.6 times the mean (SCL-002).
	renewFrom   = 0.2
	renewSpread = 0.3

	denialKept = 10 * time.Second // SCL-007
	// spare is how long a call waits for a new token while it has one that is about to expire, and patience how
	// long it waits for the first token when its context has no deadline.
	spare    = 250 * time.Millisecond
	patience = 3 * time.Second

	renewalGap = 10 * time.Second // between renewals after a 401 of the called service
	maxEntries = 1024
)

// question identifies a token that is requested and cached.
type question struct {
	target, scope string
	incoming      string // digest of the token to exchange; empty for a token for this service itself
	impersonate   bool
}

// ask is a question with the token that a request for it needs.
type ask struct {
	question
	subject secret // the token to exchange
}

// entry is the state of one question. Client.mu guards it.
type entry struct {
	q        ask
	used     time.Time // when it was last requested
	token    Token
	lifetime time.Duration // of token
	renewAt  time.Time
	renewed  time.Time // when it was last renewed after a 401 of the called service
	timer    *time.Timer
	flight   *flight

	denied      *DeniedError
	deniedUntil time.Time
}

func (e *entry) stop() {
	if e.timer != nil {
		e.timer.Stop()
	}
}

// usable reports whether the token has not expired. ample reports whether it also does not expire on its way to
// the called service.
func (e *entry) usable(now time.Time) bool {
	return e.token.value != nil && now.Before(e.token.expires)
}

func (e *entry) ample(now time.Time) bool {
	return e.usable(now) && now.Before(e.token.expires.Add(-min(e.lifetime/20, 5*time.Second)))
}

// flight is one request to the server, for which any number of callers wait.
type flight struct {
	try  bool // see gate
	done chan struct{}

	// Set before done is closed.
	token Token
	err   error
}

func (c *Client) token(ctx context.Context, q ask) (Token, error) {
	f, have, err := c.lookup(q)
	if f == nil {
		return have, err
	}
	wait, stop := ctx, func() {}
	if _, bounded := ctx.Deadline(); have.value != nil {
		wait, stop = context.WithTimeout(ctx, spare)
	} else if !bounded {
		wait, stop = context.WithTimeout(ctx, patience)
	}
	defer stop()
	token, err := f.wait(wait)
	switch {
	case err == nil || ctx.Err() != nil:
		return token, err
	case c.now().Before(have.expires):
		return have, nil // it is about to expire, but there is no other
	case wait.Err() != nil:
		return Token{}, &UnavailableError{Server: c.server, Err: fmt.Errorf("no answer within %v", patience)}
	}
	return Token{}, err
}

// lookup returns a token to use. Otherwise it returns a flight to wait for, perhaps with a token to use if the
// flight fails, or an error.
func (c *Client) lookup(q ask) (*flight, Token, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, Token{}, ErrClosed
	}
	now := c.now()
	e := c.entry(q)
	e.used = now
	if e.ample(now) {
		if !now.Before(e.renewAt) && e.q.incoming == "" {
			_, _ = c.launch(e, now) // the cached token is used meanwhile
		}
		return nil, e.token, nil
	}
	f, err := c.launch(e, now)
	if !e.usable(now) {
		return f, Token{}, err
	}
	return f, e.token, nil // even without a flight
}

// renew replaces a token that the called service rejected, and reports whether there is another one. The old token
// is kept until there is a new one, because the service may be wrong.
func (c *Client) renew(ctx context.Context, q ask, rejected Token) (Token, bool) {
	f, token := c.lookupOther(q, rejected)
	if f == nil {
		return token, token.value != nil
	}
	token, err := f.wait(ctx)
	return token, err == nil && token.Reveal() != rejected.Reveal()
}

func (c *Client) lookupOther(q ask, rejected Token) (*flight, Token) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	e := c.entry(q)
	if e.usable(now) && e.token.Reveal() != rejected.Reveal() {
		return nil, e.token
	}
	// A service that rejects every token must not make each call request a new one.
	if !e.renewed.IsZero() && now.Sub(e.renewed) < renewalGap {
		return nil, Token{}
	}
	e.renewed = now
	f, err := c.launch(e, now)
	if err != nil {
		return nil, Token{}
	}
	return f, Token{}
}

func (f *flight) wait(ctx context.Context) (Token, error) {
	select {
	case <-f.done:
		return f.token, f.err
	case <-ctx.Done():
		return Token{}, fmt.Errorf("wait for a token: %w", ctx.Err())
	}
}

// entry returns the entry of q, and creates it if necessary. If there are too many of its kind, it removes one
// without a token, or else the one that was not used for the longest time. Exchanged tokens, of which there may be
// one for each caller, do not displace the tokens for this service itself.
func (c *Client) entry(q ask) *entry {
	if e, ok := c.entries[q.question]; ok {
		return e
	}
	count := &c.own
	if q.incoming != "" {
		count = &c.exchanged
	}
	if *count >= maxEntries {
		var worst *entry
		for _, e := range c.entries {
			if e.q.sameKind(q) && (worst == nil || e.worseThan(worst)) {
				worst = e
			}
		}
		c.drop(worst)
	}
	*count++
	e := &entry{q: q}
	c.entries[q.question] = e
	return e
}

func (c *Client) drop(e *entry) {
	e.stop()
	delete(c.entries, e.q.question)
	if e.q.incoming != "" {
		c.exchanged--
	} else {
		c.own--
	}
}

func (q ask) sameKind(o ask) bool { return (q.incoming == "") == (o.incoming == "") }

func (e *entry) worseThan(o *entry) bool {
	if a, b := e.token.value != nil, o.token.value != nil; a != b {
		return b
	}
	return e.used.Before(o.used)
}

// launch returns the current flight or starts one, unless the server has just refused or must not be asked
// now.
func (c *Client) launch(e *entry, now time.Time) (*flight, error) {
	if c.closed {
		return nil, ErrClosed
	}
	if e.flight != nil {
		return e.flight, nil
	}
	if e.denied != nil && now.Before(e.deniedUntil) {
		return nil, e.denied
	}
	try, ok := c.gate.admit(now)
	if !ok {
		return nil, c.unavailable(c.gate.last, c.gate.next.Sub(now))
	}
	f := &flight{try: try, done: make(chan struct{})}
	e.flight = f
	c.wg.Go(func() {
		// All callers wait for the request, so it does not end with the context of one of them.
		ctx, cancel := context.WithTimeout(c.ctx, c.timeout)
		defer cancel()
		sent := c.now() // the lifetime starts before the server signs
		g, err := c.fetch(ctx, e.q)
		c.land(e, f, sent, g, err)
	})
	return f, nil
}

// land records the result of a flight and wakes those who wait for it.
func (c *Client) land(e *entry, f *flight, sent time.Time, g grant, err error) {
	c.mu.Lock()
	e.flight = nil
	var denied *DeniedError
	var note func() // called without the lock, because the logger may use this client
	switch {
	case c.closed:
		f.err = ErrClosed
	case err == nil:
		note = c.landGranted(e, f, sent, g)
	case errors.As(err, &denied):
		note = c.landDenied(e, f, denied)
	default:
		note = c.landFailed(e, f, asFailure(err))
	}
	close(f.done)
	c.mu.Unlock()
	if note != nil {
		note()
	}
}

func (c *Client) landGranted(e *entry, f *flight, sent time.Time, g grant) (note func()) {
	e.token = Token{newSecret(g.token), sent.Add(g.lifetime), c.prover, g.cert}
	e.lifetime, e.denied = g.lifetime, nil
	e.renewAt = sent.Add(time.Duration((renewFrom + renewSpread*c.random()) * float64(g.lifetime)))
	f.token = e.token
	if e.q.incoming == "" {
		c.schedule(e, e.renewAt.Sub(c.now()))
	} else {
		c.schedule(e, g.lifetime) // to remove it
	}
	if !c.gate.success() {
		return nil
	}
	return func() { c.log.Info("the authorization server answers again", "server", c.server) }
}

func (c *Client) landDenied(e *entry, f *flight, denied *DeniedError) (note func()) {
	now := c.now()
	f.err = denied
	e.denied, e.deniedUntil = denied, now.Add(denialKept)
	if e.q.incoming != "" && !e.usable(now) {
		c.schedule(e, denialKept) // to remove it
	}
	c.gate.success() // a refusal is an answer
	if !e.usable(now) {
		return nil // the caller gets the error
	}
	return func() {
		c.log.Warn("a token cannot be renewed; it is used until it expires", "target", e.q.target, "error", denied)
	}
}

func (c *Client) landFailed(e *entry, f *flight, fail failure) (note func()) {
	now := c.now()
	first := c.gate.failure(now, fail, f.try, c.random())
	wait := c.gate.next.Sub(now)
	f.err = c.unavailable(fail.err, wait)
	c.schedule(e, wait+c.jitter())
	if !first {
		return nil
	}
	return func() {
		c.log.Warn("no token from the authorization server; cached tokens are used until they expire", "server", c.server, "error", fail.err)
	}
}

func (c *Client) jitter() time.Duration { return time.Duration(c.random() * float64(time.Second)) }

// schedule sets the timer of e, unless e was removed meanwhile.
func (c *Client) schedule(e *entry, in time.Duration) {
	if c.entries[e.q.question] != e {
		return
	}
	e.stop()
	e.timer = time.AfterFunc(in, func() { c.wake(e) })
}

// wake renews the token of e in the background, or tries again to get a first one. It is called at a random time,
// which does not depend on the callers. An entry that was not used for one lifetime, or a minute, is removed.
func (c *Client) wake(e *entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if c.entries[e.q.question] != e {
		return
	}
	// An exchanged token is for the request that is being served, so it is not renewed.
	if e.q.incoming != "" {
		if e.flight == nil {
			c.drop(e)
		}
		return
	}
	if now.Sub(e.used) > max(e.lifetime, time.Minute) {
		return
	}
	var away *UnavailableError
	if _, err := c.launch(e, now); errors.As(err, &away) {
		c.schedule(e, max(away.RetryIn, minPause)+c.jitter())
	}
}
