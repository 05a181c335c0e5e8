package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/outbound"
)

const (
	sendTimeout = 5 * time.Second
	bodyLimit   = 64 << 10 // bytes
)

// newClient makes the client that sends probes. The URL is the operator's, and callees are in private networks more
// often than not.
func newClient() *http.Client { return outbound.Policy{Private: true}.Client(sendTimeout) }

// send sends one request with these headers. The answer's body is read, since some
// callees decide while they write it, and looked at by nobody.
func send(ctx context.Context, client *http.Client, to string, header http.Header) answer {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, to, http.NoBody)
	if err != nil {
		return answer{outcome: api.ProbeUnclear, why: "its probe URL cannot be used"}
	}
	r.Header = header
	r.Header.Set("User-Agent", "watchword-probe")
	resp, err := client.Do(r)
	if err != nil {
		return answer{outcome: api.ProbeUnclear, why: "no answer: " + reason(err)}
	}
	defer func() { _ = resp.Body.Close() }() // what it said is read below
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, bodyLimit)); err != nil {
		return answer{outcome: api.ProbeUnclear, status: resp.StatusCode, why: "its answer broke off"}
	}
	a := classify(resp.StatusCode)
	a.nonce = resp.Header.Get("DPoP-Nonce")
	return a
}

// reason is err without the URL, which is said already.
func reason(err error) string {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	if errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
		return fmt.Sprintf("none in %s", sendTimeout)
	}
	return err.Error()
}

func isTimeout(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

// classify returns what a status means, of a callee that answers 2xx where it lets in.
func classify(status int) answer {
	a := answer{outcome: api.ProbeUnclear, status: status}
	switch {
	case status >= 200 && status < 300:
		a.outcome = api.ProbeAccepted
	case status >= 300 && status < 400:
		a.why = fmt.Sprintf("it answered %d, a redirect, which is not followed", status)
	case status == http.StatusTooManyRequests || status == http.StatusRequestTimeout:
		a.why = fmt.Sprintf("it answered %d: too many requests, or too slow ones", status)
	case status >= 400 && status < 500:
		a.outcome = api.ProbeRefused
	default:
		a.why = fmt.Sprintf("it answered %d, a failure of its own", status)
	}
	return a
}
