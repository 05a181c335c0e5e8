// Package web is what all endpoints share: handlers that return errors, request ids, limits, one answer
// to a panic, and one log line and one measurement for each request. It does not know what is asked.
package web

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/watchword-dev/watchword/server/internal/throttle"
)

// BodyLimit is how many bytes of a request's body an endpoint reads, unless it says otherwise.
const BodyLimit = 64 << 10

// RequestIDHeader carries the request id, in the request when the client or a proxy chose
// one, and in every answer.
const RequestIDHeader = "X-Request-Id"

// DecisionHeader carries, in an answer, the id under which the audit log has the decision.
const DecisionHeader = "Watchword-Decision"

// HandlerFunc answers a request, or returns an error and has written nothing.
type HandlerFunc func(w http.ResponseWriter, r *http.Request) error

// Stack makes handlers of HandlerFuncs.
type Stack struct {
	logger     *slog.Logger
	seconds    *prometheus.HistogramVec
	shed       prometheus.Counter
	writeError func(http.ResponseWriter, error)
	inFlight   atomic.Int64
	waiting    waiting
	arrivals   arrivals
	work       *turns // of all requests
	documents  *turns // of those for documents
	refusals   *throttle.Counter[netip.Prefix]
	long       atomic.Int64
	told       atomic.Int64 // when a failure that may go on was last logged, ns since 1970
	most       int64
	mostLong   int64
	apart      []*Stack
}

// DefaultInFlight bounds the requests that are worked on at once. Beyond it a request is
// turned away at once, so that those inside are answered in time: with RS256 on two cores
// a thousand are about two seconds of signing.
const DefaultInFlight = 1024

// NewStack makes a stack that logs to logger, measures into registry and works on at most
// inFlight requests at once (0: DefaultInFlight).
func NewStack(logger *slog.Logger, registry prometheus.Registerer, inFlight int) *Stack {
	if inFlight == 0 {
		inFlight = DefaultInFlight
	}
	s := &Stack{
		logger:     logger,
		writeError: writeError,
		most:       int64(inFlight),
		mostLong:   MaxLong,
		arrivals:   arrivals{most: MaxArriving, mostFrom: MaxArrivingFrom},
		work:       newTurns(WorkedOnFrom()),
		documents:  newTurns(documentsAtOnce()),
		refusals:   throttle.New[netip.Prefix](RefusalBurst, RefusalRefill, maxRefused),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "watchword_http_request_duration_seconds",
			Help:    "Time to answer a request, by route and status code.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5},
		}, []string{"route", "code"}),
		shed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "watchword_http_requests_shed_total",
			Help: "Requests turned away with 503 because too many were being worked on.",
		}),
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	registry.MustRegister(s.seconds, s.shed,
		gauge("watchword_http_requests_waiting", "Requests that wait for something to change. They do not count among those worked on.",
			func() float64 { return float64(s.waiting.count()) }),
		gauge("watchword_http_requests_in_flight", "Requests of services and followers that are worked on.",
			func() float64 { return float64(s.inFlight.Load()) }),
		gauge("watchword_http_requests_queued", "Requests that wait because many of the same network are worked on.",
			func() float64 { return float64(s.work.waiting.Load() + s.documents.waiting.Load()) }),
		gauge("watchword_http_bodies_arriving", "Requests of services whose body has not been read whole.",
			func() float64 { return float64(s.arrivals.count()) }),
	)
	return s
}

// Apart returns a stack that logs and measures where s does, answers errors with writeError, and has
// bounds of its own: its requests are not turned away because of those of s. Of bodies of more than 16 KiB,
// it reads mostLong at once. It stops when s does. Stacks are made before s is used.
func (s *Stack) Apart(writeError func(http.ResponseWriter, error), mostLong int) *Stack {
	apart := &Stack{
		logger: s.logger, seconds: s.seconds, shed: s.shed, writeError: writeError, most: s.most, mostLong: int64(mostLong),
		arrivals: arrivals{most: MaxArriving, mostFrom: MaxArrivingFrom}, work: newTurns(WorkedOnFrom()), documents: newTurns(documentsAtOnce()),
		refusals: throttle.New[netip.Prefix](RefusalBurst, RefusalRefill, maxRefused),
	}
	s.apart = append(s.apart, apart)
	return apart
}

// Handle makes a handler of h. route names it in logs and measurements.
func (s *Stack) Handle(route string, h HandlerFunc) http.Handler {
	// Most answers are this one, and a route that nobody asks for needs no series.
	ok := sync.OnceValue(func() prometheus.Observer { return s.seconds.WithLabelValues(route, "200") })
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		start := time.Now()
		w := &recorder{ResponseWriter: rw}
		header := w.Header()
		header[RequestIDHeader] = []string{requestID(r)}
		header["X-Content-Type-Options"] = nosniff
		own := &place{stack: s, r: r}
		r, body := s.expect(w, r, own)
		defer func() {
			if p := recover(); p != nil {
				own.leave()
				body.end()
				s.panicked(w, route, p)
			}
			took := time.Since(start)
			if w.status == http.StatusOK {
				ok().Observe(took.Seconds())
			} else {
				s.seconds.WithLabelValues(route, strconv.Itoa(w.status)).Observe(took.Seconds())
			}
			s.log(w, r, route, took)
		}()
		switch {
		case !own.enter():
			w.err = Overloaded
		case len(r.RequestURI) > MaxURLBytes:
			w.err = LongURL
		default:
			w.err = h(w, r)
		}
		if w.refused() {
			s.pace(r)
		}
		own.leave()
		if body.end() && w.status == 0 {
			w.err = Overloaded // whatever the handler made of a body that broke off
		}
		if errors.Is(w.err, Overloaded) {
			s.shed.Inc()
		}
		if w.err != nil {
			s.writeError(w, w.err)
		}
		if w.status == http.StatusRequestEntityTooLarge {
			body.drain()
		}
	})
}

var nosniff = []string{"nosniff"}

// panicked answers for a handler that panicked. The stack names functions and lines, and
// no values, so it is safe to log.
func (s *Stack) panicked(w *recorder, route string, p any) {
	if p == http.ErrAbortHandler { //nolint:errorlint // net/http compares what panicked, too
		panic(p)
	}
	s.logger.Error("panic in a handler", "route", route, "request_id", RequestID(w), "panic", p, "stack", string(debug.Stack()))
	w.err = errors.New("panic")
	if w.status == 0 {
		s.writeError(w, w.err)
	}
}

// log writes one line a request, at debug level, for the audit log already has a record of
// every decision. Failures of the server are errors. Those that go on, as when the disk is full, are
// logged once a second at most: the log is on a disk too.
func (s *Stack) log(w *recorder, r *http.Request, route string, took time.Duration) {
	level := slog.LevelDebug
	if w.err != nil && (w.status == http.StatusInternalServerError || w.status > 500 && s.mayTell(time.Now())) {
		level = slog.LevelError
	}
	if !s.logger.Enabled(r.Context(), level) {
		return
	}
	attrs := []any{"route", route, "method", r.Method, "status", w.status, "took", took, "request_id", RequestID(w), "address", Address(r)}
	if w.err != nil {
		attrs = append(attrs, "error", w.err)
	}
	s.logger.Log(r.Context(), level, "request", attrs...)
}

// mayTell reports true once a second at most.
func (s *Stack) mayTell(now time.Time) bool {
	last := s.told.Load()
	return now.UnixNano()-last >= int64(time.Second) && s.told.CompareAndSwap(last, now.UnixNano())
}

// recorder remembers what was answered.
type recorder struct {
	http.ResponseWriter
	status int
	err    error
}

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// RequestID is the id of the request that w answers.
func RequestID(w http.ResponseWriter) string { return w.Header().Get(RequestIDHeader) }

// requestID takes over the client's request id when it is short and harmless in a log.
func requestID(r *http.Request) string {
	if id := r.Header.Get(RequestIDHeader); validRequestID(id) {
		return id
	}
	var b [12]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// validRequestID reports whether id has 1 to 64 letters, digits, '.', '_' and '-'.
func validRequestID(id string) bool {
	return len(id) > 0 && len(id) <= 64 && !strings.ContainsFunc(id, func(c rune) bool {
		return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' || c == '_' || c == '-')
	})
}
