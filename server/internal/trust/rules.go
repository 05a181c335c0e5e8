package trust

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/watchword-dev/watchword/api"
)

// checkedElsewhere are the claims that Judge checks for every token, and jti, which no two tokens share.
var checkedElsewhere = map[string]string{
	"iss": "the trust has the issuer",
	"aud": "the trust has the audience",
	"exp": "the lifetime of every token is checked",
	"iat": "the lifetime of every token is checked",
	"nbf": "the lifetime of every token is checked",
	"jti": "no two tokens have the same",
}

// CheckClaims checks the claims of a rule, and returns them with the names that are stored. A rule that could be met by
// the token of another workload is refused, with what to pin and why. The error is an *InvalidError.
func CheckClaims(s *api.TrustSettings, claims map[string]string) (map[string]string, error) {
	p := of(s)
	if len(claims) > MaxClaims {
		return nil, invalid("claims", "there are more than %d claims", MaxClaims)
	}
	rule := map[string]string{}
	for _, given := range slices.Sorted(maps.Keys(claims)) {
		if err := p.pin(s, rule, given, claims[given]); err != nil {
			return nil, about(err, given)
		}
	}
	if err := p.checkEnough(s, rule); err != nil {
		return nil, err
	}
	return rule, nil
}

// pin adds a claim to a rule.
func (p *Preset) pin(s *api.TrustSettings, rule map[string]string, given, value string) error {
	at, err := p.resolve(given)
	if err != nil {
		return err
	}
	name := p.canonical(at)
	if _, twice := rule[name]; twice {
		return invalid("claims", "%s and %q are the same claim: name it once", name, given)
	}
	rule[name] = value
	return p.checkValue(s, name, value)
}

// about is an *InvalidError with the claim that it is about.
func about(err error, claim string) error {
	if e, ok := errors.AsType[*InvalidError](err); ok {
		e.Claim = claim
	}
	return err
}

// Suppose returns the claims of a token that has claims as a rule names them: one that is an array has the one element. The
// error is an *InvalidError.
func Suppose(s *api.TrustSettings, claims map[string]string) (*Claims, error) {
	p, c := of(s), &Claims{all: map[string]any{}}
	for _, name := range slices.Sorted(maps.Keys(claims)) {
		at, err := p.resolve(name)
		if err != nil {
			return nil, about(err, name)
		}
		var value any = claims[name]
		if known := p.claim(p.canonical(at)); known != nil && known.Set {
			value = []any{value}
		}
		last := len(at) - 1
		object := c.all
		for _, member := range at[:last] {
			if object[member] == nil {
				object[member] = map[string]any{}
			}
			within, ok := object[member].(map[string]any)
			if !ok {
				return nil, about(invalid("claims", "%s is within another claim: name one of them", name), name)
			}
			object = within
		}
		if object[at[last]] != nil {
			return nil, about(invalid("claims", "%s is there already: name it once", name), name)
		}
		object[at[last]] = value
	}
	return c, nil
}

// resolve finds the claim that a name in a rule stands for.
func (p *Preset) resolve(name string) ([]string, error) {
	if len(name) > 256 || !utf8.ValidString(name) || Show(name) != name {
		return nil, invalid("claims", "%q is not the name of a claim: it is longer than 256 bytes, or does not print", Show(name))
	}
	if c := p.claim(name); c != nil {
		return c.at, nil
	}
	at, ok := path(name)
	if !ok {
		return nil, invalid("claims", "%q is not a JSON pointer (RFC 6901): after a slash, write ~0 for ~ and ~1 for /", name)
	}
	if len(at) == 1 {
		if why, is := checkedElsewhere[at[0]]; is {
			return nil, invalid("claims", "a rule cannot pin %s: %s", at[0], why)
		}
	}
	for _, f := range p.Forbidden {
		forbidden, _ := path(f.At)
		if len(at) >= len(forbidden) && slices.Equal(at[:len(forbidden)], forbidden) {
			return nil, invalid("claims", "a rule cannot pin %s: %s", name, f.Why)
		}
	}
	if name[0] == '/' {
		return at, nil
	}
	for _, c := range p.Claims {
		if slices.Equal(c.at, at) {
			return at, nil
		}
	}
	var known []string
	for _, c := range p.Claims {
		known = append(known, c.Name)
	}
	return nil, invalid("claims", "%s does not list the claim %q%s: it lists %s. To pin another, write it as a JSON pointer: %s", p.Name, name, meant(name, known), strings.Join(known, ", "), pointer(at))
}

func (p *Preset) claim(name string) *Claim {
	for i := range p.Claims {
		if p.Claims[i].Name == name {
			return &p.Claims[i]
		}
	}
	return nil
}

// canonical is the name by which the claim at this place is stored: that of the preset, or else its JSON pointer.
func (p *Preset) canonical(at []string) string {
	for _, c := range p.Claims {
		if slices.Equal(c.at, at) {
			return c.Name
		}
	}
	return pointer(at)
}

// checkValue checks what a rule wants of one claim.
func (p *Preset) checkValue(s *api.TrustSettings, name, value string) error {
	c := p.claim(name)
	switch {
	case value == "":
		return invalid("claims", "%s has no value: write the text that the token must have", name)
	case len(value) > MaxValue:
		return invalid("claims", "the value of %s is longer than %d bytes", name, MaxValue)
	case strings.Contains(value, "*"):
		return invalid("claims", "%s is %q: there are no wildcards, since what they match grows without notice. Write the whole text", name, value)
	case !utf8.ValidString(value) || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return invalid("claims", "the value of %s has control characters", name)
	case c == nil:
		return nil
	case c.Only != "" && value != c.Only:
		return invalid("claims", "%s must be %s. %s", name, c.Only, c.Hint)
	case c.Form != nil && !c.Form.match.MatchString(value):
		return invalid("claims", "%s is %q, which is not %s%s", name, value, c.Form.text, nameGiven(c))
	}
	switch {
	case p.Name == SPIFFE && name == "sub":
		id, under := strings.CutSuffix(value, "/")
		if err := CheckID(s.Issuer, id); err != nil {
			return invalid("claims", "sub is %q: %v", value, err)
		} else if under && len(value) > 2047 {
			return invalid("claims", "sub is longer than 2047 bytes")
		}
	case p.Name == azure && name == "tid" && !strings.Contains(s.Issuer, "/"+value+"/"):
		return invalid("claims", "tid is %q, and the issuer is that of another tenant (%s)", value, s.Issuer)
	}
	return nil
}

// nameGiven is said if a value may be the name of what the claim identifies.
func nameGiven(c *Claim) string {
	if c.Unique && c.Names != "" {
		return fmt.Sprintf(": pin the id, since another can have the same %s later", c.Names)
	}
	return ""
}

// customer is the claim that every rule must pin for this issuer, which several customers of a platform share, and the
// platform. Both are empty if no others are known to have the issuer.
func (p *Preset) customer(issuer string) (claim, title string) {
	switch {
	case p.Name == OIDC:
		if s := sharedBy(issuer); s != nil {
			return s.claim, s.title
		}
	case p.shared != nil && p.shared.MatchString(issuer):
		return p.Customer, p.Title
	}
	return "", ""
}

// Shared reports whether several customers of a platform have the issuer of s: then anybody can become one, and have it
// sign tokens for any audience.
func Shared(s *api.TrustSettings) bool {
	p, ok := Find(s.Preset)
	if !ok {
		return false
	}
	customer, _ := p.customer(s.Issuer)
	return customer != ""
}

// checkEnough checks that a rule pins all that it must.
func (p *Preset) checkEnough(s *api.TrustSettings, rule map[string]string) error {
	customer, title := p.customer(s.Issuer)
	for _, group := range p.Required {
		if slices.ContainsFunc(group, func(name string) bool { return rule[name] != "" }) {
			continue
		}
		c := p.claim(group[0])
		if len(group) > 1 {
			return invalid("claims", "pin one of %s too: without it, the rule holds for everything that is done there", strings.Join(group, ", "))
		}
		doc := lower(c.Doc)
		switch {
		case c.Name == customer && c.Name != p.Anchors[0]:
			return lacksCustomer(customer, title)
		case c.Names != "" && rule[c.Names] != "":
			return invalid("claims", "%s is a name, which another can have later: pin %s too, %s", c.Names, c.Name, doc)
		case c.Only != "":
			return invalid("claims", "pin %s to %s: %s", c.Name, c.Only, doc)
		}
		return invalid("claims", "pin %s: %s", c.Name, doc)
	}
	if customer != "" && rule[customer] == "" {
		return lacksCustomer(customer, title)
	}
	if p.Name == aws {
		// arn:aws:iam::ACCOUNT:role/NAME
		if parts := strings.Split(rule["sub"], ":"); len(parts) < 6 || parts[4] != rule["aws_account"] {
			return invalid("claims", "sub is %q, which is not of the account %s: pin the account of the role", rule["sub"], rule["aws_account"])
		}
	}
	return nil
}

func lacksCustomer(claim, title string) error {
	return invalid("claims", "pin %s too: other customers of %s have the same issuer, and this claim says whose token it is", claim, title)
}

// lower is a sentence as the end of another.
func lower(sentence string) string {
	sentence = strings.TrimSuffix(sentence, ".")
	if len(sentence) > 1 && sentence[1] >= 'a' && sentence[1] <= 'z' || strings.HasPrefix(sentence, "A ") {
		return strings.ToLower(sentence[:1]) + sentence[1:]
	}
	return sentence
}

// Text returns the text of a claim of a token, by its name in rules, as Claims.Text does for names and pointers.
func Text(s *api.TrustSettings, c *Claims, name string) (string, bool) {
	return of(s).text(c, name)
}

func (p *Preset) text(c *Claims, name string) (string, bool) {
	if known := p.claim(name); known != nil {
		return textOf(c.at(known.at))
	}
	return c.Text(name)
}

// AnchorNames returns the claims of a preset by which rules are looked up. Every rule pins the first, unless it is a path
// of SPIFFE IDs, so that all rules that a token can meet are found by it. The others find those that it nearly meets.
func AnchorNames(preset string) []string { return of(&api.TrustSettings{Preset: preset}).Anchors }

// Anchors returns the claims by which a rule is looked up, and their values, in the order of AnchorNames. A path of SPIFFE
// IDs has the value "". There is at least one for each rule that CheckClaims returned.
func Anchors(preset string, claims map[string]string) (all [][2]string) {
	for _, name := range AnchorNames(preset) {
		value, pinned := claims[name]
		if preset == SPIFFE && strings.HasSuffix(value, "/") {
			value = ""
		}
		if pinned {
			all = append(all, [2]string{name, value})
		}
	}
	return all
}
