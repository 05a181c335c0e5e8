package admin

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/watchword-dev/watchword/internal/netaddr"
	"github.com/watchword-dev/watchword/internal/reason"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/web"
)

const (
	pageToken   = "pageToken"
	prefix      = "/admin/v1"
	openAPIPath = "/openapi.json"
)

var (
	errPanic         = errors.New("panic in a handler")
	errTooLarge      = problem("body_too_large")
	errFilesTooLarge = problem("files_too_large")
	errBody          = problem("unreadable_body")
	errQuery         = problem("malformed_query")
)

// Large requests: a call map of a million rules is some 30 MiB and takes seconds to plan.
const (
	LargeLimit = 64 << 20
	largeTime  = 5 * time.Minute
	// LongLimit is for keys and certificates of 64 KiB each, as a JSON string.
	LongLimit = 256 << 10
	// MaxLarge is how many bodies of more than 16 KiB are read at once.
	MaxLarge = 8
)

// Requests that read or compute much take turns, so that others have processors, and connections to the database: each of
// these reads over one for up to a minute, and on SQLite there are four. Changes and revocations need one, too.
const (
	// MaxLargeAtOnce is how many of these requests are worked on at once.
	MaxLargeAtOnce = 2
	// LargePatience is how long one waits for its turn before it is turned away.
	LargePatience = 30 * time.Second
)

// ServeHTTP finds the route of a request, once. A path with dots or empty segments, also escaped ones, has
// none: the mux would answer it with a redirect, which clients follow with their token.
func (a *handlers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if path.Clean(r.URL.Path) != r.URL.Path || !strings.HasPrefix(r.URL.Path, "/") {
		a.others.ServeHTTP(w, r)
		return
	}
	a.mux.ServeHTTP(w, r)
}

// handler is h on the stack, behind what is the same for all of the listener. route names it in
// measurements and logs.
func (a *handlers) handler(route string, h web.HandlerFunc) http.Handler {
	return a.Stack.Handle(route, Guard(a.Hosts, h))
}

// Guard lets h answer requests for one of hosts, unless a browser sent them for a page of another site.
func Guard(hosts netaddr.Hosts, h web.HandlerFunc) web.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		arrived, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		switch {
		case !hosts.Match(r.Host, arrived):
			return errHost
		case isForeign(r):
			return errOrigin
		}
		return h(w, r)
	}
}

// other answers requests that are for no operation.
func (a *handlers) other(w http.ResponseWriter, r *http.Request) error {
	if !strings.HasPrefix(r.URL.Path, prefix+"/") {
		return errNoRoute
	}
	return a.recorded(action{}, func(http.ResponseWriter, *http.Request) error {
		found := newAnswer()
		a.known.ServeHTTP(found, r)
		if found.status == http.StatusMethodNotAllowed {
			return notAllowed(found.header.Get("Allow"))
		}
		return errNoRoute
	})(w, r)
}

func notAllowed(allow string) *web.Error {
	p := problem("method_not_allowed").With("Allow", allow)
	p.Description = reason.Of(p.Code).Means + " Use " + allow + "."
	return p
}

// recorded lets do answer the operator's requests, and records them. do answers in memory: nothing leaves
// before the record is on disk, whatever happens on the way, and nothing a handler forgets changes that.
func (a *handlers) recorded(act action, do web.HandlerFunc) web.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		get := r.Method == http.MethodGet || r.Method == http.MethodHead
		act := act // unknown paths have one, whatever the method
		act.reads = act.reads || get
		req := &request{id: web.RequestID(w), address: web.Address(r), action: act, subject: r.URL.Path}
		actor, p := a.authenticate(r)
		if p != nil {
			if p.Code == errGuessing.Code {
				return p // records of these would fill the disk, and say no more than the ones before
			}
			return a.record(r.Context(), req, p)
		}
		req.actor = actor
		// Refusals are always recorded.
		always := act.audited || !get
		if always {
			if err := a.Audit.Healthy(); err != nil {
				return errAudit.Because(err) // there is no log to record it in
			}
		}
		if act.large || act.slow {
			// A listener that knows no deadlines has none to extend.
			_ = web.ExtendDeadlines(w, largeTime)
		}
		defer func() {
			if p := recover(); p != nil {
				_ = a.record(r.Context(), req, errInternal.Because(errPanic))
				panic(p) // the stack's to answer
			}
		}()
		ans := newAnswer()
		r = r.WithContext(context.WithValue(r.Context(), requestKey{}, req))
		var err error
		if act.name != "" && !act.reads { // what is no operation changes nothing
			err = a.mayChange(r.Context(), act.changes)
		}
		if err == nil {
			err = do(ans, r)
		}
		if err != nil || always {
			err = a.record(r.Context(), req, err)
		}
		if err == nil {
			ans.flush(w)
		}
		return err
	}
}

// operated lets h, which is huma's, answer a request that has the form all operations ask for.
func (a *handlers) operated(h http.HandlerFunc) web.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		req := requestOf(r.Context())
		if p := req.admit(r); p != nil {
			return p
		}
		if req.action.large || req.action.slow {
			patience := time.NewTimer(a.LargePatience)
			defer patience.Stop()
			select {
			case a.turns <- struct{}{}:
				defer func() { <-a.turns }()
			case <-r.Context().Done():
				return errManyQuestions
			case <-patience.C:
				return errManyQuestions
			}
		}
		if len(req.body) > hugeBody {
			defer oneHuge()()
		}
		r.Header.Del("Accept") // the API speaks nothing but JSON
		// register decodes the body; huma asks only whether there is one.
		r.Body = io.NopCloser(bytes.NewReader(req.body[:min(1, len(req.body))]))
		do := func() error {
			h(w, r)
			return req.err
		}
		if ans, ok := w.(*answer); ok && req.action.creates {
			return a.once(ans, r, do)
		}
		return do()
	}
}

// hugeBody is a body of which the work takes many times its size.
const hugeBody = 1 << 20

var huge sync.Mutex

// oneHuge keeps two huge requests from being worked on at once, and has the collector run more
// often meanwhile: planning a million rules stays below 2 GiB so. It ends with what it returns.
func oneHuge() (end func()) {
	huge.Lock()
	before := debug.SetGCPercent(70)
	return func() {
		debug.SetGCPercent(before)
		huge.Unlock()
	}
}

// admit checks the form of a request, and reads its body.
func (req *request) admit(r *http.Request) *web.Error {
	if !hasJSON(r) {
		return errMedia
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return errQuery
	}
	for name, values := range query {
		// A filter without a value, such as ?service=$NAME of a script, would list everything. Without a page token a
		// list begins.
		if len(values) > 1 || values[0] == "" && name != pageToken {
			return errQuery
		}
	}
	limit, tooLarge := web.BodyLimit, errTooLarge
	switch {
	case req.action.large:
		limit, tooLarge = LargeLimit, errFilesTooLarge
	case req.action.long:
		limit = LongLimit
	}
	req.body, err = io.ReadAll(io.LimitReader(r.Body, int64(limit)+1))
	switch {
	case err != nil:
		return errBody.Because(err)
	case len(req.body) > limit:
		return tooLarge
	}
	return nil
}

// request is what is known of the request being answered.
type request struct {
	id      string
	address netip.Addr
	actor   string
	action  action
	subject string
	detail  map[string]string
	body    []byte
	once    *directory.Once // if it may be repeated
	err     error           // what huma was told only that there is one
}

type requestKey struct{}

// requestOf is the request ctx belongs to. Every handler has one.
func requestOf(ctx context.Context) *request { return ctx.Value(requestKey{}).(*request) }

// answer is an answer that has not left yet.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func newAnswer() *answer { return &answer{header: http.Header{}} }

func (w *answer) Header() http.Header { return w.header }

func (w *answer) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

func (w *answer) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}

func (w *answer) flush(to http.ResponseWriter) {
	w.header.Set("Cache-Control", "no-store")
	maps.Copy(to.Header(), w.header)
	to.WriteHeader(max(w.status, http.StatusOK))
	_, _ = w.body.WriteTo(to) // a client that went away needs none
}
