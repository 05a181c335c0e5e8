// Package audit records every decision and every change in an append-only, hash-chained
// log of JSON lines, and can prove afterwards that no line was changed. It decides nothing.
package audit

import "time"

// Kind of event.
type Kind string

// The kinds.
const (
	KindDecision   Kind = "decision"   // a token was asked for
	KindChange     Kind = "change"     // an operator, or the server itself, changed something
	KindMint       Kind = "mint"       // the SuperTokens door signed something
	KindCheckpoint Kind = "checkpoint" // the log's own: a signature over the chain so far
	KindStart      Kind = "start"      // the log's own: a process opened the log
)

// Outcome of an event.
type Outcome string

// The outcomes.
const (
	Allowed Outcome = "allowed"
	Refused Outcome = "refused"
	Failed  Outcome = "failed" // the server could not do its part
)

// Event is one record. Empty fields are left out of the line. No field ever holds a secret
// or a token: tokens are named by their jti, credentials by their id.
type Event struct {
	// ID is the decision id, which the caller sees too: 128 random bits, hexadecimal.
	ID        string
	At        time.Time
	Kind      Kind
	Outcome   Outcome
	Reason    string // policy.Reason, an authentication failure, ...
	Door      string // accesstoken, supertokens, admin
	RequestID string
	Address   string // of the client, without port

	Caller     string // service name; as claimed when authentication failed after it was read
	CallerUID  string
	Target     string // as asked
	Scope      string // as granted, or as asked when refused
	Credential string // id
	Token      string // jti of the token issued
	KeyID      string // kid that signed

	Actor    string            // of a change
	Action   string            // of a change or mint
	Subject  string            // of a change
	Revision int64             // of a change
	Detail   map[string]string // of a change or mint
}
