package probe

import (
	"net/http"
	"testing"
)

func TestStatusSaysAcceptedOrRefusedOrNothing(t *testing.T) {
	for status, want := range map[int]Outcome{
		http.StatusOK: Accepted, http.StatusNoContent: Accepted, http.StatusBadRequest: Refused, http.StatusUnauthorized: Refused,
		http.StatusForbidden: Refused, http.StatusNotFound: Refused, http.StatusFound: Unclear, http.StatusTooManyRequests: Unclear,
		http.StatusRequestTimeout: Unclear, http.StatusInternalServerError: Unclear, http.StatusServiceUnavailable: Unclear, 700: Unclear,
	} {
		if got := classify(status); got.outcome != want || (got.why == "") == (want == Unclear) {
			t.Errorf("%d: got %+v, want %s", status, got, want)
		}
	}
}

// A refusal counts only of a callee that accepts what is good; an acceptance counts in any case.
func TestVerdict(t *testing.T) {
	good, bad := Check{What: "a good token", Accept: true}, Check{What: "a bad token"}
	for name, tt := range map[string]struct {
		first, checked, last Outcome
		want                 Outcome
	}{
		"all as it must be":      {Accepted, Refused, Accepted, Refused},
		"accepts the bad":        {Accepted, Accepted, Accepted, Accepted},
		"refuses in the end":     {Accepted, Refused, Refused, Unclear},
		"bad, and then away":     {Accepted, Accepted, Unclear, Accepted},
		"no answer to the bad":   {Accepted, Unclear, Accepted, Unclear},
		"refuses from the start": {Refused, Refused, Refused, Unclear},
	} {
		r := Result{Checks: []CheckResult{
			good.result("m2", answer{outcome: tt.first}), bad.result("m2", answer{outcome: tt.checked}), good.result("m2", answer{outcome: tt.last}),
		}}
		r.judge()
		if r.Outcome != tt.want || r.Why == "" && tt.want == Unclear || r.Why != "" && tt.want == Refused {
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
