package client

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// A token is renewed at a random 20 to 50 % of its life. Not later, so that half of
	// it is left when the server goes away (FLT-025); and spread as widely as the mean
	// is long, because clients that start together then drift apart within one cycle:
	// at 50 to 80 % the peak stays 2.6 times the mean (SCL-002).
	renewFrom   = 0.2
	renewSpread = 0.3

	denialKept = 10 * time.Second // SCL-007
	// spare is how long a call waits for a new token while it has one that is about to expire, and patience how
	// long it waits for the first token when its context has no deadline.
	spare    = 250 * time.Millisecond
	patience = 3 * time.Second

	renewalGap = 10 * time.Second // between renewals that a callee's 401 asks for
	maxEntries = 1024
)

// question is what a token is asked and kept for.
type question struct {
	target, scope string
	incoming      string // digest of the token to exchange; empty for a token of this service's own
	impersonate   bool
}

// ask is a question with what it takes to ask it.
type ask struct {
	question
	subject secret // the token to exchange
}

// entry is what is known of one question. Client.mu guards it.
type entry struct {
	q        ask
	used     time.Time // last asked for
	token    Token
	lifetime time.Duration // of token
	renewAt  time.Time
	renewed  time.Time // last time a callee's 401 asked for renewal
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

// usable says that the token has not expired; ample, that it also survives the way to
// the callee.
func (e *entry) usable(now time.Time) bool {
	return e.token.value != nil && now.Before(e.token.expires)
}

func (e *entry) ample(now time.Time) bool {
	return e.usable(now) && now.Before(e.token.expires.Add(-min(e.lifetime/20, 5*time.Second)))
}

// flight is one request to the server, which any number of callers wait for.
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
		return have, nil // about to expire, but all there is
	case wait.Err() != nil:
		return Token{}, &UnavailableError{Server: c.server, Err: fmt.Errorf("no answer within %v", patience)}
	}
	return Token{}, err
}

// lookup returns a token that will do, or a flight to wait for and perhaps a token to
// fall back on, or an error.
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
			_, _ = c.launch(e, now) // the token at hand will do meanwhile
		}
		return nil, e.token, nil
	}
	f, err := c.launch(e, now)
	if !e.usable(now) {
		return f, Token{}, err
	}
	return f, e.token, nil // without a flight too
}

// renew replaces a token that a callee rejected. It reports false when there is no
// better one. The old token stays until a new one is there: the callee may be wrong.
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
	// A callee that rejects every token must not turn each call into a new one.
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

// entry finds or makes the entry of q. When there are too many of its kind, it drops one without a
// token, else the one not used for longest. Exchanged tokens, of which there may be one for each
// caller, do not push out those of this service's own.
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

// launch joins the flight under way or starts one, unless the server has just refused
// or is not to be asked now.
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
		return nil, &UnavailableError{Server: c.server, RetryIn: c.gate.next.Sub(now), Err: c.gate.last}
	}
	f := &flight{try: try, done: make(chan struct{})}
	e.flight = f
	c.wg.Go(func() {
		// The request belongs to all who wait, so no caller's context bounds it.
		ctx, cancel := context.WithTimeout(c.ctx, c.timeout)
		defer cancel()
		sent := c.now() // the lifetime counts from before the server signed
		g, err := c.fetch(ctx, e.q)
		c.land(e, f, sent, g, err)
	})
	return f, nil
}

// land records how a flight ended and tells those who wait.
func (c *Client) land(e *entry, f *flight, sent time.Time, g grant, err error) {
	c.mu.Lock()
	e.flight = nil
	var denied *DeniedError
	var note func() // not called under the lock: the log may itself use this client
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
		c.schedule(e, g.lifetime) // to let it go
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
		c.schedule(e, denialKept) // to let it go
	}
	c.gate.success() // a refusal is an answer
	if !e.usable(now) {
		return nil // the caller has the error
	}
	return func() {
		c.log.Warn("a token cannot be renewed; it is used until it expires", "target", e.q.target, "error", denied)
	}
}

func (c *Client) landFailed(e *entry, f *flight, fail failure) (note func()) {
	now := c.now()
	first := c.gate.failure(now, fail, f.try, c.random())
	wait := c.gate.next.Sub(now)
	f.err = &UnavailableError{Server: c.server, RetryIn: wait, Err: fail.err}
	c.schedule(e, wait+c.jitter())
	if !first {
		return nil
	}
	return func() {
		c.log.Warn("no token from the authorization server; tokens at hand are used until they expire", "server", c.server, "error", fail.err)
	}
}

func (c *Client) jitter() time.Duration { return time.Duration(c.random() * float64(time.Second)) }

// schedule sets the one timer of e, unless e was dropped meanwhile.
func (c *Client) schedule(e *entry, in time.Duration) {
	if c.entries[e.q.question] != e {
		return
	}
	e.stop()
	e.timer = time.AfterFunc(in, func() { c.wake(e) })
}

// wake renews the token of e in the background, or tries again to get a first one: at its
// own random time, whatever the rhythm of the callers. A target that was not asked for
// during one whole lifetime, or a minute, is let go.
func (c *Client) wake(e *entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if c.entries[e.q.question] != e {
		return
	}
	// An exchanged token lives no longer than the request it belongs to: there is nothing to renew.
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
