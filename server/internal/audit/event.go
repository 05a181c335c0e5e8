// Package audit records every decision and every change in an append-only, hash-chained
// log of JSON lines, and can prove afterwards that no line was changed. It decides nothing,
// and knows neither tokens nor keys: who signs its checkpoints is handed to it.
//
// The log is a folder of files named audit-<sequence number of the first record>.jsonl.
// A line is one JSON object; its last two members are "prev", the hash of the line before,
// and "hash", the SHA-256 of the line's own bytes up to the comma before "hash". The chain
// and the sequence numbers run on over files and restarts. Any line can be checked by hand:
//
//	sed -n 5p audit-00000000000000000001.jsonl | tr -d '\n' |
//	    sed 's/,"hash":"[0-9a-f]*"}$//' | sha256sum
package audit

import (
	"time"

	"github.com/watchword-dev/watchword/api"
)

// Kind of event.
type Kind string

// The kinds.
const (
	KindDecision   Kind = "decision"   // a token was requested
	KindChange     Kind = "change"     // an operator, or the server itself, changed something or tried to
	KindRead       Kind = "read"       // an operator read something, or asked what would be decided
	KindMint       Kind = "mint"       // the SuperTokens interface signed something, or tokens were created for a probe
	KindCheckpoint Kind = "checkpoint" // the log's own: a signature over the chain so far
	KindStart      Kind = "start"      // the log's own: a process opened the log
	KindLog        Kind = "log"        // the log's own: recovery, outside rotation, deletion by age, refusals that were only counted
)

// Outcome of an event.
type Outcome string

// The outcomes.
const (
	Allowed Outcome = "allowed"
	Refused Outcome = "refused"
	Failed  Outcome = "failed" // the server could not do its part
)

// Event is one record. Empty fields are left out of the line. No field is to hold a secret or a
// token: tokens are named by their jti, credentials by their id. Where a caller sent one in place
// of a name, the line has package redact's mark instead.
type Event struct {
	// At is when it happened; zero: now. Only Seq of a Record orders records: clocks jump.
	At time.Time `json:"time"`
	// ID is the decision id, which the caller sees too: 128 random bits, hexadecimal.
	ID        string  `json:"id,omitempty"`
	Kind      Kind    `json:"kind"`
	Outcome   Outcome `json:"outcome,omitempty"`
	Reason    string  `json:"reason,omitempty"`   // policy.Reason, an authentication failure, ...
	Endpoint  string  `json:"endpoint,omitempty"` // accesstoken, oauth2/token, supertokens, admin, ...
	RequestID string  `json:"requestId,omitempty"`
	Address   string  `json:"address,omitempty"` // of the client, without port

	Caller    string `json:"caller,omitempty"` // service name; as claimed when authentication failed after it was read
	CallerUID string `json:"callerUid,omitempty"`
	Target    string `json:"target,omitempty"` // as asked
	Scope     string `json:"scope,omitempty"`  // as granted, or as asked when refused
	// AnyScope says that no scope was asked for, so that those of the rule were granted.
	AnyScope   bool   `json:"anyScope,omitempty"`
	Credential string `json:"credential,omitempty"` // id
	Method     string `json:"method,omitempty"`     // by which the caller proved itself
	Grant      string `json:"grant,omitempty"`      // of OAuth, as asked
	Bound      string `json:"bound,omitempty"`      // to what the token was to be bound, as members of cnf: "jkt x5t#S256"
	OnBehalfOf string `json:"onBehalfOf,omitempty"` // sub of the token that was exchanged
	Exchange   string `json:"exchange,omitempty"`   // policy.Exchange, with OnBehalfOf
	// WouldRefuse is why a call was not allowed that its observing target let through, and Shadow what
	// the overlay of the call map would have said, when that is something else.
	WouldRefuse string `json:"wouldRefuse,omitempty"`
	Shadow      string `json:"shadow,omitempty"`
	// Claims are those of a platform's token that were not as they were wanted, when it was refused.
	Claims []api.ClaimFinding `json:"claims,omitempty"`
	Token  string             `json:"token,omitempty"` // jti of the token issued, or revoked
	KeyID  string             `json:"keyId,omitempty"` // kid that signed

	Actor    string            `json:"actor,omitempty"`    // of a change
	Action   string            `json:"action,omitempty"`   // of a change or mint
	Subject  string            `json:"subject,omitempty"`  // of a change
	Revision int64             `json:"revision,omitempty"` // of a change
	Detail   map[string]string `json:"detail,omitempty"`   // of a change or mint

	// Unproven says that nobody proved who they are, so that an event that is not allowed need not
	// have a record of its own: see Pending.Recorded.
	Unproven bool `json:"-"`
}

// Record is an event as the log contains it.
type Record struct {
	Seq uint64 `json:"seq"`
	Event
	Prev string `json:"prev"`
	Hash string `json:"hash"`
}
