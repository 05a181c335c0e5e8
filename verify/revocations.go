package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
)

// Revocations configures whether the verifier follows the authorization server's signed deny-list, so that
// tokens are refused before they expire when the token, a service or credential it depends on, or the key
// that signed it is revoked. A revocation takes effect within a second while the server can be reached.
type Revocations struct {
	// URL is the URL of the deny-list: {issuer}/oauth2/denylist. If empty, no list is followed, and revoked tokens are
	// accepted until they expire.
	URL string
	// FailClosedAfter refuses all tokens with ErrRevocationsStale while the newest signed statement of the
	// server about what is revoked is older than that, by the server's clock and up to Config.Leeway more, or
	// while there is none. At least MinFailClosed. Zero: tokens are compared with the last list, however old.
	FailClosedAfter time.Duration
	// CacheFile keeps the list across restarts, so that what was revoked stays revoked when a service
	// restarts while the authorization server is away. The list is signed: a process that can write the
	// file can at most remove the newest entries. Empty: no file.
	CacheFile string
	// Off follows no list although Config.Server is set.
	Off bool
}

// MinFailClosed is the minimum of Revocations.FailClosedAfter. The server may make no statement for a third of it.
const MinFailClosed = 10 * time.Second

const (
	maxDenyListSize = 64 << 20 // more than 1,000,000 ids
	denyListType    = "denylist+jwt"
	denyUpdateType  = "denylist-update+jwt"

	// longestWait is how long the server is asked to hold a request until something changes.
	longestWait = 25 * time.Second
	// pollEvery is the minimum time between two requests, for a server that does not hold them.
	pollEvery = 200 * time.Millisecond
	// retryEvery is the maximum time between two requests that fail.
	retryEvery = 10 * time.Second
)

// follower has the current deny-list. Its clock is time.Now, like that of keySource.
type follower struct {
	url     string
	client  *http.Client
	keys    *keySource
	issuers []string
	allowed []jose.Algorithm
	logger  *slog.Logger
	leeway  time.Duration
	stale   time.Duration // FailClosedAfter
	hold    time.Duration
	file    string

	list  atomic.Pointer[denyList]
	heard atomic.Pointer[time.Time] // the time of the server's last statement; nil if there is none

	cancel context.CancelFunc
	first  chan struct{} // closed after the first attempt
	done   chan struct{}
	once   sync.Once
}

func newFollower(c Config, v *Verifier) (*follower, error) {
	r := c.Revocations
	switch {
	case r.Off && r.URL != "":
		return nil, errors.New("Config.Revocations has both Off and URL: set one of them")
	case r.URL == "" && (r.FailClosedAfter != 0 || r.CacheFile != ""):
		return nil, errors.New("Config.Revocations has no URL, which its other fields require")
	case r.URL == "":
		return nil, nil
	case r.FailClosedAfter != 0 && r.FailClosedAfter < MinFailClosed:
		return nil, fmt.Errorf("Config.Revocations.FailClosedAfter is %v: at least %v", r.FailClosedAfter, MinFailClosed)
	}
	u, err := sourceURL("Config.Revocations.URL", r.URL, c.AllowHTTP)
	if err != nil {
		return nil, err
	}
	f := &follower{
		url: u.String(), keys: v.keys, issuers: v.issuers, allowed: v.algorithms, logger: cmp.Or(c.Logger, slog.Default()),
		leeway: v.leeway, stale: r.FailClosedAfter, hold: longestWait, file: r.CacheFile, first: make(chan struct{}), done: make(chan struct{}),
	}
	if f.stale > 0 {
		f.hold = min(f.stale/3, longestWait).Truncate(time.Second)
	}
	f.client = httpClient(c.HTTPClient)
	f.client.Timeout = 0 // it would end a request that is being held; each request has its own limit
	return f, nil
}

// start follows the list until close. It returns after the first attempt.
func (f *follower) start(ctx context.Context) {
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	f.cancel = cancel
	go f.run(running)
	select {
	case <-f.first:
	case <-ctx.Done():
	}
}

func (f *follower) close() {
	f.cancel()
	<-f.done
}

// check returns an error if the token is denied by the current list.
func (f *follower) check(c *Claims) error {
	if f.stale > 0 {
		if last := f.heard.Load(); last == nil || time.Since(*last) > f.stale {
			return ErrRevocationsStale
		}
	}
	l := f.list.Load()
	if l == nil {
		return nil
	}
	if _, ok := l.keys[c.keyID]; ok {
		return fmt.Errorf("%w: the key that signed it was", ErrRevoked)
	}
	for _, kid := range c.depKeys {
		if _, ok := l.keys[kid]; ok {
			return fmt.Errorf("%w: a key that signed a token from which it was exchanged was", ErrRevoked)
		}
	}
	if l.empty() {
		return nil
	}
	if l.denies(c.ID) || l.denies(c.keyID) {
		return ErrRevoked
	}
	for _, id := range c.deps {
		if l.denies(id) {
			return fmt.Errorf("%w, by what it depends on", ErrRevoked)
		}
	}
	// The name or audience may be that of another service now, which must not get the calls to the former one.
	if l.denies(c.target) {
		return fmt.Errorf("%w: the service for which it was issued was deleted or disabled", ErrRevoked)
	}
	return nil
}

func (f *follower) run(ctx context.Context) {
	defer close(f.done)
	pause := pollEvery
	said := "" // the failure that was logged last
	for failing := false; ctx.Err() == nil; {
		if f.list.Load() == nil && f.file != "" {
			f.load(ctx)
		}
		err := f.poll(ctx, !failing)
		f.once.Do(func() { close(f.first) })
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && err.Error() != said:
			said = err.Error()
			f.logger.Warn("cannot follow revocations; using the last list, if any", "error", err)
		case err == nil && failing:
			said = ""
			f.logger.Info("following revocations again")
		}
		if failing = err != nil; failing {
			pause = min(2*pause, retryEvery)
		} else {
			pause = pollEvery
		}
		// Random, so that not all services send a request when the server is back.
		timer := time.NewTimer(pause/2 + rand.N(pause/2)) //nolint:gosec // keeps nothing secret
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// poll sends one request, which the server holds until something changes. It is not held if no list is known or the
// last request failed, in order to find out whether the server can be reached.
func (f *follower) poll(ctx context.Context, hold bool) error {
	known := f.list.Load()
	if known != nil && (known.broken || f.file != "" && known.updates >= maxSavedUpdates) {
		whole := *known
		whole.state, whole.etag = "", ""
		known, hold = &whole, false
	}
	limit, query := fetchTimeout, url.Values{}
	if known != nil && hold {
		limit += f.hold
		query.Set("wait", strconv.Itoa(int(f.hold/time.Second)))
	}
	if known != nil && known.state != "" {
		query.Set("since", known.state)
		query.Set("epoch", strconv.FormatInt(known.epoch, 10))
		query.Set("rev", strconv.FormatInt(known.revision, 10))
	}
	target := f.url
	if len(query) > 0 {
		target += querySeparator(target) + query.Encode()
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(limit, func() { cancel(errSlow) })
	defer timer.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/jwt, application/"+denyUpdateType)
	if known != nil && known.etag != "" {
		req.Header.Set("If-None-Match", known.etag)
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return fmt.Errorf("fetch deny-list: %w", cmp.Or(context.Cause(ctx), err))
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNotModified && known != nil && known.etag != "":
	case resp.StatusCode == http.StatusOK:
		body, err := io.ReadAll(&steadyReader{r: io.LimitReader(resp.Body, maxDenyListSize+1), timer: timer, begun: time.Now()})
		if err == nil {
			timer.Reset(fetchTimeout) // for the keys that it is verified with
			err = f.receive(ctx, resp, body, known)
		}
		if err != nil {
			return fmt.Errorf("fetch deny-list: %w", cmp.Or(context.Cause(ctx), err))
		}
	default:
		return fmt.Errorf("fetch deny-list: the answer is %s", resp.Status)
	}
	return nil
}

// slowest is the minimum rate at which a list has to arrive, in bytes per second. The longest list takes four minutes.
const slowest = 256 << 10

var errSlow = errors.New("the server does not answer, or too slowly")

// steadyReader gives a body fetchTimeout, and more time for all that has arrived, so that a list of any length arrives over a
// slow link, and one that stalls does not hold up the next attempt.
type steadyReader struct {
	r     io.Reader
	timer *time.Timer // ends the request
	begun time.Time
	read  int64
}

func (s *steadyReader) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	s.read += int64(n)
	if n > 0 {
		s.timer.Reset(max(0, fetchTimeout+time.Duration(s.read)*time.Second/slowest-time.Since(s.begun)))
	}
	return n, err
}

func querySeparator(u string) string {
	if strings.Contains(u, "?") {
		return "&"
	}
	return "?"
}

func (f *follower) receive(ctx context.Context, resp *http.Response, body []byte, known *denyList) error {
	l, err := f.parse(ctx, string(body), known)
	if errors.Is(err, errChain) {
		broken := *known
		broken.broken = true
		f.list.Store(&broken) // the next request is for the whole list
		return err
	}
	if err != nil {
		return err
	}
	if !time.Now().Before(l.expires) {
		return errors.New("the list has expired")
	}
	l.etag = resp.Header.Get("ETag")
	f.list.Store(l)
	f.hear(l.issued)
	if err := f.save(body, l, known); err != nil {
		f.logger.Warn("cannot write the deny-list to the cache file", "error", err)
	}
	return nil
}

// hear records the time of a statement of the server. A replayed statement has its original time.
func (f *follower) hear(issued time.Time) {
	at := issued.Add(f.leeway)
	if now := time.Now(); at.After(now) {
		at = now
	}
	if last := f.heard.Load(); last == nil || at.After(*last) {
		f.heard.Store(&at)
	}
}

// maxSavedUpdates limits the cache file. After this number of updates, the whole list is fetched again.
const maxSavedUpdates = 128

// save writes what was received to the cache file: the whole list in its first line, and one update in each of the
// other lines.
func (f *follower) save(body []byte, l, known *denyList) error {
	switch {
	case f.file == "":
		return nil
	case l.whole:
		return replaceFile(f.file, body)
	case l.updates == known.updates: // nothing has changed
		return nil
	}
	file, err := os.OpenFile(f.file, os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(append([]byte{'\n'}, body...))
	return errors.Join(err, file.Close())
}

// load reads the list of an earlier run, which is used until there is one from the server. What was revoked then is
// still revoked, but it is not a current statement of the server.
func (f *follower) load(ctx context.Context) {
	body, err := os.ReadFile(f.file)
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	var l *denyList
	if err == nil {
		l, err = f.read(ctx, body)
	}
	switch {
	case errors.Is(err, ErrKeysUnavailable): // no token is accepted without keys; try again when there are some
	case err != nil:
		f.logger.Warn("cannot use the cache file of the deny-list; waiting for the authorization server", "error", err)
		f.file = ""
	default:
		f.list.Store(l)
	}
}

// read parses a cache file. The last update may have been cut off.
func (f *follower) read(ctx context.Context, file []byte) (*denyList, error) {
	whole, updates, _ := strings.Cut(string(file), "\n")
	l, err := f.parse(ctx, whole, nil)
	if err != nil {
		return nil, err
	}
	for line := range strings.SplitSeq(updates, "\n") {
		next, err := f.parse(ctx, line, l)
		if err != nil {
			break
		}
		l = next
	}
	return l, nil
}
