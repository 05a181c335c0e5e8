package api

import (
	"fmt"
	"time"
)

// CallMapFile is one file of a call map.
type CallMapFile struct {
	Name string `json:"name" maxLength:"256" example:"callmap.yaml" doc:"For messages."`
	Text string `json:"text" example:"rules:\n  - {from: m1, to: m2, scopes: [read]}\n" doc:"The file: YAML, as docs/callmap.md says."`
}

// CallMapFiles are read as one.
type CallMapFiles struct {
	Files []CallMapFile `json:"files" minItems:"1" maxItems:"128" doc:"One file, or all files of a folder."`
}

// CallMapPlan is what would change.
type CallMapPlan struct {
	Base    int64           `json:"base" example:"42" doc:"The revision it was planned on. Send it with the files to apply just this plan."`
	Empty   bool            `json:"empty" example:"false" doc:"Nothing would change."`
	Summary string          `json:"summary" example:"services: 0 added, 0 changed, 0 removed; rules: 1 added, 0 changed, 0 removed" doc:"In one line."`
	Changes []PlannedChange `json:"changes" nullable:"false" doc:"In words, the first 1,000 of them."`
	Removed int             `json:"removed" example:"0" doc:"How many services and rules would be removed."`
	// RemovesMany: who applies it must repeat Removed.
	RemovesMany bool           `json:"removesMany,omitempty" example:"false" doc:"They are all services that the files own, or ten and more services and rules and at least a quarter of those that the files own. To apply the plan, remove must repeat the number."`
	Ended       []string       `json:"ended,omitempty" doc:"Rules of the files whose date is past."`
	Tests       []CallMapTest  `json:"tests" nullable:"false" doc:"What the tests of the files say of the call map as it would be."`
	Failed      int            `json:"failed" example:"0" doc:"Tests that failed."`
	Replay      *CallMapReplay `json:"replay,omitempty" doc:"What recorded decisions say of it. Absent: it was not asked for."`
}

// ApplyCallMap asks to apply files.
type ApplyCallMap struct {
	CallMapFiles
	Base   int64  `json:"base,omitempty" minimum:"0" example:"42" doc:"The revision of the plan: another change since then refuses. 0: whatever is there."`
	Remove *int   `json:"remove,omitempty" minimum:"0" example:"0" doc:"How many services and rules the plan removes. Required if the plan says removesMany. Another number than the plan's refuses."`
	Reason string `json:"reason,omitempty" maxLength:"512" example:"m1 reads orders now" doc:"Why, for the history."`
	Author string `json:"author,omitempty" maxLength:"128" example:"anna@example.com" doc:"Who, for the history; the operator if nobody is named."`
}

// AppliedCallMap is a file that was applied.
type AppliedCallMap struct {
	Revision  int64     `json:"revision" example:"43" doc:"Of the change."`
	At        time.Time `json:"at" example:"2026-11-24T12:00:00Z" doc:"When."`
	Author    string    `json:"author" example:"anna@example.com" doc:"Who."`
	Reason    string    `json:"reason,omitempty" example:"m1 reads orders now" doc:"Why."`
	ManagedBy string    `json:"managedBy,omitempty" example:"callmap" doc:"The owners of the files (managed-by), separated by spaces."`
	Summary   string    `json:"summary" example:"services: 0 added, 0 changed, 0 removed; rules: 1 added, 0 changed, 0 removed" doc:"What changed."`
}

// AppliedList is a part of the history of the call map.
type AppliedList struct {
	Applied []AppliedCallMap `json:"applied" nullable:"false" doc:"The newest first. Fewer than limit: there are no older ones."`
}

// CallMapDocument is a call map file.
type CallMapDocument struct {
	Revision int64         `json:"revision" example:"43" doc:"The revision it was applied in, or that it was exported from."`
	Files    []CallMapFile `json:"files" nullable:"false" doc:"The files."`
}

// RollbackCallMap asks to apply again what was applied in a revision.
type RollbackCallMap struct {
	Base   int64  `json:"base,omitempty" minimum:"0" example:"42" doc:"The revision of a plan of those files: another change since then refuses. 0: whatever is there."`
	Remove *int   `json:"remove,omitempty" minimum:"0" example:"0" doc:"As when files are applied."`
	Reason string `json:"reason,omitempty" maxLength:"512" example:"orders broke" doc:"Why, for the history."`
	Author string `json:"author,omitempty" maxLength:"128" example:"anna@example.com" doc:"Who, for the history; the operator if nobody is named."`
}

// PlanCallMap asks for a plan.
type PlanCallMap struct {
	CallMapFiles
	ReplayDays *int `json:"replayDays,omitempty" minimum:"0" maximum:"400" example:"30" doc:"How many days of recorded decisions are decided again on the call map as it would be: 30 if absent; 0: none."`
}

// UsageWindow is which records an answer was made from.
type UsageWindow struct {
	Days  int        `json:"days" example:"30" doc:"How many days, today included."`
	From  time.Time  `json:"from" example:"2026-10-26T00:00:00Z" doc:"The beginning of the first day, in UTC."`
	To    time.Time  `json:"to" example:"2026-11-24T12:00:00Z" doc:"The end: now. Other replicas may have some seconds more."`
	Since *time.Time `json:"since,omitempty" example:"2026-09-01T00:00:00Z" doc:"The first day of which there are records at all. Absent: there are none."`
}

// CallMapReplay is what recorded decisions say of a plan.
type CallMapReplay struct {
	UsageWindow
	Looked      int64         `json:"looked" example:"20000" doc:"Tokens given in that window for the rules and services that the plan changes."`
	Refused     int64         `json:"refused" example:"14112" doc:"How many of these would have been refused."`
	Edges       []RefusedEdge `json:"edges" nullable:"false" doc:"By caller and target, those with the most tokens first, at most 1,000."`
	Sentences   []string      `json:"sentences" nullable:"false" example:"[\"in the last 30 days 14,112 tokens for m7 -> billing would have been refused: there is no rule m7 -> billing\"]" doc:"The same in words."`
	Unused      []UnusedRule  `json:"unused" nullable:"false" doc:"Rules of the files that are in force and were not used in that window, at most 1,000."`
	UnusedRules int           `json:"unusedRules" example:"1" doc:"How many there are."`
	Notes       []string      `json:"notes,omitempty" example:"[\"usage is counted by day, so that hours of rules could not be replayed: those calls count as within them\"]" doc:"What could not be replayed."`
}

// UnusedRule is a rule that nobody used.
type UnusedRule struct {
	Caller    string    `json:"caller" example:"m1" doc:"The caller."`
	Target    string    `json:"target" example:"m3" doc:"The target."`
	CreatedAt time.Time `json:"createdAt" example:"2026-01-01T00:00:00Z" doc:"Since when there is the rule."`
}

// RefusedEdge is what would have been refused of one edge.
type RefusedEdge struct {
	Caller string    `json:"caller" example:"m7" doc:"The caller."`
	Target string    `json:"target" example:"billing" doc:"The target."`
	Tokens int64     `json:"tokens" example:"14112" doc:"How many tokens."`
	Reason string    `json:"reason" example:"no_rule" doc:"Why most of them would have been refused."`
	Text   string    `json:"text" example:"there is no rule m7 -> billing" doc:"The same in words."`
	Scopes []string  `json:"scopes,omitempty" example:"[\"read\"]" doc:"Scopes those tokens had."`
	Last   time.Time `json:"last" example:"2026-11-24T11:59:00Z" doc:"The last of them."`
}

// PlannedChange is one line of a plan, in words.
type PlannedChange struct {
	Op   string `json:"op" enum:"add,change,remove" example:"add" doc:"What happens to it."`
	Kind string `json:"kind" enum:"service,rule,shadow" example:"rule" doc:"What it is."`
	// What it happens to: the name of a service, or caller -> target.
	What string `json:"what" example:"m1 -> m2" doc:"The service, or the caller and the target of the rule."`
	Text string `json:"text,omitempty" example:"scopes: read -> read write" doc:"What is different, or what is new about it."`
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

// CallMapTest is what came out of one test, for one caller and one target.
type CallMapTest struct {
	File   string   `json:"file" example:"callmap.yaml" doc:"The file the test is in."`
	Line   int      `json:"line" example:"7" doc:"And its line."`
	From   string   `json:"from" example:"m3" doc:"The caller."`
	To     string   `json:"to" example:"m2" doc:"The target."`
	Scopes []string `json:"scopes,omitempty" example:"[\"read\"]" doc:"What was asked for."`
	Expect string   `json:"expect" enum:"allow,deny" example:"deny" doc:"What was to come out."`
	Got    string   `json:"got" enum:"allow,deny" example:"deny" doc:"What came out."`
	Reason string   `json:"reason" example:"no_rule" doc:"Why."`
}

// Passed reports whether what came out is what was expected.
func (r CallMapTest) Passed() bool { return r.Expect == r.Got }

// String is the result as one line.
func (r CallMapTest) String() string {
	verdict := "ok"
	if !r.Passed() {
		verdict = "FAILED"
	}
	return fmt.Sprintf("%s %s:%d %s -> %s: expected %s, got %s (%s)", verdict, r.File, r.Line, r.From, r.To, r.Expect, r.Got, r.Reason)
}

// CallMapShadow is the overlay that was set.
type CallMapShadow struct {
	Revision int64    `json:"revision" example:"44" doc:"Of the change."`
	Rules    int      `json:"rules" example:"2" doc:"How many edges are decided beside the call map now."`
	LeftOut  []string `json:"leftOut,omitempty" example:"[\"m4 would be enabled\"]" doc:"What the files change and a shadow cannot show."`
}

// ShadowReport is what would have come out otherwise.
type ShadowReport struct {
	UsageWindow
	Rules int         `json:"rules" example:"2" doc:"How many edges the shadow has now."`
	Edges []Otherwise `json:"edges" nullable:"false" doc:"By caller and target, those with the most decisions first, at most 1,000."`
}

// Otherwise is what would have come out otherwise of one edge.
type Otherwise struct {
	Caller  string    `json:"caller" example:"m7" doc:"The caller."`
	Target  string    `json:"target" example:"billing" doc:"The target."`
	By      string    `json:"by" enum:"shadow,observe" example:"shadow" doc:"shadow: the rules of the shadow; observe: the rules in force, if the target enforced them."`
	Outcome string    `json:"outcome" enum:"refused,allowed,fewer_scopes" example:"refused" doc:"What would have come out. fewer_scopes: allowed, but who names no scope gets fewer."`
	Tokens  int64     `json:"tokens" example:"14112" doc:"How many decisions."`
	Reason  string    `json:"reason" example:"no_rule" doc:"Why they would have been refused or, for allowed, why they were."`
	Scopes  []string  `json:"scopes,omitempty" example:"[\"read\"]" doc:"Scopes of these."`
	Last    time.Time `json:"last" example:"2026-11-24T11:59:00Z" doc:"The last of them."`
}
