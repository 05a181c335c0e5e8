package api

import "time"

// Blast is what a stolen credential of a service reaches.
type Blast struct {
	Service string  `json:"service" example:"m1" doc:"Whose credential."`
	Direct  int     `json:"direct" example:"1" doc:"Services it gets tokens for."`
	Through int     `json:"through" example:"1" doc:"Services that are reached through those, which exchange the tokens they receive."`
	Reaches []Reach `json:"reaches" nullable:"false" doc:"As a tree: each service is followed by those that are reached through it. The first 10,000 of them."`
}

// Reach is a service that is reached.
type Reach struct {
	Service  string      `json:"service" example:"m3" doc:"The service."`
	Depth    int         `json:"depth" example:"1" doc:"0: directly. Else one more than that of the service in the list through which it is reached."`
	By       string      `json:"by,omitempty" example:"m9" doc:"Who exchanges the token, where the rule names another service than the one it is for (may_act)."`
	Exchange string      `json:"exchange,omitempty" enum:"delegate,impersonate" example:"delegate" doc:"How the service before calls it: on behalf of the stolen one, or in its place."`
	Scopes   []string    `json:"scopes" nullable:"false" example:"[\"read\"]" doc:"What is had there, on whatever way. Empty: tokens without scope."`
	AnyScope bool        `json:"anyScope,omitempty" example:"false" doc:"Any scope that is asked for: the service observes, and refuses nobody."`
	When     *Conditions `json:"when,omitempty" doc:"Conditions of the last rule on the way, which are taken to hold."`
}

// Graph is the call map, or a part of it.
type Graph struct {
	Services []GraphNode `json:"services" nullable:"false" doc:"By name; the first 10,000."`
	Rules    []GraphArc  `json:"rules" nullable:"false" doc:"By caller and target; the first 20,000."`
	// Of how many, when not all fit.
	ServiceCount int `json:"serviceCount" example:"2" doc:"How many services there are in this part of the call map."`
	RuleCount    int `json:"ruleCount" example:"1" doc:"How many rules."`
}

// GraphNode is a service.
type GraphNode struct {
	Name     string   `json:"name" example:"m1" doc:"Its name."`
	Owner    string   `json:"owner,omitempty" example:"orders@example.com" doc:"Who answers for it."`
	Labels   []string `json:"labels,omitempty" example:"[\"team=web\"]" doc:"What it is."`
	Disabled bool     `json:"disabled,omitempty" example:"false" doc:"It gets no tokens, and nobody gets one for it."`
	Observe  bool     `json:"observe,omitempty" example:"false" doc:"Calls to it that no rule allows are allowed all the same."`
}

// GraphArc is a rule.
type GraphArc struct {
	From     string      `json:"from" example:"m1" doc:"The caller."`
	To       string      `json:"to" example:"m2" doc:"The target."`
	Scopes   []string    `json:"scopes,omitempty" example:"[\"read\"]" doc:"What the caller may have there."`
	Exchange string      `json:"exchange,omitempty" enum:"delegate,impersonate" example:"delegate" doc:"What it may do with tokens of others."`
	MayAct   string      `json:"mayAct,omitempty" example:"m9" doc:"The one service that may exchange the tokens."`
	Until    *time.Time  `json:"until,omitempty" example:"2027-01-01T00:00:00Z" doc:"When it ends."`
	Ended    bool        `json:"ended,omitempty" example:"false" doc:"It has ended, and allows nothing."`
	When     *Conditions `json:"when,omitempty" doc:"Conditions under which it counts."`
}

// Unused is what was never exercised in a window of time.
type Unused struct {
	Since time.Time `json:"since" example:"2026-08-26T00:00:00Z" doc:"Where the window begins."`
	// RecordsSince is when the first decision was counted. Nil: none was.
	RecordsSince *time.Time `json:"recordsSince,omitempty" example:"2026-05-01T00:00:00Z" doc:"The first day of which there are counts. Absent: there are none."`
	Complete     bool       `json:"complete" example:"true" doc:"There are counts of the whole window. If not, that something was not used says little, and no command removes it."`
	Young        int        `json:"young" example:"0" doc:"How many rules, credentials and services are not judged, since they were made within the window."`
	Count        int        `json:"count" example:"1" doc:"How much is unused."`
	Items        []Idle     `json:"items" nullable:"false" doc:"What, the first 10,000: services, credentials, rules and scopes of rules."`
}

// Idle is something that was not used.
type Idle struct {
	Kind    string     `json:"kind" enum:"service,credential,rule,scope" example:"rule" doc:"What it is."`
	What    string     `json:"what" example:"m1 -> m2" doc:"Which."`
	Last    *time.Time `json:"lastUsedAt,omitempty" example:"2026-05-02T12:00:00Z" doc:"Of a credential, when it was last used, if ever."`
	Command string     `json:"command,omitempty" example:"watchword disallow m1 m2" doc:"What removes it. Absent: there are not counts enough to say so."`
}

// Impact is who used something lately, and would break without it.
type Impact struct {
	What         string     `json:"what" example:"the rule m1 -> m2" doc:"What would be taken away."`
	Text         string     `json:"text" example:"m1 could not call m2 any more" doc:"What that means."`
	Since        time.Time  `json:"since" example:"2026-10-25T00:00:00Z" doc:"Where the window begins that was looked at."`
	RecordsSince *time.Time `json:"recordsSince,omitempty" example:"2026-05-01T00:00:00Z" doc:"The first day of which there are counts. Absent: there are none."`
	Count        int        `json:"count" example:"1" doc:"How many pairs of services."`
	Affected     []Affected `json:"affected" nullable:"false" doc:"The first 10,000, those that used it most first."`
}

// Affected is a pair of services that used it.
type Affected struct {
	Caller      string    `json:"caller" example:"m1" doc:"Who called."`
	Target      string    `json:"target,omitempty" example:"m2" doc:"Whom. Absent: nobody yet."`
	Tokens      int64     `json:"tokens" example:"14112" doc:"How many tokens it got."`
	Last        time.Time `json:"lastUsedAt,omitzero" example:"2026-11-24T12:00:00Z" doc:"When the last one."`
	Scopes      []string  `json:"scopes,omitempty" example:"[\"read\"]" doc:"What they had."`
	Methods     []string  `json:"methods,omitempty" example:"[\"private_key_jwt\"]" doc:"The methods with which the caller authenticated."`
	Credentials []string  `json:"credentials,omitempty" example:"[\"00112233445566778899aabbccddeeff\"]" doc:"With which credentials."`
	Networks    []string  `json:"networks,omitempty" example:"[\"10.1.2.0/24\"]" doc:"From where."`
}

// Suggestion is the least that would allow the calls which were, or would have been, refused. It is for
// a person to look at: a call that was refused may be the attack.
type Suggestion struct {
	Since        time.Time       `json:"since" example:"2026-10-25T00:00:00Z" doc:"Where the window begins that was looked at."`
	RecordsSince *time.Time      `json:"recordsSince,omitempty" example:"2026-05-01T00:00:00Z" doc:"The first day of which there are counts. Absent: there are none."`
	Rules        []SuggestedRule `json:"rules" nullable:"false" doc:"The rules, the first 10,000."`
	RuleCount    int             `json:"ruleCount" example:"1" doc:"How many."`
	File         string          `json:"file" example:"# to the rules of your call map file:\n  - {from: m1, to: m2, scopes: [read]}\n" doc:"The same in the form of call map files: lines for the rules of the file that owns them, in the place of those there for the same caller and target."`
	Left         []LeftOut       `json:"left" nullable:"false" doc:"Calls that were refused and that no suggested rule allows, the first 10,000: what they lack is a condition, or a service."`
	Unread       int64           `json:"unread,omitempty" example:"0" doc:"Refused calls that the suggestion leaves out, because there were more than 200,000 different ones. Ask about fewer days."`
}

// SuggestedRule is one rule, as it should be.
type SuggestedRule struct {
	From      string    `json:"from" example:"m1" doc:"The caller."`
	To        string    `json:"to" example:"m2" doc:"The target."`
	Scopes    []string  `json:"scopes" nullable:"false" example:"[\"read\"]" doc:"What it needs, with what it has."`
	Exchange  string    `json:"exchange,omitempty" enum:"delegate,impersonate" example:"delegate" doc:"What it does with tokens of others."`
	Refused   int64     `json:"refused" example:"12" doc:"How many calls were refused, or would have been."`
	Last      time.Time `json:"lastAt" example:"2026-11-24T12:00:00Z" doc:"When the last one."`
	New       bool      `json:"new" example:"true" doc:"There is no rule yet."`
	ManagedBy string    `json:"managedBy,omitempty" example:"callmap" doc:"The owner of the existing rule, which is managed-by of its call map file."`
	Command   string    `json:"command" example:"watchword allow m1 m2 --scope read" doc:"What would make it so."`
}

// LeftOut are calls that are not suggested to be allowed.
type LeftOut struct {
	From    string `json:"from" example:"m1" doc:"The caller."`
	To      string `json:"to" example:"m2" doc:"The target."`
	Reason  string `json:"reason" example:"condition_bound" doc:"Why they are refused still."`
	Text    string `json:"text" example:"the rule wants a token that is bound to a key" doc:"In words."`
	Refused int64  `json:"refused" example:"12" doc:"How many."`
}
