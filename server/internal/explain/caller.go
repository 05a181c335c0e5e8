package explain

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/reason"
	"github.com/watchword-dev/watchword/internal/shell"
	"github.com/watchword-dev/watchword/server/internal/directory"
)

// Before puts into words why a request was refused before the call map was asked, or in spite of what
// it said: why is not a reason of package policy.
func Before(s *directory.Snapshot, a Asked, why string) api.Explanation {
	return advised(before(s, a, why))
}

func before(s *directory.Snapshot, a Asked, why string) api.Explanation {
	w := api.Explanation{Reason: why, Text: reason.Text(why)}
	svc, ok := s.Service(a.Caller)
	if !ok {
		w.Text, w.Command = noService(a.Caller)
		return w
	}
	update := func(words ...string) string {
		return shell.Command(append([]string{"watchword", "service", "update", a.Caller}, words...)...)
	}
	switch why {
	case "grant_not_allowed":
		w.Text = fmt.Sprintf("%s may use the grants %s; %s was requested", a.Caller, strings.Join(svc.GrantTypes, ", "), cmp.Or(a.Grant, "another"))
		w.Command = update(flags("--grant", append(svc.GrantTypes[:len(svc.GrantTypes):len(svc.GrantTypes)], a.Grant))...)
	case "method_not_accepted":
		w.Text = fmt.Sprintf("%s may not authenticate by %s, only by %s", a.Caller, a.Method, strings.Join(svc.AuthMethods, ", "))
		if a.Method == api.Bootstrap { // without one of the others there, the advice to use them would not help
			w.Text += ", which POST /oauth2/token accepts; POST /accesstoken accepts bootstrap credentials only"
		}
		w.Command = update(flags("--auth-method", append(svc.AuthMethods[:len(svc.AuthMethods):len(svc.AuthMethods)], a.Method))...)
	case "unbound":
		w.Text = fmt.Sprintf("tokens of %s must be bound to a key of its own (%s); this one would not be bound", a.Caller, svc.Binding)
	case "not_in_may_act":
		w.Text = fmt.Sprintf("%s may not exchange the token: the rule under which it was issued names another service that may", a.Caller)
	case "several_targets":
		w.Text = a.Caller + " may request tokens for one target at a time only"
		w.Command = update("--multiple-targets")
	}
	if svc.ManagedBy != "" && w.Command != "" {
		w.Command = fmt.Sprintf("change %s in the call map file of %q, and apply it", a.Caller, svc.ManagedBy)
	}
	return w
}
