package api

import "time"

// Blast is what a stolen credential of a service reaches.
type Blast struct {
	Service string  `json:"service" example:"m1" doc:"The service to which the credential belongs."`
	Direct  int     `json:"direct" example:"1" doc:"The number of services for which it gets tokens."`
	Through int     `json:"through" example:"1" doc:"The number of services that are reached through these, which can exchange the tokens that they receive."`
	Reaches []Reach `json:"reaches" nullable:"false" doc:"The services as a tree: each is followed by those that are reached through it. At most 10,000."`
}

// Reach is a service that is reached.
type Reach struct {
	Service  string      `json:"service" example:"m3" doc:"The service."`
	Depth    int         `json:"depth" example:"1" doc:"0 for a service that is reached directly. Otherwise one more than the depth of the service through which it is reached."`
	By       string      `json:"by,omitempty" example:"m9" doc:"The service that exchanges the token, if the rule names another one than the target (may_act)."`
	Exchange string      `json:"exchange,omitempty" enum:"delegate,impersonate" example:"delegate" doc:"How the previous service calls it: on behalf of the caller (delegate) or as the caller (impersonate)."`
	Scopes   []string    `json:"scopes" nullable:"false" example:"[\"read\"]" doc:"The scopes that can be obtained, on any path. Empty: tokens without scope."`
	AnyScope bool        `json:"anyScope,omitempty" example:"false" doc:"Whether any requested scope is granted, because the service only observes."`
	When     *Conditions `json:"when,omitempty" doc:"The conditions of the last rule on the path. They are assumed to be met."`
}

// Graph is the call map, or a part of it.
type Graph struct {
	Services     []GraphNode `json:"services" nullable:"false" doc:"The services, ordered by name. At most 10,000."`
	Rules        []GraphArc  `json:"rules" nullable:"false" doc:"The rules, ordered by caller and target. At most 20,000."`
	ServiceCount int         `json:"serviceCount" example:"2" doc:"The number of services in this part of the call map."`
	RuleCount    int         `json:"ruleCount" example:"1" doc:"The number of rules in this part of the call map."`
}

// GraphNode is a service.
type GraphNode struct {
	Name     string   `json:"name" example:"m1" doc:"The name of the service."`
	Owner    string   `json:"owner,omitempty" example:"orders@example.com" doc:"The person or team to ask about the service."`
	Labels   []string `json:"labels,omitempty" example:"[\"team=web\"]" doc:"The labels of the service."`
	Disabled bool     `json:"disabled,omitempty" example:"false" doc:"Whether the service is disabled."`
	Observe  bool     `json:"observe,omitempty" example:"false" doc:"Whether calls to the service that no rule allows are allowed and recorded."`
}

// GraphArc is a rule.
type GraphArc struct {
	From     string      `json:"from" example:"m1" doc:"The caller."`
	To       string      `json:"to" example:"m2" doc:"The target."`
	Scopes   []string    `json:"scopes,omitempty" example:"[\"read\"]" doc:"The scopes that tokens of the rule may have."`
	Exchange string      `json:"exchange,omitempty" enum:"delegate,impersonate" example:"delegate" doc:"The token exchange that the rule allows."`
	MayAct   string      `json:"mayAct,omitempty" example:"m9" doc:"The only service that may exchange the tokens of the rule."`
	Until    *time.Time  `json:"until,omitempty" example:"2027-01-01T00:00:00Z" doc:"When the rule ends."`
	Ended    bool        `json:"ended,omitempty" example:"false" doc:"Whether the rule has ended and allows nothing."`
	When     *Conditions `json:"when,omitempty" doc:"The conditions of the rule."`
}

// Unused is what was not used in a period.
type Unused struct {
	Since time.Time `json:"since" example:"2026-08-26T00:00:00Z" doc:"The beginning of the period."`
	// RecordsSince is when the first decision was counted. Nil: none was.
	RecordsSince *time.Time `json:"recordsSince,omitempty" example:"2026-05-01T00:00:00Z" doc:"The first day for which there are counts. Absent if there are none."`
	Complete     bool       `json:"complete" example:"true" doc:"Whether there are counts for the whole period. If not, something that is listed may still be needed, and no commands are given."`
	Young        int        `json:"young" example:"0" doc:"The number of rules, credentials and services that are not listed because they were created or changed in the period."`
	Count        int        `json:"count" example:"1" doc:"The number of unused items."`
	Items        []Idle     `json:"items" nullable:"false" doc:"The services, credentials, rules and scopes of rules. At most 10,000."`
}

// Idle is something that was not used.
type Idle struct {
	Kind    string     `json:"kind" enum:"service,credential,rule,scope" example:"rule" doc:"The kind of the item."`
	What    string     `json:"what" example:"m1 -> m2" doc:"The item."`
	Last    *time.Time `json:"lastUsedAt,omitempty" example:"2026-05-02T12:00:00Z" doc:"For a credential: when it was last used."`
	Command string     `json:"command,omitempty" example:"watchword disallow m1 m2" doc:"The command that removes it. Absent if the counts do not cover the whole period."`
}

// Impact is the services that used something in a period, and would fail without it.
type Impact struct {
	What         string     `json:"what" example:"the rule m1 -> m2" doc:"What would be removed."`
	Text         string     `json:"text" example:"m1 could not call m2 any more" doc:"What would happen then."`
	Since        time.Time  `json:"since" example:"2026-10-25T00:00:00Z" doc:"The beginning of the period."`
	RecordsSince *time.Time `json:"recordsSince,omitempty" example:"2026-05-01T00:00:00Z" doc:"The first day for which there are counts. Absent if there are none."`
	Count        int        `json:"count" example:"1" doc:"The number of pairs of services."`
	Affected     []Affected `json:"affected" nullable:"false" doc:"The pairs of services, those with the most tokens first. At most 10,000."`
}

// Affected is a pair of services that used it.
type Affected struct {
	Caller      string    `json:"caller" example:"m1" doc:"The caller."`
	Target      string    `json:"target,omitempty" example:"m2" doc:"The target. Absent if the caller requested no token yet."`
	Tokens      int64     `json:"tokens" example:"14112" doc:"The number of tokens."`
	Last        time.Time `json:"lastUsedAt,omitzero" example:"2026-11-24T12:00:00Z" doc:"When the last token was issued."`
	Scopes      []string  `json:"scopes,omitempty" example:"[\"read\"]" doc:"The scopes of the tokens."`
	Methods     []string  `json:"methods,omitempty" example:"[\"private_key_jwt\"]" doc:"The methods with which the caller authenticated."`
	Credentials []string  `json:"credentials,omitempty" example:"[\"00112233445566778899aabbccddeeff\"]" doc:"The ids of the credentials with which the caller authenticated."`
	Networks    []string  `json:"networks,omitempty" example:"[\"10.1.2.0/24\"]" doc:"The networks from which the caller sent its requests."`
}

// Suggestion is the smallest rules that would allow the calls that were refused, or would have been. A person should
// review it: a call that was refused may be an attack.
type Suggestion struct {
	Since        time.Time       `json:"since" example:"2026-10-25T00:00:00Z" doc:"The beginning of the period."`
	RecordsSince *time.Time      `json:"recordsSince,omitempty" example:"2026-05-01T00:00:00Z" doc:"The first day for which there are counts. Absent if there are none."`
	Rules        []SuggestedRule `json:"rules" nullable:"false" doc:"The suggested rules. At most 10,000."`
	RuleCount    int             `json:"ruleCount" example:"1" doc:"The number of suggested rules."`
	File         string          `json:"file" example:"# Rules for your call map file:\n  - {from: m1, to: m2, scopes: [read]}\n" doc:"The same as lines for the call map files that own the rules. They replace the rules for the same caller and target there."`
	Left         []LeftOut       `json:"left" nullable:"false" doc:"Refused calls that no suggested rule allows, because they do not meet a condition or a service is missing. At most 10,000."`
	Unread       int64           `json:"unread,omitempty" example:"0" doc:"The number of refused calls that are left out because there were more than 200,000 different ones. Ask about fewer days."`
}

// SuggestedRule is one rule that would allow refused calls.
type SuggestedRule struct {
	From      string    `json:"from" example:"m1" doc:"The caller."`
	To        string    `json:"to" example:"m2" doc:"The target."`
	Scopes    []string  `json:"scopes" nullable:"false" example:"[\"read\"]" doc:"The scopes of the rule: those that it has, and those that were refused."`
	Exchange  string    `json:"exchange,omitempty" enum:"delegate,impersonate" example:"delegate" doc:"The token exchange that the rule must allow."`
	Refused   int64     `json:"refused" example:"12" doc:"The number of calls that were refused, or would have been."`
	Last      time.Time `json:"lastAt" example:"2026-11-24T12:00:00Z" doc:"When the last of them was made."`
	New       bool      `json:"new" example:"true" doc:"Whether there is no such rule yet."`
	ManagedBy string    `json:"managedBy,omitempty" example:"callmap" doc:"The owner of the existing rule, which is managed-by of its call map file."`
	Command   string    `json:"command" example:"watchword allow m1 m2 --scope read" doc:"The command that makes the rule, or what to change in a call map file."`
}

// LeftOut is calls that no suggested rule allows.
type LeftOut struct {
	From    string `json:"from" example:"m1" doc:"The caller."`
	To      string `json:"to" example:"m2" doc:"The target."`
	Reason  string `json:"reason" example:"condition_bound" doc:"The reason for which the calls are still refused."`
	Text    string `json:"text" example:"the rule wants a token that is bound to a key" doc:"The reason in words."`
	Refused int64  `json:"refused" example:"12" doc:"The number of calls."`
}
