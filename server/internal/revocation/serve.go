package revocation

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/watchword-dev/watchword/server/internal/web"
)

// DenyListPath is where the deny-list is, below the issuer.
const DenyListPath = "/oauth2/denylist"

// LongestWait is how long a request may wait for another list: less than what proxies cut off.
const LongestWait = 25 * time.Second

// answerTime is what is left after the wait to write the answer.
const answerTime = 15 * time.Second

// slowest is the rate at which a list has to be taken, in bytes per second, as package verify has it.
const slowest = 256 << 10

// DenyList is GET {issuer}/oauth2/denylist: the whole list or, with ?since=STATE, an update from that state, which
// says that nothing has changed when that is so. With ?wait=SECONDS, Wait comes first. Without since, If-None-Match and
// 304 serve those who follow the whole list (RFC 9110, section 15.4.5).
func (p *Publisher) DenyList(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return web.Method("GET, HEAD")
	}
	q, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return err
	}
	e := p.edition.Load()
	if e == nil {
		return web.Unavailable("the list is not ready yet", nil)
	}
	// A server that hears nothing from its store does not know what was revoked since.
	if err := p.directory.Fresh(); err != nil {
		return web.Unavailable("the server is cut off from its store", err)
	}
	h := w.Header()
	h.Set("Cache-Control", "no-cache")
	select {
	case <-p.drained:
		h.Set("Connection", "close")
	default:
	}
	body, err := p.answer(q, e)
	switch {
	case err != nil:
		return web.Unavailable("the list cannot be signed", err)
	case body != nil:
		web.WriteCached(w, r, "application/"+denyUpdateType, "", body)
	case q.since == "" && web.HasCurrent(r, e.etag()):
		web.WriteCached(w, r, "application/jwt", e.etag(), nil) // 304, for which nothing needs to be signed
	default:
		if body, err = p.list(e); err != nil {
			return web.Unavailable("the list cannot be signed", err)
		}
		h.Set("ETag", e.etag())
		// Over a slow link a long list takes longer than other answers. Without a deadline it has the time that they have.
		_ = web.ExtendDeadlines(w, answerTime+time.Duration(len(body))*time.Second/slowest)
		web.WriteCached(w, r, "application/jwt", "", body)
	}
	return nil
}

// etag is not made of the signed text, which is another each time: replicas that deny the same agree on it.
func (e *edition) etag() string { return `"` + e.state + `"` }

// answer is the update that is asked for. It is nil when the whole list is the answer.
func (p *Publisher) answer(q query, e *edition) ([]byte, error) {
	switch {
	case q.since == "":
		return nil, nil
	case p.behind(q):
		// The follower has what this replica will have. It learns where this one is, and asks again.
		return p.updateFrom(e.state, e)
	}
	return p.updateFrom(q.since, e)
}

// behind reports whether the follower has heard from a replica that is ahead of this one.
func (p *Publisher) behind(q query) bool {
	s := p.directory.Snapshot()
	return q.epoch > s.Epoch() || q.epoch == s.Epoch() && q.revision > s.Revision()
}

// Wait waits as long as r asks for, and not when DenyList has something new for it already, or an error. It ends when
// there is something new, when the client has left or when the server stops.
func (p *Publisher) Wait(w http.ResponseWriter, r *http.Request) {
	q, err := parseQuery(r.URL.RawQuery)
	e := p.edition.Load()
	if err != nil || e == nil || q.wait == 0 || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return
	}
	if upToDate := q.since != "" && (q.since == e.state || p.behind(q)) || q.since == "" && web.HasCurrent(r, e.etag()); !upToDate {
		return
	}
	if web.ExtendDeadlines(w, q.wait+answerTime) != nil {
		return // who cannot wait for want of a deadline is answered at once
	}
	t := time.NewTimer(q.wait)
	defer t.Stop()
	select {
	case <-e.changed:
	case <-t.C:
	case <-p.drained:
	case <-r.Context().Done():
	}
}

// Size is how many ids the deny-list has.
func (p *Publisher) Size() int {
	if e := p.edition.Load(); e != nil {
		return e.n
	}
	return 0
}

// query is what a follower asks for.
type query struct {
	wait            time.Duration
	since           string // the state it has. Empty: it has none
	epoch, revision int64  // of that
}

// parseQuery reads the parameters that are known. A wait that is longer than allowed counts as the longest.
func parseQuery(raw string) (q query, err error) {
	values, err := url.ParseQuery(raw)
	number := func(name string, bits int) int64 {
		text := values.Get(name)
		if text == "" || err != nil { // RFC 6749, section 3.2: as if it were not there
			return 0
		}
		var n uint64
		n, err = strconv.ParseUint(text, 10, bits)
		return int64(n)
	}
	q.wait = min(time.Duration(number("wait", 16))*time.Second, LongestWait)
	q.epoch, q.revision = number("epoch", 63), number("rev", 63)
	for _, name := range []string{"wait", "since", "epoch", "rev"} {
		if err == nil && len(values[name]) > 1 {
			err = errors.New("repeated")
		}
	}
	if err != nil {
		return query{}, &web.Error{Status: http.StatusBadRequest, Code: "invalid_request", Description: "wait must be a number of seconds from 0 to 25; since, epoch and rev are those of the list at hand"}
	}
	q.since = values.Get("since")
	return q, nil
}
