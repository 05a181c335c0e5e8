package api

import (
	"strings"
	"time"
)

// Rule allows one caller one target.
type Rule struct {
	Caller string `json:"caller" example:"m1" doc:"Name of the service that may call."`
	Target string `json:"target" example:"m2" doc:"Name of the service that may be called."`
	RuleTerms
	ManagedBy string    `json:"managedBy,omitempty" example:"callmap" doc:"The owner, which is managed-by of its call map file. Absent: it was made by hand."`
	Version   int64     `json:"version" example:"1" doc:"Counts changes; the ETag in quotes."`
	CreatedAt time.Time `json:"createdAt" example:"2026-11-24T12:00:00Z" doc:"When it was made."`
	UpdatedAt time.Time `json:"updatedAt" example:"2026-11-24T12:00:00Z" doc:"When it was last changed."`
}

// RuleTerms are what a rule says. As a body they make a rule, or replace all that one says.
type RuleTerms struct {
	Scopes   []string    `json:"scopes" required:"false" nullable:"false" maxItems:"64" example:"[\"read\"]" doc:"What the caller may have at the target: scope tokens (RFC 6749, section 3.3), sorted. None: tokens without scope."`
	Exchange string      `json:"exchange,omitempty" names:"exchanges" example:"delegate" doc:"For which tokens the caller may exchange those that it receives (RFC 8693). Absent: none."`
	MayAct   string      `json:"mayAct,omitempty" maxLength:"128" example:"m9" doc:"Name of the one service that may exchange the tokens of this rule, in place of their target (RFC 8693, section 4.4); the uid of one that was deleted. Absent: the target may."`
	When     *Conditions `json:"when,omitempty" doc:"Conditions under which the rule counts; all must hold. Absent: none."`
	Until    *time.Time  `json:"until,omitempty" example:"2027-01-01T00:00:00Z" doc:"When the rule ends, that moment excluded. Absent: it does not."`
}

// RuleList is a page of rules.
type RuleList struct {
	Rules         []Rule `json:"rules" nullable:"false" doc:"In the order of the services' identities."`
	NextPageToken string `json:"nextPageToken,omitempty" doc:"Asks for the next page. Absent on the last one."`
}

// Conditions are those of a rule as operators write them, in the call map file and in the API.
type Conditions struct {
	// Auth names the methods with which the caller may have authenticated.
	Auth []string `json:"auth,omitempty" names:"methods" maxItems:"16" example:"[\"private_key_jwt\"]" doc:"The caller authenticated with one of these methods."`
	// Bound: only for tokens bound to a key.
	Bound bool `json:"bound,omitempty" example:"true" doc:"The token is bound to a key of the caller."`
	// Networks the caller may ask from, in CIDR notation.
	Networks []string `json:"networks,omitempty" maxItems:"64" example:"[\"10.0.0.0/8\"]" doc:"The caller asks from one of these networks."`
	// Hours as in "Mon-Fri 08:00-18:00", in UTC.
	Hours string `json:"hours,omitempty" maxLength:"64" example:"Mon-Fri 08:00-18:00" doc:"It asks in this part of the week, in UTC."`
	// Chain is "direct" for calls that are not on behalf of another.
	Chain string `json:"chain,omitempty" names:"chains" example:"direct" doc:"Whether the caller may act on behalf of another service. Absent: any."`
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
