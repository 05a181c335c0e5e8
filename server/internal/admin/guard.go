package admin

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/watchword-dev/watchword/server/internal/web"
)

const (
	prefix      = "/admin/v1"
	openAPIPath = "/openapi.json"
)

var (
	errPanic         = errors.New("panic in a handler")
	errTooLarge      = newProblem(http.StatusRequestEntityTooLarge, "too_large", fmt.Sprintf("The body is longer than %d bytes. Send less.", web.BodyLimit))
	errFilesTooLarge = newProblem(http.StatusRequestEntityTooLarge, "too_large", "The files are longer than 64 MiB. Name services by groups, or give parts to owners of their own.")
	errBody          = newProblem(http.StatusBadRequest, "invalid_request", "The body could not be read to its end. Send the request again.")
	errQuery         = newProblem(http.StatusBadRequest, "invalid_request", "The query is malformed, or names a parameter twice. Correct it and send the request again.")
)

// Large requests: a call map of a million rules is some 30 MiB and takes seconds to plan.
const (
	largeLimit = 64 << 20
	largeTime  = 5 * time.Minute
)

// ServeHTTP answers in memory first: nothing leaves before the audit record is on disk,
// whatever happens on the way, and nothing a handler forgets can change that.
func (a *handlers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	req := &request{id: requestID(r), address: clientOf(r)}
	req.extend = func() {
		// A listener that knows no deadlines has none to extend.
		_ = http.NewResponseController(w).SetReadDeadline(a.Now().Add(largeTime))
		_ = http.NewResponseController(w).SetWriteDeadline(a.Now().Add(largeTime))
	}
	ans := newAnswer(req.id)
	r = r.WithContext(context.WithValue(r.Context(), requestKey{}, req))
	a.answer(ans, r, req)
	if err := ans.flush(w); err != nil {
		a.Logger.Debug("the client went away before its answer", "request_id", req.id, "error", err)
	}
}

// answer lets in what may come in and puts the answer into w.
func (a *handlers) answer(w *answer, r *http.Request, req *request) {
	inside := strings.HasPrefix(r.URL.Path, prefix+"/")
	switch {
	case !a.isOurs(r):
		errHost.write(w)
	case isForeign(r):
		errOrigin.write(w)
	case r.URL.Path == openAPIPath && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		w.Header().Set("Content-Type", "application/json")
		w.Write(a.openAPI)
	case r.URL.Path == openAPIPath:
		notAllowed("GET, HEAD").write(w)
	case !inside:
		errNoRoute.write(w)
	default:
		a.recorded(w, r, req)
	}
	if w.status >= http.StatusInternalServerError {
		a.Logger.Error("admin request failed", "request_id", req.id, "action", req.action.name, "status", w.status, "error", w.cause())
	}
}

// recorded answers a request to the API itself, and records it.
func (a *handlers) recorded(w *answer, r *http.Request, req *request) {
	_, pattern := a.mux.Handler(r)
	req.action = a.actions[pattern]
	if (req.action.large || req.action.slow) && req.extend != nil {
		req.extend()
	}
	req.subject = r.URL.Path
	if p := a.authenticate(r); p != nil {
		p.write(w)
		if p.reason == errGuessing.reason {
			return // they would fill the disk, and say no more than the ones before
		}
	} else {
		req.actor = operator
		if req.mustRecord(r.Method) {
			if err := a.Audit.Healthy(); err != nil {
				errAudit.because(err).write(w)
				return // there is no log to record it in
			}
		}
		a.handle(w, r, req)
	}
	if w.status >= http.StatusBadRequest || req.mustRecord(r.Method) {
		a.record(w, r.Context(), req)
	}
}

// handle routes an operator's request and lets huma answer it.
func (a *handlers) handle(w *answer, r *http.Request, req *request) {
	defer func() {
		if cause := recover(); cause != nil {
			// The stack names functions and lines, and no values.
			a.Logger.Error("panic in a handler", "request_id", req.id, "action", req.action.name, "panic", cause, "stack", string(debug.Stack()))
			errInternal.because(errPanic).write(w)
		}
	}()
	if p := a.admit(r, req); p != nil {
		p.write(w)
		return
	}
	if len(req.body) > hugeBody {
		defer oneHuge()()
	}
	r.Header.Del("Accept") // the API speaks nothing but JSON
	a.mux.ServeHTTP(w, r)
	switch {
	case req.problem != nil:
		req.problem.write(w)
	case req.action.name == "" && w.status == http.StatusMethodNotAllowed:
		notAllowed(w.Header().Get("Allow")).write(w)
	case req.action.name == "":
		errNoRoute.write(w)
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

// admit checks what is the same for all routes, and reads the body.
func (a *handlers) admit(r *http.Request, req *request) *problem {
	// Neither dots nor empty segments, also not escaped ones, which the mux would resolve.
	if path.Clean(r.URL.Path) != r.URL.Path {
		return errNoRoute
	}
	if !hasJSON(r) {
		return errMedia
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return errQuery
	}
	for _, values := range query {
		if len(values) > 1 {
			return errQuery
		}
	}
	limit := web.BodyLimit
	if req.action.large {
		limit = largeLimit
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, int64(limit)+1))
	switch {
	case err != nil:
		return errBody.because(err)
	case len(body) > limit && req.action.large:
		return errFilesTooLarge
	case len(body) > limit:
		return errTooLarge
	}
	req.body = body
	r.Body = io.NopCloser(bytes.NewReader(body))
	return nil
}

func notAllowed(allow string) *problem {
	return newProblem(http.StatusMethodNotAllowed, "method_not_allowed", "This path does not know the method. Use "+allow+".").with("Allow", allow)
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
	problem *problem
	extend  func() // the time it may take
}

type requestKey struct{}

// requestOf is the request ctx belongs to. Every handler has one.
func requestOf(ctx context.Context) *request { return ctx.Value(requestKey{}).(*request) }

func requestID(r *http.Request) string {
	if id := r.Header.Get(web.RequestIDHeader); web.ValidRequestID(id) {
		return id
	}
	var b [12]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

func clientOf(r *http.Request) netip.Addr { return web.Address(r) }

// answer is an answer that has not left yet.
type answer struct {
	header  http.Header
	status  int
	body    bytes.Buffer
	id      string
	problem *problem
}

func newAnswer(id string) *answer {
	w := &answer{header: http.Header{}, id: id}
	w.reset()
	return w
}

// reset takes back all that was answered.
func (w *answer) reset() {
	clear(w.header)
	w.header[web.RequestIDHeader] = []string{w.id}
	w.header["Cache-Control"] = []string{"no-store"}
	w.header["X-Content-Type-Options"] = []string{"nosniff"}
	w.status = 0
	w.body.Reset()
	w.problem = nil
}

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

func (w *answer) cause() error {
	if w.problem == nil {
		return nil
	}
	return w.problem
}

func (w *answer) flush(to http.ResponseWriter) error {
	maps.Copy(to.Header(), w.header)
	to.WriteHeader(w.status)
	_, err := w.body.WriteTo(to)
	return err
}
