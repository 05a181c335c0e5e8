package callmap

import (
	"go.yaml.in/yaml/v3"

	"github.com/watchword-dev/watchword/api"
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
	authMethods = oneOrMore(oneOf(api.NamesOf(api.AuthMethods())...))
	scopeList   = oneOrMore(text("read"))
)

// The objects of a file. Their order is the one Format writes and the documentation has.
var (
	fileObject = &object[File]{what: "a call map", required: []string{"version"}, members: []member[File]{
		{"version", "The version of the file format. Every file must have it.", shape{kind: isNumber}, func(r *reader, _ *File, n *yaml.Node) {
			if n.Value != "1" {
				r.bad(n, "this Watchword reads version 1")
			}
		}},
		{"managed-by", "The owner of what is in the file. The default is callmap. What the owner had, and its files no longer contain, is removed.", label, func(r *reader, f *File, n *yaml.Node) {
			if f.Owner = r.text(n); !directory.IsLabel(f.Owner) {
				r.bad(n, "an owner has only letters, digits, '.', '_', '-' and '/', 1 to 63 of them")
			}
		}},
		{"trusts", "The outside issuers whose tokens prove services, by name.", mapOf(trustObject.shape()).matching(namePattern), func(r *reader, _ *File, n *yaml.Node) { r.named(n, "trusts", r.trust) }},
		{"services", "The services, by name.", mapOf(serviceObject.shape().orEmpty()).matching(namePattern), func(r *reader, _ *File, n *yaml.Node) { r.named(n, "services", r.service) }},
		{"groups", "Names for sets of services, which rules and tests refer to as group:NAME.", mapOf(groupObject.shape().orListOf(party)).matching(namePattern), func(r *reader, _ *File, n *yaml.Node) { r.named(n, "groups", r.group) }},
		{"rules", "Which calls are allowed. A call that no rule allows is refused.", listOf(ruleObject.shape()), func(r *reader, _ *File, n *yaml.Node) { r.list(n, "rules", r.rule) }},
		{"tests", "What must be decided. Nothing is applied while a test fails.", listOf(testObject.shape()), func(r *reader, _ *File, n *yaml.Node) { r.list(n, "tests", r.test) }},
	}}

	trustObject = &object[Trust]{what: "a trust", required: []string{"issuer"}, members: trustMembers()}

	serviceObject = &object[Service]{what: "a service", members: append(serviceMembers(), member[Service]{
		"identity", "Tokens of platforms that prove the service, in place of a secret.", oneOrMore(identityObject.shape()), func(r *reader, s *Service, n *yaml.Node) {
			r.each(n, func(n *yaml.Node) { s.Identities = append(s.Identities, r.identity(n)) })
		},
	})}

	identityObject = &object[Identity]{what: "an identity", required: []string{"trust", "claims"}, members: []member[Identity]{
		{"trust", "The trust whose tokens these are. It need not be in the file.", text("prod").matching(namePattern), func(r *reader, i *Identity, n *yaml.Node) { i.Trust = r.name(n) }},
		{"claims", "The claims that a token must have, with their exact text.", mapOf(text("system:serviceaccount:shop:m1")), func(r *reader, i *Identity, n *yaml.Node) { i.Claims = r.claims(n) }},
	}}

	groupObject = &object[Group]{what: "a group", members: []member[Group]{
		{"members", "Services and other groups.", oneOrMore(party), func(r *reader, g *Group, n *yaml.Node) { g.Members = r.parties(n) }},
		{"labels", "Selects all services that have these labels.", mapOf(label).matching(labelPattern), func(r *reader, g *Group, n *yaml.Node) { g.Labels = r.labels(n) }},
	}}

	ruleObject = &object[Rule]{what: "a rule", required: []string{"from", "to"}, members: []member[Rule]{
		{"from", "The callers.", oneOrMore(party), func(r *reader, u *Rule, n *yaml.Node) { u.From = r.parties(n) }},
		{"to", "The targets, which the callers may call.", oneOrMore(party), func(r *reader, u *Rule, n *yaml.Node) { u.To = r.parties(n) }},
		{"scopes", "The scopes that tokens of this rule may have.", scopeList, func(r *reader, u *Rule, n *yaml.Node) { u.Scopes = r.scopes(n) }},
		{"exchange", "Allows token exchange. With delegate, a caller may exchange the tokens that it receives for tokens that name it as the actor; with impersonate, also for tokens that do not.", oneOf(api.NamesOf(api.Exchanges())...), func(r *reader, u *Rule, n *yaml.Node) { u.Exchange = r.text(n) }},
		{"may-act", "The only service that may exchange tokens that this rule allows, instead of their target.", serviceName, func(r *reader, u *Rule, n *yaml.Node) { u.MayAct = r.name(n) }},
		{"until", "The time at which the rule ends.", date, func(r *reader, u *Rule, n *yaml.Node) { u.Until = r.moment(n) }},
		{"when", "Conditions. The rule applies only if all of them are met.", whenObject.shape(), func(r *reader, u *Rule, n *yaml.Node) { u.When = r.when(n) }},
		{"shadow", "Whether the rule is only evaluated and recorded, and not in force.", yesOrNo, func(r *reader, u *Rule, n *yaml.Node) { u.Shadow = r.boolean(n) }},
	}}

	whenObject = &object[api.Conditions]{what: "when", members: []member[api.Conditions]{
		{"auth", "The caller authenticated with one of these methods.", authMethods, func(r *reader, c *api.Conditions, n *yaml.Node) { c.Auth = r.texts(n) }},
		{"bound", "The token is bound to a key of the caller.", yesOrNo, func(r *reader, c *api.Conditions, n *yaml.Node) { c.Bound = r.boolean(n) }},
		{"networks", "The address of the caller is in one of these networks.", oneOrMore(text("10.0.0.0/8")), func(r *reader, c *api.Conditions, n *yaml.Node) { c.Networks = r.texts(n) }},
		{"hours", "The request is made in this part of the week, in UTC.", text("Mon-Fri 08:00-18:00"), func(r *reader, c *api.Conditions, n *yaml.Node) { c.Hours = r.text(n) }},
		{"chain", "With direct, the caller does not act on behalf of another service. The default is any.", oneOf(api.NamesOf(api.Chains())...), func(r *reader, c *api.Conditions, n *yaml.Node) { c.Chain = r.text(n) }},
	}}

	testObject = &object[Test]{what: "a test", required: []string{"to", "expect"}, either: []string{"from", "as"}, members: []member[Test]{
		{"from", "The callers.", oneOrMore(party), func(r *reader, t *Test, n *yaml.Node) { t.From = r.parties(n) }},
		{"as", "In place of from, a token of a trust that the caller presents: its claims. The rest of the token, such as its audience and its signature, is supposed to be good.", identityObject.shape(), func(r *reader, t *Test, n *yaml.Node) { as := r.identity(n); t.As = &as }},
		{"to", "The targets.", oneOrMore(party), func(r *reader, t *Test, n *yaml.Node) { t.To = r.parties(n) }},
		{"scopes", "The requested scopes.", scopeList, func(r *reader, t *Test, n *yaml.Node) { t.Scopes = r.scopes(n) }},
		{"with", "The circumstances of the request.", withObject.shape(), func(r *reader, t *Test, n *yaml.Node) { withObject.read(r, &t.With, n) }},
		{"expect", "The required decision for each pair of from and to.", oneOf("allow", "deny"), func(r *reader, t *Test, n *yaml.Node) { t.Allow, t.expected = n.Value == "allow", true }},
	}}

	withObject = &object[Circumstances]{what: "with", members: []member[Circumstances]{
		{"auth", "The method with which the caller authenticates.", *authMethods.item, func(r *reader, c *Circumstances, n *yaml.Node) { c.Auth = r.text(n) }},
		{"bound", "Whether the token is bound to a key of the caller.", yesOrNo, func(r *reader, c *Circumstances, n *yaml.Node) { c.Bound = r.boolean(n) }},
		{"network", "The address of the caller.", text("10.1.2.3"), func(r *reader, c *Circumstances, n *yaml.Node) { c.Network = r.address(n) }},
		{"at", "The time of the request. The default is now.", date, func(r *reader, c *Circumstances, n *yaml.Node) { c.At = r.moment(n) }},
		{"on-behalf-of", "The service whose token the caller exchanges.", serviceName, func(r *reader, c *Circumstances, n *yaml.Node) { c.OnBehalfOf = r.name(n).Text }},
	}}
)
