package app

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/watchword-dev/watchword/client"
)

// F14: what a caller is told names no command that would change something, and what an operator is told follows from
// the reason: each of these once had the advice to set the rule anew, or to make a credential.
func TestAdviceFollowsFromTheReason(t *testing.T) {
	page, err := os.ReadFile("../../../docs/errors.md")
	must(t, err)
	s := start(t, testConfig(t))
	s.service("m1", "m2", "m3", "m4", "m5", "off")
	s.operate("PATCH", "/services/m2", `{"audiences":["https://m2.example.com"]}`)
	m1, _ := s.credential("m1")
	off, _ := s.credential("off")
	secret := s.operate("POST", "/services/off/credentials", `{"kind":"secret"}`)["secret"].(string)
	s.allow("m1", "m3", "read")
	s.allow("m1", "m4")
	var many []string
	for i := range 35 {
		many = append(many, fmt.Sprintf("%d-%s", i, strings.Repeat("x", 100)))
	}
	s.allow("m1", "m5", many...)
	s.operate("PATCH", "/services/m4", `{"disabled":true}`)
	s.operate("PATCH", "/services/off", `{"disabled":true}`)

	plain := func(credential, target string, scopes ...string) string {
		c, err := client.New(client.Config{Server: s.url, Credential: client.Static(credential)})
		must(t, err)
		defer c.Close()
		var denied *client.DeniedError
		if _, err := c.TokenSource(target, scopes...).Token(t.Context()); !errors.As(err, &denied) {
			t.Fatalf("%s: got %v, want a refusal", target, err)
		}
		if told := denied.Error(); strings.Count(told, "watchword ") != 1 || !strings.Contains(told, "watchword why "+denied.DecisionID) {
			t.Errorf("%s: a caller is told %s", target, told)
		}
		return denied.DecisionID
	}
	bySecret := func() string {
		a := s.tokenRequest(credentialsFor("m2", "client_id", "off", "client_secret", secret))
		if a.status != http.StatusUnauthorized {
			t.Errorf("a disabled client: got %d %s", a.status, a.body)
		}
		return a.header.Get("Watchword-Decision")
	}
	for _, c := range []struct {
		reason, id, command string // command: what would change it today
	}{
		{"no_rule", plain(m1, "m2"), "watchword allow m1 m2"},
		{"no_rule", plain(m1, "https://m2.example.com"), "watchword allow m1 m2"},
		{"unknown_target", plain(m1, "https://nobody.example.com"), ""},
		{"unknown_target", plain(m1, "m9"), "watchword service create m9"},
		{"scope_not_granted", plain(m1, "m3", "write"), "watchword allow m1 m3 --scope read --scope write"},
		{"token_too_large", plain(m1, "m5"), ""},
		{"target_disabled", plain(m1, "m4"), "watchword service enable m4"},
		{"caller_disabled", plain(off, "m2"), "watchword service enable off"},
		{"caller_disabled", bySecret(), "watchword service enable off"},
	} {
		d := s.operate("GET", "/decisions/"+c.id, "")
		today, _ := d["today"].(map[string]any)
		if d["reason"] != c.reason || d["see"] != "docs/errors.md#"+c.reason || !strings.Contains(string(page), "\n### `"+c.reason+"`\n") {
			t.Errorf("%s: got %v", c.reason, d)
		}
		if advice, _ := d["advice"].(string); advice == "" || strings.Contains(advice, "watchword allow") != (c.reason == "no_rule") || strings.Contains(advice, "credential create") {
			t.Errorf("%s: the advice is %q", c.reason, advice)
		}
		// That a token would be too large is only found out when one is made.
		if command, _ := today["command"].(string); command != c.command && c.reason != "token_too_large" {
			t.Errorf("%s: today's command is %q, want %q", c.reason, command, c.command)
		}
	}
}
