package callmap

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/policy"
)

// Export writes the trusts, services and rules of owner, and its part of the overlay, as a file, which
// planned against the same state changes nothing but whose they are: with DefaultOwner, which the
// empty owner stands for, what is made by hand is in it too, and belongs to it once it is applied.
func Export(state *directory.State, owner string) []byte {
	names := make(map[directory.UID]string, len(state.Services))
	for _, s := range state.Services {
		names[s.UID] = s.Name
	}
	owner = cmp.Or(owner, DefaultOwner)
	var b strings.Builder
	fmt.Fprintf(&b, "version: 1\nmanaged-by: %s\n", quoted(owner))
	exportTrusts(&b, state, owner)
	exportServices(&b, state, owner)
	exportRules(&b, state, owner, names)
	return []byte(b.String())
}

func exportTrusts(b *strings.Builder, state *directory.State, owner string) {
	var own []*directory.Trust
	for i := range state.Trusts {
		if exported(state.Trusts[i].ManagedBy, owner) {
			own = append(own, &state.Trusts[i])
		}
	}
	if len(own) == 0 {
		return
	}
	slices.SortFunc(own, func(x, y *directory.Trust) int { return cmp.Compare(x.Name, y.Name) })
	b.WriteString("trusts:\n")
	for _, t := range own {
		b.WriteString("  " + quoted(t.Name) + ":\n")
		for _, m := range trustText(&t.TrustSettings, block) {
			b.WriteString("    " + m + "\n")
		}
	}
}

// exportedIdentities are the identities of each service, as a file has them. A credential that has a network or dates is
// left out, since a file cannot say that. It stays as it is when the file is applied.
func exportedIdentities(state *directory.State, owner string) map[directory.UID][]string {
	names := make(map[string]string, len(state.Trusts))
	for i := range state.Trusts {
		names[state.Trusts[i].ID] = state.Trusts[i].Name
	}
	all := map[directory.UID][]string{}
	for i := range state.Credentials {
		c := &state.Credentials[i]
		name, ok := names[c.Trust]
		if !ok || c.Kind != directory.KindWorkload || !c.RevokedAt.IsZero() || !isIdentity(c) || !exported(c.ManagedBy, owner) {
			continue
		}
		if claims, err := directory.ParseClaims(c.Material); err == nil {
			all[c.Service] = append(all[c.Service], identityText(name, claims))
		}
	}
	for _, identities := range all {
		slices.Sort(identities)
	}
	return all
}

func exportServices(b *strings.Builder, state *directory.State, owner string) {
	var own []*directory.Service
	for i := range state.Services {
		if exported(state.Services[i].ManagedBy, owner) {
			own = append(own, &state.Services[i])
		}
	}
	if len(own) == 0 {
		return
	}
	slices.SortFunc(own, func(x, y *directory.Service) int { return cmp.Compare(x.Name, y.Name) })
	identities := exportedIdentities(state, owner)
	b.WriteString("services:\n")
	for _, s := range own {
		b.WriteString("  " + quoted(s.Name) + ":")
		m := settingsText(s)
		if all := identities[s.UID]; len(all) > 0 {
			m = append(m, "identity: ["+strings.Join(all, ", ")+"]")
		}
		if len(m) > 0 {
			b.WriteString(" {" + strings.Join(m, ", ") + "}")
		}
		b.WriteString("\n")
	}
}

// exported reports whether what belongs to managedBy, or to nobody, is in the file of owner.
func exported(managedBy, owner string) bool {
	return managedBy == owner || managedBy == "" && owner == DefaultOwner
}

// exportRules writes one entry for all targets to which a caller has the same terms.
func exportRules(b *strings.Builder, state *directory.State, owner string, names map[directory.UID]string) {
	type key struct{ caller, terms string }
	targets := map[key][]string{}
	for i := range state.Rules {
		if r := &state.Rules[i]; exported(r.ManagedBy, owner) {
			k := key{names[r.Caller], ruleTerms(r, names, false)}
			targets[k] = append(targets[k], names[r.Target])
		}
	}
	for i := range state.Shadow {
		if r := &state.Shadow[i]; !r.Absent && exported(r.ManagedBy, owner) {
			k := key{names[r.Caller], ruleTerms(&r.Rule, names, true)}
			targets[k] = append(targets[k], names[r.Target])
		}
	}
	keys := make([]key, 0, len(targets))
	for k := range targets {
		slices.Sort(targets[k])
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return
	}
	slices.SortFunc(keys, func(x, y key) int {
		return cmp.Or(cmp.Compare(x.caller, y.caller), cmp.Compare(targets[x][0], targets[y][0]), cmp.Compare(x.terms, y.terms))
	})
	b.WriteString("rules:\n")
	for _, k := range keys {
		to := quoted(targets[k][0])
		if len(targets[k]) > 1 {
			to = flow(targets[k])
		}
		fmt.Fprintf(b, "  - {from: %s, to: %s%s}\n", quoted(k.caller), to, k.terms)
	}
}

// ruleTerms is what a rule says beyond whom it joins.
func ruleTerms(r *directory.Rule, names map[directory.UID]string, shadow bool) string {
	var b strings.Builder
	if len(r.Scopes) > 0 {
		b.WriteString(", scopes: " + flow(r.Scopes))
	}
	if r.Exchange != policy.NoExchange {
		b.WriteString(", exchange: " + string(r.Exchange))
	}
	if r.MayAct != (directory.UID{}) {
		b.WriteString(", may-act: " + quoted(names[r.MayAct]))
	}
	if !r.Until.IsZero() {
		b.WriteString(", until: " + r.Until.UTC().Format(time.RFC3339Nano))
	}
	if r.When != nil {
		b.WriteString(", when: {" + strings.Join(conditionMembers(directory.ConditionsOf(r.When)), ", ") + "}")
	}
	if shadow {
		b.WriteString(", shadow: true")
	}
	return b.String()
}

func conditionMembers(c api.Conditions) (m []string) {
	if len(c.Auth) > 0 {
		m = append(m, "auth: "+flow(c.Auth))
	}
	if c.Bound {
		m = append(m, "bound: true")
	}
	if len(c.Networks) > 0 {
		m = append(m, "networks: "+flow(c.Networks))
	}
	if c.Hours != "" {
		m = append(m, "hours: "+quoted(c.Hours))
	}
	if c.Chain != "" {
		m = append(m, "chain: "+c.Chain)
	}
	return m
}

func flow(items []string) string {
	quotedItems := make([]string, len(items))
	for i, s := range items {
		quotedItems[i] = quoted(s)
	}
	return "[" + strings.Join(quotedItems, ", ") + "]"
}

// quoted writes text as a YAML scalar: plain where nobody could read it otherwise, else in double quotes.
// The escapes of Go are escapes of YAML (YAML 1.2, section 5.7), and what does not print is escaped.
func quoted(s string) string {
	if isPlain(s) {
		return s
	}
	return strconv.Quote(s)
}

// isPlain: begins with a letter, has only characters that mean nothing in YAML, and is no word
// that does.
func isPlain(s string) bool {
	switch strings.ToLower(s) {
	case "", "null", "true", "false", "yes", "no", "on", "off", "y", "n":
		return false
	}
	for i, c := range s {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || !('0' <= c && c <= '9' || strings.ContainsRune("._-/@", c))) {
			return false
		}
	}
	return true
}
