package trust

import (
	"fmt"
	"slices"
	"strings"

	"github.com/watchword-dev/watchword/api"
)

// Detect returns the name of the preset that a token is probably of: that of its issuer, or else of its claims.
func Detect(c *Claims) string {
	if sub, _ := c.all["sub"].(string); strings.HasPrefix(sub, spiffeScheme) {
		return SPIFFE
	}
	if isOfKubernetes(c) {
		return Kubernetes
	}
	iss, _ := c.all["iss"].(string)
	for _, p := range presets {
		if p.issuer != nil && p.issuer.MatchString(iss) || p.shared != nil && p.shared.MatchString(iss) {
			return p.Name
		}
	}
	if isOfGitLab(c) {
		return "gitlab"
	}
	return OIDC
}

// Clusters and instances of GitLab have any issuer, and are known by claims that no other platform has.

func isOfKubernetes(c *Claims) bool {
	_, is := c.all["kubernetes.io"].(map[string]any)
	return is
}

func isOfGitLab(c *Claims) bool {
	_, hasFile := c.all["ci_config_ref_uri"] // null for a pipeline whose file is elsewhere
	_, hasProject := c.all["project_path"]
	_, hasSource := c.all["pipeline_source"]
	return hasFile || hasProject && hasSource
}

// Propose returns the tightest sensible rule for the workload that has this token: what it will have with the next token
// too, and nobody else. The first of the words says what the rule accepts, and the others are sentences about what an
// operator should know.
func Propose(s *api.TrustSettings, c *Claims) (claims map[string]string, words []string) {
	p := of(s)
	claims = map[string]string{}
	var lacking, left []string
	for i := range p.Claims {
		claim := &p.Claims[i]
		value, ok := textOf(c.at(claim.at))
		switch {
		case claim.Propose && claim.Only != "":
			claims[claim.Name] = claim.Only
			if value != claim.Only {
				lacking = append(lacking, fmt.Sprintf("%s is %q in this token, and must be %q: %s", claim.Name, Show(value), claim.Only, claim.Hint))
			}
		case claim.Propose && ok && value != "":
			claims[claim.Name] = value
		case claim.Propose && p.mustPin(s, claim.Name):
			text := fmt.Sprintf("The token has no %s, which a rule must pin.", claim.Name)
			if claim.Absent != "" {
				text += " " + claim.Absent
			}
			lacking = append(lacking, text)
		case ok && claim.PerRun:
			left = append(left, claim.Name)
		}
	}
	if customer, _ := p.customer(s.Issuer); customer != "" && p.claim(customer) == nil {
		if value, ok := p.text(c, customer); ok && value != "" {
			claims[customer] = value
		} else {
			lacking = append(lacking, fmt.Sprintf("The token has no %s, which a rule must pin.", customer))
		}
	}
	p.loosen(claims, c)
	words = []string{p.describe(claims, c)}
	words = append(words, lacking...)
	for _, d := range p.Denied {
		if slices.Contains(d.Values, claims[d.Claim]) {
			words = append(words, fmt.Sprintf("The rule names %s %s. %s", d.Claim, claims[d.Claim], d.Why))
		}
	}
	if ref := claims["ref"]; strings.HasPrefix(ref, "refs/tags/") || p.Name == "gitlab" && claims["ref_type"] == "tag" {
		words = append(words, fmt.Sprintf("The rule holds for the tag %s only. For a job that runs for each new tag, use an environment, and pin environment in place of ref.", Show(ref)))
	}
	if len(left) > 0 {
		words = append(words, fmt.Sprintf("What may differ with the next token is left out: %s.", strings.Join(left, ", ")))
	}
	return claims, words
}

// loosen removes from a proposal what differs from run to run of the same workload, if the rest is enough.
func (p *Preset) loosen(claims map[string]string, c *Claims) {
	if claims["environment"] == "" || (p.Name != github && p.Name != "gitlab") {
		return
	}
	// An environment has its own rules about refs, and jobs for releases run for another tag each time.
	delete(claims, "ref")
	delete(claims, "ref_type")
	if ref, _ := c.Text("ref"); strings.HasPrefix(ref, "refs/tags/") {
		delete(claims, "job_workflow_ref")
	}
}

func (p *Preset) mustPin(s *api.TrustSettings, name string) bool {
	customer, _ := p.customer(s.Issuer)
	return name == customer ||
		slices.ContainsFunc(p.Required, func(group []string) bool { return len(group) == 1 && group[0] == name })
}

// Describe says what a rule accepts, in words: "a job of repository 123, of owner 9, in environment production".
func Describe(s *api.TrustSettings, claims map[string]string) string {
	return of(s).describe(claims, nil)
}

// describe is Describe with the names that a token has for the ids.
func (p *Preset) describe(claims map[string]string, c *Claims) string {
	var parts []string
	said := map[string]bool{}
	for _, claim := range p.Claims {
		value, ok := claims[claim.Name]
		if !ok {
			continue
		}
		said[claim.Name] = true
		value = Show(value)
		if claim.Names != "" && c != nil && claims[claim.Names] == "" {
			if name, ok := p.text(c, claim.Names); ok && name != "" {
				value += " (" + Show(name) + ")"
			}
		}
		switch say := claim.Say; {
		case p.Name == SPIFFE && strings.HasSuffix(value, "/"):
			parts = append(parts, "every workload whose SPIFFE ID begins with "+value)
		case say == "":
			parts = append(parts, fmt.Sprintf("with %s %s", claim.Name, value))
		default:
			parts = append(parts, strings.ReplaceAll(say, "%s", value))
		}
	}
	var rest []string
	for name, value := range claims {
		if !said[name] {
			rest = append(rest, fmt.Sprintf("with %s %s", name, Show(value)))
		}
	}
	slices.Sort(rest)
	return strings.Join(append(parts, rest...), ", ")
}
