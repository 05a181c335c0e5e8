package api

import (
	"fmt"
	"time"
)

// CallMapFile is one file of a call map.
type CallMapFile struct {
	Name string `json:"name" maxLength:"256" example:"callmap.yaml" doc:"The name of the file, for messages."`
	Text string `json:"text" example:"rules:\n  - {from: m1, to: m2, scopes: [read]}\n" doc:"The content of the file: YAML, as described in docs/callmap.md."`
}

// CallMapFiles are files that are read as one call map.
type CallMapFiles struct {
	Files []CallMapFile `json:"files" minItems:"1" maxItems:"128" doc:"One file, or all files of a folder."`
}

// CallMapPlan is what applying files would change.
type CallMapPlan struct {
	Base    int64           `json:"base" example:"42" doc:"The revision for which the plan was made. Send it with the files to apply exactly this plan."`
	Empty   bool            `json:"empty" example:"false" doc:"Whether nothing would change."`
	Summary string          `json:"summary" example:"services: 0 added, 0 changed, 0 removed; rules: 1 added, 0 changed, 0 removed" doc:"The plan in one line."`
	Changes []PlannedChange `json:"changes" nullable:"false" doc:"The first 1,000 changes, in words."`
	Removed int             `json:"removed" example:"0" doc:"The number of services, rules, trusts and identities that would be removed. An identity that takes the place of another of its service is not counted."`
	// RemovesMany: to apply the plan, Removed must be repeated.
	RemovesMany bool           `json:"removesMany,omitempty" example:"false" doc:"Whether the plan removes all services or all trusts of the files, or at least ten things that are a quarter or more of what the files own. Such a plan is applied only if remove repeats the number."`
	Ended       []string       `json:"ended,omitempty" doc:"Rules of the files that have ended."`
	Withheld    []string       `json:"withheld,omitempty" example:"[\"the trust prod stays disabled\"]" doc:"Sentences about trusts that stay disabled, and identities that stay revoked, since an operator did that by hand, and about how to change it."`
	Tests       []CallMapTest  `json:"tests" nullable:"false" doc:"The results of the tests of the files, as if the files were applied."`
	Failed      int            `json:"failed" example:"0" doc:"The number of tests that failed."`
	Replay      *CallMapReplay `json:"replay,omitempty" doc:"How the plan would have changed recorded decisions. Absent if the request did not ask for it."`
}

// ApplyCallMap is the body of a request that applies files.
type ApplyCallMap struct {
	CallMapFiles
	Base   int64  `json:"base,omitempty" minimum:"0" example:"42" doc:"The revision of the plan. If the directory was changed after it, nothing is applied. 0 applies to any revision."`
	Remove *int   `json:"remove,omitempty" minimum:"0" example:"0" doc:"The number of services, rules, trusts and identities that the plan removes. It is required if the plan has removesMany, and nothing is applied if it differs from the number in the plan."`
	Reason string `json:"reason,omitempty" maxLength:"512" example:"m1 reads orders now" doc:"The reason that the history shows."`
	Author string `json:"author,omitempty" maxLength:"128" example:"anna@example.com" doc:"The author that the history shows. The default is operator."`
}

// AppliedCallMap is a file that was applied.
type AppliedCallMap struct {
	Revision  int64     `json:"revision" example:"43" doc:"The revision of the change."`
	At        time.Time `json:"at" example:"2026-11-24T12:00:00Z" doc:"The time of the change."`
	Author    string    `json:"author" example:"anna@example.com" doc:"The author of the change."`
	Reason    string    `json:"reason,omitempty" example:"m1 reads orders now" doc:"The reason for the change."`
	ManagedBy string    `json:"managedBy,omitempty" example:"callmap" doc:"The owners of the files (managed-by), separated by spaces."`
	Summary   string    `json:"summary" example:"services: 0 added, 0 changed, 0 removed; rules: 1 added, 0 changed, 0 removed" doc:"The change in one line."`
}

// AppliedList is a part of the history of the call map.
type AppliedList struct {
	Applied []AppliedCallMap `json:"applied" nullable:"false" doc:"The applied call maps, newest first. If there are fewer than limit, there are no older ones."`
}

// CallMapDocument is a call map file.
type CallMapDocument struct {
	Revision int64         `json:"revision" example:"43" doc:"The revision in which the files were applied, or from which they were exported."`
	Files    []CallMapFile `json:"files" nullable:"false" doc:"The files."`
}

// RollbackCallMap is the body of a request that applies the files of an earlier revision again.
type RollbackCallMap struct {
	Base   int64  `json:"base,omitempty" minimum:"0" example:"42" doc:"The revision of a plan of these files. If the directory was changed after it, nothing is applied. 0 applies to any revision."`
	Remove *int   `json:"remove,omitempty" minimum:"0" example:"0" doc:"As for the application of files."`
	Reason string `json:"reason,omitempty" maxLength:"512" example:"orders broke" doc:"The reason that the history shows."`
	Author string `json:"author,omitempty" maxLength:"128" example:"anna@example.com" doc:"The author that the history shows. The default is operator."`
}

// PlanCallMap is the body of a request for a plan.
type PlanCallMap struct {
	CallMapFiles
	ReplayDays *int `json:"replayDays,omitempty" minimum:"0" maximum:"400" example:"30" doc:"The number of days whose recorded decisions are repeated, as if the files were applied. The default is 30. 0 leaves the replay out."`
}

// UsageWindow is the period whose counts an answer was made from.
type UsageWindow struct {
	Days  int        `json:"days" example:"30" doc:"The number of days, including today."`
	From  time.Time  `json:"from" example:"2026-10-26T00:00:00Z" doc:"The beginning of the first day, in UTC."`
	To    time.Time  `json:"to" example:"2026-11-24T12:00:00Z" doc:"The end of the period, which is now. Other replicas may have counted some seconds more."`
	Since *time.Time `json:"since,omitempty" example:"2026-09-01T00:00:00Z" doc:"The first day for which there are any counts. Absent if there are none."`
}

// CallMapReplay is how a plan would have changed recorded decisions.
type CallMapReplay struct {
	UsageWindow
	Looked      int64         `json:"looked" example:"20000" doc:"The number of tokens that were issued in the period for the rules and services that the plan changes."`
	Refused     int64         `json:"refused" example:"14112" doc:"The number of these tokens that would have been refused."`
	Edges       []RefusedEdge `json:"edges" nullable:"false" doc:"The refused tokens by caller and target. The pairs with the most tokens come first, and at most 1,000 are listed."`
	Sentences   []string      `json:"sentences" nullable:"false" example:"[\"in the last 30 days 14,112 tokens for m7 -> billing would have been refused: there is no rule m7 -> billing\"]" doc:"The same in words."`
	Unused      []UnusedRule  `json:"unused" nullable:"false" doc:"Rules of the files that are in force and were not used in the period, at most 1,000."`
	UnusedRules int           `json:"unusedRules" example:"1" doc:"The number of such rules."`
	Notes       []string      `json:"notes,omitempty" example:"[\"usage is counted by day, so that hours of rules could not be replayed: those calls count as within them\"]" doc:"What could not be replayed."`
}

// UnusedRule is a rule that nobody used.
type UnusedRule struct {
	Caller    string    `json:"caller" example:"m1" doc:"The caller."`
	Target    string    `json:"target" example:"m3" doc:"The target."`
	CreatedAt time.Time `json:"createdAt" example:"2026-01-01T00:00:00Z" doc:"When the rule was created."`
}

// RefusedEdge is the tokens for one caller and one target that would have been refused.
type RefusedEdge struct {
	Caller string    `json:"caller" example:"m7" doc:"The caller."`
	Target string    `json:"target" example:"billing" doc:"The target."`
	Tokens int64     `json:"tokens" example:"14112" doc:"The number of tokens."`
	Reason string    `json:"reason" example:"no_rule" doc:"The reason for which most of them would have been refused."`
	Text   string    `json:"text" example:"there is no rule m7 -> billing" doc:"The reason in words."`
	Scopes []string  `json:"scopes,omitempty" example:"[\"read\"]" doc:"The scopes that the tokens had."`
	Last   time.Time `json:"last" example:"2026-11-24T11:59:00Z" doc:"When the last of them was issued."`
}

// PlannedChange is one line of a plan, in words.
type PlannedChange struct {
	Op   string `json:"op" enum:"add,change,remove" example:"add" doc:"Whether it is added, changed or removed."`
	Kind string `json:"kind" enum:"service,rule,shadow,trust,identity" example:"rule" doc:"The kind of what changes."`
	What string `json:"what" example:"m1 -> m2" doc:"The name of the service or trust, the service of an identity, or the caller and the target of the rule."`
	Text string `json:"text,omitempty" example:"scopes: read -> read write" doc:"What is new or different."`
}

// String is the change as a line of a plan: + for what is added, ~ for what is changed, - for what is removed.
func (c PlannedChange) String() string {
	sign := map[string]string{"add": "+", "change": "~", "remove": "-"}[c.Op]
	text := sign + " " + c.What
	if c.Kind != "rule" {
		text = sign + " " + c.Kind + " " + c.What
	}
	if c.Text != "" {
		text += "  " + c.Text
	}
	return text
}

// CallMapTest is the result of one test, for one caller and one target.
type CallMapTest struct {
	File   string   `json:"file" example:"callmap.yaml" doc:"The file that contains the test."`
	Line   int      `json:"line" example:"7" doc:"The line of the test."`
	From   string   `json:"from" example:"m3" doc:"The caller. For a test with the token of a trust, this is \"token of\" and the trust, with the service that the token proves in brackets, if it proves one."`
	To     string   `json:"to" example:"m2" doc:"The target."`
	Scopes []string `json:"scopes,omitempty" example:"[\"read\"]" doc:"The requested scopes."`
	Expect string   `json:"expect" enum:"allow,deny" example:"deny" doc:"The expected decision."`
	Got    string   `json:"got" enum:"allow,deny" example:"deny" doc:"The decision."`
	Reason string   `json:"reason" example:"no_rule" doc:"The reason for the decision."`
	// Claims that are not as an identity wants them.
	Claims []ClaimFinding `json:"claims,omitempty" doc:"If the test has a token that proves no service: its claims that are not as the nearest identity wants them."`
}

// Passed reports whether the decision is the expected one.
func (r CallMapTest) Passed() bool { return r.Expect == r.Got }

// String is the result as one line.
func (r CallMapTest) String() string {
	verdict := "ok"
	if !r.Passed() {
		verdict = "FAILED"
	}
	return fmt.Sprintf("%s %s:%d %s -> %s: expected %s, got %s (%s)", verdict, r.File, r.Line, r.From, r.To, r.Expect, r.Got, r.Why())
}

// Why is the reason for the decision, with the claims that it is about.
func (r CallMapTest) Why() string {
	why := r.Reason
	for _, c := range r.Claims {
		seen := "is missing"
		if c.Seen != "" {
			seen = "is " + c.Seen
		}
		why += fmt.Sprintf("; %s %s, wanted %s", c.Claim, seen, c.Wanted)
	}
	return why
}

// CallMapShadow is the shadow that was set.
type CallMapShadow struct {
	Revision int64    `json:"revision" example:"44" doc:"The revision of the change."`
	Rules    int      `json:"rules" example:"2" doc:"The number of pairs of caller and target for which the shadow has another rule than the call map in force."`
	LeftOut  []string `json:"leftOut,omitempty" example:"[\"m4 would be enabled\"]" doc:"Changes of the files that a shadow cannot show."`
}

// ShadowReport is the decisions that would have been different under the shadow.
type ShadowReport struct {
	UsageWindow
	Rules int         `json:"rules" example:"2" doc:"The number of pairs of caller and target in the shadow."`
	Edges []Otherwise `json:"edges" nullable:"false" doc:"The decisions that would have been different, by caller and target. The pairs with the most decisions come first, and at most 1,000 are listed."`
}

// Otherwise is the decisions for one caller and one target that would have been different.
type Otherwise struct {
	Caller  string    `json:"caller" example:"m7" doc:"The caller."`
	Target  string    `json:"target" example:"billing" doc:"The target."`
	By      string    `json:"by" enum:"shadow,observe" example:"shadow" doc:"shadow: the rules of the shadow decide differently. observe: the rules in force would have refused if the target enforced them."`
	Outcome string    `json:"outcome" enum:"refused,allowed,fewer_scopes" example:"refused" doc:"The other decision. fewer_scopes: allowed, but a request that names no scope gets fewer scopes."`
	Tokens  int64     `json:"tokens" example:"14112" doc:"The number of decisions."`
	Reason  string    `json:"reason" example:"no_rule" doc:"The reason for the other decision."`
	Scopes  []string  `json:"scopes,omitempty" example:"[\"read\"]" doc:"The scopes of these decisions."`
	Last    time.Time `json:"last" example:"2026-11-24T11:59:00Z" doc:"When the last of them was made."`
}
