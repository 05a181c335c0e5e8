package api

import (
	"strings"
	"time"
)

// Rule allows one caller to get tokens for one target.
type Rule struct {
	Caller string `json:"caller" example:"m1" doc:"The name of the service that may call."`
	Target string `json:"target" example:"m2" doc:"The name of the service that may be called."`
	RuleTerms
	ManagedBy string    `json:"managedBy,omitempty" example:"callmap" doc:"The owner, which is managed-by of its call map file. Absent if the rule belongs to no file."`
	Version   int64     `json:"version" example:"1" doc:"The number of changes. In quotes, it is the ETag."`
	CreatedAt time.Time `json:"createdAt" example:"2026-11-24T12:00:00Z" doc:"When the rule was created."`
	UpdatedAt time.Time `json:"updatedAt" example:"2026-11-24T12:00:00Z" doc:"When the rule was last changed."`
}

// RuleTerms are the terms of a rule. As a body, they create a rule or replace all terms of one.
type RuleTerms struct {
	Scopes   []string    `json:"scopes" required:"false" nullable:"false" maxItems:"64" example:"[\"read\"]" doc:"The scopes that tokens of the rule may have (RFC 6749, section 3.3), sorted. Empty: tokens without scope."`
	Exchange string      `json:"exchange,omitempty" names:"exchanges" example:"delegate" doc:"The tokens for which the caller may exchange those that it receives (RFC 8693). Absent: none."`
	MayAct   string      `json:"mayAct,omitempty" maxLength:"128" example:"m9" doc:"The name of the only service that may exchange the tokens of this rule (RFC 8693, section 4.4), or its uid if it was deleted. The default is the target."`
	When     *Conditions `json:"when,omitempty" doc:"Conditions. The rule allows a request only if all of them are met."`
	Until    *time.Time  `json:"until,omitempty" example:"2027-01-01T00:00:00Z" doc:"The time at which the rule ends. It allows nothing at that time. Absent: it does not end."`
}

// RuleList is a page of rules.
type RuleList struct {
	Rules         []Rule `json:"rules" nullable:"false" doc:"The rules, ordered by the uids of the services."`
	NextPageToken string `json:"nextPageToken,omitempty" doc:"The pageToken of the next page. Absent on the last page."`
}

// Conditions are the conditions of a rule, in call map files and in the API.
type Conditions struct {
	Auth     []string `json:"auth,omitempty" names:"methods" maxItems:"16" example:"[\"private_key_jwt\"]" doc:"The caller authenticated with one of these methods."`
	Bound    bool     `json:"bound,omitempty" example:"true" doc:"The token is bound to a key of the caller."`
	Networks []string `json:"networks,omitempty" maxItems:"64" example:"[\"10.0.0.0/8\"]" doc:"The address of the caller is in one of these networks."`
	Hours    string   `json:"hours,omitempty" maxLength:"64" example:"Mon-Fri 08:00-18:00" doc:"The request is made in this part of the week, in UTC."`
	Chain    string   `json:"chain,omitempty" names:"chains" example:"direct" doc:"Whether the caller may act on behalf of another service. The default is any."`
}

// String returns the conditions in a line, for people to read. It is empty when there are none.
func (c *Conditions) String() string {
	if c == nil {
		return ""
	}
	var parts []string
	if len(c.Auth) > 0 {
		parts = append(parts, "by "+strings.Join(c.Auth, " or "))
	}
	if c.Bound {
		parts = append(parts, "bound")
	}
	if len(c.Networks) > 0 {
		parts = append(parts, "from "+strings.Join(c.Networks, " or "))
	}
	if c.Hours != "" {
		parts = append(parts, c.Hours)
	}
	if c.Chain != "" {
		parts = append(parts, c.Chain)
	}
	return strings.Join(parts, ", ")
}
