package explain

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/shell"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/policy"
)

// Before puts into words why a request was refused before the call map was asked, or in spite of what
// it said: reason is not one of package policy.
func Before(s *directory.Snapshot, a Asked, reason string) api.Explanation {
	w := api.Explanation{Reason: reason, Text: Recorded(reason)}
	svc, ok := s.Service(a.Caller)
	if !ok {
		w.Text, w.Command = noService(a.Caller)
		return w
	}
	update := func(words ...string) string {
		return shell.Command(append([]string{"watchword", "service", "update", a.Caller}, words...)...)
	}
	switch reason {
	case "grant_not_allowed":
		w.Text = fmt.Sprintf("%s may use the grants %s; %s was asked", a.Caller, strings.Join(svc.GrantTypes, ", "), a.Grant)
		w.Command = update(flags("--grant", append(svc.GrantTypes[:len(svc.GrantTypes):len(svc.GrantTypes)], a.Grant))...)
	case "method_not_accepted":
		w.Text = fmt.Sprintf("%s may prove itself by %s; it would do so by %s", a.Caller, strings.Join(svc.AuthMethods, ", "), a.Method)
		w.Command = update(flags("--auth-method", append(svc.AuthMethods[:len(svc.AuthMethods):len(svc.AuthMethods)], a.Method))...)
	case "unbound":
		w.Text = fmt.Sprintf("tokens of %s must be bound to a key of its own (%s); this one would not be", a.Caller, svc.Binding)
	case "not_in_may_act":
		w.Text = fmt.Sprintf("%s may not exchange the token: the rule that gave it names another service that may", a.Caller)
	case "several_targets":
		w.Text = a.Caller + " may ask for a token for one target at a time"
		w.Command = update("--multiple-targets")
	}
	if svc.ManagedBy != "" {
		return owned(w, svc.ManagedBy)
	}
	return w
}

// recorded are words for reasons as they stand in the audit log. For those that are not here, their
// names are words enough.
var recorded = map[string]string{
	string(policy.Allowed):              "a rule allowed it",
	string(policy.NoRule):               "no rule allowed it",
	string(policy.RuleEnded):            "the rule had ended",
	string(policy.ScopeNotGranted):      "the rule did not have all the scopes that were asked",
	string(policy.UnknownTarget):        "there was no service of the target's name",
	string(policy.TargetDisabled):       "the target was disabled",
	string(policy.CallerDisabled):       "the caller was disabled",
	string(policy.ExchangeNotAllowed):   "the rule did not allow calls on behalf of others",
	string(policy.ImpersonateForbidden): "the rule did not allow calls in the place of others",
	string(policy.ScopeNotInToken):      "the token that was exchanged had not all the scopes that were asked",
	string(policy.MethodNotAllowed):     "the caller proved itself in another way than the rule wants",
	string(policy.NotBound):             "the rule wants a token that is bound to a key",
	string(policy.NetworkNotAllowed):    "the caller asked from another network than the rule wants",
	string(policy.OutsideHours):         "it was asked outside the hours of the rule",
	string(policy.NotDirect):            "the rule is for direct calls only",

	"grant_not_allowed":   "the caller may not use that grant",
	"method_not_accepted": "the caller may not prove itself in that way",
	"unbound":             "tokens of the caller must be bound to a key, and this one would not have been",
	"no_credential":       "nothing was presented to prove who asks",
	"two_methods":         "it was proved in two ways at once who asks",
	"no_target":           "it was not said whom the token is for",
	"several_targets":     "a token for several targets was asked",
	"targets_disagree":    "the targets that were asked for do not grant the same",
	"chain_too_long":      "too many services had acted on the subject's behalf already",
	"not_in_may_act":      "the token that was exchanged names another service that may",
	"token_too_large":     "the token would have been longer than 4 KiB",
	"server_failed":       "the server could not do its part; its log says why",
	"expired":             "the credential had expired",
	"revoked":             "the credential was revoked",
	"not_yet_valid":       "the credential was not yet valid",
}

// Recorded is a reason of the audit log in words.
func Recorded(reason string) string {
	return cmp.Or(recorded[reason], strings.ReplaceAll(reason, "_", " "))
}
