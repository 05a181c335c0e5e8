package admin

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/server/internal/audit"
	"github.com/watchword-dev/watchword/server/internal/web"
)

// action is a route as the audit log names it.
type action struct {
	name string
	// reads reports whether it changes nothing, as every GET.
	reads bool
	// audited reports whether it is recorded although it only reads: who read the credentials and the history is part
	// of the history.
	audited bool
	// large requests have files in them, and take long; slow ones only take long.
	large, slow bool
	// long: the body may have keys in it.
	long bool
	// changes is what it changes, unless it only reads.
	changes changes
	// creates: the operation creates something, so that its requests may have an Idempotency-Key.
	creates bool
}

// endpoint is the audit log's name for this package.
const endpoint = "admin"

// auditTimeout is how long an answer waits for its record.
const auditTimeout = 2 * time.Second

// note adds to the record what the path does not say. Never a secret.
func note(ctx context.Context, detail ...string) {
	req := requestOf(ctx)
	if req.detail == nil {
		req.detail = map[string]string{}
	}
	for i := 0; i+1 < len(detail); i += 2 {
		req.detail[detail[i]] = detail[i+1]
	}
}

// record writes the one record of a request whose outcome is err, and returns what it is to be answered
// with: err, or that there is no record.
func (a *handlers) record(ctx context.Context, req *request, err error) error {
	kind := audit.KindChange
	if req.action.reads {
		kind = audit.KindRead
	}
	e := audit.Event{
		At: a.Now(), Kind: kind, Endpoint: endpoint,
		RequestID: req.id, Actor: req.actor,
		Action: req.action.name, Subject: printable(req.subject), Detail: req.detail,
		Outcome: audit.Allowed, Unproven: req.actor == "",
	}
	if req.address.IsValid() {
		e.Address = req.address.String()
	}
	if e.Action == "" {
		e.Action = "unknown"
	}
	if refusal, ok := errors.AsType[*web.Error](err); ok {
		e.Outcome, e.Reason = audit.Refused, refusal.Code
		if refusal.Status >= http.StatusInternalServerError {
			e.Outcome = audit.Failed
		}
	}
	// A client that went away must not keep what was done from being recorded.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), auditTimeout)
	defer cancel()
	if lost := a.Audit.Append(ctx, e); lost != nil {
		return errUnrecorded.Because(lost)
	}
	return err
}

// printable is what of a path from outside goes into the record. No name or id is longer than
// 128 bytes, but a token is: one that was pasted in the place of an id is not written down.
func printable(path string) string {
	segments := strings.Split(path, "/")
	for i, s := range segments {
		if len(s) > 128 {
			segments[i] = "(too long for a name or an id)"
		}
	}
	path = strings.Join(segments, "/")
	const limit = 512
	if len(path) > limit {
		path = path[:limit]
	}
	return strings.ToValidUTF8(path, "\uFFFD")
}
