package issuer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/server/internal/audit"
	"github.com/watchword-dev/watchword/server/internal/directory"
)

func (i *Issuer) event(r Request, now time.Time) audit.Event {
	e := audit.Event{ID: directory.RandomID(), At: now, Kind: audit.KindDecision, Endpoint: string(r.Endpoint), RequestID: r.RequestID}
	if r.Address.IsValid() {
		e.Address = r.Address.String()
	}
	return e
}

// refuse records a refusal. The id names its record: it is empty when there is none, because nobody
// proved who asks and there were many such requests.
func (i *Issuer) refuse(ctx context.Context, e audit.Event, r *Refusal) (decisionID string, err error) {
	e.Outcome, e.Reason = audit.Refused, r.Reason
	id, err := i.record(ctx, e)
	if err != nil {
		return id, err
	}
	return id, r
}

// fail records a request that the server itself could not serve.
func (i *Issuer) fail(ctx context.Context, e audit.Event, cause error) (decisionID string, err error) {
	e.Outcome, e.Reason = audit.Failed, "server_failed"
	id, err := i.record(ctx, e)
	if err != nil {
		cause = errors.Join(cause, err)
	}
	return id, fmt.Errorf("%w: %w", ErrUnavailable, cause)
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
	return e
}
