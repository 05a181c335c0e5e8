package issuer

import (
	"context"
	"slices"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/policy"
)

// subject is whose token is exchanged, and what its tokens may be (RFC 8693).
type subject struct {
	name     string // sub
	actors   []string
	deps     []string // of the token that is exchanged, itself included
	keys     []string // that signed it and those from which it was exchanged
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
	t, why := i.inspect(a.Exchange.Subject, a.proofs, a.snapshot, a.now)
	if why != "" {
		return refuse("subject_token_"+why, "the subject token is not valid")
	}
	if t.Subject == nil {
		return refuse("subject_token_of_probe", "the subject token is not valid")
	}
	c := t.Claims
	a.event.OnBehalfOf, a.event.Exchange = c.Subject, string(policy.Delegate)
	if a.Exchange.Impersonate {
		a.event.Exchange = string(policy.Impersonate)
	}
	if why := mayExchange(t, a.caller.Service); why != "" {
		return refuse(why, "the subject token is not for this client to exchange")
	}
	if a.Exchange.Actor != "" {
		actor, why := i.inspect(a.Exchange.Actor, a.proofs, a.snapshot, a.now)
		if why != "" || actor.Subject == nil || len(actor.Claims.Actors) > 0 || actor.Subject.UID != a.caller.Service.UID {
			return refuse("actor_token_of_another", "the actor token is not one of this client")
		}
	}
	if a.binding == (binding{}) && (c.Bound || t.Subject.Binding != "") {
		// Who steals a bound token must not be able to exchange it for one that is not (RFC 9700, section 2.2.1).
		return &Refusal{Kind: InvalidProof, Reason: "subject_token_bound", Text: "the subject token is bound to a key, so what it is exchanged for must be bound to one of this client: send a DPoP proof, or authenticate by certificate"}
	}
	scopes, err := directory.ParseScopes(c.Scope)
	if err != nil {
		return refuse("subject_token_malformed", "the subject token is not valid")
	}
	a.subject = &subject{
		name: c.Subject, deps: append(append(slices.Clone(c.Deps), c.ID), dependsOn(a.caller)...),
		keys: append(slices.Clone(c.DepKeys), t.keyID), scopes: scopes, expiry: c.Expiry, exchange: policy.Delegate,
	}
	// The deps are two of the first token, and three for each exchange, apart from the trusts.
	trusts := 0
	for _, id := range a.subject.deps {
		if directory.IsGeneration(id) {
			trusts++
		}
	}
	tooLong := (len(a.subject.deps)-trusts-2)/3 > i.o.MaxActors
	if a.Exchange.Impersonate {
		a.subject.exchange, a.subject.actors = policy.Impersonate, c.Actors
		if tooLong {
			return refuse("impersonation_chain_too_long", "the subject token was exchanged too often already")
		}
		return nil
	}
	// The chain only grows (RFC 8693, section 4.1): the current actor is the outermost.
	a.subject.actors = append([]string{a.caller.Service.Name}, c.Actors...)
	if tooLong {
		return refuse("chain_too_long", "too many services have acted on this subject's behalf already")
	}
	return nil
}

// mayExchange is "" when the service may exchange t, else why not. A token that was meant for another is another's to
// use: who got hold of it must not become its subject (RFC 9700, section 2.3). Where the token names who may act (RFC
// 8693, section 4.4), that service may, and no other.
func mayExchange(t *Inspected, by *directory.Service) string {
	switch {
	case t.Claims.MayAct != "":
		if t.own.MayAct.UID != directory.FormatUID(by.UID) {
			return "not_in_may_act"
		}
	case !t.isFor(by):
		return "subject_token_for_another"
	}
	return ""
}
