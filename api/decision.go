package api

import "time"

// Question describes a token request for which nothing is issued.
type Question struct {
	Caller      string    `json:"caller" minLength:"1" maxLength:"128" example:"m1" doc:"The name of the calling service."`
	Target      string    `json:"target,omitempty" maxLength:"512" example:"m2" doc:"The name or an audience of the service that is called. The default is the default target of the caller."`
	Scopes      []string  `json:"scopes,omitempty" nullable:"false" maxItems:"64" example:"[\"write\"]" doc:"The requested scopes. An empty list requests all scopes of the rule."`
	Grant       string    `json:"grant,omitempty" names:"grants" example:"client_credentials" doc:"The OAuth grant. The default is token exchange if there is onBehalfOf, otherwise POST /accesstoken if it accepts the rest of the question, and otherwise client_credentials."`
	Method      string    `json:"method,omitempty" names:"methods" example:"private_key_jwt" doc:"The method with which the caller authenticates. If it is empty, conditions on the method are not met."`
	Bound       bool      `json:"bound,omitempty" example:"false" doc:"Whether the request proves a key to which the token is bound."`
	Network     string    `json:"network,omitempty" maxLength:"64" example:"10.1.2.3" doc:"The address of the caller."`
	OnBehalfOf  string    `json:"onBehalfOf,omitempty" maxLength:"128" example:"m0" doc:"The service whose token the caller exchanges."`
	Impersonate bool      `json:"impersonate,omitempty" example:"false" doc:"With onBehalfOf: whether the new token does not name the caller as the actor."`
	At          time.Time `json:"at,omitzero" example:"2026-11-24T12:00:00Z" doc:"The time of the request. The default is now."`
}

// Explanation is the decision about a request, and its reason.
type Explanation struct {
	Caller   string   `json:"caller" example:"m1" doc:"The caller."`
	Target   string   `json:"target" example:"m2" doc:"The target."`
	Allowed  bool     `json:"allowed" doc:"Whether a token would be issued."`
	Reason   string   `json:"reason" example:"scope_not_granted" doc:"The reason, as in the audit log."`
	Text     string   `json:"text" example:"the rule m1 -> m2 allows read; write was requested" doc:"The rule that allows the request, or what is missing, in words."`
	Command  string   `json:"command,omitempty" example:"watchword allow m1 m2 --scope read --scope write" doc:"The command that would change the decision."`
	Advice   string   `json:"advice,omitempty" example:"Have the caller ask for fewer scopes. The rule can stay as it is." doc:"What to do if no command would change the decision."`
	See      string   `json:"see,omitempty" example:"docs/errors.md#scope_not_granted" doc:"The place in the documentation that explains the reason."`
	Scopes   []string `json:"scopes,omitempty" example:"[\"read\"]" doc:"The scopes of the token."`
	Shadow   string   `json:"shadow,omitempty" example:"no_rule" doc:"The decision under the rules of the shadow, if it is different."`
	Revision int64    `json:"revision" example:"42" doc:"The revision of the directory for which this is true."`
}

// Decision is a recorded decision.
type Decision struct {
	ID         string         `json:"id" example:"5f1e2d3c4b5a69788796a5b4c3d2e1f0" doc:"The id, which the caller received in the header Watchword-Decision."`
	At         time.Time      `json:"at" example:"2026-11-24T12:00:00Z" doc:"The time of the decision."`
	Outcome    string         `json:"outcome" enum:"allowed,refused,failed" example:"refused" doc:"The outcome."`
	Reason     string         `json:"reason" example:"no_rule" doc:"The reason."`
	Text       string         `json:"text" example:"no rule allowed it" doc:"The reason in words."`
	Advice     string         `json:"advice,omitempty" example:"Renew it before it ends: watchword credential rotate ID; watchword credential list shows the dates." doc:"What to do about it."`
	See        string         `json:"see,omitempty" example:"docs/errors.md#no_rule" doc:"The place in the documentation that explains the reason."`
	Endpoint   string         `json:"endpoint,omitempty" example:"oauth2/token" doc:"The path of the endpoint, without the first slash."`
	Address    string         `json:"address,omitempty" example:"10.1.2.3" doc:"The address of the caller."`
	Caller     string         `json:"caller,omitempty" example:"m1" doc:"The caller. If it did not authenticate, this is the name that the request contained."`
	Target     string         `json:"target,omitempty" example:"m2" doc:"The requested target."`
	Scope      string         `json:"scope,omitempty" example:"read" doc:"The granted scopes, or the requested ones if the request was refused."`
	Credential string         `json:"credential,omitempty" example:"00112233445566778899aabbccddeeff" doc:"The id of the credential with which the caller authenticated."`
	Method     string         `json:"method,omitempty" example:"private_key_jwt" doc:"The method with which the caller authenticated."`
	OnBehalfOf string         `json:"onBehalfOf,omitempty" example:"m0" doc:"The service whose token was to be exchanged."`
	Claims     []ClaimFinding `json:"claims,omitempty" doc:"For a platform's token that was refused: the claims that are not as they are wanted."`
	Observed   string         `json:"observed,omitempty" example:"no_rule" doc:"The reason for which the request would have been refused if the target did not only observe."`
	Shadow     string         `json:"shadow,omitempty" example:"no_rule" doc:"The decision under the rules of the shadow, if it was different."`
	Token      string         `json:"token,omitempty" example:"0f1e2d3c4b5a69788796a5b4c3d2e1f0" doc:"The jti of the issued token."`
	Record     uint64         `json:"record" example:"1234" doc:"The number of the record in the audit log."`
	Today      *Explanation   `json:"today,omitempty" doc:"The decision about the same request today, as far as the record describes the request. Absent if the caller is not known."`
}
