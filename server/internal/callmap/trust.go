package callmap

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/trust"
)

// trustSetting is one setting of a trust.
type trustSetting struct {
	file  string // as a file names it
	name  string // as the API and errors name it
	shape shape
	of    func(*api.TrustSettings) any
}

var trustSettings = []trustSetting{
	{"preset", "preset", oneOf(trust.Names()...), func(s *api.TrustSettings) any { return &s.Preset }},
	{"issuer", "issuer", text("https://kubernetes.default.svc.cluster.local"), func(s *api.TrustSettings) any { return &s.Issuer }},
	{"audience", "audience", text("https://auth.example.com"), func(s *api.TrustSettings) any { return &s.Audience }},
	{"jwks-uri", "jwksUri", text("https://issuer.example.com/jwks.json"), func(s *api.TrustSettings) any { return &s.JWKSURI }},
	{"jwks", "jwks", text(`{"keys": [...]}`), func(s *api.TrustSettings) any { return &s.JWKS }},
	{"authorities", "authorities", text("-----BEGIN CERTIFICATE-----..."), func(s *api.TrustSettings) any { return &s.Authorities }},
	{"endpoint-id", "endpointId", text("spiffe://example.org/spire/server"), func(s *api.TrustSettings) any { return &s.EndpointID }},
	{"algorithms", "algorithms", oneOrMore(text("RS256")), func(s *api.TrustSettings) any { return &s.Algorithms }},
	{"max-lifetime", "maxLifetimeSeconds", text("24h"), func(s *api.TrustSettings) any { return &s.MaxLifetimeSeconds }},
	{"once", "once", oneOf("always", "never"), func(s *api.TrustSettings) any { return &s.Once }},
	{"disabled", "disabled", yesOrNo, func(s *api.TrustSettings) any { return &s.Disabled }},
}

// settingNames makes of the names of settings in the API those in files.
var settingNames = func() *strings.Replacer {
	var pairs []string
	for _, s := range trustSettings {
		if s.file != s.name {
			pairs = append(pairs, s.name, s.file)
		}
	}
	return strings.NewReplacer(pairs...)
}()

// trustMembers are the settings as a file has them, with the descriptions that the API has.
func trustMembers() (all []member[Trust]) {
	docs := map[string]string{}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[api.TrustSettings]()) {
		docs[f.Tag.Get("json")] = f.Tag.Get("doc")
	}
	for _, s := range trustSettings {
		all = append(all, member[Trust]{s.file, docs[s.name], s.shape, func(r *reader, t *Trust, n *yaml.Node) { s.read(r, t, n) }})
	}
	return all
}

func (s *trustSetting) read(r *reader, t *Trust, n *yaml.Node) {
	t.places[s.name] = r.at(n)
	if s.name == "disabled" {
		t.keepsDisabled = false
	}
	switch to := s.of(&t.TrustSettings).(type) {
	case *string:
		if s.name == "jwks" && n.Kind == yaml.MappingNode {
			r.bad(n, "must be text: write \"jwks: |\", and the JSON below it, indented")
			return
		}
		*to = r.text(n)
	case *[]string:
		*to = sorted(r.texts(n))
	case *int64:
		*to = r.seconds(n)
	case *bool:
		*to = r.boolean(n)
	}
}

func (r *reader) trust(name Name, n *yaml.Node) {
	t := Trust{keepsDisabled: true, at: name.at, places: map[string]Position{}}
	t.Name, t.ManagedBy = name.Text, r.file.Owner
	trustObject.read(r, &t, n)
	if t.Preset == "" {
		t.Preset = trust.OIDC
	}
	r.file.Trusts = append(r.file.Trusts, t)
}

func (r *reader) identity(n *yaml.Node) Identity {
	i := Identity{at: r.at(n)}
	before := len(r.problems)
	identityObject.read(r, &i, n)
	if len(r.problems) == before && (i.Trust.Text == "" || i.Claims == nil) {
		r.bad(n, "%s names a trust and claims: {trust: prod, claims: {sub: ...}}", identityObject.what)
	}
	return i
}

// claims reads a mapping of claims to their values. Values are exact texts: 010 stays 010.
func (r *reader) claims(n *yaml.Node) (all []Claim) {
	if n.Kind != yaml.MappingNode {
		r.bad(n, "claims must be a mapping, as in {sub: \"system:serviceaccount:shop:m1\"}")
		return nil
	}
	seen := make(map[string]bool, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		c := Claim{Name: r.text(key), at: r.at(key)}
		if seen[c.Name] {
			r.bad(key, "%q is there twice", c.Name)
		}
		seen[c.Name] = true
		c.Value = r.text(value)
		all = append(all, c)
	}
	if len(all) == 0 {
		r.bad(n, "claims must name a claim, as in {sub: \"system:serviceaccount:shop:m1\"}")
	}
	return all
}

// claimsOf are claims as package trust takes them.
func claimsOf(all []Claim) map[string]string {
	claims := make(map[string]string, len(all))
	for _, c := range all {
		claims[c.Name] = c.Value
	}
	return claims
}

// trustText is what s says, as a file has it. write writes a text.
func trustText(s *api.TrustSettings, write func(setting, text string) string) (all []string) {
	for _, m := range trustSettings {
		value := ""
		switch v := m.of(s).(type) {
		case *string:
			if *v != "" {
				value = write(m.name, *v)
			}
		case *[]string:
			if len(*v) > 0 {
				value = flow(*v)
			}
		case *int64:
			if *v != 0 {
				value = (time.Duration(*v) * time.Second).String()
			}
		case *bool:
			if *v {
				value = "true"
			}
		}
		if value != "" {
			all = append(all, m.file+": "+value)
		}
	}
	return all
}

// blockIndent is the indentation of the lines of a text in a trust.
const blockIndent = "      "

// block writes text as a YAML scalar: as lines, which people can read, if they say the same there (YAML 1.2, section
// 8.1.2), and else as quoted does.
func block(_, s string) string {
	text, ended := strings.CutSuffix(s, "\n")
	lines := strings.Split(text, "\n")
	other := func(c rune) bool { return c < ' ' || c > '~' }
	if len(lines) == 1 && !strings.Contains(text, `"`) {
		return quoted(s)
	}
	for i, line := range lines {
		atEdge := i == 0 || i == len(lines)-1
		if line == "" && atEdge || i == 0 && line[0] == ' ' || strings.HasSuffix(line, " ") || strings.ContainsFunc(line, other) {
			return quoted(s)
		}
	}
	header := "|-"
	if ended {
		header = "|"
	}
	return header + "\n" + blockIndent + strings.Join(lines, "\n"+blockIndent)
}

// identityText writes an identity as a mapping.
func identityText(trust string, claims map[string]string) string {
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(claims)) {
		pairs = append(pairs, quoted(name)+": "+quoted(claims[name]))
	}
	return "{trust: " + quoted(trust) + ", claims: {" + strings.Join(pairs, ", ") + "}}"
}
