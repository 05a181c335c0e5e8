package callmap

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/shell"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/spelling"
	"github.com/watchword-dev/watchword/server/internal/trust"
)

// TrustChange is a trust before and after. Nil: there is none.
type TrustChange struct {
	Old, New *directory.Trust
	at       Position
	places   map[string]Position
	revokes  int  // credentials that end with it
	enables  bool // the file says that it is not disabled
}

// IdentityChange is a credential of KindWorkload before and after. Nil: there is none. With both, the credential becomes
// the file's, and stays as it is.
type IdentityChange struct {
	Service  string
	Old, New *directory.Credential
	words    string // which tokens it accepts
	at       Position
}

// Name of the trust.
func (c TrustChange) Name() string { return cmp.Or(c.New, c.Old).Name }

func (p *planner) planTrusts(files []*File) {
	for i := range p.plan.state.Trusts {
		t := &p.plan.state.Trusts[i]
		p.trusts[t.Name], p.byIssuer[t.Issuer] = t, t
	}
	wanted, issuers := map[string]Position{}, map[string]bool{}
	for _, f := range files {
		p.owners[f.Owner] = true
		for i := range f.Trusts {
			t := &f.Trusts[i]
			if first, twice := wanted[t.Name]; twice {
				p.problems.add(t.at, "trust %q is at %s:%d already", t.Name, first.file.Name, first.Line)
				continue
			}
			wanted[t.Name], issuers[t.Issuer] = t.at, true
			p.planTrust(t)
		}
	}
	for i := range p.plan.state.Trusts {
		old := &p.plan.state.Trusts[i]
		_, stays := wanted[old.Name]
		switch {
		case stays || old.ManagedBy == "" || !p.owners[old.ManagedBy]:
		case old.Disabled && !issuers[old.Issuer]:
			// Without it nobody would know, when files name the issuer again, that it was disabled.
			next := *old
			next.ManagedBy, next.UpdatedAt = "", p.now
			p.trusts[old.Name] = &next
			p.plan.Trusts = append(p.plan.Trusts, TrustChange{Old: old, New: &next})
			p.withhold("the trust %s is disabled, so it stays, and belongs to no file any more; to remove it, run: %s", old.Name, shell.Command("watchword", "trust", "remove", old.Name))
		default:
			p.plan.Trusts = append(p.plan.Trusts, TrustChange{Old: old})
			delete(p.trusts, old.Name)
		}
	}
	for _, c := range p.plan.Trusts {
		if c.Old != nil && c.New != nil && c.Old.Disabled && !c.enables && c.New.Issuer != c.Old.Issuer && !issuers[c.Old.Issuer] {
			p.problems.add(c.place("issuer"), "trust %q is disabled, so its issuer stays: declare a trust of another name, or write disabled: false", c.New.Name)
		}
	}
	slices.SortFunc(p.plan.Trusts, func(a, b TrustChange) int { return cmp.Compare(a.Name(), b.Name()) })
	p.checkTrusts()
}

func (p *planner) planTrust(t *Trust) {
	next := t.Trust
	old := p.trusts[t.Name]
	// In an emergency an issuer is disabled by hand, and neither the next apply nor another name of its trust must undo that.
	if before := cmp.Or(p.byIssuer[next.Issuer], old); t.keepsDisabled && before != nil && before.Disabled {
		next.Disabled = true
		p.withhold("the trust %s stays disabled, as %s is; to enable it, write disabled: false", t.Name, next.Issuer)
	}
	switch {
	case old == nil:
		next.ID, next.CreatedAt, next.UpdatedAt = directory.NewTrustID(), p.now, p.now
	case old.ManagedBy != "" && old.ManagedBy != t.ManagedBy:
		p.problems.add(t.at, "trust %q belongs to %q; this file is of %q", t.Name, old.ManagedBy, t.ManagedBy)
		return
	case old.Preset != next.Preset:
		p.problems.add(TrustChange{at: t.at, places: t.places}.place("preset"), "trust %q has the preset %s, which cannot be changed: add a trust of another name", t.Name, old.Preset)
		return
	default:
		next.ID, next.Generation, next.Version, next.CreatedAt, next.UpdatedAt, next.KeysAt = old.ID, old.Generation, old.Version, old.CreatedAt, old.UpdatedAt, old.KeysAt
		if reflect.DeepEqual(next, *old) {
			return
		}
		next.UpdatedAt = p.now
	}
	p.trusts[t.Name] = &next
	p.plan.Trusts = append(p.plan.Trusts, TrustChange{Old: old, New: &next, at: t.at, places: t.places, enables: !t.keepsDisabled && !t.Disabled})
}

// withhold notes what the plan leaves as a hand has left it, and how to change that.
func (p *planner) withhold(format string, args ...any) {
	p.plan.Withheld = append(p.plan.Withheld, fmt.Sprintf(format, args...))
}

// checkTrusts: a token names its trust by the issuer, and people take names that differ in case only for one.
func (p *planner) checkTrusts() {
	byIssuer, byFolded := map[string][]string{}, map[string][]string{}
	for name, t := range p.trusts {
		byIssuer[t.Issuer] = append(byIssuer[t.Issuer], name)
		byFolded[strings.ToLower(name)] = append(byFolded[strings.ToLower(name)], name)
	}
	other := func(names []string, than string) (string, bool) {
		names = slices.DeleteFunc(slices.Sorted(slices.Values(names)), func(name string) bool { return name == than })
		return strings.Join(names, ", "), len(names) > 0
	}
	for _, c := range p.plan.Trusts {
		if c.New == nil {
			continue
		}
		if names, is := other(byIssuer[c.New.Issuer], c.New.Name); is {
			p.problems.add(c.place("issuer"), "the issuer of trust %q is that of %s too", c.New.Name, names)
		}
		if names, is := other(byFolded[strings.ToLower(c.New.Name)], c.New.Name); is && c.Old == nil {
			p.problems.add(c.at, "trust %q differs from %s in case only", c.New.Name, names)
		}
		if n := len(p.trusts); n > directory.MaxTrusts && c.Old == nil {
			p.problems.add(c.at, "with this file there are %d trusts; at most %d are accepted", n, directory.MaxTrusts)
		}
	}
}

// place is where a setting stands, by its name in the API, or else the trust.
func (c TrustChange) place(setting string) Position {
	if at, ok := c.places[setting]; ok {
		return at
	}
	return c.at
}

// identityKey is what an identity is known by: credentials of the same key say the same.
type identityKey struct {
	service directory.UID
	trust   string // its id or, of what was revoked, its issuer
	claims  string
}

// workloads are the credentials of KindWorkload that are stored.
type workloads struct {
	all []*directory.Credential // that have not ended
	// by what they say: those that have not ended, and that which was revoked last.
	valid, revoked map[identityKey]*directory.Credential
	live           map[directory.UID]int // credentials of a service, of all kinds that are counted
}

func (p *planner) readWorkloads() *workloads {
	w := &workloads{valid: map[identityKey]*directory.Credential{}, revoked: map[identityKey]*directory.Credential{}, live: map[directory.UID]int{}}
	issuers := map[string]string{}
	for _, t := range p.plan.state.Trusts {
		issuers[t.ID] = t.Issuer
	}
	for i := range p.plan.state.Credentials {
		c := &p.plan.state.Credentials[i]
		ended := c.Ended(p.now)
		if !ended && c.Kind != directory.KindBootstrap {
			w.live[c.Service]++
		}
		if c.Kind != directory.KindWorkload {
			continue
		}
		key := identityKey{c.Service, c.Trust, c.Material}
		switch {
		case !ended:
			w.all = append(w.all, c)
			w.valid[key] = c
		case isIdentity(c):
			key.trust = cmp.Or(c.Withheld, issuers[c.Trust])
			if last := w.revoked[key]; last == nil || c.RevokedAt.After(last.RevokedAt) {
				w.revoked[key] = c
			}
		}
	}
	return w
}

// withholds reports whether what says this was revoked by hand, and not made again since.
func (w *workloads) withholds(key identityKey) bool {
	last := w.revoked[key]
	return last != nil && last.Withheld != ""
}

// isIdentity reports whether c says no more than a file can: it has no network, and no dates.
func isIdentity(c *directory.Credential) bool {
	return !c.CIDR.IsValid() && c.NotBefore.IsZero() && c.Life == directory.MaxCredentialTTL
}

func (p *planner) planIdentities(files []*File) {
	there := p.readWorkloads()
	trusts := make(map[string]*directory.Trust, len(p.plan.state.Trusts))
	for i := range p.plan.state.Trusts {
		trusts[p.plan.state.Trusts[i].ID] = &p.plan.state.Trusts[i]
	}
	wanted := map[identityKey]Position{}
	for _, f := range files {
		for i := range f.Services {
			s := &f.Services[i]
			svc := p.byName[s.Name]
			if svc == nil || svc.ManagedBy != s.ManagedBy {
				continue // which was said
			}
			for j := range s.Identities {
				p.planIdentity(svc, &s.Identities[j], there, wanted)
			}
		}
	}
	for _, c := range there.all {
		_, stays := wanted[identityKey{c.Service, c.Trust, c.Material}]
		if t, ok := trusts[c.Trust]; ok && !stays && c.ManagedBy != "" && p.owners[c.ManagedBy] && p.stays(c.Service) {
			claims, _ := directory.ParseClaims(c.Material) // as it was written
			p.plan.Identities = append(p.plan.Identities, IdentityChange{Service: p.plan.names[c.Service], Old: c, words: identityWords(t, claims)})
			there.live[c.Service]--
		}
	}
	slices.SortFunc(p.plan.Identities, func(a, b IdentityChange) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(b.op(), a.op()), cmp.Compare(a.words, b.words))
	})
	for _, c := range p.plan.Identities {
		if n := there.live[p.byName[c.Service].UID]; c.Old == nil && n > directory.MaxCredentials {
			p.problems.add(c.at, "with this identity, service %q has %d credentials; at most %d are accepted", c.Service, n, directory.MaxCredentials)
		}
	}
	p.checkAnchors()
	p.countRevoked(there)
	p.checkIssuers(there)
}

// checkIssuers: the claims of a credential are those of another workload if another issuer signs them.
func (p *planner) checkIssuers(there *workloads) {
	revoked := map[string]bool{}
	for _, c := range p.plan.Identities {
		if c.op() == removed {
			revoked[c.Old.ID] = true
		}
	}
	for _, c := range p.plan.Trusts {
		if c.Old == nil || c.New == nil || c.Old.Issuer == c.New.Issuer {
			continue
		}
		n := 0
		for _, w := range there.all {
			if w.Trust == c.Old.ID && p.stays(w.Service) && !revoked[w.ID] {
				n++
			}
		}
		if n > 0 {
			p.problems.add(c.place("issuer"), "the issuer of trust %q cannot be changed while credentials name it, of which there are %d: add a trust of another name, or revoke them", c.New.Name, n)
		}
	}
}

// checkAnchors: a token is compared with every credential of its trust that is found by the same claim.
func (p *planner) checkAnchors() {
	if len(p.plan.Identities) == 0 {
		return
	}
	presets := make(map[string]string, len(p.trusts))
	for _, t := range p.trusts {
		presets[t.ID] = t.Preset
	}
	type anchor struct{ trust, claim, value string }
	found := map[anchor]int{}
	_, credentials := p.plan.identitiesAfter()
	each := func(c *directory.Credential, do func(anchor)) {
		claims, err := directory.ParseClaims(c.Material)
		if c.Kind != directory.KindWorkload || err != nil {
			return
		}
		for _, a := range trust.Anchors(presets[c.Trust], claims) {
			do(anchor{c.Trust, a[0], a[1]})
		}
	}
	for i := range credentials {
		if c := &credentials[i]; !c.Ended(p.now) && p.stays(c.Service) {
			each(c, func(a anchor) { found[a]++ })
		}
	}
	for _, change := range p.plan.Identities {
		if change.op() != added {
			continue
		}
		each(change.New, func(a anchor) {
			if n := found[a]; n > directory.MaxAnchored {
				p.problems.add(change.at, "with this identity, %d credentials of the trust want the same %s; at most %d are accepted", n, a.claim, directory.MaxAnchored)
			}
		})
	}
}

// countRevoked counts the credentials that end with each trust that is removed.
func (p *planner) countRevoked(there *workloads) {
	named := map[string]int{}
	for _, c := range there.all {
		if p.stays(c.Service) {
			named[c.Trust]++
		}
	}
	for i, c := range p.plan.Trusts {
		if c.New == nil {
			p.plan.Trusts[i].revokes = named[c.Old.ID]
		}
	}
}

// Withdraws reports whether the plan changes or removes what proves services, beyond what is new.
func (p *Plan) Withdraws() bool {
	return slices.ContainsFunc(p.Trusts, func(c TrustChange) bool { return c.op() != added }) ||
		slices.ContainsFunc(p.Identities, func(c IdentityChange) bool { return c.op() == removed })
}

func (p *planner) planIdentity(svc *directory.Service, i *Identity, there *workloads, wanted map[identityKey]Position) {
	t, claims := p.checkIdentity(i)
	if t == nil {
		return
	}
	key := identityKey{svc.UID, t.ID, directory.FormatClaims(claims)}
	if first, twice := wanted[key]; twice {
		p.problems.add(i.at, "the same identity is at %s:%d already", first.file.Name, first.Line)
		return
	}
	wanted[key] = i.at
	change := IdentityChange{Service: svc.Name, words: identityWords(t, claims), at: i.at}
	switch old := there.valid[key]; {
	case old != nil && !isIdentity(old):
		p.problems.add(i.at, "service %q has the credential %s for such tokens, with a network or dates, which a file cannot have: revoke it, or leave the identity out", svc.Name, old.ID)
		return
	case old != nil && old.ManagedBy == svc.ManagedBy:
		return
	case old != nil:
		next := *old
		next.ManagedBy = svc.ManagedBy
		change.Old, change.New = old, &next
	case there.withholds(identityKey{svc.UID, t.Issuer, key.claims}): // in an emergency, which the next apply must not undo
		command := []string{"watchword", "credential", "create", svc.Name, "--kind", "workload", "--trust", t.Name}
		for _, name := range slices.Sorted(maps.Keys(claims)) {
			command = append(command, "--claim", name+"="+claims[name])
		}
		p.withhold("the identity %s  %s was revoked by hand and stays revoked; to have it again, run: %s", svc.Name, change.words, shell.Command(command...))
		return
	default:
		now := p.now.Truncate(time.Second)
		change.New = &directory.Credential{
			ID: directory.RandomID(), Service: svc.UID, Kind: directory.KindWorkload, Trust: t.ID, Material: key.claims, ManagedBy: svc.ManagedBy,
			CreatedAt: now, ExpiresAt: now.Add(directory.MaxCredentialTTL), Life: directory.MaxCredentialTTL,
		}
		there.live[svc.UID]++
	}
	p.plan.Identities = append(p.plan.Identities, change)
}

// findTrust returns the trust that an identity names, or nil after it has noted a problem.
func (p *planner) findTrust(i *Identity) *directory.Trust {
	t := p.trusts[i.Trust.Text]
	if t == nil {
		meant := ""
		if name := spelling.Nearest(i.Trust.Text, slices.Sorted(maps.Keys(p.trusts))); name != "" {
			meant = " (did you mean " + name + "?)"
		}
		p.problems.add(i.Trust.at, "there is no trust %q%s: declare it under trusts, or add it first", i.Trust.Text, meant)
	}
	return t
}

// checkIdentity returns the trust of an identity, and the claims as they are stored, or nil after it has noted a problem.
func (p *planner) checkIdentity(i *Identity) (*directory.Trust, map[string]string) {
	t := p.findTrust(i)
	if t == nil {
		return nil, nil
	}
	claims := claimsOf(i.Claims)
	if t.Preset == "" { // of a trust that is supposed to be there, nothing is known
		return t, claims
	}
	claims, err := trust.CheckClaims(&t.TrustSettings, claims)
	if err != nil {
		p.problems.add(i.place(err), "%s", problemOf(err))
		return nil, nil
	}
	return t, claims
}

// problemOf is what an error of package trust says is wrong.
func problemOf(err error) string {
	if wrong, ok := errors.AsType[*trust.InvalidError](err); ok {
		return wrong.Problem
	}
	return err.Error()
}

// place is where the claim stands that an error is about or, if it is about what is missing, the identity.
func (i *Identity) place(err error) Position {
	if wrong, ok := errors.AsType[*trust.InvalidError](err); ok {
		for _, c := range i.Claims {
			if c.Name == wrong.Claim {
				return c.at
			}
		}
	}
	return i.at
}

// identityWords says which tokens an identity accepts.
func identityWords(t *directory.Trust, claims map[string]string) string {
	return t.Name + ": " + trust.Describe(&t.TrustSettings, claims)
}

// text is the change in words.
func (c IdentityChange) text() string {
	if c.op() == changed {
		return adopted(c.words, c.Old.ManagedBy, c.New.ManagedBy)
	}
	return c.words
}

// trustSummary is what s says, with the long texts in a few words.
func trustSummary(s *api.TrustSettings) []string {
	return trustText(s, func(setting, text string) string {
		switch setting {
		case "jwks":
			var set struct {
				Keys []any `json:"keys"`
			}
			_ = json.Unmarshal([]byte(text), &set) // if it is something else, that is said where it is checked
			return fmt.Sprintf("%s (%s)", counted(len(set.Keys), "key"), fingerprint(text))
		case "authorities":
			return fmt.Sprintf("%s (%s)", counted(strings.Count(text, "-----BEGIN"), "certificate"), fingerprint(text))
		}
		return quoted(text)
	})
}

// fingerprint tells texts of which a plan says little else from each other.
func fingerprint(text string) string {
	sum := sha256.Sum256([]byte(text))
	return fmt.Sprintf("SHA-256 %x", sum[:4])
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// trustDifference is what is new or different about a trust.
func trustDifference(c TrustChange) string {
	switch {
	case c.New == nil && c.revokes == 0:
		return ""
	case c.New == nil:
		return "with " + counted(c.revokes, "credential")
	case c.Old == nil:
		rest := c.New.TrustSettings
		rest.Preset, rest.Issuer = "", ""
		return strings.Join(append([]string{c.New.Preset, c.New.Issuer}, trustSummary(&rest)...), ", ")
	}
	text := difference(trustSummary(&c.Old.TrustSettings), trustSummary(&c.New.TrustSettings))
	if !directory.AcceptsAllOf(&c.New.TrustSettings, &c.Old.TrustSettings) {
		text += "; tokens that were obtained through it end"
	}
	return adopted(text, c.Old.ManagedBy, c.New.ManagedBy)
}

// identitiesAfter are the trusts and credentials as they would be.
func (p *Plan) identitiesAfter() (trusts []directory.Trust, credentials []directory.Credential) {
	if len(p.Trusts)+len(p.Identities) == 0 {
		return p.state.Trusts, p.state.Credentials
	}
	changed, gone := map[string]bool{}, map[string]bool{} // trusts
	for _, c := range p.Trusts {
		if c.Old != nil {
			changed[c.Old.ID], gone[c.Old.ID] = true, c.New == nil
		}
		if c.New != nil {
			trusts = append(trusts, *c.New)
		}
	}
	for _, t := range p.state.Trusts {
		if !changed[t.ID] {
			trusts = append(trusts, t)
		}
	}
	next := map[string]*directory.Credential{}
	for _, c := range p.Identities {
		switch c.op() {
		case added:
			credentials = append(credentials, *c.New)
		default:
			next[c.Old.ID] = c.New
		}
	}
	for _, c := range p.state.Credentials {
		after, is := next[c.ID]
		switch {
		case after != nil:
			c = *after
		case (is || gone[c.Trust]) && !c.Ended(p.now):
			c.RevokedAt = p.now
		}
		credentials = append(credentials, c)
	}
	return trusts, credentials
}
