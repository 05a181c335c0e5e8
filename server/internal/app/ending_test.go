package app

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// F67: credentials that end soon are counted in metrics, logged once a day within a bound, and listed with a filter.
func TestCredentialsThatEndSoonAreTold(t *testing.T) {
	s := start(t, testConfig(t))
	s.service("m1")
	create := func(ttl time.Duration) (id string) {
		a := s.operate("POST", "/services/m1/credentials", fmt.Sprintf(`{"kind":"bootstrap","ttlSeconds":%d}`, int(ttl.Seconds())))
		return a["credential"].(map[string]any)["id"].(string)
	}
	if got := s.exported(); strings.Contains(got, "watchword_credential_next_end_seconds") || s.metric(`watchword_credentials_ending{within="30d"}`) != 0 {
		t.Error("without credentials something ends")
	}
	soon, later := create(3*day), create(20*day)
	create(90 * day)
	minutes := create(time.Hour) // is made by a program, which replaces it
	replaced := create(2 * day)
	s.operate("POST", "/credentials/"+replaced+"/rotate", `{}`)
	revoked := create(day + time.Hour)
	s.operate("POST", "/credentials/"+revoked+"/revoke", "")
	for within, want := range map[string]int{"1d": 0, "7d": 2, "14d": 2, "30d": 3} {
		if got := s.metric(`watchword_credentials_ending{within="` + within + `"}`); got != want {
			t.Errorf("within %s: got %d, want %d", within, got, want)
		}
	}
	if got := s.metric("watchword_credential_next_end_seconds"); got <= int((2*day-time.Hour).Seconds()) || got > int((2*day).Seconds()) {
		t.Errorf("the next one ends in %d seconds", got)
	}
	s.s.logEnds(time.Now())
	log := s.logged()
	if strings.Count(log, "a credential expires soon") != 2 || !strings.Contains(log, "service=m1 credential="+soon+" kind=bootstrap") {
		t.Errorf("got %s", log)
	}
	for _, id := range []string{later, minutes, replaced, revoked} {
		if strings.Contains(log, id) {
			t.Errorf("%s is logged", id)
		}
	}
	for range maxWarnings {
		create(5 * day)
	}
	s.s.logEnds(time.Now())
	if log = strings.TrimPrefix(s.logged(), log); strings.Count(log, "a credential expires soon") != maxWarnings || !strings.Contains(log, "credentials=2") {
		t.Errorf("got %s", log)
	}
	// The list has all that end, page by page.
	for path, want := range map[string]int{
		"/credentials?limit=1000&expiresWithinSeconds=345600": 4, "/services/m1/credentials?limit=1000&expiresWithinSeconds=1814400": 5 + maxWarnings,
		"/credentials?limit=3&expiresWithinSeconds=345600": 3, "/credentials?limit=1000": 8 + maxWarnings - 1,
	} {
		if got := len(s.operate("GET", path, "")["credentials"].([]any)); got != want {
			t.Errorf("%s: got %d, want %d", path, got, want)
		}
	}
}
