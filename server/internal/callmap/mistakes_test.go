package callmap_test

import (
	"strings"
	"testing"

	"github.com/watchword-dev/watchword/server/internal/callmap"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/issuer"
)

// make one reads texts as files a.yaml, b.yaml and so on, and plans them on nothing.
func makeOf(texts ...string) (*callmap.Plan, error) {
	var files []*callmap.File
	for i, text := range texts {
		if string(callmap.WithVersion([]byte(text))) != text {
			text += "\nversion: 1\n" // behind, so that lines keep their numbers
		}
		f, err := callmap.Parse(string(rune('a'+i))+".yaml", []byte(text))
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	p, err := callmap.Make(files, &directory.State{}, noon)
	if err != nil {
		return nil, err
	}
	return p, p.Check(directory.Options{})
}

func TestEveryMistakeHasItsPlace(t *testing.T) {
	const (
		two     = "services: {m1: , m2: }\n"
		cluster = "trusts: {prod: {preset: kubernetes, issuer: 'https://k'}}\n"
		anUID   = "0b9d1c5e-7a64-4e0c-8f0a-5a7d0e2f9b11"
	)
	for _, c := range []struct{ text, want string }{
		{"a: [", "a.yaml:1:1: "},
		{"a: 1\n---\nb: 2\n", "a.yaml: one file has one document: remove the second '---'"},
		{"[]", "a.yaml:1:1: a call map must be a mapping, as in {name: value}"},
		{"rule: []", `a.yaml:1:1: a call map has no "rule"; did you mean rules?`},
		{"version: 2", "a.yaml:1:10: this Watchword reads version 1"},
		{"version: 1\nversion: 1\n", `a.yaml:2:1: "version" is there twice`},
		{"managed-by: a b", "a.yaml:1:13: an owner has only letters"},
		{"x: &x [m1]\nrules: *x\n", `a.yaml:1:1: a call map has no "x"`},
		{"services: &x {m1: }\ngroups: *x\n", "a.yaml:2:9: aliases are not read: write it out"},
		{"services: [m1]", "a.yaml:1:11: services must be a mapping of names"},
		{"services: {m 1: }", "a.yaml:1:12: name must begin with a letter"},
		{"services: {m1: , m1: }", `a.yaml:1:18: "m1" is there twice`},
		{"services:\n  m1: {token-life: never}\n", `a.yaml:2:20: "never" is not a duration such as 15m`},
		{"services:\n  m1: {token-life: 500ms}\n", `a.yaml:2:20: "500ms" is not whole seconds`},
		{"services:\n  m1: {token-life: 48h}\n", `a.yaml:2:3: service "m1": token-life must be between 1 s and 24h0m0s`},
		{"services:\n  m1: {auth: [password]}\n", `a.yaml:2:15: "password" is not client_secret_basic or`},
		{"services:\n  m1: {algorithm: HS256}\n", `a.yaml:2:19: "HS256" is not ES256 or`},
		{"services:\n  m1: {grants: password}\n", `a.yaml:2:16: "password" is not client_credentials or`},
		{"services:\n  m1: {disabled: 1}\n", "a.yaml:2:18: must be true or false"},
		{"services:\n  m1: {labels: [web]}\n", "a.yaml:2:16: labels must be a mapping, as in {team: web}"},
		{"services:\n  m1: {labels: {a b: c}}\n", "a.yaml:2:17: labels have only letters"},
		{"services:\n  m1: {labels: {team: web, team: shop}}\n", `a.yaml:2:28: "team" is there twice`},
		{"services:\n  m1: {probe: 'gopher://m1'}\n", `a.yaml:2:3: service "m1": probe must be an http or https URL`},
		{"services:\n  m1: {description: [a]}\n", "a.yaml:2:21: must be text"},
		{"services:\n  m1: {audiences: [m1]}\n", `a.yaml:2:3: service "m1": audiences`},
		{"services:\n  m1: {audiences: 'https://a'}\n  m2: {audiences: 'https://a'}\n", `a.yaml:2:3: the audience "https://a" of "m1" is one of "m2" too`},
		{"services:\n  m2: {audiences: 'https://a'}\n  m1: {audiences: 'https://a'}\n", `a.yaml:2:3: the audience "https://a" of "m2" is one of "m1" too`},
		{"services:\n  m1: {}\n  M1: {}\n", `a.yaml:2:3: service "m1" differs from "M1" in case only`}, // F35
		{two + "groups: {g: [m1], G: [m1]}", `a.yaml:2:19: group "g" is at a.yaml:2 already`},          // F35
		{"groups: {g: {}}", "a.yaml:1:13: a group has members or labels"},
		{"groups: {g: [group:h]}", `a.yaml:1:14: there is no group "h"`},
		{"groups:\n  g: [group:h]\n  h: [group:g]\n", `a.yaml:2:3: group "g" contains itself`},
		{"groups: {g: []}", "a.yaml:1:13: must name a service"},
		{"rules: {from: m1}", "a.yaml:1:8: rules must be a list"},
		{"rules: [{from: m1}]", "a.yaml:1:9: a rule must have a caller and a target"},
		{"rules: [{from: m1, to: m2}]", `a.yaml:1:16: there is no service "m1": declare it under services, or create it first`},
		{two + "rules: [{from: m1, to: group:x}]", `a.yaml:2:24: there is no group "x"`},
		{two + "rules: [{from: m1, to: m2, until: soon}]", `a.yaml:2:35: "soon" is not a date`},
		{two + "rules: [{from: m1, to: m2, scopes: ['a\"b']}]", "a.yaml:2:36: scope"},
		{two + "rules: [{from: m1, to: m2, may-act: m9}]", `a.yaml:2:37: there is no service "m9"`},
		{two + "rules: [{from: m1, to: m2, when: {networks: [10.0.0.1/8]}}]", "a.yaml:2:34: networks"},
		{two + "rules: [{from: m1, to: m2, when: {hours: always}}]", "a.yaml:2:34: hours"},
		{two + "rules: [{from: m1, to: m2, when: {chain: short}}]", `a.yaml:2:42: "short" is not any or direct`},
		{two + "rules:\n- {from: m1, to: m2, scopes: [a]}\n- {from: m1, to: m2, scopes: [b]}\n", "a.yaml:4:3: m1 -> m2 is at a.yaml:3 already, on other terms"},
		{"trusts: [prod]", "a.yaml:1:9: trusts must be a mapping of names"},
		{"trusts: {prod: }", "a.yaml:1:16: a trust must be a mapping"},
		{"trusts:\n  prod: {preset: kubernets, issuer: 'https://k'}\n", `a.yaml:2:18: "kubernets" is not oidc or kubernetes or`},
		{"trusts:\n  prod: {isuer: 'https://k'}\n", `a.yaml:2:10: a trust has no "isuer"; did you mean issuer?`},
		{"trusts:\n  prod: {preset: kubernetes}\n", `a.yaml:2:3: trust "prod": issuer cannot be stored: name the iss of the tokens`},
		{"trusts:\n  prod: {issuer: 'http://k.example.com'}\n", `a.yaml:2:18: trust "prod": issuer cannot be stored: "http://k.example.com" is not an https URL`},
		{"trusts:\n  prod: {issuer: 'https://k', max-lifetime: never}\n", `a.yaml:2:45: "never" is not a duration such as 15m`},
		{"trusts:\n  prod: {issuer: 'https://k', algorithms: [HS256]}\n", `a.yaml:2:43: trust "prod": algorithms cannot be stored: "HS256" is not accepted`},
		{"trusts:\n  prod: {issuer: 'https://k', jwks: {keys: []}}\n", `a.yaml:2:37: must be text: write "jwks: |", and the JSON below it, indented`},
		{"trusts:\n  prod: {issuer: 'https://k', jwks: '{}', jwks-uri: 'https://k/keys'}\n", `a.yaml:2:37: trust "prod": jwks cannot be stored: keys are uploaded or fetched, not both: leave out jwks or jwks-uri`},
		{"trusts:\n  prod: {issuer: 'https://k', once: sometimes}\n", `a.yaml:2:37: "sometimes" is not always or never`},
		{"trusts:\n  a: {issuer: 'https://k'}\n  b: {issuer: 'https://k'}\n", `a.yaml:2:15: the issuer of trust "a" is that of b too`},
		{"trusts:\n  a: {issuer: 'https://k'}\n  A: {issuer: 'https://l'}\n", `a.yaml:2:3: trust "a" differs from A in case only`},
		{cluster + "services: {m1: {identity: prod}}", "a.yaml:2:27: an identity must be a mapping, as in {name: value}"},
		{cluster + "services: {m1: {identity: {trust: prod}}}", "a.yaml:2:27: an identity names a trust and claims"},
		{cluster + "services: {m1: {identity: {trust: prot, claims: {uid: a}}}}", `a.yaml:2:35: there is no trust "prot" (did you mean prod?): declare it under trusts, or add it first`},
		{cluster + "services: {m1: {identity: {trust: prod, claims: {}}}}", "a.yaml:2:49: claims must name a claim"},
		{cluster + "services: {m1: {identity: {trust: prod, claims: [sub]}}}", "a.yaml:2:49: claims must be a mapping"},
		{cluster + "services: {m1: {identity: {trust: prod, claims: {uid: , sub: a}}}}", "a.yaml:2:55: must be text"},
		{cluster + "services: {m1: {identity: {trust: prod, claims: {sub: a, sub: b}}}}", `a.yaml:2:58: "sub" is there twice`},
		{cluster + "services: {m1: {identity: {trust: prod, claims: {sub: 'system:serviceaccount:shop:m1'}}}}", "a.yaml:2:27: sub is a name, which another can have later: pin uid too"}, // FED-006
		{cluster + "services: {m1: {identity: {trust: prod, claims: {sub: '*', uid: " + anUID + "}}}}", `a.yaml:2:50: sub is "*": there are no wildcards`},                               // FED-006
		{cluster + "services: {m1: {identity: {trust: prod, claims: {uidd: " + anUID + "}}}}", `a.yaml:2:50: kubernetes does not list the claim "uidd" (did you mean uid?)`},
		{cluster + "services: {m1: {identity: {trust: prod, claims: {uid: " + anUID + ", aud: me}}}}", "a.yaml:2:93: a rule cannot pin aud: the trust has the audience"},
		{cluster + "services: {m1: {identity: [{trust: prod, claims: {uid: " + anUID + "}}, {trust: prod, claims: {/kubernetes.io/serviceaccount/uid: " + anUID + "}}]}}", "a.yaml:2:96: the same identity is at a.yaml:2 already"},
		{cluster + two + "tests: [{as: {trust: prod, claims: {uidd: a}}, to: m2, expect: deny}]", `a.yaml:3:37: kubernetes does not list the claim "uidd" (did you mean uid?)`},
		{cluster + two + "tests: [{as: {trust: prot, claims: {uid: a}}, to: m2, expect: deny}]", `a.yaml:3:22: there is no trust "prot" (did you mean prod?)`},
		{cluster + two + "tests: [{as: {trust: prod, claims: {uid: a}}, from: m1, to: m2, expect: deny}]", "a.yaml:3:9: a test has a caller: either from: m1, or as:"},
		{cluster + two + "tests: [{to: m2, expect: deny}]", "a.yaml:3:9: a test has a caller: either from: m1, or as:"},
		{cluster + two + "tests: [{as: {trust: prod, claims: {uid: a}}, with: {auth: bootstrap}, to: m2, expect: deny}]", `a.yaml:3:9: a token of the trust "prod" is not presented by bootstrap: write workload_jwt, or leave auth out`},
		{two + "tests: [{from: m1, to: m2}]", "a.yaml:2:9: a test must have an expected decision"},
		{two + "tests: [{from: m1, to: m9, expect: deny}]", `a.yaml:2:24: there is no service "m9"`},
		{two + "tests: [{from: m1, to: m2, expect: deny, with: {network: here}}]", `a.yaml:2:58: "here" is not an address`},
		{two + "tests: [{from: m1, to: m2, expect: deny, with: {on-behalf-of: m9}}]", `a.yaml:2:9: there is no service "m9"`},
	} {
		_, err := makeOf(c.text)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s\ngot  %v\nwant %s", c.text, err, c.want)
		}
	}
}

// A contradiction between two files names both places.
func TestTwoFilesThatContradictAreBothNamed(t *testing.T) {
	_, err := makeOf("managed-by: web\nservices: {m1: , m2: }\nrules: [{from: m1, to: m2}]\n", "managed-by: shop\nservices: {m1: }\nrules: [{from: m1, to: m2}]\ngroups: {g: [m1]}\n")
	for _, want := range []string{
		`b.yaml:2:12: service "m1" is at a.yaml:2 already`,
		`b.yaml:3:9: m1 -> m2 is at a.yaml:3 already, on other terms: it is of "web" there, and of "shop" here`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestGroupsAreWhatTheyName(t *testing.T) {
	p, err := makeOf(`services:
  m1: {labels: {team: web, tier: one}}
  m2: {labels: {team: web}}
  m3:
groups:
  web: {labels: {team: web}}
  first: {labels: {tier: one, team: web}}
  all: [group:web, m3]
  mixed: {members: [group:all], labels: {tier: one}}
rules:
  - {from: group:mixed, to: group:first}
`)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range p.Rules {
		got = append(got, r.Caller+r.Target)
	}
	if want := "m1m1 m2m1 m3m1"; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

// A shadow rule stands beside the rule in force, and belongs to the owner of its file.
func TestAShadowRuleStandsBesideTheRuleInForce(t *testing.T) {
	p, err := makeOf("services: {m1: , m2: }\nrules:\n- {from: m1, to: m2, scopes: [read, write]}\n- {from: m1, to: m2, scopes: [read], shadow: true}\n")
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Rules) != 1 || len(p.Shadow) != 1 || p.Shadow[0].ManagedBy != callmap.DefaultOwner {
		t.Errorf("got %d rules and %d in the shadow", len(p.Rules), len(p.Shadow))
	}
}

func TestTooManyMistakesAreNotAllTold(t *testing.T) {
	_, err := makeOf("rules:\n" + strings.Repeat("  - {from: m1, tu: m2}\n", 100))
	problems, ok := callmap.AsProblems(err)
	if !ok || len(problems) != 21 || problems[20].Text != "there are more problems; fix these first" {
		t.Errorf("got %d problems", len(problems))
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "#", "---\n", "version: 1\n", "services: {m1: , m2: {labels: {team: web}}}\ngroups: {g: [m1, group:h], h: {labels: {team: web}}}\nrules:\n  - {from: group:g, to: [m1, m2], scopes: [read], until: 2027-01-01, when: {networks: [10.0.0.0/8], hours: \"Mon-Fri 08:00-18:00\", chain: direct}}\ntests:\n  - {from: m1, to: m2, with: {network: 10.1.2.3, at: 2026-11-24T12:00:00Z}, expect: deny}\n",
		"a: &a [*a]\n", "<<: {version: 1}\n", "? [a]\n: b\n", "services:\n\tm1:\n", "rules: [{from: m1, to: &x m2}, *x]", "services: {m1: !!binary aGk=}", "version: 1\n...\nversion: 1", "\xff\xfe", "services: {? : }", "rules: [\"\\u2028\"]",
		"trusts: {prod: {preset: kubernetes, issuer: 'https://k', jwks: |\n  {}\n}}", "trusts:\n  d: {preset: spiffe, issuer: 'spiffe://example.org', endpoint-id: 'spiffe://example.org/s', algorithms: ES256, max-lifetime: 5m, once: never, disabled: true}\n  o: {issuer: 'https://o', jwks: \"{}\"}\nservices:\n  m1: {identity: {trust: o, claims: {sub: 010, /a~1b/c: true}}}\n  m2: {identity: [{claims: {sub: 'spiffe://example.org/a/'}, trust: d}]}\ntests:\n  - {as: {trust: o, claims: {sub: \"10\"}}, to: m2, expect: deny}\n  - {to: m2, as: {trust: d, claims: {sub: spiffe://example.org/a/b}}, expect: deny, with: {auth: spiffe_x509}}\n",
		"services: {m1: {identity: []}}", "services: {m1: {identity: {trust: t, claims: {<<: a, sub: *b}}}}", "trusts: {t: {issuer: 'https://k'}, t: }",
		// Faults of before: F88, F96, F107.
		"services:\n  m1: [\n", "services: {m1: *a}", "services:\n  m1: {disabled: false}\n  m2: {enforce: observe}\nrules:\n  - {from: m1, to: m2, exchange: delegate, until: 2020-01-01}\n",
		"services: {m1: {auth: private_key_jwt, binding: dpop, grants: client_credentials}, m2: , m3: {algorithm: RS256}}\nrules:\n  - {from: m1, to: m2, may-act: m3}\n  - {from: m2, to: m3, exchange: delegate}\ntests:\n  - {from: [m2, m3], to: m3, with: {on-behalf-of: m1, bound: true}, expect: deny}\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		file, err := callmap.Parse("f.yaml", []byte(text))
		if err != nil {
			problems, ok := callmap.AsProblems(err)
			if !ok || len(problems) == 0 || problems[0].File != "f.yaml" {
				t.Fatalf("an error that is no problem in a place: %v", err)
			}
			return
		}
		p, err := callmap.Make([]*callmap.File{file}, &directory.State{}, noon)
		if err == nil {
			p.Test(issuer.NewRehearser(p.After(0), issuer.Options{}), noon)
		}
		once, err := callmap.Format("f.yaml", []byte(text))
		if err != nil {
			t.Fatalf("what can be read cannot be formatted: %v", err)
		}
		twice, err := callmap.Format("f.yaml", once)
		if err != nil || string(once) != string(twice) {
			t.Fatalf("formatted twice it is another text: %v\n%q\n%q", err, once, twice)
		}
	})
}

func TestFormatLeavesGroupsAsPeopleWriteThem(t *testing.T) {
	const text = "version: 1\ngroups:\n  web: [m1]\nrules:\n  - {from: group:web, to: [group:web, 'group:web']} # 'group:web'\n"
	got, err := callmap.Format("callmap.yaml", []byte(text))
	if want := strings.Replace(text, "[group:web, 'group:web']", "[group:web, group:web]", 1); err != nil || string(got) != want {
		t.Errorf("got %v\n%s", err, got)
	}
}

// F88: a mistake that the YAML library finds has its line, also where the library does not tell it.
func TestSyntaxErrorsHaveTheirLine(t *testing.T) {
	for text, want := range map[string]string{
		"version: 1\nservices:\n\tm1: {}\n":                            "a.yml:3:1: found character that cannot start any token",
		"version: 1\nservices:\n  m1: {description: *nobody}\n":        "a.yml:3:21: unknown anchor 'nobody' referenced",
		"version: 1\nservices:\n  m1: {description: \"a\x01b\"}\n":     "a.yml:3:23: control characters are not allowed",
		"version: 1\nservices:\n\n  m1: {description: \"a\xffb\"}\n\n": "a.yml:4:23: invalid leading UTF-8",
		"version: 1\n\"services:\n  m1: {}\n":                          "a.yml:2:1: found unexpected end of stream",
	} {
		_, err := callmap.Parse("a.yml", []byte(text))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "line 3") {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
}
