package revocation

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/server/internal/web"
)

// DenyListPath is where the deny-list is, below the issuer.
const DenyListPath = "/oauth2/denylist"

// longestWait is how long a request may wait for another list: less than what proxies cut off.
const longestWait = 25 * time.Second

// answerTime is what is left after the wait to write the answer.
const answerTime = 15 * time.Second

// DenyList is GET {issuer}/oauth2/denylist. With If-None-Match and ?wait=SECONDS the answer comes
// as soon as there is another list, or else when that time is over: 304 (RFC 9110, section
// 15.4.5).
func (p *Publisher) DenyList(w http.ResponseWriter, r *http.Request, mayWait bool) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return web.Method("GET, HEAD")
	}
	wait, err := parseWait(r.URL.RawQuery)
	if err != nil {
		return err
	}
	e := p.edition.Load()
	known := r.Header.Values("If-None-Match")
	if e != nil && mayWait && wait > 0 && matches(known, e.etag) {
		// Who cannot wait for want of a deadline is answered at once.
		if web.ExtendDeadlines(w, wait+answerTime) == nil {
			e = p.next(r, e, wait)
		}
	}
	if e == nil {
		return web.Unavailable("the list is not made yet", nil)
	}
	// A server that hears nothing from its store does not know what was revoked since.
	if err := p.directory.Fresh(); err != nil {
		return web.Unavailable("the server is cut off from its store", err)
	}
	h := w.Header()
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", e.etag)
	select {
	case <-p.drained:
		h.Set("Connection", "close")
	default:
	}
	if matches(known, e.etag) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	h.Set("Content-Type", "application/jwt")
	h.Set("Content-Length", strconv.Itoa(len(e.body)))
	_, _ = w.Write(e.body) // net/http drops the body of an answer to HEAD; a client that went away needs none
	return nil
}

// next waits for an edition that says something else than e, and returns the current one when it
// is there, the time is over, the client has left or the server stops.
func (p *Publisher) next(r *http.Request, e *edition, wait time.Duration) *edition {
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-e.changed:
	case <-t.C:
	case <-p.drained:
	case <-r.Context().Done():
	}
	return p.edition.Load()
}

// parseWait reads ?wait. What is longer than allowed counts as the longest.
func parseWait(query string) (time.Duration, error) {
	bad := &web.Error{Status: http.StatusBadRequest, Code: "invalid_request", Description: "wait must be a number of seconds from 0 to 25"}
	q, err := url.ParseQuery(query)
	if err != nil || len(q["wait"]) > 1 {
		return 0, bad
	}
	if q.Get("wait") == "" { // RFC 6749, section 3.2: as if it were not there
		return 0, nil
	}
	n, err := strconv.ParseUint(q.Get("wait"), 10, 16)
	if err != nil {
		return 0, bad
	}
	return min(time.Duration(n)*time.Second, longestWait), nil
}

// matches compares as RFC 9110, section 13.1.2 asks: weakly, and * is any.
func matches(ifNoneMatch []string, etag string) bool {
	for _, line := range ifNoneMatch {
		for tag := range strings.SplitSeq(line, ",") {
			if tag = strings.TrimSpace(tag); tag == "*" || strings.TrimPrefix(tag, "W/") == etag {
				return true
			}
		}
	}
	return false
}
