package probe

import (
	"net/http"
	"testing"

	"github.com/watchword-dev/watchword/api"
)

func TestStatusSaysAcceptedOrRefusedOrNothing(t *testing.T) {
	for status, want := range map[int]string{
		http.StatusOK: api.ProbeAccepted, http.StatusNoContent: api.ProbeAccepted, http.StatusBadRequest: api.ProbeRefused, http.StatusUnauthorized: api.ProbeRefused,
		http.StatusForbidden: api.ProbeRefused, http.StatusNotFound: api.ProbeRefused, http.StatusFound: api.ProbeUnclear, http.StatusTooManyRequests: api.ProbeUnclear,
		http.StatusRequestTimeout: api.ProbeUnclear, http.StatusInternalServerError: api.ProbeUnclear, http.StatusServiceUnavailable: api.ProbeUnclear, 700: api.ProbeUnclear,
	} {
		if got := classify(status); got.outcome != want || (got.why == "") == (want == api.ProbeUnclear) {
			t.Errorf("%d: got %+v, want %s", status, got, want)
		}
	}
}

// A refusal counts only of a callee that accepts what is good; an acceptance counts in any case.
func TestVerdict(t *testing.T) {
	good, bad := Check{What: "a good token", Accept: true}, Check{What: "a bad token"}
	for name, tt := range map[string]struct {
		first, checked, last string
		want                 string
	}{
		"all as it must be":      {api.ProbeAccepted, api.ProbeRefused, api.ProbeAccepted, api.ProbeRefused},
		"accepts the bad":        {api.ProbeAccepted, api.ProbeAccepted, api.ProbeAccepted, api.ProbeAccepted},
		"refuses in the end":     {api.ProbeAccepted, api.ProbeRefused, api.ProbeRefused, api.ProbeUnclear},
		"bad, and then away":     {api.ProbeAccepted, api.ProbeAccepted, api.ProbeUnclear, api.ProbeAccepted},
		"no answer to the bad":   {api.ProbeAccepted, api.ProbeUnclear, api.ProbeAccepted, api.ProbeUnclear},
		"refuses from the start": {api.ProbeRefused, api.ProbeRefused, api.ProbeRefused, api.ProbeUnclear},
	} {
		r := api.ProbeResult{Checks: []api.ProbeCheck{
			good.result("m2", answer{outcome: tt.first}), bad.result("m2", answer{outcome: tt.checked}), good.result("m2", answer{outcome: tt.last}),
		}}
		judge(&r)
		if r.Outcome != tt.want || r.Why == "" && tt.want == api.ProbeUnclear || r.Why != "" && tt.want == api.ProbeRefused {
			t.Errorf("%s: got %s because %q, want %s", name, r.Outcome, r.Why, tt.want)
		}
	}
}

func TestChecksAreNamedOnce(t *testing.T) {
	seen := map[string]bool{}
	all := Checks()
	for _, c := range all {
		if c.Name == "" || c.What == "" || seen[c.Name] {
			t.Errorf("%q is empty or repeated: %+v", c.Name, c)
		}
		seen[c.Name] = true
	}
	if !all[0].Accept || !all[len(all)-1].Accept {
		t.Error("the first or the last check is not one that must be accepted")
	}
}
