package api

import "testing"

func TestConditionsReadAsALine(t *testing.T) {
	all := &Conditions{Auth: []string{"tls_client_auth", "private_key_jwt"}, Bound: true, Networks: []string{"10.0.0.0/8", "::1/128"}, Hours: "Mon-Fri 08:00-18:00", Chain: "direct"}
	for want, c := range map[string]*Conditions{
		"": nil,
		"by tls_client_auth or private_key_jwt, bound, from 10.0.0.0/8 or ::1/128, Mon-Fri 08:00-18:00, direct": all,
		"from 10.0.0.0/8": {Networks: []string{"10.0.0.0/8"}},
	} {
		if got := c.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
