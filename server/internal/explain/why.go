// Package explain says in words why a decision came out as it did, and what would change it. It
// decides nothing: it is handed what the directory said.
package explain

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/reason"
	"github.com/watchword-dev/watchword/internal/shell"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/policy"
)

// Asked is a question in names.
type Asked struct {
	Caller, Target string
	Scopes         []string
	// Method is the authentication method of the caller, and Grant the OAuth grant.
	Method, Grant string
	At            time.Time
}

// Explain puts a verdict into words. s is the directory it was made from, managedBy the owner of the
// rule, if a call map file owns it.
func Explain(s *directory.Snapshot, a Asked, v directory.Verdict, managedBy string) api.Explanation {
	return advised(explain(s, a, v, managedBy))
}

// advised adds where the reason is explained, and what to do about it where no command would change it.
func advised(w api.Explanation) api.Explanation {
	if w.Reason == string(policy.Allowed) {
		return w
	}
	w.See = reason.See(w.Reason)
	if e, ok := reason.Find(w.Reason); ok && w.Command == "" {
		w.Advice = e.Do
	}
	return w
}

func explain(s *directory.Snapshot, a Asked, v directory.Verdict, managedBy string) api.Explanation {
	if v.Target != nil {
		a.Target = v.Target.Name // the request may have named an audience
	}
	w := api.Explanation{Allowed: v.Allowed(), Reason: string(v.Reason)}
	if v.Observed != "" {
		refused := v
		refused.Reason = v.Observed
		w.Reason = string(v.Observed)
		w.Text, w.Command = miss(s, a, refused)
		w.Text = fmt.Sprintf("%s; the request is allowed because %s only observes", w.Text, a.Target)
		if w.Command = shell.Command("watchword", "service", "update", a.Target, "--observe=false"); v.Target.ManagedBy != "" {
			w.Command = fmt.Sprintf("set enforce: enforce for %s in the call map file of %q, and apply it", a.Target, v.Target.ManagedBy)
		}
		return w
	}
	if v.Allowed() {
		w.Scopes = v.Scopes
		w.Text = fmt.Sprintf("the rule %s -> %s allows it%s%s", a.Caller, a.Target, forScopes(v.Rule.Scopes()), ends(v.Rule))
		w.Command = shell.Command("watchword", "disallow", a.Caller, a.Target)
		return owned(w, managedBy)
	}
	w.Text, w.Command = miss(s, a, v)
	if v.Reason == policy.NoRule && v.Target.ManagedBy != "" {
		w.Command = addTo(v.Target.ManagedBy)
	}
	return owned(w, managedBy)
}

// owned names the file that owns a rule: the next apply would undo a command.
func owned(w api.Explanation, managedBy string) api.Explanation {
	if managedBy != "" {
		w.Command = fmt.Sprintf("change the rule in the call map file of %q, and apply it", managedBy)
	}
	return w
}

// addTo is what to do instead of "watchword allow" if a call map file owns the target of a new rule.
func addTo(managedBy string) string {
	return fmt.Sprintf("add the rule to the call map file of %q, and apply it", managedBy)
}

func forScopes(scopes []string) string {
	if len(scopes) == 0 {
		return ", without scope"
	}
	return ", for " + strings.Join(scopes, " ")
}

func ends(r *policy.Rule) string {
	if r.Until == 0 {
		return ""
	}
	return ", until " + moment(r.Until)
}

func moment(micros int64) string {
	t := time.UnixMicro(micros).UTC()
	if t.Equal(t.Truncate(24 * time.Hour)) {
		return t.Format(time.DateOnly)
	}
	return t.Format(time.RFC3339)
}

// miss returns why the request is refused, and the command that would allow it, if there is one.
func miss(s *directory.Snapshot, a Asked, v directory.Verdict) (text, command string) {
	edge := a.Caller + " -> " + a.Target
	switch v.Reason {
	case policy.CallerDisabled:
		if _, ok := s.Service(a.Caller); !ok {
			return noService(a.Caller)
		}
		return a.Caller + " is disabled", shell.Command("watchword", "service", "enable", a.Caller)
	case policy.UnknownTarget:
		return noService(a.Target)
	case policy.TargetDisabled:
		return a.Target + " is disabled", shell.Command("watchword", "service", "enable", a.Target)
	case policy.NoRule:
		return noRule(s, a, edge), allow(a, &policy.Rule{}, a.Scopes, policy.NoExchange)
	case policy.RuleEnded:
		return fmt.Sprintf("the rule %s ended on %s", edge, moment(v.Rule.Until)), allow(a, v.Rule, v.Rule.Scopes(), v.Rule.Exchange())
	case policy.ScopeNotGranted:
		have := v.Rule.Scopes()
		missing := without(a.Scopes, have)
		granted := "no scope"
		if len(have) > 0 {
			granted = strings.Join(have, " ")
		}
		return fmt.Sprintf("the rule %s allows %s; %s was requested", edge, granted, strings.Join(missing, " ")), allow(a, v.Rule, slices.Concat(have, missing), v.Rule.Exchange())
	case policy.ScopeNotInToken:
		return "the token that is exchanged does not have all the scopes that were requested", ""
	case policy.ExchangeNotAllowed:
		return "the rule " + edge + " does not allow calls on behalf of others", allow(a, v.Rule, v.Rule.Scopes(), policy.Delegate)
	case policy.ImpersonateForbidden:
		return "the rule " + edge + " allows delegation but not impersonation", allow(a, v.Rule, v.Rule.Scopes(), policy.Impersonate)
	}
	return condition(edge, a, v), ""
}

// allow is the command that gives the rule old, or a new one if that is empty, these scopes and this exchange, and
// removes its end if it has ended. Terms that the command does not name remain.
func allow(a Asked, old *policy.Rule, scopes []string, exchange policy.Exchange) string {
	words := []string{"watchword", "allow", a.Caller, a.Target}
	switch {
	case slices.Equal(scopes, old.Scopes()):
	case len(scopes) == 0:
		words = append(words, "--scope", "")
	default:
		words = append(words, flags("--scope", scopes)...)
	}
	if exchange != old.Exchange() {
		words = append(words, "--exchange", string(exchange))
	}
	if old.Until != 0 && old.Until <= a.At.UnixMicro() {
		words = append(words, "--until", "")
	}
	return shell.Command(words...)
}

// noRule also says if there is a rule in the other direction, which is a common mistake.
func noRule(s *directory.Snapshot, a Asked, edge string) string {
	caller, ok1 := s.Service(a.Caller)
	target, ok2 := s.Service(a.Target)
	if ok1 && ok2 && s.Rule(policy.Edge{Caller: target.UID, Target: caller.UID}) != nil && caller != target {
		return fmt.Sprintf("there is no rule %s, but there is a rule %s -> %s", edge, a.Target, a.Caller)
	}
	return "there is no rule " + edge
}

func condition(edge string, a Asked, v directory.Verdict) string {
	when := directory.ConditionsOf(v.Rule.Terms.When)
	switch v.Reason {
	case policy.MethodNotAllowed:
		return fmt.Sprintf("the rule %s requires authentication by %s; the caller used %s", edge, strings.Join(when.Auth, " or "), cmp.Or(a.Method, "another method"))
	case policy.NotBound:
		return "the rule " + edge + " requires a token that is bound to a key; this one would not be bound"
	case policy.NetworkNotAllowed:
		return fmt.Sprintf("the rule %s requires a caller in %s", edge, strings.Join(when.Networks, ", "))
	case policy.OutsideHours:
		return fmt.Sprintf("the rule %s allows requests in the hours %s, UTC; this one was made on %s", edge, when.Hours, a.At.UTC().Format("Mon 15:04"))
	case policy.NotDirect:
		return "the rule " + edge + " allows direct calls only, and not calls on behalf of others"
	}
	return edge + ": " + string(v.Reason)
}

// noService says that there is no service of that name. There is no command if the name cannot be a service's:
// whoever requests a token chooses the name.
func noService(name string) (text, command string) {
	if _, err := directory.ParseName(name); err != nil {
		return fmt.Sprintf("there is no service %q", name), ""
	}
	return "there is no service " + name, shell.Command("watchword", "service", "create", name)
}

// flags gives each value the flag name.
func flags(name string, values []string) (words []string) {
	for _, v := range values {
		words = append(words, name, v)
	}
	return words
}

// without is what of some is not in all.
func without(some, all []string) []string {
	return slices.DeleteFunc(slices.Clone(some), func(s string) bool { return slices.Contains(all, s) })
}
