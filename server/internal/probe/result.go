package probe

import (
	"fmt"

	"github.com/watchword-dev/watchword/api"
)

// answer is what the callee made of one request.
type answer struct {
	outcome string
	status  int
	why     string // when unclear
	nonce   string // that proofs are to have from now on
}

// result puts an answer into words.
func (c Check) result(service string, a answer) api.ProbeCheck {
	r := api.ProbeCheck{Name: c.Name, Must: api.ProbeRefused, Outcome: a.outcome, Status: a.status}
	if c.Accept {
		r.Must = api.ProbeAccepted
	}
	switch {
	case a.outcome == api.ProbeUnclear:
		r.Text = fmt.Sprintf("%s left open what it does with %s: %s", service, c.What, a.why)
	case a.outcome == api.ProbeAccepted && !c.Accept:
		r.Text = fmt.Sprintf("%s ACCEPTED %s", service, c.What)
	case a.outcome == api.ProbeAccepted:
		r.Text = fmt.Sprintf("%s accepted %s", service, c.What)
	default:
		r.Text = fmt.Sprintf("%s refused %s", service, c.What)
	}
	return r
}

// judge sums up. Refusals count only of a callee that accepts what is good, at the beginning and at
// the end; what it accepted counts in any case.
func judge(r *api.ProbeResult) {
	r.Outcome = api.ProbeRefused
	for _, c := range r.Checks {
		switch {
		case c.Must == api.ProbeAccepted && c.Outcome == api.ProbeRefused:
			unclear(r, fmt.Sprintf("%s; answered %d", c.Text, c.Status))
		case c.Outcome == api.ProbeUnclear:
			unclear(r, c.Text)
		}
	}
	if len(r.Failures()) > 0 {
		r.Outcome = api.ProbeAccepted
	}
}

// unclear keeps the first reason.
func unclear(r *api.ProbeResult, why string) {
	if r.Outcome = api.ProbeUnclear; r.Why == "" {
		r.Why = why
	}
}
