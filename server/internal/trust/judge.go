package trust

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/api"
)

// clockSkew is how far the clock of a platform may be ahead of this server's (FAPI 2.0 Security Profile, section 5.3.2.1,
// has the same bound for clients).
const clockSkew = 10 * time.Second

// Judge compares what every token of a trust must have: iss, aud, the times, and the typ and alg of its header. It returns
// what was compared in this order. audience is that of the function Audience, and the token is accepted at now.
func Judge(s *api.TrustSettings, c *Claims, audience, typ, alg string, now time.Time) []api.ClaimFinding {
	j := &judge{preset: of(s), s: s, c: c}
	j.issuer()
	j.audience(audience)
	j.times(now)
	j.header(typ, alg)
	if OnceOnly(s) {
		j.add("jti", c.ID() != "", j.seen("jti"), "a text", "A token of this trust is accepted once, so that it must have an id. If the platform writes none, set once to never.")
	}
	for _, f := range j.preset.Fixed {
		seen, _ := j.preset.text(c, f.Claim)
		j.add(f.Claim, seen == f.Value, seen, f.Value, f.Hint)
	}
	switch {
	case j.preset.Name != OIDC:
	case isOfKubernetes(c):
		j.add("kubernetes.io", false, "a service account", "", "This is a token of Kubernetes, whose sub another service account can have later: add a trust with the preset kubernetes.")
	case isOfGitLab(c):
		j.add("project_path", false, j.seen("project_path"), "", "This is a token of GitLab, whose sub another project can have later: add a trust with the preset gitlab.")
	}
	return j.findings
}

// Match compares the claims that a rule pins with those of a token, one finding for each, and refuses what is denied
// unless it is pinned. wanted is a rule as CheckClaims returns it.
func Match(s *api.TrustSettings, wanted map[string]string, c *Claims) []api.ClaimFinding {
	j := &judge{preset: of(s), s: s, c: c}
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		j.pinned(name, wanted)
	}
	// CheckClaims did not always want it for all issuers.
	if customer, title := j.preset.customer(s.Issuer); customer != "" && wanted[customer] == "" {
		seen, _ := j.preset.text(c, customer)
		j.add(customer, false, seen, "", fmt.Sprintf("The rule must pin %s, since other customers of %s have the same issuer.", customer, title))
	}
	for i := range j.preset.Denied {
		d := &j.preset.Denied[i]
		if seen, denied := j.preset.denies(d, wanted, c); denied {
			j.add(d.Claim, false, seen, "none of "+strings.Join(d.Values, ", "), fmt.Sprintf("%s %s is accepted only if the rule names it. %s", d.Claim, Show(seen), d.Why))
		}
	}
	return j.findings
}

// Unmet returns how many findings of Match are not met. It costs little, so that many rules can be compared with a token
// before findings about one of them are made.
func Unmet(s *api.TrustSettings, wanted map[string]string, c *Claims) (n int) {
	p := of(s)
	for name, want := range wanted {
		if known, value := p.value(c, name); !p.has(known, value, want) {
			n++
		}
	}
	if p.Customer == "" || wanted[p.Customer] == "" { // to look at the issuer takes longer
		if customer, _ := p.customer(s.Issuer); customer != "" && wanted[customer] == "" {
			n++
		}
	}
	for i := range p.Denied {
		if _, denied := p.denies(&p.Denied[i], wanted, c); denied {
			n++
		}
	}
	return n
}

// denies returns what a token has in the claim of d, and whether that is refused for a rule.
func (p *Preset) denies(d *Denied, wanted map[string]string, c *Claims) (seen string, denied bool) {
	seen, _ = p.text(c, d.Claim)
	return seen, wanted[d.Claim] == "" && slices.Contains(d.Values, seen)
}

// value returns what a token has in a claim, by its name in rules, and what the preset knows about the claim, or nil.
func (p *Preset) value(c *Claims, name string) (*Claim, any) {
	if known := p.claim(name); known != nil {
		return known, c.at(known.at)
	}
	at, _ := path(name)
	return nil, c.at(at)
}

// has reports whether the value of a claim is what a rule wants of it. A claim that the preset does not know has no c.
func (p *Preset) has(c *Claim, value any, want string) bool {
	if c != nil && c.Set {
		all, _ := value.([]any)
		return slices.ContainsFunc(all, func(one any) bool {
			text, ok := textOf(one)
			return ok && text == want
		})
	}
	seen, ok := textOf(value)
	if p.Name == SPIFFE && c != nil && c.Name == "sub" && strings.HasSuffix(want, "/") {
		return len(seen) > len(want) && strings.HasPrefix(seen, want) // the slash ends a segment
	}
	return ok && seen == want
}

// JudgeSVID compares the lifetime of an X.509-SVID with what s allows. Authorities date them back by up to ten seconds, so
// that they are valid where a clock is slow.
func JudgeSVID(s *api.TrustSettings, notBefore, notAfter time.Time) []api.ClaimFinding {
	j := &judge{}
	life, longest := notAfter.Sub(notBefore), LongestSVID(s)
	j.add("lifetime", life-clockSkew <= longest, ago(life), "at most "+ago(longest), "The X.509-SVID lives too long: have the authority issue shorter ones, or raise maxLifetimeSeconds of the trust.")
	return j.findings
}

// IsMet reports whether all findings are met. There must be one.
func IsMet(findings []api.ClaimFinding) bool {
	return len(findings) > 0 && !slices.ContainsFunc(findings, func(f api.ClaimFinding) bool { return !f.Met })
}

type judge struct {
	preset   *Preset
	s        *api.TrustSettings
	c        *Claims
	findings []api.ClaimFinding
}

// add adds a finding; the hint is for what is not met.
func (j *judge) add(claim string, met bool, seen, wanted, hint string) {
	if met {
		hint = ""
	}
	j.findings = append(j.findings, api.ClaimFinding{Claim: claim, Met: met, Seen: Show(seen), Wanted: Show(wanted), Hint: hint})
}

// seen is what a registered claim says, or its kind if it has no text.
func (j *judge) seen(name string) string {
	v, ok := j.c.all[name]
	if !ok {
		return ""
	}
	if text, ok := textOf(v); ok {
		return text
	}
	return kind(v)
}

func kind(v any) string {
	switch v.(type) {
	case map[string]any:
		return "an object"
	case []any:
		return "an array"
	}
	return "null"
}

func (j *judge) issuer() {
	if j.preset.Name == SPIFFE {
		// iss is optional in a JWT-SVID and means nothing: the trust domain is that of sub.
		sub, isText := j.c.all["sub"].(string)
		err := CheckID(j.s.Issuer, sub)
		hint := ""
		if err != nil {
			hint = fmt.Sprintf("sub is not the SPIFFE ID of a workload of this trust domain: %v.", err)
		}
		j.add("sub", isText && err == nil, j.seen("sub"), j.s.Issuer+"/...", hint)
		return
	}
	iss, isText := j.c.all["iss"].(string)
	met := isText && iss == j.s.Issuer
	hint := ""
	switch {
	case met:
	case iss == "":
		hint = "The token names no issuer."
	case iss == "kubernetes/serviceaccount":
		hint = "This is a token from a Secret, which never expires: use a projected token, or kubectl create token."
	case strings.TrimSuffix(iss, "/") == strings.TrimSuffix(j.s.Issuer, "/"):
		hint = "They differ in a slash at the end. The issuer is compared as a string: write it in the trust as the tokens have it."
	case strings.EqualFold(iss, j.s.Issuer):
		hint = "They differ in upper and lower case. The issuer is compared as a string: write it in the trust as the tokens have it."
	case j.preset.Name == azure && tenant(iss) != "" && tenant(iss) == tenant(j.s.Issuer):
		hint = "The tenant is the same, and the version of the token is another: add a trust for this issuer too, or change requestedAccessTokenVersion of the app registration."
	default:
		hint = "The token is of another issuer: add a trust for it, or use a token of this one."
	}
	j.add("iss", met, j.seen("iss"), j.s.Issuer, hint)
}

// tenant is the id of the tenant in an issuer of Azure, or "".
func tenant(issuer string) string {
	p, _ := Find(azure)
	if !p.issuer.MatchString(issuer) {
		return ""
	}
	return strings.Split(issuer, "/")[3]
}

func (j *judge) audience(want string) {
	all, ok := j.c.audience()
	if ok && len(all) == 1 && all[0] == want {
		j.add("aud", true, want, want, "")
		return
	}
	ask := "Request a token for the audience " + want + "."
	if j.preset.Ask != "" {
		ask = "Request a token for this audience: " + strings.ReplaceAll(j.preset.Ask, "AUDIENCE", want) + "."
	}
	hint := ""
	switch {
	case !ok:
		hint = "The token has no audience, or one that is not a text. " + ask
	case len(all) != 1:
		hint = "The token must be for this server alone: each of several recipients could use it at the others. " + ask
	case j.preset.Name == Kubernetes && (all[0] == j.s.Issuer || isOthers(j.preset, all[0])):
		hint = "It is the default audience of the API server. " + ask
	case isOthers(j.preset, all[0]) || all[0] == j.s.Issuer:
		hint = "It is an audience of tokens for others. " + ask
	case strings.TrimSuffix(all[0], "/") == strings.TrimSuffix(want, "/"):
		hint = "They differ in a slash at the end. " + ask
	default:
		hint = "The token is for another recipient. " + ask
	}
	j.add("aud", false, strings.Join(all, ", "), want, hint)
}

func (j *judge) times(now time.Time) {
	exp, hasExp := j.c.time("exp")
	iat, hasIat := j.c.time("iat")
	nbf, hasNbf := j.c.time("nbf")
	longest := LongestLife(j.s)

	hint := ""
	switch {
	case !hasExp && j.preset.Name == Kubernetes:
		hint = "The token never expires, as those in Secrets: use a projected token, or kubectl create token."
	case !hasExp:
		hint = "The token never expires: the platform must write an exp."
	case exp.IsZero():
		hint = "exp is not a time (RFC 7519, section 2)."
	case !now.Before(exp):
		hint = fmt.Sprintf("The token expired %s ago: get a new one each time it is needed. If it is new, check the clocks of the platform and of this server.", ago(now.Sub(exp)))
	}
	j.add("exp", hint == "", moment(exp, j.seen("exp")), "after "+moment(now, ""), hint)

	for _, t := range []struct {
		name string
		at   time.Time
		has  bool
	}{{"iat", iat, hasIat}, {"nbf", nbf, hasNbf}} {
		if !t.has {
			continue // both are optional (RFC 7519, sections 4.1.5 and 4.1.6)
		}
		hint := ""
		switch {
		case t.at.IsZero():
			hint = t.name + " is not a time (RFC 7519, section 2)."
		case t.at.After(now.Add(clockSkew)):
			hint = fmt.Sprintf("%s is %s in the future: is the clock of the platform or of this server wrong?", t.name, ago(t.at.Sub(now)))
		}
		j.add(t.name, hint == "", moment(t.at, j.seen(t.name)), "before "+moment(now.Add(clockSkew), ""), hint)
	}

	if exp.IsZero() {
		return
	}
	// A token without iat cannot be old, as far as anybody knows, so that what remains is bounded.
	life := exp.Sub(now)
	if !iat.IsZero() {
		life = exp.Sub(iat)
	}
	j.add("lifetime", life <= longest, ago(life), "at most "+ago(longest), "The token lives too long: request a shorter one, or raise maxLifetimeSeconds of the trust.")
}

// moment is a time for people, or else what the claim says.
func moment(t time.Time, text string) string {
	if t.IsZero() {
		return text
	}
	return t.UTC().Format(time.RFC3339)
}

// ago is a duration for people, in whole units.
func ago(d time.Duration) string {
	unit := func(n time.Duration, name string) string {
		if n == 1 {
			return "1 " + name
		}
		return fmt.Sprintf("%d %ss", n, name)
	}
	switch {
	case d < 2*time.Minute || d < time.Hour && d%time.Minute != 0 && d < 5*time.Minute:
		return unit(d.Round(time.Second)/time.Second, "second")
	case d < 2*time.Hour:
		return unit(d/time.Minute, "minute")
	case d < 48*time.Hour:
		return unit(d/time.Hour, "hour")
	}
	return unit(d/(24*time.Hour), "day")
}

func (j *judge) header(typ, alg string) {
	// RFC 7515, section 4.1.9: a media type, of which application/ may be left out.
	t := strings.TrimPrefix(strings.ToLower(typ), "application/")
	var names []string
	for _, n := range j.preset.Types {
		if n == "" {
			n = "none"
		}
		names = append(names, n)
	}
	met, hint := slices.Contains(j.preset.Types, t), ""
	switch {
	case met:
	case typ == "":
		hint = "Tokens of this platform have a typ: this one was made for something else (RFC 8725, section 3.11)."
	default:
		hint = fmt.Sprintf("A token of the type %s is made for something else (RFC 8725, section 3.11): use a token that the platform issues for workloads.", Show(typ))
	}
	j.add("typ", met, typ, strings.Join(names, " or "), hint)

	algorithms := Algorithms(j.s)
	hint = "The trust does not list this algorithm. If the platform uses it now, add it to the algorithms of the trust."
	switch {
	case strings.HasPrefix(alg, "HS") || strings.EqualFold(alg, "none"):
		hint = "Such a token proves nothing, since anybody who knows the public key could have made it (RFC 8725, section 2.1)."
	case j.preset.Name == SPIFFE && !slices.Contains(spiffeAlgorithms, alg):
		hint = "A JWT-SVID is not signed with this algorithm (JWT-SVID, section 2.1)."
	}
	j.add("alg", slices.Contains(algorithms, alg), alg, strings.Join(algorithms, ", "), hint)
}

// pinned compares one claim that a rule pins.
func (j *judge) pinned(name string, wanted map[string]string) {
	want := wanted[name]
	c, value := j.preset.value(j.c, name)
	met := j.preset.has(c, value, want)
	if c != nil && c.Set {
		j.pinnedElement(c, met, value, want)
		return
	}
	seen, isText := textOf(value)
	hint := ""
	switch {
	case met:
	case value == nil && c != nil && c.Absent != "":
		hint = c.Absent
	case value == nil:
		hint = "The token has no such claim."
	case !isText:
		seen, hint = kind(value), "The claim has no text that could be compared."
	default:
		hint = j.why(c, seen, want, wanted)
	}
	j.add(name, met, seen, want, hint)
}

// pinnedElement compares a claim that is an array, of which a rule names one element.
func (j *judge) pinnedElement(c *Claim, met bool, value any, want string) {
	all, isArray := value.([]any)
	var texts []string
	for _, one := range all {
		if text, ok := textOf(one); ok {
			texts = append(texts, text)
		}
	}
	hint := "The array does not have this element."
	if !isArray {
		hint = "The token has no such array."
	}
	j.add(c.Name, met, strings.Join(texts, ", "), want, hint)
}

// why says what a difference probably means. A claim that the preset does not know has no c.
func (j *judge) why(c *Claim, seen, want string, wanted map[string]string) string {
	if c != nil && c.Unique && c.Names != "" {
		now, hasName := j.preset.text(j.c, c.Names)
		said := fmt.Sprintf("%s %s is not %s", c.Name, Show(seen), Show(want))
		then, pinned := wanted[c.Names]
		switch {
		case hasName && pinned && then == now:
			return fmt.Sprintf("%s; %s is the same (%s): was it deleted and created again? If so, replace the credential: %s", said, c.Names, Show(now), again)
		case hasName && !pinned:
			return fmt.Sprintf("%s; %s is %s. If this is the one that the rule means, it was deleted and created again, and the credential must be replaced: %s", said, c.Names, Show(now), again)
		}
	}
	switch {
	case strings.EqualFold(seen, want):
		return "They differ in upper and lower case, which is compared too."
	case strings.TrimSpace(seen) == strings.TrimSpace(want):
		return "They differ in spaces at the beginning or end."
	case strings.HasPrefix(seen, "refs/") && strings.HasSuffix(seen, "/"+want) && strings.Count(seen, "/") == strings.Count(want, "/")+2:
		return fmt.Sprintf("The rule must have the whole ref: %s.", Show(seen))
	case c != nil && c.Hint != "":
		return c.Hint
	case c != nil && c.Names == "" && c.Unique && j.preset.Name == SPIFFE && strings.HasPrefix(seen, want):
		return "An id is compared as a whole. For all ids below a path, end it with a slash."
	case c != nil && c.PerRun:
		return fmt.Sprintf("%s differs with each run: leave it out of the rule.", c.Name)
	}
	name := "The claim"
	if c != nil {
		name = c.Name
	}
	return fmt.Sprintf("%s is %s.", name, Show(seen))
}

const again = "watchword credential create --from-token proposes the rule."
