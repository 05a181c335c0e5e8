package callmap

import (
	"go.yaml.in/yaml/v3"

	"github.com/watchword-dev/watchword/server/internal/directory"
)

const (
	labelPattern = `^[A-Za-z0-9._/-]{1,63}$`
	namePattern  = `^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`
	partyPattern = `^(group:)?[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`
	datePattern  = `^\d{4}-\d\d-\d\d([Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d))?$`
)

var (
	serviceName = text("m1").matching(namePattern)
	party       = text("m1", "group:web").matching(partyPattern)
	label       = text("web").matching(labelPattern)
	date        = text("2027-01-01", "2027-01-01T12:00:00Z").matching(datePattern)
	authMethods = oneOrMore(oneOf("client_secret_basic", "client_secret_post", "private_key_jwt", "tls_client_auth", "self_signed_tls_client_auth", "bootstrap"))
	scopeList   = oneOrMore(text("read"))
)

// The objects of a file. Their order is the one Format writes and the documentation has.
var (
	fileObject = &object[File]{what: "a call map", members: []member[File]{
		{"version", "Of this format.", shape{kind: isNumber}, func(r *reader, _ *File, n *yaml.Node) {
			if n.Value != "1" {
				r.bad(n, "this Watchword reads version 1")
			}
		}},
		{"managed-by", "Who owns what is in the file; callmap if nobody is named. What the owner had and its files no longer name is removed.", label, func(r *reader, f *File, n *yaml.Node) {
			if f.Owner = r.text(n); !directory.IsLabel(f.Owner) {
				r.bad(n, "an owner has only letters, digits, '.', '_', '-' and '/', 1 to 63 of them")
			}
		}},
		{"services", "Which services there are, by name.", mapOf(serviceObject.shape().orEmpty()).matching(namePattern), func(r *reader, _ *File, n *yaml.Node) { r.named(n, "services", r.service) }},
		{"groups", "Names for several services, for rules and tests: group:NAME.", mapOf(groupObject.shape().orListOf(party)).matching(namePattern), func(r *reader, _ *File, n *yaml.Node) { r.named(n, "groups", r.group) }},
		{"rules", "Who may call whom. What no rule allows is refused.", listOf(ruleObject.shape()), func(r *reader, _ *File, n *yaml.Node) { r.list(n, "rules", r.rule) }},
		{"tests", "What must stay so: nothing is applied while one of them fails.", listOf(testObject.shape()), func(r *reader, _ *File, n *yaml.Node) { r.list(n, "tests", r.test) }},
	}}

	serviceObject = &object[Service]{what: "a service", members: []member[Service]{
		{"description", "What it does.", text("takes orders"), func(r *reader, s *Service, n *yaml.Node) { s.Description = r.text(n) }},
		{"owner", "Whom to ask about it.", text("money@example.com"), func(r *reader, s *Service, n *yaml.Node) { s.Owner = r.text(n) }},
		{"labels", "By which groups select it.", mapOf(label).matching(labelPattern), func(r *reader, s *Service, n *yaml.Node) { s.Labels = r.labels(n) }},
		{"audiences", "Absolute URIs that name it in tokens, beside its name.", oneOrMore(text("https://orders.example.com")), func(r *reader, s *Service, n *yaml.Node) { s.Audiences = sorted(r.texts(n)) }},
		{"token-life", "How long tokens for it live; the server's setting if nothing is said.", text("5m"), func(r *reader, s *Service, n *yaml.Node) { s.TokenTTL = r.duration(n) }},
		{"algorithm", "That signs tokens for it; the server's setting if nothing is said.", oneOf("ES256", "RS256", "PS256", "EdDSA"), func(r *reader, s *Service, n *yaml.Node) { s.Algorithm = r.text(n) }},
		{"auth", "In which ways it may prove itself; in all if nothing is said.", authMethods, func(r *reader, s *Service, n *yaml.Node) { s.AuthMethods = sorted(r.texts(n)) }},
		{"grants", "Which OAuth grants it may use; all if nothing is said.", oneOrMore(oneOf("client_credentials", "urn:ietf:params:oauth:grant-type:jwt-bearer", "urn:ietf:params:oauth:grant-type:token-exchange")), func(r *reader, s *Service, n *yaml.Node) { s.GrantTypes = sorted(r.texts(n)) }},
		{"binding", "How the tokens it gets must be bound to a key of its own.", oneOf("required", "dpop", "mtls"), func(r *reader, s *Service, n *yaml.Node) { s.Binding = directory.Binding(r.text(n)) }},
		{"token-endpoint-audience", "Its assertions may name the token endpoint as their audience.", yesOrNo, func(r *reader, s *Service, n *yaml.Node) { s.TokenEndpointAudience = r.boolean(n) }},
		{"multiple-targets", "It may ask for tokens for several targets in one.", yesOrNo, func(r *reader, s *Service, n *yaml.Node) { s.MultipleTargets = r.boolean(n) }},
		{"default-target", "For whom its tokens are when it does not say.", serviceName, func(r *reader, s *Service, n *yaml.Node) { s.DefaultTarget = r.text(n) }},
		{"enforce", "observe: calls to it that no rule allows are let through and recorded.", oneOf("enforce", "observe"), func(r *reader, s *Service, n *yaml.Node) { s.Observe = r.text(n) == "observe" }},
		{"probe", "A URL of it that needs a token, to see whether it refuses what it must.", text("https://orders.example.com/hello"), func(r *reader, s *Service, n *yaml.Node) { s.Probe = r.text(n) }},
		{"disabled", "It neither gets tokens nor has any made for it.", yesOrNo, func(r *reader, s *Service, n *yaml.Node) { s.Disabled = r.boolean(n) }},
	}}

	groupObject = &object[Group]{what: "a group", members: []member[Group]{
		{"members", "Services and other groups.", oneOrMore(party), func(r *reader, g *Group, n *yaml.Node) { g.Members = r.parties(n) }},
		{"labels", "All services that have these labels.", mapOf(label).matching(labelPattern), func(r *reader, g *Group, n *yaml.Node) { g.Labels = r.labels(n) }},
	}}

	ruleObject = &object[Rule]{what: "a rule", required: []string{"from", "to"}, members: []member[Rule]{
		{"from", "Who may call.", oneOrMore(party), func(r *reader, u *Rule, n *yaml.Node) { u.From = r.parties(n) }},
		{"to", "Whom.", oneOrMore(party), func(r *reader, u *Rule, n *yaml.Node) { u.To = r.parties(n) }},
		{"scopes", "For what.", scopeList, func(r *reader, u *Rule, n *yaml.Node) { u.Scopes = r.scopes(n) }},
		{"exchange", "It may exchange tokens of its own callers for ones that say so (delegate), or that do not (impersonate).", oneOf("delegate", "impersonate"), func(r *reader, u *Rule, n *yaml.Node) { u.Exchange = r.text(n) }},
		{"may-act", "The one service that may exchange tokens of this rule, in the place of their target.", serviceName, func(r *reader, u *Rule, n *yaml.Node) { u.MayAct = r.name(n) }},
		{"until", "When the rule ends.", date, func(r *reader, u *Rule, n *yaml.Node) { u.Until = r.moment(n) }},
		{"when", "Only if all of this is so.", whenObject.shape(), func(r *reader, u *Rule, n *yaml.Node) { u.When = r.when(n) }},
		{"shadow", "Not in force: what it would change is recorded.", yesOrNo, func(r *reader, u *Rule, n *yaml.Node) { u.Shadow = r.boolean(n) }},
	}}

	whenObject = &object[directory.Conditions]{what: "when", members: []member[directory.Conditions]{
		{"auth", "The caller proved itself in one of these ways.", authMethods, func(r *reader, c *directory.Conditions, n *yaml.Node) { c.Auth = r.texts(n) }},
		{"bound", "The token is bound to a key of the caller.", yesOrNo, func(r *reader, c *directory.Conditions, n *yaml.Node) { c.Bound = r.boolean(n) }},
		{"networks", "The caller asks from one of these networks.", oneOrMore(text("10.0.0.0/8")), func(r *reader, c *directory.Conditions, n *yaml.Node) { c.Networks = r.texts(n) }},
		{"hours", "It asks in this part of the week, in UTC.", text("Mon-Fri 08:00-18:00"), func(r *reader, c *directory.Conditions, n *yaml.Node) { c.Hours = r.text(n) }},
		{"chain", "direct: not on behalf of another.", oneOf("any", "direct"), func(r *reader, c *directory.Conditions, n *yaml.Node) { c.Chain = r.text(n) }},
	}}

	testObject = &object[Test]{what: "a test", required: []string{"from", "to", "expect"}, members: []member[Test]{
		{"from", "Who asks.", oneOrMore(party), func(r *reader, t *Test, n *yaml.Node) { t.From = r.parties(n) }},
		{"to", "For whom.", oneOrMore(party), func(r *reader, t *Test, n *yaml.Node) { t.To = r.parties(n) }},
		{"scopes", "For what.", scopeList, func(r *reader, t *Test, n *yaml.Node) { t.Scopes = r.scopes(n) }},
		{"with", "Under which circumstances.", withObject.shape(), func(r *reader, t *Test, n *yaml.Node) { withObject.read(r, &t.With, n) }},
		{"expect", "What must come out, for each pair.", oneOf("allow", "deny"), func(r *reader, t *Test, n *yaml.Node) { t.Allow, t.expected = n.Value == "allow", true }},
	}}

	withObject = &object[Circumstances]{what: "with", members: []member[Circumstances]{
		{"auth", "How the caller proves itself.", *authMethods.item, func(r *reader, c *Circumstances, n *yaml.Node) { c.Auth = r.text(n) }},
		{"bound", "The token is bound to a key of it.", yesOrNo, func(r *reader, c *Circumstances, n *yaml.Node) { c.Bound = r.boolean(n) }},
		{"network", "The address it asks from.", text("10.1.2.3"), func(r *reader, c *Circumstances, n *yaml.Node) { c.Network = r.address(n) }},
		{"at", "When it asks; now if nothing is said.", date, func(r *reader, c *Circumstances, n *yaml.Node) { c.At = r.moment(n) }},
		{"on-behalf-of", "Whose token it exchanges.", serviceName, func(r *reader, c *Circumstances, n *yaml.Node) { c.OnBehalfOf = r.name(n).Text }},
	}}
)
