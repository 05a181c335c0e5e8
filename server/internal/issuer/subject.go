package issuer

import (
	"context"
	"slices"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/policy"
)

// subject is whose token is exchanged, and what its tokens may be (RFC 8693).
type subject struct {
	name     string // sub
	actors   []string
	deps     []string // of the token that is exchanged, itself included
	scopes   []string
	expiry   time.Time
	exchange policy.Exchange
}

// readSubject checks the tokens of a token exchange. A token that is not good is an invalid
// request (RFC 8693, section 2.2.2).
func (i *Issuer) readSubject(_ context.Context, a *attempt) error {
	if a.Grant != api.GrantTokenExchange {
		return nil
	}
	refuse := func(reason, text string) error { return &Refusal{Kind: Malformed, Reason: reason, Text: text} }
	t, why := i.inspect(a.Exchange.Subject, a.snapshot, a.now)
	if why != "" {
		return refuse("subject_token_"+why, "the subject token is not good")
	}
	if t.Subject == nil {
		return refuse("subject_token_of_probe", "the subject token is not good")
	}
	c := t.Claims
	a.event.OnBehalfOf = c.Subject
	if why := mayExchange(t, a.caller.Service); why != "" {
		return refuse(why, "the subject token is not for this client to exchange")
	}
	if a.Exchange.Actor != "" {
		actor, why := i.inspect(a.Exchange.Actor, a.snapshot, a.now)
		if why != "" || actor.Subject == nil || len(actor.Claims.Actors) > 0 || actor.Subject.UID != a.caller.Service.UID {
			return refuse("actor_token_of_another", "the actor token is not one of this client")
		}
	}
	scopes, err := directory.ParseScopes(c.Scope)
	if err != nil {
		return refuse("subject_token_malformed", "the subject token is not good")
	}
	a.subject = &subject{
		name: c.Subject, deps: append(slices.Clone(c.Deps), c.ID, directory.FormatUID(a.caller.Service.UID), a.caller.CredentialID),
		scopes: scopes, expiry: c.Expiry, exchange: policy.Delegate,
	}
	if a.Exchange.Impersonate {
		a.subject.exchange, a.subject.actors = policy.Impersonate, c.Actors
		return nil
	}
	// The chain only grows (RFC 8693, section 4.1): the current actor is the outermost.
	a.subject.actors = append([]string{a.caller.Service.Name}, c.Actors...)
	if len(a.subject.actors) > i.o.MaxActors {
		return refuse("chain_too_long", "too many services have acted on this subject's behalf already")
	}
	return nil
}

// mayExchange is "" when the service may exchange t, else why not. A token that was meant for
// another is another's to use: who got hold of it must not become its subject (RFC 9700, section
// 2.3). Where the token names who may act (RFC 8693, section 4.4), that service may, and no
// other.
func mayExchange(t *Inspected, by *directory.Service) string {
	if isOlder(t.Claims, by) {
		return "subject_token_older_than_client"
	}
	if t.Claims.MayAct != "" {
		if t.Claims.MayAct != by.Name {
			return "not_in_may_act"
		}
		return ""
	}
	for _, aud := range t.Claims.Audience {
		if aud == by.Name || slices.Contains(by.Audiences, aud) {
			return ""
		}
	}
	return "subject_token_for_another"
}

// isOlder says that a token was made before the service. Tokens know those they are for by name only,
// and a service that is deleted and made again is another one (CVE-2026-55670). Tokens count time in
// whole seconds.
func isOlder(c *jose.Claims, than *directory.Service) bool {
	return c.IssuedAt.Before(than.CreatedAt.Truncate(time.Second))
}
