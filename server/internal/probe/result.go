package probe

import (
	"fmt"
	"time"
)

// Outcome of a check, or of all.
type Outcome string

// The outcomes.
const (
	Accepted Outcome = "accepted"
	Refused  Outcome = "refused"
	Unclear  Outcome = "unclear"
)

// Result of a probe.
type Result struct {
	Service string    `json:"service" example:"m2" doc:"Name of the service."`
	URL     string    `json:"url" example:"https://m2.example.com/hello" doc:"Where the tokens were sent."`
	At      time.Time `json:"at" example:"2026-11-24T12:00:00Z" doc:"When it began."`
	Issuer  string    `json:"issuer,omitempty" example:"auth-server" doc:"Of the tokens: the one of the server's two whose good token was accepted. Absent: neither was."`
	Bound   bool      `json:"bound,omitempty" doc:"The tokens were bound to a key and sent with proof of it (DPoP, RFC 9449), since the service takes no others."`
	// Outcome is Refused when all was as it must be.
	Outcome Outcome       `json:"outcome" enum:"refused,accepted,unclear" example:"accepted" doc:"refused: the service refused all it must refuse, and accepted the rest. accepted: it accepted something it must refuse. unclear: it could not be judged, in part or at all."`
	Why     string        `json:"why,omitempty" example:"m2 answered 404 to a good token" doc:"Why it could not be judged."`
	Checks  []CheckResult `json:"checks" nullable:"false" doc:"What was sent, in this order, and what came of it."`
}

// CheckResult is what came of one check.
type CheckResult struct {
	Name    string  `json:"name" example:"another_audience" doc:"Of the check."`
	Must    Outcome `json:"must" enum:"refused,accepted" example:"refused" doc:"What the service must do."`
	Outcome Outcome `json:"outcome" enum:"refused,accepted,unclear" example:"accepted" doc:"What it did."`
	Status  int     `json:"status,omitempty" example:"200" doc:"HTTP status of its answer. Absent: none came."`
	Text    string  `json:"text" example:"m2 ACCEPTED a token for another service" doc:"The same in words."`
}

// Failures are the checks in which the service accepted what it must refuse.
func (r Result) Failures() (failed []CheckResult) {
	for _, c := range r.Checks {
		if c.Must == Refused && c.Outcome == Accepted {
			failed = append(failed, c)
		}
	}
	return failed
}

// answer is what the callee made of one request.
type answer struct {
	outcome Outcome
	status  int
	why     string // when unclear
	nonce   string // that proofs are to have from now on
}

// result puts an answer into words.
func (c Check) result(service string, a answer) CheckResult {
	r := CheckResult{Name: c.Name, Must: Refused, Outcome: a.outcome, Status: a.status}
	if c.Accept {
		r.Must = Accepted
	}
	switch {
	case a.outcome == Unclear:
		r.Text = fmt.Sprintf("%s left open what it does with %s: %s", service, c.What, a.why)
	case a.outcome == Accepted && !c.Accept:
		r.Text = fmt.Sprintf("%s ACCEPTED %s", service, c.What)
	case a.outcome == Accepted:
		r.Text = fmt.Sprintf("%s accepted %s", service, c.What)
	default:
		r.Text = fmt.Sprintf("%s refused %s", service, c.What)
	}
	return r
}

// judge sums up. Refusals count only of a callee that accepts what is good, at the beginning and at
// the end; what it accepted counts in any case.
func (r *Result) judge() {
	r.Outcome = Refused
	for _, c := range r.Checks {
		switch {
		case c.Must == Accepted && c.Outcome == Refused:
			r.unclear(fmt.Sprintf("%s; answered %d", c.Text, c.Status))
		case c.Outcome == Unclear:
			r.unclear(c.Text)
		}
	}
	if len(r.Failures()) > 0 {
		r.Outcome = Accepted
	}
}

// unclear keeps the first reason.
func (r *Result) unclear(why string) {
	if r.Outcome = Unclear; r.Why == "" {
		r.Why = why
	}
}
