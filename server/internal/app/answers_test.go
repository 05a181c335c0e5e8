package app

import (
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/dpop"
	"github.com/watchword-dev/watchword/server/internal/config"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/issuer"
	"github.com/watchword-dev/watchword/server/internal/web"
	"github.com/watchword-dev/watchword/verify"
)

// The same question has one answer, whoever gives it (the area "the same question, two answers" of security/faults.yaml):
// over random call maps and requests, the request itself, its record, why, the tests of a call map file, the plan of the
// next map with its replay, the shadow, introspection, exchange and a verifier agree. A failure prints the seed:
// WWSEED=n runs that map alone.
func TestTheSameQuestionHasOneAnswer(t *testing.T) {
	cfg := oauthConfig(t)
	cfg.OAuth.MaxActors = 2
	cfg.SuperTokens.APIKeys = []config.Secret{config.NewSecret(superTokensKey)}
	cfg.SuperTokens.TrustBootstrap = true
	srv := start(t, cfg)
	first, maps := rand.Uint64()%1_000_000, 8
	if text := os.Getenv("WWSEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		first, maps = n, 1
	}
	seen := map[string]int{}
	for n := range maps {
		seed := first + uint64(n)
		t.Run(fmt.Sprintf("WWSEED=%d", seed), func(t *testing.T) {
			q := newQuiz(t, srv, seed, seen)
			q.run()
		})
	}
	t.Logf("what came out, and how often: %v", seen)
	for _, reason := range []string{"allowed", "no_rule"} {
		if maps > 1 && seen[reason] == 0 {
			t.Errorf("no request came out as %s: the maps are not what they were", reason)
		}
	}
}

// quiz is one random set of services, and the maps that are applied to them one after the other.
type quiz struct {
	*world
	t        *testing.T
	r        *rand.Rand
	prefix   string
	seen     map[string]int
	names    []string
	proofs   map[string]*provable
	services map[string]map[string]any // of the call map file, by name
	rules    []map[string]any
	verifier map[string]*verify.Verifier
}

// provable is what a service proves itself with, besides its secret.
type provable struct{ bootstrap, foreign, key string }

// query is one request for a token.
type query struct {
	caller, target string
	scopes         []string
	way            string // one of ways
	bound          bool   // it brings the proof of a key, and a certificate
	network        string
}

var (
	ways = map[string]struct{ method, grant string }{
		"plain":       {api.Bootstrap, ""},
		"foreign":     {api.Bootstrap, ""},
		"bootstrap":   {api.Bootstrap, api.GrantClientCredentials},
		"basic":       {api.ClientSecretBasic, api.GrantClientCredentials},
		"post":        {api.ClientSecretPost, api.GrantClientCredentials},
		"key":         {api.PrivateKeyJWT, api.GrantClientCredentials},
		"jwt-bearer":  {api.PrivateKeyJWT, api.GrantJWTBearer},
		"certificate": {api.SelfSignedTLSClientAuth, api.GrantClientCredentials},
	}
	wayNames     = []string{"plain", "foreign", "bootstrap", "basic", "post", "key", "jwt-bearer", "certificate"}
	askedScopes  = []string{"a", "b", "c"}
	askedMethods = []string{api.Bootstrap, api.ClientSecretBasic, api.ClientSecretPost, api.PrivateKeyJWT, api.SelfSignedTLSClientAuth}
	askedFrom    = []string{"127.2.0.1", "127.3.0.1"}
)

func newQuiz(t *testing.T, srv *server, seed uint64, seen map[string]int) *quiz {
	q := &quiz{
		world: &world{server: srv}, t: t, r: rand.New(rand.NewPCG(seed, 5)), prefix: fmt.Sprintf("q%d-", seed), seen: seen,
		proofs: map[string]*provable{}, verifier: map[string]*verify.Verifier{},
	}
	q.world = q.from(t, nextAddress())
	q.keys = map[string]*ecdsa.PrivateKey{}
	for n := range 4 {
		name := q.prefix + string(rune('a'+n))
		q.names = append(q.names, name)
		q.service(name)
		q.addSecret(name, secretOf(name))
		q.keys[name] = newKey()
		q.addCredential(name, directory.KindKey, jwkOf(q.keys[name], name+"-key"))
		der := selfSigned(q.keys[name], name)
		q.addCredential(name, directory.KindCertificate, thumbprint(der))
		p := &provable{key: ":" + encoded(string(der)) + ":"}
		p.bootstrap, _ = q.server.credential(name)
		p.foreign = q.foreign(name)
		q.proofs[name] = p
	}
	return q
}

// chance is true once in n times.
func (q *quiz) chance(n int) bool { return q.r.IntN(n) == 0 }

func pick[T any](r *rand.Rand, all []T) T { return all[r.IntN(len(all))] }

func some[T any](r *rand.Rand, all []T) (chosen []T) {
	for _, one := range all {
		if r.IntN(2) == 0 {
			chosen = append(chosen, one)
		}
	}
	return chosen
}

func (q *quiz) audience(name string) string { return "https://" + name + ".test/api" }

func (q *quiz) drawServices() {
	q.services = map[string]map[string]any{}
	for _, name := range q.names {
		s := map[string]any{"audiences": []string{q.audience(name)}}
		set := func(n int, member string, value any) {
			if q.chance(n) {
				s[member] = value
			}
		}
		set(12, "disabled", true)
		set(8, "enforce", "observe")
		if methods := some(q.r, askedMethods); q.chance(5) && len(methods) > 0 {
			s["auth"] = methods
		}
		set(8, "grants", []string{pick(q.r, []string{api.GrantClientCredentials, api.GrantTokenExchange, api.GrantJWTBearer})})
		set(6, "binding", pick(q.r, []string{api.BindingRequired, api.BindingDPoP, api.BindingMTLS}))
		set(3, "default-target", pick(q.r, q.names))
		set(4, "algorithm", "EdDSA")
		q.services[name] = s
	}
}

func (q *quiz) drawRules() {
	q.rules = nil
	day := func(later int) string { return time.Now().UTC().AddDate(0, 0, later).Format("Mon") + " 00:00-24:00" }
	for _, from := range q.names {
		for _, to := range q.names {
			if q.chance(3) {
				continue
			}
			r := map[string]any{"from": from, "to": to}
			if scopes := some(q.r, askedScopes); len(scopes) > 0 {
				r["scopes"] = scopes
			}
			if q.chance(2) {
				r["exchange"] = pick(q.r, []string{"delegate", "impersonate"})
			}
			if q.chance(6) {
				r["may-act"] = pick(q.r, q.names)
			}
			if q.chance(8) {
				r["until"] = pick(q.r, []string{"2020-01-01", "2099-01-01"})
			}
			when := map[string]any{}
			if q.chance(6) {
				when["networks"] = []string{pick(q.r, []string{"127.2.0.0/16", "127.0.0.0/16"})}
			}
			if q.chance(8) {
				when["auth"] = []string{pick(q.r, askedMethods)}
			}
			if q.chance(10) {
				when["bound"] = true
			}
			if q.chance(10) {
				when["chain"] = "direct"
			}
			if q.chance(10) {
				when["hours"] = day(pick(q.r, []int{0, 1}))
			}
			if len(when) > 0 {
				r["when"] = when
			}
			q.rules = append(q.rules, r)
		}
	}
}

func (q *quiz) drawQuery() query {
	a := query{caller: pick(q.r, q.names), target: pick(q.r, q.names), way: pick(q.r, wayNames), bound: q.chance(3), network: pick(q.r, askedFrom)}
	if q.chance(3) {
		a.scopes = some(q.r, askedScopes)
	}
	switch {
	case q.chance(10):
		a.target = q.prefix + "nobody"
	case q.chance(6):
		a.target = q.audience(a.target)
	case q.chance(8) && ways[a.way].grant != "":
		a.target = "" // the default
	}
	if a.bound || a.way == "certificate" {
		a.network = proxyAddress // who passes the certificate
	}
	return a
}

// file is a call map file of what was drawn, with a test for each of the queries.
func (q *quiz) file(tests []query) string {
	f := map[string]any{"version": 1, "managed-by": strings.TrimSuffix(q.prefix, "-"), "services": q.services, "rules": q.rules}
	var all []map[string]any
	for _, a := range tests {
		with := map[string]any{"auth": ways[a.way].method, "bound": a.bound, "network": a.network}
		test := map[string]any{"from": a.caller, "to": a.target, "with": with, "expect": "deny"}
		if len(a.scopes) > 0 {
			test["scopes"] = a.scopes
		}
		all = append(all, test)
	}
	if len(all) > 0 {
		f["tests"] = all
	}
	text, err := json.Marshal(f) // which is YAML
	if err != nil {
		q.t.Fatal(err)
	}
	return string(text)
}

func (q *quiz) send(method, path, file string, more map[string]any, into any) {
	q.t.Helper()
	body := map[string]any{"files": []map[string]string{{"name": "map.yaml", "text": file}}}
	for name, value := range more {
		body[name] = value
	}
	raw, err := json.Marshal(body)
	if err != nil {
		q.t.Fatal(err)
	}
	q.call(method, path, string(raw), into)
}

func (q *quiz) call(method, path, body string, into any) {
	q.t.Helper()
	a := q.do(q.request(method, q.admin+path, body, "Authorization", "Bearer "+q.server.token))
	if a.status >= 300 {
		q.t.Fatalf("%s %s: %d %s: %s", method, path, a.status, a.body, body)
	}
	if err := json.Unmarshal([]byte(a.body), into); err != nil {
		q.t.Fatal(err)
	}
}

// testable reports whether a test of a call map file can ask it.
func (q *quiz) testable(a query) bool {
	return slices.Contains(q.names, a.target) && a.way != "bootstrap" && a.way != "jwt-bearer"
}

// answerTo is what came out of a request.
type answerTo struct {
	reason string // of the record
	ruled  string // what the rules said, also where the target only observes
	scopes string
	shadow string
	token  string
}

func (q *quiz) run() {
	q.drawServices()
	q.drawRules()
	var queries []query
	for range 12 {
		queries = append(queries, q.drawQuery())
	}
	var asked []query
	for _, a := range queries {
		if q.testable(a) {
			asked = append(asked, a)
		}
	}
	var applied, shadow map[string]any
	var plan api.CallMapPlan
	q.send("POST", "/callmap/plan", q.file(asked), nil, &plan)
	q.send("POST", "/callmap/apply", q.file(nil), nil, &applied)
	services, rules := q.services, q.rules

	// Other rules, first as a shadow.
	q.drawRules()
	q.send("PUT", "/callmap/shadow", q.file(nil), nil, &shadow)
	next := q.rules
	q.rules = rules
	first := q.askAll(queries, asked, plan, nil)
	q.rules = next
	q.send("POST", "/callmap/plan", q.file(asked), map[string]any{"replayDays": 1}, &plan)
	q.send("POST", "/callmap/apply", q.file(nil), nil, &applied)
	second := q.askAll(queries, asked, plan, first)
	for i, a := range queries {
		q.compareShadow(a, first[i], second[i])
	}

	// Other settings of the services.
	q.drawServices()
	for name := range q.services {
		q.services[name]["algorithm"] = services[name]["algorithm"]
		if q.services[name]["algorithm"] == nil {
			delete(q.services[name], "algorithm")
		}
	}
	plan = api.CallMapPlan{}
	q.send("POST", "/callmap/plan", q.file(asked), map[string]any{"replayDays": 1}, &plan)
	q.send("POST", "/callmap/apply", q.file(nil), nil, &applied)
	q.askAll(queries, asked, plan, second)
}

// askAll asks all there is to ask on the map that is in force, of which plan was made before. before is what came out on
// the map before it, if there was one.
func (q *quiz) askAll(queries, tested []query, plan api.CallMapPlan, before []answerTo) (all []answerTo) {
	q.t.Helper()
	results := map[string]api.CallMapTest{}
	if len(plan.Tests) != len(tested) {
		q.t.Fatalf("%d tests gave %d results", len(tested), len(plan.Tests))
	}
	for i, r := range plan.Tests {
		results[fmt.Sprint(tested[i])] = r
	}
	for i, a := range queries {
		got := q.ask(a)
		all = append(all, got)
		if r, ok := results[fmt.Sprint(a)]; ok {
			if (r.Got == "allow") != (got.ruled == "allowed") || r.Reason != got.ruled {
				q.t.Errorf("%+v: got %+v, and the test of the file said %s, %s", a, got, r.Got, r.Reason)
			}
		}
		if before != nil && plan.Replay != nil {
			q.compareReplay(a, before[i], plan)
		}
	}
	return all
}

// compareReplay: what was allowed, and is refused for the same scopes now, was in the replay of the plan.
func (q *quiz) compareReplay(a query, before answerTo, plan api.CallMapPlan) {
	q.t.Helper()
	if before.reason != "allowed" || !slices.Contains(q.names, a.target) {
		return
	}
	for _, r := range q.rules { // days are counted, not hours
		if when, ok := r["when"].(map[string]any); ok && when["hours"] != nil && r["from"] == a.caller && r["to"] == a.target {
			return
		}
	}
	again := a
	again.scopes = strings.Fields(before.scopes)
	now := q.rehearse(again)
	listed := slices.ContainsFunc(plan.Replay.Edges, func(e api.RefusedEdge) bool { return e.Caller == a.caller && e.Target == a.target })
	// Which grant a token had, and by which of two keys it was bound, is not counted.
	uncounted := now.Reason == "grant_not_allowed" || now.Reason == "unbound" && part(q.t, before.token, 1)["cnf"] != nil
	if !now.Allowed() && !listed && !uncounted {
		q.t.Errorf("%+v, allowed before: refused now, %s, and the replay of the plan has %+v", again, now.Reason, plan.Replay.Edges)
	}
	q.seen["replayed"]++
}

// compareShadow: what the shadow said is what the rules said when they were in force.
func (q *quiz) compareShadow(a query, first, second answerTo) {
	q.t.Helper()
	isRuled := func(reason string) bool { return reason == "allowed" || slices.Contains(ruledReasons, reason) }
	if !isRuled(first.ruled) || !isRuled(second.ruled) {
		return
	}
	want := ""
	switch {
	case first.ruled != second.ruled:
		want = second.ruled
	case first.ruled == "allowed" && slices.ContainsFunc(strings.Fields(first.scopes), func(s string) bool { return !slices.Contains(strings.Fields(second.scopes), s) }):
		want = "fewer_scopes"
	}
	if first.shadow != want {
		q.t.Errorf("%+v: got %+v, then %+v with the rules of the shadow, which said %q", a, first, second, first.shadow)
	}
	q.seen["shadowed "+want]++
}

// ruledReasons are why rules refuse.
var ruledReasons = []string{"no_rule", "rule_ended", "scope_not_granted", "condition_method", "condition_bound", "condition_network", "condition_hours"}

func (q *quiz) rehearsal(a query) issuer.Rehearsal {
	w := ways[a.way]
	r := issuer.Rehearsal{Endpoint: issuer.TokenEndpoint, Grant: w.grant, Caller: a.caller, Method: w.method, Scopes: a.scopes, Key: a.bound, Certificate: a.bound, Address: netip.MustParseAddr(a.network)}
	if w.grant == "" {
		r.Endpoint = issuer.AccessTokenEndpoint
	}
	if a.target != "" {
		r.Targets = []string{a.target}
	}
	return r
}

func (q *quiz) rehearse(a query) issuer.Rehearsed { return q.s.issuer.Rehearse(q.rehearsal(a)) }

// real makes the request.
func (q *quiz) real(a query) answer { return q.realGrant(a, ways[a.way].grant, nil) }

// realGrant makes the request with another grant, and more parameters.
func (q *quiz) realGrant(a query, grant string, more []string) answer {
	q.t.Helper()
	there := &world{server: q.from(q.t, a.network).server, keys: q.keys}
	p := q.proofs[a.caller]
	var options []option
	if a.bound || a.way == "certificate" {
		options = append(options, header("Client-Cert", p.key))
	}
	if grant == "" {
		credential := map[string]string{"plain": p.bootstrap, "foreign": p.foreign}[a.way]
		body := map[string]string{"target": a.target}
		if len(a.scopes) > 0 {
			body["scope"] = strings.Join(a.scopes, " ")
		}
		raw, _ := json.Marshal(body)
		headers := []string{}
		if a.bound {
			headers = append(headers, dpop.Header, proof(q.keys[a.caller], nil, claims{"htu": issuerURL + "/accesstoken"}), "Client-Cert", p.key)
		}
		return there.server.ask(credential, string(raw), headers...)
	}
	if a.bound {
		options = append(options, withProof(proof(q.keys[a.caller], nil, nil)))
	}
	pairs := []string{"grant_type", grant}
	if a.target != "" {
		pairs = append(pairs, "audience", a.target)
	}
	if len(a.scopes) > 0 {
		pairs = append(pairs, "scope", strings.Join(a.scopes, " "))
	}
	switch a.way {
	case "bootstrap":
		pairs = append(pairs, "client_assertion_type", assertionType, "client_assertion", p.bootstrap)
	case "basic":
		options = append(options, basic(a.caller))
	case "post":
		pairs = append(pairs, "client_id", a.caller, "client_secret", secretOf(a.caller))
	case "key":
		pairs = append(pairs, "client_assertion_type", assertionType, "client_assertion", q.assertion(a.caller, nil))
	case "jwt-bearer":
		pairs = append(pairs, "assertion", q.assertion(a.caller, nil))
	case "certificate":
		pairs = append(pairs, "client_id", a.caller)
	}
	pairs = append(pairs, more...)
	return there.tokenRequest(form(pairs...), options...)
}

// decision is the record of a request. Nil: of those that prove nothing, most are only counted (F02).
func (q *quiz) decision(a answer) *api.Decision {
	q.t.Helper()
	id := a.header.Get(web.DecisionHeader)
	if id == "" && a.status == http.StatusUnauthorized {
		return nil
	}
	d := new(api.Decision)
	q.call("GET", "/decisions/"+id, "", d)
	return d
}

// ask makes a request, and asks everybody else what comes of it.
func (q *quiz) ask(a query) (got answerTo) {
	q.t.Helper()
	w := ways[a.way]
	question, err := json.Marshal(api.Question{Caller: a.caller, Target: a.target, Scopes: a.scopes, Grant: w.grant, Method: w.method, Bound: a.bound, Network: a.network})
	if err != nil {
		q.t.Fatal(err)
	}
	var why api.Explanation
	q.call("POST", "/decisions/explain", string(question), &why)
	real := q.real(a)
	decision := q.decision(real)
	if decision == nil {
		if why.Allowed || why.Reason != "method_not_accepted" {
			q.t.Errorf("%+v: answered %d %s, as nobody's, and why says %s", a, real.status, real.body, why.Reason)
		}
		return answerTo{reason: why.Reason, ruled: why.Reason}
	}
	got = answerTo{reason: decision.Reason, ruled: decision.Reason, shadow: decision.Shadow}
	if decision.Observed != "" {
		got.ruled = decision.Observed
	}
	if real.status == http.StatusOK {
		m := real.json(q.t)
		for _, name := range []string{"access_token", "accessToken"} {
			if token, ok := m[name].(string); ok {
				got.token = token
			}
		}
		got.scopes, _ = part(q.t, got.token, 1)["scope"].(string)
	}
	q.seen[got.ruled]++
	if (real.status == http.StatusOK) != (decision.Reason == "allowed") {
		q.t.Errorf("%+v: answered %d, and recorded as %s", a, real.status, decision.Reason)
	}
	// F116: the record tells if scopes were requested.
	for who, e := range map[string]*api.Explanation{"why": &why, "why ID": decision.Today} {
		switch {
		case e == nil && decision.Reason == "method_not_accepted":
			// It did not prove itself, so it is recorded as nobody's.
		case e == nil:
			q.t.Errorf("%+v: %s has no answer; recorded as %+v", a, who, decision)
		case e.Allowed != (decision.Reason == "allowed") || e.Reason != got.ruled:
			q.t.Errorf("%+v: %d, %s, and %s says %v, %s: %s", a, real.status, got.ruled, who, e.Allowed, e.Reason, e.Text)
		case e.Allowed && decision.Observed == "" && strings.Join(e.Scopes, " ") != got.scopes:
			q.t.Errorf("%+v: got the scopes %q, and %s says %q", a, got.scopes, who, e.Scopes)
		case e.Shadow != got.shadow:
			q.t.Errorf("%+v: the shadow says %q, and in %s %q", a, got.shadow, who, e.Shadow)
		}
	}
	if got.token != "" {
		q.use(a, got.token)
		q.exchangeOn(a, got.token)
	}
	return got
}

// use presents a token where it is good, and where it is not.
func (q *quiz) use(a query, token string) {
	q.t.Helper()
	c := part(q.t, token, 1)
	audience, _ := c["aud"].(string)
	for _, name := range q.names {
		mine := audience == name || audience == q.audience(name)
		if q.services[name]["disabled"] == nil && q.accepts(name, api.ClientSecretBasic) {
			m := q.introspect(name, token).json(q.t)
			if (m["active"] == true) != mine {
				q.t.Errorf("%+v: a token for %s: introspection by %s: %v", a, audience, name, m)
			}
			for _, member := range []string{"sub", "aud", "scope", "act", "cnf", "client_id", "exp"} {
				if mine && !reflect.DeepEqual(m[member], c[member]) {
					q.t.Errorf("%+v: %s is %v in the token, and %v to introspection", a, member, c[member], m[member])
				}
			}
		}
		_, err := q.verifierOf(name).Verify(context.Background(), token)
		if bound := c["cnf"] != nil; mine && bound && !errors.Is(err, verify.ErrBound) && !errors.Is(err, verify.ErrCertificate) || mine && !bound && err != nil || !mine && err == nil {
			q.t.Errorf("%+v: a token for %s, at a verifier of %s: %v", a, audience, name, err)
		}
	}
}

func (q *quiz) accepts(name, method string) bool {
	methods, limited := q.services[name]["auth"].([]string)
	return !limited || slices.Contains(methods, method)
}

func (q *quiz) verifierOf(name string) *verify.Verifier {
	q.t.Helper()
	if v := q.verifier[name]; v != nil {
		return v
	}
	v, err := verify.New(q.t.Context(), verify.Config{
		Server: issuerURL, Issuer: q.cfg.PlainIssuer, Audience: name, Audiences: []string{q.audience(name)},
		JWKSURL: q.url + "/.well-known/jwks.json", Revocations: verify.Revocations{Off: true}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		q.t.Fatal(err)
	}
	q.t.Cleanup(func() { v.Close() })
	q.verifier[name] = v
	return v
}

// exchangeOn exchanges a token, and what comes of it, and compares with the rehearsal of the same way.
func (q *quiz) exchangeOn(a query, token string) {
	q.t.Helper()
	way := q.rehearsal(a)
	for range 3 {
		c := part(q.t, token, 1)
		b := query{caller: pick(q.r, q.names), target: pick(q.r, q.names), way: pick(q.r, []string{"basic", "post", "certificate"}), bound: q.chance(2), network: pick(q.r, askedFrom)}
		if q.chance(4) {
			b.scopes = some(q.r, askedScopes)
		}
		if !q.chance(4) { // mostly by who may
			if may, ok := c["may_act"].(map[string]any); ok {
				b.caller, _ = may["sub"].(string)
			} else {
				for _, name := range q.names {
					if c["aud"] == name || c["aud"] == q.audience(name) {
						b.caller = name
					}
				}
			}
		}
		if b.bound || b.way == "certificate" {
			b.network = proxyAddress
		}
		r := q.rehearsal(b)
		r.Grant, r.Exchanges, r.Impersonate = api.GrantTokenExchange, new(issuer.Rehearsal), q.chance(4)
		*r.Exchanges = way
		more := []string{"subject_token", token, "subject_token_type", accessToken}
		if r.Impersonate {
			more = append(more, "impersonate", "true")
		}
		out := q.s.issuer.Rehearse(r)
		real := q.realGrant(b, api.GrantTokenExchange, more)
		decision := q.decision(real)
		if decision == nil && out.Reason == "method_not_accepted" {
			return
		}
		q.seen["exchange: "+decision.Reason]++
		if decision.Reason != out.Reason {
			q.t.Errorf("%+v exchanges a token of %v (impersonates: %v): recorded as %s, and rehearsed as %s", b, c, r.Impersonate, decision.Reason, out.Reason)
			return
		}
		if real.status != http.StatusOK {
			return
		}
		token = given(q.t, real)
		if got, _ := part(q.t, token, 1)["scope"].(string); got != strings.Join(out.Scopes, " ") {
			q.t.Errorf("%+v exchanges a token of %v: got the scopes %q, and rehearsed %q", b, c, got, out.Scopes)
		}
		q.use(b, token)
		way = r
	}
}
