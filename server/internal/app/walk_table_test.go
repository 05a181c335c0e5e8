package app

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"github.com/watchword-dev/watchword/server/internal/config"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/policy"
)

// Why some comebacks make no sense.
const (
	notOnLists = "nothing of it is on the lists that verifiers follow: it ends what is issued, not what was"
	noName     = "it has no name"
	noPlace    = "it is nobody's that could change hands"
	onceAhead  = "no assertion is accepted that ends before a time at which the clock once was (F72)"
	endsItself = "an assertion says itself when it ends"
)

// setting adds to why those make no sense that are about what is stored, or ends.
func setting(why map[string]string) map[string]string {
	why["a replayed list"], why["an older replica"] = notOnLists, "it is a setting, which each replica has for itself"
	for _, timed := range []string{
		"clock forward and back", "clock back and forward", "withdrawn while the clock is ahead",
		"a shortened lifetime", "withdrawn under a shortened lifetime", "a lengthened lifetime",
	} {
		why[timed] = "it is a setting, which no clock ends"
	}
	return why
}

func withdrawals() []withdrawal {
	return []withdrawal{
		{
			name: "rule",
			set: func(c *cell) {
				setUp(c)
				c.uses = []use{issues(c, c.caller, func() string { return c.target })}
			},
			withdraw: func(c *cell) { c.first().operate("DELETE", "/rules/"+c.caller+"/"+c.target, "") },
			back: map[string]func(*cell){
				"made again": func(c *cell) { c.remake(c.target) },
				"moved":      func(c *cell) { c.adopt("") },
				"renamed":    func(c *cell) { c.rename(&c.target) },
			},
			senseless: map[string]string{"a replayed list": notOnLists},
		},
		{
			name: "scope",
			set: func(c *cell) {
				setUp(c)
				c.first().allow(c.caller, c.target, "read", "write")
				c.uses = []use{issues(c, c.caller, func() string { return c.target }, "scope", "write")}
			},
			withdraw: func(c *cell) { c.first().allow(c.caller, c.target, "read") },
			back: map[string]func(*cell){
				"made again": func(c *cell) {
					c.first().operate("DELETE", "/rules/"+c.caller+"/"+c.target, "")
					c.first().allow(c.caller, c.target, "read")
				},
				"moved": func(c *cell) { c.adopt(", scopes: [read]") },
				"renamed": func(c *cell) {
					c.rename(&c.target)
					c.first().allow(c.caller, c.target, "read")
				},
			},
			senseless: map[string]string{"a replayed list": notOnLists},
		},
		{
			name: "condition",
			set: func(c *cell) {
				setUp(c)
				c.uses = []use{
					issues(c, c.caller, func() string { return c.target }),
					{"a token from an address that says it is in the network", func(r *seen) bool {
						a := r.tokenRequest(credentialsFor(c.target), basic(c.caller), header("X-Forwarded-For", "10.1.2.3"), header("Forwarded", "for=10.1.2.3"))
						return a.status == http.StatusOK
					}},
				}
			},
			withdraw: func(c *cell) { c.first().rule(c.caller, c.target, elsewhere()) },
			back: map[string]func(*cell){
				"made again": func(c *cell) {
					c.first().operate("DELETE", "/rules/"+c.caller+"/"+c.target, "")
					c.first().rule(c.caller, c.target, elsewhere())
				},
				"moved": func(c *cell) {
					c.address = nextAddress()
					c.views = nil
					c.adopt(", when: {networks: [10.0.0.0/8]}")
				},
				"renamed": func(c *cell) {
					c.rename(&c.target)
					c.first().rule(c.caller, c.target, elsewhere())
				},
			},
			senseless: map[string]string{"a replayed list": notOnLists},
		},
		{
			name: "service",
			set: func(c *cell) {
				setUp(c)
				bootstrap, foreign := c.bootstrap(), c.first().foreign(c.caller)
				c.uses = append(c.tokenUses(),
					issues(c, c.caller, func() string { return c.target }), asks(c, "its bootstrap credential", bootstrap), asks(c, "its credential of the SuperTokens interface", foreign))
			},
			withdraw: func(c *cell) { c.first().operate("DELETE", "/services/"+c.caller, "") },
			back: map[string]func(*cell){
				"made again": func(c *cell) {
					c.first().service(c.caller)
					c.first().rule(c.caller, c.target, directory.NewRule{})
				},
				"moved": func(c *cell) { // to a call map file
					c.apply("services: {" + c.caller + ": {}, " + c.target + ": {}}\nrules: [{from: " + c.caller + ", to: " + c.target + "}]\n")
				},
				"renamed": func(c *cell) {
					// Neither the name in another case nor what tokens call it is what it was.
					name := strings.ToUpper(c.caller)
					c.first().service(name)
					c.first().addSecret(name, secretOf(name))
					c.first().rule(name, c.target, directory.NewRule{})
					uid := part(c.t, c.token, 1)["deps"].([]any)[0].(string)
					a := c.first().do(c.first().request("POST", c.first().admin+"/services", `{"name":"`+uid+`"}`, "Authorization", "Bearer "+c.first().server.token))
					if a.status == http.StatusCreated {
						c.t.Errorf("a service has the name %s", uid)
					}
				},
			},
		},
		{
			name: "service of a call map file",
			set: func(c *cell) {
				setUp(c)
				c.adopt("")
				c.uses = c.tokenUses()
			},
			withdraw: func(c *cell) { c.apply("services: {" + c.target + ": {}, " + c.other + ": {}}\n") },
			back: map[string]func(*cell){
				"made again": func(c *cell) { c.adopt(", exchange: delegate") },
				"moved":      func(c *cell) { c.first().service(c.caller) },
			},
			senseless: map[string]string{"renamed": "what a file calls otherwise is another service"},
		},
		{
			name: "disabled service",
			set: func(c *cell) {
				setUp(c)
				bootstrap := c.bootstrap()
				c.uses = append(c.tokenUses(), issues(c, c.caller, func() string { return c.target }), asks(c, "its bootstrap credential", bootstrap))
			},
			withdraw: func(c *cell) { c.first().operate("PATCH", "/services/"+c.caller, `{"disabled":true}`) },
			back: map[string]func(*cell){
				"made again": func(c *cell) {
					// What it proves itself with is made again, but not the service.
					c.first().addSecret(c.caller, secretOf(c.caller)+"2")
					c.uses = append(c.uses, use{"a token for a new secret", func(r *seen) bool {
						a := r.tokenRequest(credentialsFor(c.target), func(r *http.Request) { r.SetBasicAuth(c.caller, secretOf(c.caller)+"2") })
						return a.status == http.StatusOK
					}})
				},
				"moved": func(c *cell) { // to a call map file that says that it stays so
					c.apply("services: {" + c.caller + ": {disabled: true}, " + c.target + ": {}}\nrules: [{from: " + c.caller + ", to: " + c.target + "}]\n")
				},
			},
			senseless: map[string]string{"renamed": "a service keeps its name for as long as it is there"},
		},
		{
			name: "credential",
			set: func(c *cell) {
				setUp(c)
				c.uses = append(c.tokenUses(), issues(c, c.caller, func() string { return c.target }))
				if c.credential != part(c.t, c.token, 1)["deps"].([]any)[1] {
					c.t.Fatalf("the token depends on another credential")
				}
			},
			withdraw: func(c *cell) { c.first().operate("POST", "/credentials/"+c.credential+"/revoke", "") },
			back: map[string]func(*cell){
				"made again": func(c *cell) { // by a rotation of what is revoked, and by another of the same kind
					s := c.first()
					a := s.do(s.request("POST", s.admin+"/credentials/"+c.credential+"/rotate", "", "Authorization", "Bearer "+s.server.token))
					if a.status >= 500 {
						c.t.Errorf("rotate what was revoked: got %d %s", a.status, a.body)
					}
					s.operate("POST", "/services/"+c.caller+"/credentials", `{"kind":"secret"}`)
				},
				"moved": func(c *cell) { // to another service, with the same secret
					c.first().addSecret(c.other, secretOf(c.caller))
				},
			},
			senseless: map[string]string{"renamed": "its name is for people, and nothing looks it up by it"},
		},
		{
			name: "key",
			set: func(c *cell) {
				setUp(c)
				c.first().operate("PATCH", "/services/"+c.target, `{"algorithm":"EdDSA"}`) // which no other cell uses
				c.token = c.first().get(c.caller, c.target)
				c.uses = []use{issues(c, c.caller, func() string { return c.target })}
				c.sure(c.t, false) // all replicas have the key
				c.follow()
				c.uses = c.tokenUses() // F113: what it was exchanged for depends on the key, too
				c.uses = append(c.uses, use{"the key in the key set", func(r *seen) bool {
					return strings.Contains(r.do(r.request("GET", r.url+"/.well-known/jwks.json", "")).body, part(c.t, c.token, 0)["kid"].(string))
				}})
			},
			withdraw: func(c *cell) { c.first().operate("POST", "/keys/"+part(c.t, c.token, 0)["kid"].(string)+"/revoke", "") },
			back: map[string]func(*cell){
				"made again": func(c *cell) { c.first().operate("POST", "/keys/rotate", `{"algorithm":"EdDSA","now":true}`) },
				"moved":      func(c *cell) { c.first().operate("POST", "/keys/reseal", "") },
			},
			senseless: map[string]string{"renamed": "its name is made of it (RFC 7638)"},
		},
		{
			name: "trust of the SuperTokens interface",
			set: func(c *cell) {
				setUp(c)
				// Made by another server of the same installation, it is as good as one of this server's.
				c.uses = []use{asks(c, "a credential of the interface", c.first().foreign(c.caller))}
			},
			turn: func(cfg *config.Config) { cfg.SuperTokens.TrustBootstrap = false },
			back: map[string]func(*cell){
				"made again": func(c *cell) {
					c.uses = append(c.uses, asks(c, "a new credential of the interface", c.first().foreign(c.caller)))
				},
				"moved": func(c *cell) {
					c.uses = append(c.uses, use{"such a credential at the other endpoint", func(r *seen) bool {
						return r.tokenRequest(withAssertion(c.first().foreign(c.caller), c.target)).status == http.StatusOK
					}})
				},
			},
			senseless: setting(map[string]string{"renamed": noName}),
		},
		{
			name: "token",
			set: func(c *cell) {
				setUp(c)
				c.uses = c.tokenUses()
			},
			withdraw: func(c *cell) {
				if a := c.first().revoke(c.caller, c.token); a.status != http.StatusOK {
					c.t.Fatalf("got %d %s", a.status, a.body)
				}
			},
			back: map[string]func(*cell){
				"made again": func(c *cell) {
					// Equal requests within the window of token.reuse_window may get one token, but not this one.
					for i := range c.servers {
						again := c.on(i).get(c.caller, c.target)
						if again == c.token {
							c.t.Errorf("the revoked token was issued again")
						}
					}
				},
				"moved": func(c *cell) { c.adopt("") },
			},
			senseless: map[string]string{"renamed": "its name is random, and signed"},
		},
		{
			name: "audience",
			set: func(c *cell) {
				setUp(c)
				uri := "https://" + c.target + ".test/api"
				c.first().operate("PATCH", "/services/"+c.target, `{"audiences":["`+uri+`"]}`)
				c.token = c.first().get(c.caller, uri)
				c.first().rule(c.other, c.caller, directory.NewRule{Exchange: policy.Delegate})
				c.uses = []use{issues(c, c.caller, func() string { return uri })}
				// What its next owner must not do with tokens for the one before.
				c.later = []use{introspects(c.other, c.token), exchanges(c.other, c.token, c.caller)}
			},
			withdraw: func(c *cell) { c.first().operate("PATCH", "/services/"+c.target, `{"audiences":[]}`) },
			back: map[string]func(*cell){
				"made again": func(c *cell) { c.remake(c.target) },
				"moved": func(c *cell) {
					c.first().operate("PATCH", "/services/"+c.other, `{"audiences":["https://`+c.target+`.test/api"]}`)
					c.uses = append(c.uses, c.later...)
				},
				"renamed": func(c *cell) {
					was := c.target
					c.rename(&c.target)
					c.first().operate("PATCH", "/services/"+c.target, `{"audiences":["https://`+was+`.test/api"]}`)
					c.uses = append(c.uses, introspects(c.target, c.token))
				},
			},
			senseless: map[string]string{"a replayed list": notOnLists},
		},
		{
			name: "name",
			set: func(c *cell) {
				setUp(c)
				c.first().rule(c.target, c.other, directory.NewRule{Exchange: policy.Delegate})
				c.uses = []use{
					issues(c, c.caller, func() string { return c.target }), introspects(c.target, c.token), exchanges(c.target, c.token, c.other), verifies(c.token),
				}
			},
			withdraw: func(c *cell) { c.first().operate("DELETE", "/services/"+c.target, "") },
			back: map[string]func(*cell){
				"made again": func(c *cell) {
					c.first().service(c.target)
					c.first().addSecret(c.target, secretOf(c.target))
					c.first().rule(c.target, c.other, directory.NewRule{Exchange: policy.Delegate})
				},
				"moved": func(c *cell) { // to a service that has it as its audience
					uri := "https://" + c.target + ".test"
					c.first().operate("PATCH", "/services/"+c.other, `{"audiences":["`+uri+`"]}`)
					c.uses = append(c.uses, introspects(c.other, c.token), exchanges(c.other, c.token, c.caller))
				},
				"renamed": func(c *cell) {
					name := strings.ToUpper(c.target)
					c.first().service(name)
					c.first().addSecret(name, secretOf(name))
					c.uses = append(c.uses, introspects(name, c.token), exchanges(name, c.token, c.other))
				},
			},
			senseless: map[string]string{"a replayed list": notOnLists},
		},
		{
			name: "configuration",
			set: func(c *cell) {
				setUp(c)
				key := newKey()
				der := selfSigned(key, c.caller)
				c.first().addCredential(c.caller, directory.KindCertificate, thumbprint(der))
				c.certificate = thumbprint(der)
				c.uses = []use{{"a certificate that a proxy passes", func(r *seen) bool {
					there := r.from(c.t, proxyAddress)
					return there.tokenRequest(credentialsFor(c.target, "client_id", c.caller), header("Client-Cert", ":"+encoded(string(der))+":")).status == http.StatusOK
				}}}
			},
			turn: func(cfg *config.Config) { cfg.Proxy.Networks = []netip.Prefix{netip.MustParsePrefix("127.0.0.10/32")} },
			back: map[string]func(*cell){
				"made again": func(c *cell) {
					c.first().operate("DELETE", "/services/"+c.caller, "")
					c.first().service(c.caller)
					c.first().rule(c.caller, c.target, directory.NewRule{})
					c.first().addCredential(c.caller, directory.KindCertificate, c.certificate)
				},
			},
			senseless: setting(map[string]string{"moved": noPlace, "renamed": noName}),
		},
		{
			name: "platform that vouches",
			set: func(c *cell) {
				setUp(c)
				c.vouch()
				c.uses = append(c.tokenUses(), c.joins(c.caller))
			},
			withdraw: func(c *cell) { c.first().operate("DELETE", "/trusts/"+c.caller, "") },
			back: map[string]func(*cell){
				"made again": func(c *cell) { c.first().operate("POST", "/trusts", c.platform(c.caller)) }, // the credentials were revoked
				"renamed":    func(c *cell) { c.first().operate("POST", "/trusts", c.platform(c.caller+"-renamed")) },
				"moved": func(c *cell) { // to another service
					c.first().operate("POST", "/trusts", c.platform(c.caller))
					c.first().operate("POST", "/services/"+c.other+"/credentials", c.identity())
				},
			},
		},
		{
			name: "key of a platform",
			set: func(c *cell) {
				setUp(c)
				c.vouch()
				c.uses = append(c.tokenUses(), c.joins(c.caller))
			},
			withdraw: func(c *cell) {
				c.first().operate("PATCH", "/trusts/"+c.caller, claims{"jwks": `{"keys":[` + jwkOf(newKey(), "another") + `]}`}.String())
			},
			back: map[string]func(*cell){
				"made again": func(c *cell) {
					c.first().operate("PATCH", "/trusts/"+c.caller, `{"disabled":true}`)
					c.first().operate("PATCH", "/trusts/"+c.caller, `{"disabled":false}`)
				},
				"moved": func(c *cell) { // to another trust
					other := strings.ReplaceAll(c.platform(c.caller+"-other"), "https://"+c.caller+".test", "https://other-"+c.caller+".test")
					c.first().operate("POST", "/trusts", other)
				},
			},
			senseless: map[string]string{"renamed": "its name says nothing: another key of the same name is another key"},
		},
		{
			name: "assertion that was used",
			set: func(c *cell) {
				setUp(c)
				key := newKey()
				c.first().addCredential(c.caller, directory.KindKey, jwkOf(key, c.caller+"-key"))
				c.uses = nil
				c.assertion = func() string {
					return sign(key, claims{"alg": "ES256", "kid": c.caller + "-key"}.String(), assertionClaims(c.caller).with(claims{"iat": c.clock().Unix(), "exp": c.clock().Unix() + 50}).String())
				}
			},
			withdraw: func(c *cell) {
				used := c.assertion()
				given(c.t, c.first().tokenRequest(withAssertion(used, c.target)))
				c.uses = []use{{"the assertion", func(r *seen) bool {
					return r.tokenRequest(withAssertion(used, c.target)).status == http.StatusOK
				}}}
			},
			back: map[string]func(*cell){
				"made again": func(c *cell) { c.remake(c.target); c.first().rule(c.caller, c.target, directory.NewRule{}) },
				"moved":      func(c *cell) { c.adopt("") },
			},
			senseless: map[string]string{
				"renamed": noName, "a replayed list": notOnLists,
				"clock back and forward": onceAhead, "withdrawn while the clock is ahead": onceAhead,
				"a shortened lifetime": endsItself, "withdrawn under a shortened lifetime": endsItself, "a lengthened lifetime": endsItself,
			},
		},
	}
}

// setUp makes a caller with a secret, which has a token for the target, and another service that the target may call
// with it.
func setUp(c *cell) {
	s := c.first()
	s.service(c.caller, c.target, c.other)
	c.credential = s.addSecret(c.caller, secretOf(c.caller))
	s.addSecret(c.target, secretOf(c.target))
	s.addSecret(c.other, secretOf(c.other))
	s.rule(c.caller, c.target, directory.NewRule{})
	s.rule(c.target, c.other, directory.NewRule{Exchange: policy.Delegate})
	c.token = s.get(c.caller, c.target)
	c.uses = append(c.tokenUses(), issues(c, c.caller, func() string { return c.target }))
}

// vouch has a platform of the cell's own vouch for the caller, which gets its token in this way.
func (c *cell) vouch() {
	c.platformKey = newKey()
	c.first().operate("POST", "/trusts", c.platform(c.caller))
	c.first().operate("POST", "/services/"+c.caller+"/credentials", c.identity())
	c.sure(c.t, false)
	c.token = given(c.t, c.first().tokenRequest(withAssertion(c.platformToken(), c.target)))
}

// platform is the trust of that platform, under a name.
func (c *cell) platform(name string) string {
	return claims{"name": name, "issuer": "https://" + c.caller + ".test", "jwks": `{"keys":[` + jwkOf(c.platformKey, "platform-key") + `]}`}.String()
}

func (c *cell) identity() string {
	return claims{"kind": "workload", "trust": c.caller, "claims": claims{"sub": c.caller}}.String()
}

func (c *cell) platformToken() string {
	now := c.clock().Unix()
	return sign(c.platformKey, `{"alg":"ES256","kid":"platform-key"}`,
		claims{"iss": "https://" + c.caller + ".test", "sub": c.caller, "aud": issuerURL, "iat": now, "exp": now + 3000}.String())
}

func (c *cell) joins(service string) use {
	return use{"a token for what the platform vouches for", func(r *seen) bool {
		return r.tokenRequest(withAssertion(c.platformToken(), c.target, "client_id", service)).status == http.StatusOK
	}}
}

// tokenUses are what can be done with the token, and with one that it was exchanged for.
func (c *cell) tokenUses() []use {
	made := given(c.t, c.first().exchange(c.target, c.token, c.other))
	return []use{introspects(c.target, c.token), exchanges(c.target, c.token, c.other), verifies(c.token), introspects(c.other, made)}
}

func issues(c *cell, caller string, target func() string, more ...string) use {
	return use{"a token for " + caller, func(r *seen) bool {
		return r.tokenRequest(credentialsFor(target(), more...), basic(caller)).status == http.StatusOK
	}}
}

func asks(c *cell, what, credential string) use {
	return use{"a token for " + what, func(r *seen) bool { return r.ask(credential, `{"target":"`+c.target+`"}`).status == http.StatusOK }}
}

func introspects(by, token string) use {
	return use{"introspection by " + by, func(r *seen) bool {
		a := r.introspect(by, token)
		return a.status == http.StatusOK && strings.Contains(a.body, `"active":true`)
	}}
}

func exchanges(by, token, target string) use {
	return use{"an exchange by " + by, func(r *seen) bool { return r.exchange(by, token, target).status == http.StatusOK }}
}

func verifies(token string) use {
	return use{"a verifier", func(r *seen) bool { _, err := r.verifier.Verify(context.Background(), token); return err == nil }}
}

// elsewhere is a rule for callers that are where none of the tests is.
func elsewhere() directory.NewRule {
	return directory.NewRule{When: &policy.When{Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}}
}

func (c *cell) bootstrap() string {
	token, _ := c.first().server.credential(c.caller)
	return token
}

// foreign is a bootstrap credential of a service that the SuperTokens interface signed.
func (s *server) foreign(service string) string {
	s.t.Helper()
	body := `{"algorithm":"RS256","jwksDomain":"http://auth","validity":86400,"useStaticSigningKey":true,"payload":{"iss":"auth-server","aud":"auth-server","sub":"` + service + `"}}`
	a := s.do(s.request("POST", s.s.listeners[2].URL()+"/recipe/jwt", body, "api-key", superTokensKey))
	token, _ := a.json(s.t)["jwt"].(string)
	if token == "" {
		s.t.Fatalf("got %d %s", a.status, a.body)
	}
	return token
}

// remake deletes a service, and makes it again.
func (c *cell) remake(name string) {
	c.first().operate("DELETE", "/services/"+name, "")
	c.first().service(name)
}

// rename deletes a service, and makes one of another name that has everything else of it.
func (c *cell) rename(name *string) {
	c.first().operate("DELETE", "/services/"+*name, "")
	*name += "-renamed"
	c.first().service(*name)
	c.first().addSecret(*name, secretOf(*name))
	c.first().rule(*name, c.other, directory.NewRule{Exchange: policy.Delegate})
}

// adopt gives the services of the cell to a call map file, with the rule caller -> target if terms are given.
func (c *cell) adopt(terms string) {
	rule := ""
	if terms != "" {
		rule = fmt.Sprintf("rules: [{from: %s, to: %s%s}]\n", c.caller, c.target, terms)
	}
	c.apply(fmt.Sprintf("services: {%s: {}, %s: {}, %s: {}}\n%s", c.caller, c.target, c.other, rule))
}

func (c *cell) apply(text string) {
	body, err := json.Marshal(map[string]any{"files": []map[string]string{{"name": "cell.yaml", "text": "version: 1\nmanaged-by: " + c.owner + "\n" + text}}})
	if err != nil {
		c.t.Fatal(err)
	}
	c.first().operate("POST", "/callmap/apply", string(body))
}
