package api

import "time"

// Question is a question as a token request puts it.
type Question struct {
	Caller      string    `json:"caller" minLength:"1" maxLength:"128" example:"m1" doc:"Name of the service that would ask."`
	Target      string    `json:"target,omitempty" maxLength:"512" example:"m2" doc:"Name or audience of the service the token would be for. Absent: the caller's default target."`
	Scopes      []string  `json:"scopes,omitempty" nullable:"false" maxItems:"64" example:"[\"write\"]" doc:"What would be asked for. None: all there is."`
	Grant       string    `json:"grant,omitempty" names:"grants" example:"client_credentials" doc:"The OAuth grant. Empty: token exchange with onBehalfOf; POST /accesstoken, where the rest of the question fits it; else client_credentials."`
	Method      string    `json:"method,omitempty" names:"methods" example:"private_key_jwt" doc:"The method with which the caller would authenticate. Empty: nobody says; a rule that wants a way is not met."`
	Bound       bool      `json:"bound,omitempty" example:"false" doc:"It would bring the proof of a key."`
	Network     string    `json:"network,omitempty" maxLength:"64" example:"10.1.2.3" doc:"The address it would ask from."`
	OnBehalfOf  string    `json:"onBehalfOf,omitempty" maxLength:"128" example:"m0" doc:"It would exchange a token of this service for itself."`
	Impersonate bool      `json:"impersonate,omitempty" example:"false" doc:"With onBehalfOf: for a token that does not say who acts."`
	At          time.Time `json:"at,omitzero" example:"2026-11-24T12:00:00Z" doc:"When. Absent: now."`
}

// Explanation is what would come out, and why.
type Explanation struct {
	Caller  string `json:"caller" example:"m1" doc:"The caller."`
	Target  string `json:"target" example:"m2" doc:"The target."`
	Allowed bool   `json:"allowed" doc:"Whether a token would be given."`
	Reason  string `json:"reason" example:"scope_not_granted" doc:"As the audit log has it."`
	Text    string `json:"text" example:"the rule m1 -> m2 allows read; write was requested" doc:"The rule that allowed, or the nearest miss, in words."`
	// Command would change the outcome. Empty: there is none.
	Command string `json:"command,omitempty" example:"watchword allow m1 m2 --scope read --scope write" doc:"What would change it."`
	// Advice says what to do where there is no command, and See where the documentation explains the reason.
	Advice   string   `json:"advice,omitempty" example:"Have the caller ask for fewer scopes. The rule can stay as it is." doc:"What to do, where no command would change it."`
	See      string   `json:"see,omitempty" example:"docs/errors.md#scope_not_granted" doc:"Where the documentation explains the reason."`
	Scopes   []string `json:"scopes,omitempty" example:"[\"read\"]" doc:"What the token would have."`
	Shadow   string   `json:"shadow,omitempty" example:"no_rule" doc:"What the rules of the shadow would say, where they say something else."`
	Revision int64    `json:"revision" example:"42" doc:"The revision of the directory that was asked."`
}

// Decision is one that was recorded.
type Decision struct {
	ID         string       `json:"id" example:"5f1e2d3c4b5a69788796a5b4c3d2e1f0" doc:"As the caller saw it, in the header Watchword-Decision."`
	At         time.Time    `json:"at" example:"2026-11-24T12:00:00Z" doc:"When."`
	Outcome    string       `json:"outcome" enum:"allowed,refused,failed" example:"refused" doc:"What came out."`
	Reason     string       `json:"reason" example:"no_rule" doc:"Why, in a word."`
	Text       string       `json:"text" example:"no rule allowed it" doc:"Why, in words."`
	Advice     string       `json:"advice,omitempty" example:"Renew it before it ends: watchword credential rotate ID; watchword credential list shows the dates." doc:"What to do about it."`
	See        string       `json:"see,omitempty" example:"docs/errors.md#no_rule" doc:"Where the documentation explains the reason."`
	Endpoint   string       `json:"endpoint,omitempty" example:"oauth2/token" doc:"Path of the endpoint, without the first slash."`
	Address    string       `json:"address,omitempty" example:"10.1.2.3" doc:"From where."`
	Caller     string       `json:"caller,omitempty" example:"m1" doc:"Who asked; as claimed, where that was not proved."`
	Target     string       `json:"target,omitempty" example:"m2" doc:"For whom, as asked."`
	Scope      string       `json:"scope,omitempty" example:"read" doc:"What was granted or, when refused, asked for."`
	Credential string       `json:"credential,omitempty" example:"00112233445566778899aabbccddeeff" doc:"The credential with which the caller authenticated."`
	Method     string       `json:"method,omitempty" example:"private_key_jwt" doc:"How."`
	OnBehalfOf string       `json:"onBehalfOf,omitempty" example:"m0" doc:"Whose token it would have exchanged."`
	Observed   string       `json:"observed,omitempty" example:"no_rule" doc:"Why it was allowed only since the target observes."`
	Shadow     string       `json:"shadow,omitempty" example:"no_rule" doc:"What the rules of the shadow would have said."`
	Token      string       `json:"token,omitempty" example:"0f1e2d3c4b5a69788796a5b4c3d2e1f0" doc:"The jti of the token."`
	Record     uint64       `json:"record" example:"1234" doc:"Its number in the audit log."`
	Today      *Explanation `json:"today,omitempty" doc:"What the same request would get now, as far as the record tells how it was made. Absent: the caller was not known."`
}
