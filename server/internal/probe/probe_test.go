package probe

import (
	"net/http"
	"testing"
)

func TestAddressesThatNeverAreServicesAreNotConnectedTo(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:80": true, "10.1.2.3:443": true, "[::1]:80": true, "192.0.2.1:80": true, "[fd12::1]:80": true,
		"169.254.169.254:80": false, "[::ffff:169.254.169.254]:80": false, "[fe80::1%eth0]:80": false, "[fd00:ec2::254]:80": false,
		"100.100.100.200:80": false, "0.0.0.0:80": false, "[::]:80": false, "224.0.0.1:80": false, "255.255.255.255:80": false, "nonsense": false,
	} {
		if err := control("tcp", address, nil); (err == nil) != want {
			t.Errorf("%s: got %v", address, err)
		}
	}
}

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
