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

func (i *Issuer) refuse(ctx context.Context, e audit.Event, r *Refusal) error {
	e.Outcome, e.Reason = audit.Refused, r.Reason
	if err := i.record(ctx, e); err != nil {
		return err
	}
	return r
}

// fail records a request that the server itself could not serve.
func (i *Issuer) fail(ctx context.Context, e audit.Event, cause error) error {
	e.Outcome, e.Reason = audit.Failed, "server_failed"
	if err := i.record(ctx, e); err != nil {
		cause = errors.Join(cause, err)
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, cause)
}

// record writes down what was done.
func (i *Issuer) record(ctx context.Context, e audit.Event) error {
	if err := i.log.Begin(clip(e)).Wait(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("%w: record it: %w", ErrUnavailable, err)
	}
	return nil
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
