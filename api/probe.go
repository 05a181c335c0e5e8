package api

import "time"

// NewProbe is the body that probes a service.
type NewProbe struct {
	Other string `json:"other,omitempty" maxLength:"128" example:"m3" doc:"Name of the service that the token for another service is for. The service that is probed could then call that one for a minute, as watchword-probe and without a scope. Absent: one that there is not."`
}

// ProbeList is a page of results.
type ProbeList struct {
	Probes        []ProbeResult `json:"probes" nullable:"false" doc:"The last of each service that was probed, by the service's identity."`
	NextPageToken string        `json:"nextPageToken,omitempty" doc:"Asks for the next page. Absent on the last one."`
}

// What a service did with a token, or must do, and what came of a probe as a whole.
const (
	ProbeAccepted = "accepted"
	ProbeRefused  = "refused"
	ProbeUnclear  = "unclear"
)

// ProbeResult is what came of a probe.
type ProbeResult struct {
	Service string    `json:"service" example:"m2" doc:"Name of the service."`
	URL     string    `json:"url" example:"https://m2.example.com/hello" doc:"Where the tokens were sent."`
	At      time.Time `json:"at" example:"2026-11-24T12:00:00Z" doc:"When it began."`
	Issuer  string    `json:"issuer,omitempty" example:"auth-server" doc:"Of the tokens: the one of the server's two whose good token was accepted. Absent: neither was."`
	Bound   bool      `json:"bound,omitempty" doc:"The tokens were bound to a key and sent with proof of it (DPoP, RFC 9449), since the service takes no others."`
	// Outcome is ProbeRefused when all was as it must be.
	Outcome string       `json:"outcome" enum:"refused,accepted,unclear" example:"accepted" doc:"refused: the service refused all it must refuse, and accepted the rest. accepted: it accepted something it must refuse. unclear: it could not be judged, in part or at all."`
	Why     string       `json:"why,omitempty" example:"m2 answered 404 to a good token" doc:"Why it could not be judged."`
	Checks  []ProbeCheck `json:"checks" nullable:"false" doc:"What was sent, in this order, and what came of it."`
}

// ProbeCheck is what came of one check.
type ProbeCheck struct {
	Name    string `json:"name" example:"another_audience" doc:"Of the check."`
	Must    string `json:"must" enum:"refused,accepted" example:"refused" doc:"What the service must do."`
	Outcome string `json:"outcome" enum:"refused,accepted,unclear" example:"accepted" doc:"What it did."`
	Status  int    `json:"status,omitempty" example:"200" doc:"HTTP status of its answer. Absent: none came."`
	Text    string `json:"text" example:"m2 ACCEPTED a token for another service" doc:"The same in words."`
}

// Failures are the checks in which the service accepted what it must refuse.
func (r ProbeResult) Failures() (failed []ProbeCheck) {
	for _, c := range r.Checks {
		if c.Must == ProbeRefused && c.Outcome == ProbeAccepted {
			failed = append(failed, c)
		}
	}
	return failed
}
