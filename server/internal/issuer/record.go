package issuer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/server/internal/audit"
	"github.com/watchword-dev/watchword/server/internal/clientauth"
	"github.com/watchword-dev/watchword/server/internal/directory"
)

func (i *Issuer) event(r Request, now time.Time) audit.Event {
	e := audit.Event{ID: directory.RandomID(), At: now, Kind: audit.KindDecision, Endpoint: string(r.Endpoint), RequestID: r.RequestID}
	if r.Address.IsValid() {
		e.Address = r.Address.String()
	}
	return e
}

// conclude records a request that ended with err: a *Refusal, which it returns, or a failure of the server. The id names
// the record. It is empty when there is none, because nobody proved who asks and there were many such requests.
func (i *Issuer) conclude(ctx context.Context, e audit.Event, err error) (decisionID string, _ error) {
	var refusal *Refusal
	var failure *clientauth.Failure
	switch {
	case errors.As(err, &refusal):
		e.Outcome, e.Reason = audit.Refused, refusal.Reason
		if id, err := i.record(ctx, e); err != nil {
			return id, err
		} else {
			return id, refusal
		}
	case errors.As(err, &failure): // what is needed to authenticate the caller cannot be had
		e.Reason = failure.Reason
	default:
		e.Reason = "server_failed"
	}
	e.Outcome = audit.Failed
	id, unrecorded := i.record(ctx, e)
	return id, fmt.Errorf("%w: %w", ErrUnavailable, errors.Join(err, unrecorded))
}

// record writes down what was done.
func (i *Issuer) record(ctx context.Context, e audit.Event) (decisionID string, err error) {
	e.Unproven = e.CallerUID == "" && e.Actor == ""
	p := i.log.Begin(clip(e))
	if err := p.Wait(context.WithoutCancel(ctx)); err != nil {
		return e.ID, fmt.Errorf("%w: record it: %w", ErrUnavailable, err)
	}
	if !p.Recorded() {
		return "", nil
	}
	return e.ID, nil
}

// clip shortens what a caller may have made long.
func clip(e audit.Event) audit.Event {
	const most = 256
	for _, s := range []*string{&e.Caller, &e.Target, &e.Scope, &e.Credential, &e.Grant, &e.OnBehalfOf} {
		if len(*s) > most {
			*s = strings.ToValidUTF8((*s)[:most], "") + "..."
		}
	}
	e.Claims = e.Claims[:min(len(e.Claims), maxFindings)] // whose texts are short already
	return e
}

// maxFindings is how many claims a record lists.
const maxFindings = 16
