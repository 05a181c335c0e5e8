package callmap_test

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/callmap"
	"github.com/watchword-dev/watchword/server/internal/directory"
)

func TestCommittedSchemaIsCurrent(t *testing.T) {
	committed, err := os.ReadFile("../../../docs/callmap.schema.json")
	must(t, err)
	if !bytes.Equal(committed, callmap.Schema()) {
		t.Error("docs/callmap.schema.json is not what the code says: go generate ./internal/callmap")
	}
}

func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(callmap.Schema()))
	must(t, err)
	c := jsonschema.NewCompiler()
	must(t, c.AddResource(callmap.SchemaURL, doc))
	s, err := c.Compile(callmap.SchemaURL)
	must(t, err)
	return s
}

// asJSON is a file as an editor holds it against a schema: dates are texts.
func asJSON(t *testing.T, text []byte) any {
	t.Helper()
	var v any
	must(t, yaml.Unmarshal(text, &v))
	var plain func(any) any
	plain = func(v any) any {
		switch v := v.(type) {
		case map[string]any:
			for k := range v {
				v[k] = plain(v[k])
			}
		case []any:
			for i := range v {
				v[i] = plain(v[i])
			}
		case time.Time:
			return v.Format(time.RFC3339)
		}
		return v
	}
	return plain(v)
}

// What the reader takes the schema takes, and what is mistaken in shape neither does.
func TestSchemaAndReaderAgree(t *testing.T) {
	s := schema(t)
	files, err := filepath.Glob("../../../examples/callmap/callmap/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no examples", err)
	}
	var texts [][]byte
	for _, name := range files {
		text, err := os.ReadFile(name)
		must(t, err)
		texts = append(texts, text)
	}
	for _, text := range append(texts, []byte(everything)) {
		if _, err := callmap.Parse("callmap.yaml", text); err != nil {
			t.Error(err)
		}
		if err := s.Validate(asJSON(t, text)); err != nil {
			t.Errorf("the schema refuses what is read: %v\n%s", err, text)
		}
	}
	for _, bad := range []string{
		"{}", "version: 2", "rule: []", "managed-by: a b", "services: [m1]", "services: {a b: }", "services: {m1: {tokenlife: 5m}}",
		"services: {m1: {auth: password}}", "services: {m1: {algorithm: HS256}}", "services: {m1: {disabled: 1}}", "services: {m1: {labels: {a b: c}}}",
		"trusts: [prod]", "trusts: {prod: }", "trusts: {a b: {issuer: a}}", "trusts: {prod: {preset: kubernets, issuer: a}}", "trusts: {prod: {issuer: a, once: sometimes}}",
		"services: {m1: {identity: prod}}", "services: {m1: {identity: {trust: prod}}}", "services: {m1: {identity: [{claims: {sub: a}}]}}",
		"tests: [{to: m2, expect: deny}]", "tests: [{from: m1, as: {trust: prod, claims: {sub: a}}, to: m2, expect: deny}]",
		"groups: {g: {member: [m1]}}", "groups: {g: [a b]}", "rules: {from: m1, to: m2}", "rules: [{from: m1}]", "rules: [{from: m1, to: [m2, 'group:']}]",
		"rules: [{from: m1, to: m2, until: soon}]", "rules: [{from: m1, to: m2, when: {bound: 1}}]", "rules: [{from: m1, to: m2, exchange: all}]",
		"tests: [{from: m1, to: m2}]", "tests: [{from: m1, to: m2, expect: maybe}]", "tests: [{from: m1, to: m2, expect: deny, with: {net: 10.0.0.1}}]",
	} {
		bad := callmap.WithVersion([]byte(bad))
		if _, err := callmap.Parse("callmap.yaml", bad); err == nil {
			t.Errorf("%s is read", bad)
		}
		if s.Validate(asJSON(t, bad)) == nil {
			t.Errorf("the schema takes %s", bad)
		}
	}
}

// everything has each member there is.
const everything = `version: 1
managed-by: callmap
trusts:
  prod:
    preset: kubernetes
    issuer: https://kubernetes.default.svc.cluster.local
    audience: https://auth.example.com
    algorithms: [RS256]
    max-lifetime: 24h
    once: never
    disabled: true
    jwks: |
      {"keys": []}
  example.org: {preset: spiffe, issuer: spiffe://example.org, jwks-uri: https://example.org/bundle, endpoint-id: spiffe://example.org/spire/server, authorities: none}
services:
  m1:
    description: takes orders
    owner: anna
    labels: {team: web, tier: "1"}
    audiences: [https://m1.example.com]
    token-life: 5m
    algorithm: ES256
    auth: private_key_jwt
    grants: [client_credentials]
    binding: dpop
    token-endpoint-audience: true
    multiple-targets: true
    default-target: m2
    enforce: observe
    probe: https://m1.example.com/hello
    disabled: true
    identity:
      - trust: prod
        claims: {sub: "system:serviceaccount:shop:m1", uid: 0b9d1c5e-7a64-4e0c-8f0a-5a7d0e2f9b11}
  m2:
    identity: {trust: example.org, claims: {sub: spiffe://example.org/m2}}
groups:
  web: [m1, group:all]
  all: {members: m2, labels: {team: web}}
rules:
  - from: m1
    to: [m2, group:web]
    scopes: [read]
    exchange: delegate
    may-act: m2
    until: 2027-01-01
    when: {auth: [private_key_jwt], bound: true, networks: [10.0.0.0/8], hours: Mon-Fri 08:00-18:00, chain: direct}
    shadow: true
tests:
  - from: m1
    to: m2
    scopes: read
    with: {auth: bootstrap, bound: true, network: 10.1.2.3, at: 2026-11-24T12:00:00Z, on-behalf-of: m1}
    expect: deny
  - {as: {trust: prod, claims: {uid: 1}}, to: m2, expect: deny}
`

// What the server knows of methods and grants the file knows too.
func TestFileKnowsEveryMethodAndGrant(t *testing.T) {
	for member, values := range map[string][]api.Name{"auth": api.AuthMethods(), "grants": api.GrantTypes()} {
		for _, v := range values {
			if _, err := callmap.Parse("callmap.yaml", []byte("version: 1\nservices: {m1: {"+member+": ['"+v.Name+"']}}")); err != nil {
				t.Error(err)
			}
		}
	}
}

// A setting that a file could not say would be lost by an export that is applied again.
func TestAFileHasEverySettingOfAService(t *testing.T) {
	s := directory.Service{Name: "m1"}
	for _, m := range api.ServiceMembers() {
		switch to := m.Of(&s.ServiceSettings).(type) {
		case *string:
			*to = m.Example
		case *bool:
			*to = true
		case *int64:
			*to = 90
		case *[]string:
			*to = []string{m.Example}
		}
	}
	text := callmap.Export(&directory.State{Services: []directory.Service{s}}, "")
	f, err := callmap.Parse("export.yaml", text)
	must(t, err)
	if got := f.Services[0].ServiceSettings; !reflect.DeepEqual(got, s.ServiceSettings) {
		t.Errorf("got %+v from\n%s\nwant %+v", got, text, s.ServiceSettings)
	}
}

// As of services.
func TestAFileHasEverySettingOfATrust(t *testing.T) {
	tr := directory.Trust{ID: directory.NewTrustID(), Name: "prod"}
	v := reflect.ValueOf(&tr.TrustSettings).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.String:
			f.SetString("{\"a\": 1}\n")
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Int64:
			f.SetInt(90)
		default:
			f.Set(reflect.ValueOf([]string{"ES256", "RS256"}))
		}
	}
	tr.Preset, tr.Once = "spiffe", "never"
	text := callmap.Export(&directory.State{Trusts: []directory.Trust{tr}}, "")
	f, err := callmap.Parse("export.yaml", text)
	must(t, err)
	if got := f.Trusts[0].TrustSettings; !reflect.DeepEqual(got, tr.TrustSettings) {
		t.Errorf("got %+v from\n%s\nwant %+v", got, text, tr.TrustSettings)
	}
}

// must ends the test if something failed that has to succeed.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
