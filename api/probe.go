package api

import "time"

// NewProbe is the body of a request that probes a service.
type NewProbe struct {
	Other string `json:"other,omitempty" maxLength:"128" example:"m3" doc:"The name of the service for which the token for another service is. The probed service could call that service for one minute, as watchword-probe and without a scope. The default is a service that does not exist."`
}

// ProbeList is a page of results.
type ProbeList struct {
	Probes        []ProbeResult `json:"probes" nullable:"false" doc:"The last result for each probed service, ordered by the uid of the service."`
	NextPageToken string        `json:"nextPageToken,omitempty" doc:"The pageToken of the next page. Absent on the last page."`
}

// Results of a check and of a probe.
const (
	ProbeAccepted = "accepted"
	ProbeRefused  = "refused"
	ProbeUnclear  = "unclear"
)

// ProbeResult is the result of a probe.
type ProbeResult struct {
	Service string    `json:"service" example:"m2" doc:"The name of the service."`
	URL     string    `json:"url" example:"https://m2.example.com/hello" doc:"The URL to which the tokens were sent."`
	At      time.Time `json:"at" example:"2026-11-24T12:00:00Z" doc:"When the probe began."`
	Issuer  string    `json:"issuer,omitempty" example:"auth-server" doc:"The issuer of the tokens: the one of the server's two issuers from which the service accepted a valid token. Absent if it accepted neither."`
	Bound   bool      `json:"bound,omitempty" doc:"Whether the tokens were bound to a key and sent with a proof of the key (DPoP, RFC 9449), because the service accepts no others."`
	// Outcome is ProbeRefused if the service did what it must in all checks.
	Outcome string       `json:"outcome" enum:"refused,accepted,unclear" example:"accepted" doc:"refused: the service refused all tokens that it must refuse, and accepted the others. accepted: it accepted a token that it must refuse. unclear: some or all checks had no clear result."`
	Why     string       `json:"why,omitempty" example:"m2 answered 404 to a good token" doc:"Why there is no clear result."`
	Checks  []ProbeCheck `json:"checks" nullable:"false" doc:"The checks, in the order in which they were made."`
}

// ProbeCheck is the result of one check.
type ProbeCheck struct {
	Name    string `json:"name" example:"another_audience" doc:"The name of the check."`
	Must    string `json:"must" enum:"refused,accepted" example:"refused" doc:"What the service must do."`
	Outcome string `json:"outcome" enum:"refused,accepted,unclear" example:"accepted" doc:"What the service did."`
	Status  int    `json:"status,omitempty" example:"200" doc:"The HTTP status of the answer. Absent if there was none."`
	Text    string `json:"text" example:"m2 ACCEPTED a token for another service" doc:"The result in words."`
}

// Failures returns the checks in which the service accepted a token that it must refuse.
func (r ProbeResult) Failures() (failed []ProbeCheck) {
	for _, c := range r.Checks {
		if c.Must == ProbeRefused && c.Outcome == ProbeAccepted {
			failed = append(failed, c)
		}
	}
	return failed
}
