package trust_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/trust"
)

// where are the members that lead to a claim of a rule.
func where(p *trust.Preset, name string) []string {
	at := name
	for _, c := range p.Claims {
		if c.Name == name && c.At != "" {
			at = c.At
		}
	}
	rest, pointer := strings.CutPrefix(at, "/")
	if !pointer {
		return []string{at}
	}
	parts := strings.Split(rest, "/")
	for i := range parts {
		parts[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(parts[i])
	}
	return parts
}

func preset(t testing.TB, name string) *trust.Preset {
	t.Helper()
	p, ok := trust.Find(name)
	if !ok {
		t.Fatalf("there is no preset %s", name)
	}
	return p
}

// unmet are the claims of the findings that are not met.
func unmet(findings []api.ClaimFinding) (names []string) {
	for _, f := range findings {
		if !f.Met {
			names = append(names, f.Claim)
		}
	}
	return names
}

// find is the finding about a claim.
func find(t testing.TB, findings []api.ClaimFinding, claim string) api.ClaimFinding {
	t.Helper()
	for _, f := range findings {
		if f.Claim == claim {
			return f
		}
	}
	t.Fatalf("no finding about %s in %+v", claim, findings)
	return api.ClaimFinding{}
}

// FED-005: sub of another repository or namespace, a beginning of it, and whatever else differs in one claim.
func TestEachClaimThatIsChangedIsRefused(t *testing.T) {
	for _, name := range trust.Names() {
		t.Run(name, func(t *testing.T) {
			r, p := recording(t, name), preset(t, name)
			s := r.settings()
			proposal, _ := trust.Propose(s, r.parsed)
			rule, err := trust.CheckClaims(s, proposal)
			if err != nil {
				t.Fatal(err)
			}
			pinned := slices.Sorted(maps.Keys(rule))
			rapid.Check(t, func(rt *rapid.T) {
				claim := rapid.SampledFrom(pinned).Draw(rt, "claim")
				was := rule[claim]
				value := rapid.OneOf(
					rapid.Map(rapid.String(), func(s string) any { return s }),
					rapid.SampledFrom([]any{
						nil, "",
						[]any{was},
						map[string]any{"x": was},
						was + "-evil", was + "/", was + " ", was + "\x00", "*", strings.ToUpper(was), strings.ToLower(was),
						was[:len(was)-1], was[1:], "x" + was, true, false, 0, 1.5,
					}),
				).Draw(rt, "value")
				if text, err := json.Marshal(value); err != nil || strings.Trim(string(text), `"`) == was {
					rt.Skip()
				}
				c := r.changed(t, where(p, claim), value)
				if findings := trust.Match(s, rule, c); !slices.Contains(unmet(findings), claim) {
					rt.Errorf("%s: %q was accepted in place of %q: %+v", claim, value, was, findings)
				}
			})
		})
	}
}

func TestEachClaimOfTheTokenItselfThatIsChangedIsRefused(t *testing.T) {
	for _, name := range trust.Names() {
		r := recording(t, name)
		if left := unmet(r.judge(r.parsed)); left != nil {
			t.Fatalf("%s: %v", name, left)
		}
		at := r.At.Unix()
		for claim, values := range map[string][]any{
			"iss":      {nil, "", "https://evil.example.com", r.Issuer + "/", strings.ToUpper(r.Issuer), []any{r.Issuer}, 1},
			"aud":      {nil, "", "https://other.example.com", []any{}, []any{serverIssuer, "https://other.example.com"}, []any{serverIssuer, serverIssuer}, []any{1}, 1, map[string]any{}, serverIssuer + "/"},
			"exp":      {nil, at, at - 1, "x", fmt.Sprint(at + 100), true, []any{at + 100}, -1, 1e300, map[string]any{}},
			"iat":      {at + 11, "x", true, fmt.Sprint(at), 1e300},
			"nbf":      {at + 11, "x", true},
			"lifetime": {at - 86400*400},
		} {
			for _, value := range values {
				changed := claim
				if claim == "lifetime" {
					changed = "iat"
				}
				if name == trust.SPIFFE && claim == "iss" {
					continue // it is optional there and means nothing
				}
				findings := r.judge(r.changed(t, []string{changed}, value))
				if !slices.Contains(unmet(findings), claim) {
					t.Errorf("%s: %s: %v was accepted: %+v", name, claim, value, findings)
				}
				for _, f := range findings {
					if !f.Met && f.Hint == "" || f.Met && f.Hint != "" {
						t.Errorf("%s: %s: %v: a hint is for what is not met: %+v", name, claim, value, f)
					}
				}
			}
		}
	}
}

// FED-003: aud for another service; aud missing; aud array containing us and others.
func TestAudienceIsThisServerAlone(t *testing.T) {
	for _, c := range []struct {
		preset string
		aud    any
		hint   string
	}{
		{trust.Kubernetes, []any{"https://kubernetes.default.svc.cluster.local"}, "It is the default audience of the API server. Request a token for this audience: kubectl create token NAME -n NAMESPACE --audience https://auth.example.com"},
		{trust.Kubernetes, []any{"https://auth.example.com", "https://kubernetes.default.svc"}, "alone"},
		{trust.Kubernetes, nil, "no audience"},
		{trust.Kubernetes, []any{"https://auth.example.com/"}, "slash at the end"},
		{"github", "https://github.com/octo-org", "tokens for others"},
		{"github", "sts.amazonaws.com", "tokens for others"},
		{"gitlab", "https://gitlab.com", "tokens for others"},
		{"buildkite", "https://buildkite.com/acme-inc", "--claim organization_id,pipeline_id"},
		{"circleci", "https://auth.example.com", "another recipient"},
		{"azure", "https://management.azure.com/", "tokens for others"},
		{trust.OIDC, "m2", "another recipient"},
	} {
		r := recording(t, c.preset)
		f := find(t, r.judge(r.changed(t, []string{"aud"}, c.aud)), "aud")
		if f.Met || !strings.Contains(f.Hint, c.hint) {
			t.Errorf("%s, %v: %+v, want a hint with %q", c.preset, c.aud, f, c.hint)
		}
	}
}

func TestDefaultAudienceIsThisServerOrForCircleCIItsOrganization(t *testing.T) {
	github, circle := recording(t, "github").settings(), recording(t, "circleci").settings()
	github.Audience = ""
	if got := trust.Audience(github, serverIssuer); got != serverIssuer {
		t.Errorf("github: %s", got)
	}
	if got := trust.Audience(circle, serverIssuer); got != "27d2a8c1-9a4f-4a55-b3a8-0f8e3f5a7c11" {
		t.Errorf("circleci: %s", got)
	}
	circle.Audience = "custom"
	if got := trust.Audience(circle, serverIssuer); got != "custom" {
		t.Errorf("circleci: %s", got)
	}
}

// FED-005: a path of SPIFFE IDs is matched by whole segments, and there are no other wildcards.
func TestPathOfSPIFFEIDsIsMatchedBySegments(t *testing.T) {
	r := recording(t, trust.SPIFFE)
	s := r.settings()
	rule, err := trust.CheckClaims(s, map[string]string{"sub": "spiffe://example.org/ns/shop/"})
	if err != nil {
		t.Fatal(err)
	}
	for sub, want := range map[string]bool{
		"spiffe://example.org/ns/shop/sa/m1":                        true,
		"spiffe://example.org/ns/shop/m1":                           true,
		"spiffe://example.org/ns/shop":                              false,
		"spiffe://example.org/ns/shop/":                             false,
		"spiffe://example.org/ns/shop-evil/sa/m1":                   false,
		"spiffe://example.org/ns/shop/../admin":                     false,
		"spiffe://example.org/ns/shop/./m1":                         false,
		"spiffe://example.org/ns/shop//m1":                          false,
		"spiffe://example.org/ns/shop/m1?x=1":                       false,
		"spiffe://example.org/ns/shop/m1#x":                         false,
		"spiffe://example.org/ns/shop/m%31":                         false,
		"spiffe://example.org:443/ns/shop/m1":                       false,
		"spiffe://u@example.org/ns/shop/m1":                         false,
		"spiffe://example.org.evil.com/ns/shop/m1":                  false,
		"spiffe://EXAMPLE.org/ns/shop/m1":                           false,
		"SPIFFE://example.org/ns/shop/m1":                           false,
		"https://example.org/ns/shop/m1":                            false,
		"spiffe://example.org/ns/SHOP/m1":                           false,
		"spiffe://example.com/ns/shop/m1":                           false,
		"spiffe:///ns/shop/m1":                                      false,
		"":                                                          false,
		"spiffe://example.org/ns/shop/" + strings.Repeat("a", 2048): false,
	} {
		c := r.changed(t, []string{"sub"}, sub)
		if got := trust.IsMet(r.judge(c)) && trust.IsMet(trust.Match(s, rule, c)); got != want {
			t.Errorf("%q: %t, want %t", sub, got, want)
		}
		if got := trust.CheckID(s.Issuer, sub) == nil && trust.IsMet(trust.Match(s, rule, trust.OfID(sub))); got != want {
			t.Errorf("X.509-SVID of %q: %t, want %t", sub, got, want)
		}
	}
	if findings := trust.Match(s, rule, trust.OfID("spiffe://example.org/ns/shop/")); trust.IsMet(findings) {
		t.Errorf("a path is no id: %+v", findings)
	}
	exact, err := trust.CheckClaims(s, map[string]string{"sub": "spiffe://example.org/ns/shop"})
	if err != nil {
		t.Fatal(err)
	}
	f := find(t, trust.Match(s, exact, r.parsed), "sub")
	if f.Met || !strings.Contains(f.Hint, "end it with a slash") {
		t.Errorf("an id is not a path: %+v", f)
	}
	if got := trust.Anchors(trust.SPIFFE, rule); !slices.Equal(got, [][2]string{{"sub", ""}}) {
		t.Errorf("anchors of a path: %v", got)
	}
}

// FED-006: a rule without a claim that nobody can register again, or with a wildcard, cannot be stored.
func TestRuleThatOthersCouldMeetIsRefused(t *testing.T) {
	github := map[string]string{"repository_id": "74", "repository_owner_id": "65", "environment": "prod"}
	with := func(rule map[string]string, name, value string) map[string]string {
		rule = maps.Clone(rule)
		if rule[name] = value; value == "" {
			delete(rule, name)
		}
		return rule
	}
	aws := map[string]string{"aws_account": "123456789012", "sub": "arn:aws:iam::123456789012:role/DataProcessingRole"}
	azure := map[string]string{"tid": "aaaabbbb-0000-cccc-1111-dddd2222eeee", "oid": "aaaaaaaa-0000-1111-2222-bbbbbbbbbbbb"}
	gitlab := map[string]string{"project_id": "20", "namespace_id": "72", "ref_protected": "true"}
	buildkite := map[string]string{"organization_id": "f892efa9-103e-4d28-97a1-3b8616a0994d", "pipeline_id": "0184990a-4782-42b5-afc1-16715b10b110"}
	for _, rule := range []struct {
		preset string
		claims map[string]string
	}{{"github", github}, {"aws", aws}, {"azure", azure}, {"gitlab", gitlab}, {"buildkite", buildkite}} {
		if _, err := trust.CheckClaims(recording(t, rule.preset).settings(), rule.claims); err != nil {
			t.Fatalf("%s: %v", rule.preset, err)
		}
	}
	for _, c := range []struct {
		preset  string
		claims  map[string]string
		problem string
	}{
		{trust.OIDC, nil, "pin sub"},
		{trust.OIDC, map[string]string{}, "pin sub"},
		{trust.OIDC, map[string]string{"sub": "*"}, "no wildcards"},
		{trust.OIDC, map[string]string{"sub": "m*"}, "no wildcards"},
		{trust.OIDC, map[string]string{"sub": ""}, "no value"},
		{trust.OIDC, map[string]string{"sub": "m1\n"}, "control characters"},
		{trust.OIDC, map[string]string{"/role": "admin"}, "pin sub"},
		{trust.OIDC, map[string]string{"sub": "m1", "aud": "x"}, "cannot pin aud"},
		{trust.OIDC, map[string]string{"sub": "m1", "/iss": "x"}, "cannot pin iss"},
		{trust.OIDC, map[string]string{"sub": "m1", "jti": "x"}, "no two tokens"},
		{trust.OIDC, map[string]string{"sub": "m1", "/sub": "m1"}, "same claim"},
		{trust.OIDC, map[string]string{"sub": "m1", "/a~2": "x"}, "not a JSON pointer"},
		{trust.OIDC, map[string]string{"sub": "m1", "": "x"}, "not a JSON pointer"},
		{trust.OIDC, map[string]string{"sub": "m1", "tenant": "x"}, "write it as a JSON pointer: /tenant"},
		{trust.OIDC, map[string]string{"sub": strings.Repeat("x", trust.MaxValue+1)}, "longer than"},
		{trust.Kubernetes, map[string]string{"sub": "system:serviceaccount:shop:m1"}, "sub is a name, which another can have later: pin uid too"},
		{trust.Kubernetes, map[string]string{"namespace": "shop", "serviceaccount": "m1"}, "pin uid"},
		{trust.Kubernetes, map[string]string{"uid": "m1"}, "not a UUID"},
		{trust.Kubernetes, map[string]string{"uuid": "a087d5a0-e1dd-43ec-93ac-f13d89cd13af"}, "did you mean uid?"},
		{"github", map[string]string{"sub": "repo:octo-org/octo-repo:environment:prod"}, "pin repository_id"},
		{"github", map[string]string{"repository": "octo-org/octo-repo", "ref": "refs/heads/main"}, "repository is a name, which another can have later: pin repository_id too"},
		{"github", with(github, "repository_owner_id", ""), "pin repository_owner_id too: other customers"},
		{"github", with(github, "repository_id", ""), "pin repository_id"},
		{"github", with(github, "environment", ""), "pin one of environment, ref, job_workflow_ref"},
		{"github", with(github, "ref", "refs/heads/*"), "no wildcards"},
		{"github", with(github, "repository_id", "octo-org/octo-repo"), "not a number: pin the id, since another can have the same repository later"},
		{"github", with(github, "repositry_id", "74"), "did you mean repository_id?"},
		{"gitlab", with(gitlab, "ref_protected", ""), "pin ref_protected to true"},
		{"gitlab", with(gitlab, "ref_protected", "false"), "ref_protected must be true"},
		{"gitlab", with(gitlab, "namespace_id", ""), "pin namespace_id too: other customers"},
		{"gitlab", with(gitlab, "project_id", ""), "pin project_id"},
		{"buildkite", with(buildkite, "organization_id", ""), "pin organization_id too: other customers"},
		{"buildkite", with(with(buildkite, "pipeline_id", ""), "pipeline_slug", "x"), "pipeline_slug is a name"},
		{"fly", map[string]string{"app_id": "11111111"}, "pin org_id too"},
		{"fly", map[string]string{"sub": "example-org:example-app:example-machine"}, "pin app_id"},
		{"circleci", map[string]string{"vcs_origin": "github.com/organization-123/repo-1"}, "pin project_id"},
		{"aws", with(aws, "aws_account", ""), "pin aws_account"},
		{"aws", with(aws, "sub", ""), "pin sub"},
		{"aws", with(aws, "aws_account", "210987654321"), "not of the account 210987654321"},
		{"aws", with(aws, "sub", "arn:aws:iam::123456789012:role/"), "not the ARN"},
		{"aws", with(aws, "sub", "DataProcessingRole"), "not the ARN"},
		{"aws", with(aws, "/https:~1~1sts.amazonaws.com~1/request_tags/job-id", "x"), "whoever requests the token chooses the request tags"},
		{"aws", with(aws, "/https:~1~1sts.amazonaws.com~1/request_tags", "x"), "whoever requests the token chooses the request tags"},
		{"gcp", map[string]string{"email": "m1@my-project.iam.gserviceaccount.com"}, "email is a name"},
		{"gcp", map[string]string{"sub": "m1@my-project.iam.gserviceaccount.com"}, "not a number"},
		{"azure", with(azure, "tid", ""), "pin tid"},
		{"azure", with(azure, "oid", ""), "pin oid"},
		{"azure", with(azure, "tid", "bbbbbbbb-0000-cccc-1111-dddd2222eeee"), "of another tenant"},
		{trust.SPIFFE, nil, "pin sub"},
		{trust.SPIFFE, map[string]string{"sub": "spiffe://example.org"}, "no path"},
		{trust.SPIFFE, map[string]string{"sub": "spiffe://example.org/"}, "no path"},
		{trust.SPIFFE, map[string]string{"sub": "spiffe://example.org/ns//"}, "empty"},
		{trust.SPIFFE, map[string]string{"sub": "spiffe://example.com/ns/shop/sa/m1"}, "another trust domain"},
		{trust.SPIFFE, map[string]string{"sub": "spiffe://example.org/ns/*"}, "no wildcards"},
		{trust.SPIFFE, map[string]string{"sub": "spiffe://example.org/ns/../m1"}, "segment \"..\""},
		{trust.SPIFFE, map[string]string{"sub": "spiffe://example.org/ns/m1?x"}, "other characters"},
	} {
		got, err := trust.CheckClaims(recording(t, c.preset).settings(), c.claims)
		if err == nil || !strings.Contains(err.Error(), c.problem) {
			t.Errorf("%s %v: got %v, %v; want a problem with %q", c.preset, c.claims, got, err, c.problem)
		}
	}
	many := map[string]string{"sub": "m1"}
	for i := range trust.MaxClaims {
		many[fmt.Sprintf("/x%d", i)] = "1"
	}
	if _, err := trust.CheckClaims(recording(t, trust.OIDC).settings(), many); err == nil {
		t.Error("a rule may have any number of claims")
	}
}

func TestInstanceOfOneCustomerNeedsNoCustomerInTheRule(t *testing.T) {
	s := &api.TrustSettings{Preset: "gitlab", Issuer: "https://gitlab.example.com"}
	if _, err := trust.CheckClaims(s, map[string]string{"project_id": "20", "ref_protected": "true"}); err != nil {
		t.Error(err)
	}
	// A trust can get another issuer later.
	r := recording(t, "gitlab")
	if findings := trust.Match(r.settings(), map[string]string{"project_id": "20", "ref_protected": "true"}, r.parsed); !slices.Equal(unmet(findings), []string{"namespace_id"}) {
		t.Errorf("%+v", findings)
	}
	s = &api.TrustSettings{Preset: "github", Issuer: "https://ghes.example.com/_services/token"}
	if _, err := trust.CheckClaims(s, map[string]string{"repository_id": "20", "ref": "refs/heads/main"}); err != nil {
		t.Error(err)
	}
}

// FED-006: a sub of names is not enough where others can register the names.
func TestTokensOfOtherPlatformsProveNothingUnderTheDefaultPreset(t *testing.T) {
	for _, name := range []string{trust.Kubernetes, "gitlab"} {
		for _, left := range [][]string{nil, {"ci_config_ref_uri"}, {"project_path"}, {"pipeline_source"}} {
			r := recording(t, name)
			s := &api.TrustSettings{Preset: trust.OIDC, Issuer: "https://gitlab.example.com"}
			c := r.edited(t, func(all map[string]any) {
				all["iss"], all["aud"] = s.Issuer, serverIssuer
				for _, claim := range left {
					delete(all, claim)
				}
			})
			if got := trust.Detect(c); got != name {
				t.Errorf("%s without %v: Detect: %s", name, left, got)
			}
			s.MaxLifetimeSeconds = int64(trust.MaxLifetime / time.Second)
			findings := trust.Judge(s, c, serverIssuer, r.Typ, r.Alg, r.At)
			if got := unmet(findings); len(got) != 1 {
				t.Errorf("%s without %v: %+v", name, left, findings)
			} else if f := find(t, findings, got[0]); !strings.Contains(f.Hint, "the preset "+name) {
				t.Errorf("%s: %+v", name, f)
			}
		}
	}
}

// FED-006: customers of one issuer are kept apart by an id.
func TestRuleForAnIssuerThatIsKnownToBeSharedPinsAnID(t *testing.T) {
	for issuer, claim := range map[string]string{
		"https://app.terraform.io":       "/terraform_workspace_id",
		"https://app.eu.terraform.io":    "/terraform_workspace_id",
		"https://oidc.vercel.com":        "/project_id",
		"https://oidc.vercel.com/acme":   "/project_id",
		"https://api.pulumi.com/oidc/v2": "/https:~1~1pulumi.com~1org_id",
	} {
		s := &api.TrustSettings{Issuer: issuer}
		if err := trust.CheckSettings(*s, serverIssuer); err != nil {
			t.Errorf("%s: %v", issuer, err)
		}
		names := map[string]string{"sub": "organization:acme:project:p:workspace:w:run_phase:apply"}
		if _, err := trust.CheckClaims(s, names); err == nil || !strings.Contains(err.Error(), "pin "+claim+" too") {
			t.Errorf("%s: a rule of names: %v", issuer, err)
		}
		c := recording(t, trust.OIDC).edited(t, func(all map[string]any) {
			all["sub"], all["iss"] = names["sub"], issuer
			all["terraform_workspace_id"], all["project_id"], all["https://pulumi.com/org_id"] = "id-1", "id-1", "id-1"
		})
		if got := unmet(trust.Match(s, names, c)); !slices.Equal(got, []string{claim}) || trust.Unmet(s, names, c) != 1 {
			t.Errorf("%s: a rule that was saved before: %v", issuer, got)
		}
		proposal, words := trust.Propose(s, c)
		if rule, err := trust.CheckClaims(s, proposal); err != nil || rule[claim] != "id-1" || len(unmet(trust.Match(s, rule, c))) > 0 {
			t.Errorf("%s: the proposal is %v, %q: %v", issuer, proposal, words, err)
		}
		if _, words := trust.Propose(s, recording(t, trust.OIDC).parsed); !strings.Contains(strings.Join(words, " "), "no "+claim) {
			t.Errorf("%s: the token lacks %s, and the words are %q", issuer, claim, words)
		}
	}
}

func TestClaimsAreStoredUnderOneName(t *testing.T) {
	s := recording(t, "circleci").settings()
	id := "d5f2a1bb-6d3e-4a0e-8f7b-1c2d3e4f5a6b"
	for _, name := range []string{"project_id", "oidc.circleci.com/project-id", "/oidc.circleci.com~1project-id"} {
		rule, err := trust.CheckClaims(s, map[string]string{name: id, "/extra/x~1y": "1", "/plain": "2"})
		want := map[string]string{"project_id": id, "/extra/x~1y": "1", "/plain": "2"}
		if err != nil || !maps.Equal(rule, want) {
			t.Errorf("%s: %v, %v", name, rule, err)
		}
	}
	if _, err := trust.CheckClaims(s, map[string]string{"project_id": id, "oidc.circleci.com/project-id": id}); err == nil {
		t.Error("one claim may be pinned twice")
	}
}

// FED-008: a Kubernetes token without jti is accepted again until its age ends that; a GitHub token is accepted once.
func TestTokenWithoutIDIsAcceptedWhereItMayBeUsedAgain(t *testing.T) {
	for name, want := range map[string]bool{trust.Kubernetes: true, trust.SPIFFE: true, "azure": true, "gcp": true, "circleci": true, "github": false, "gitlab": false, "buildkite": false} {
		r := recording(t, name)
		c := r.changed(t, []string{"jti"}, nil)
		if got := trust.IsMet(r.judge(c)); got != want {
			t.Errorf("%s without jti: %t, want %t", name, got, want)
		}
		if got := !trust.OnceOnly(r.settings()); got != want {
			t.Errorf("%s may be used again: %t, want %t", name, got, want)
		}
	}
	r := recording(t, trust.Kubernetes)
	s := r.settings()
	old := r.changed(t, []string{"exp"}, r.At.Add(25*time.Hour).Unix())
	if f := find(t, trust.Judge(s, old, serverIssuer, r.Typ, r.Alg, r.At), "lifetime"); f.Met {
		t.Errorf("a lifetime of more than a day is accepted: %+v", f)
	}
	if s.MaxLifetimeSeconds = 600; trust.IsMet(trust.Judge(s, r.parsed, serverIssuer, r.Typ, r.Alg, r.At)) {
		t.Error("a lifetime beyond that of the trust is accepted")
	}
	if s.Once = "always"; !trust.OnceOnly(s) {
		t.Error("once: always has no effect")
	}
	github := recording(t, "github").settings()
	if github.Once = "never"; trust.OnceOnly(github) {
		t.Error("once: never has no effect")
	}
}

func TestTokenWithoutIssueTimeMustEndSoon(t *testing.T) {
	r := recording(t, trust.Kubernetes)
	for left, want := range map[time.Duration]bool{time.Hour: true, 24 * time.Hour: true, 24*time.Hour + time.Second: false} {
		c := r.edited(t, func(all map[string]any) {
			delete(all, "iat")
			all["exp"] = r.At.Add(left).Unix()
		})
		if got := find(t, r.judge(c), "lifetime").Met; got != want {
			t.Errorf("%s left: %t, want %t", left, got, want)
		}
	}
}

func TestClockMayDifferBySeconds(t *testing.T) {
	r := recording(t, "github")
	for ahead, want := range map[int64]bool{0: true, 10: true, 11: false} {
		for _, claim := range []string{"iat", "nbf"} {
			f := find(t, r.judge(r.changed(t, []string{claim}, r.At.Unix()+ahead)), claim)
			if f.Met != want {
				t.Errorf("%s is %d s ahead: %+v", claim, ahead, f)
			}
		}
	}
	if f := find(t, r.judge(r.changed(t, []string{"exp"}, float64(r.At.Unix())+0.9)), "exp"); f.Met {
		t.Errorf("a fraction of a second: %+v", f)
	}
	f := find(t, r.judge(r.changed(t, []string{"exp"}, r.At.Unix()-180)), "exp")
	if !strings.Contains(f.Hint, "expired 3 minutes ago") || f.Seen != "2021-09-24T14:23:30Z" {
		t.Errorf("%+v", f)
	}
}

func TestHeaderIsThatOfThePlatform(t *testing.T) {
	for _, c := range []struct {
		preset, typ, alg string
		want             []string
	}{
		{trust.Kubernetes, "", "RS256", nil},
		{trust.Kubernetes, "JWT", "ES512", nil},
		{trust.Kubernetes, "application/jwt", "RS256", nil},
		{trust.Kubernetes, "at+jwt", "RS256", []string{"typ"}},
		{trust.Kubernetes, "", "PS256", []string{"alg"}},
		{"github", "", "RS256", []string{"typ"}},
		{"github", "JWT", "ES256", []string{"alg"}},
		{"github", "JWT", "HS256", []string{"alg"}},
		{"github", "JWT", "none", []string{"alg"}},
		{"github", "JWT", "", []string{"alg"}},
		{"github", "JWT", "rs256", []string{"alg"}},
		{"github", "dpop+jwt", "none", []string{"typ", "alg"}},
		{trust.OIDC, "at+JWT", "EdDSA", nil},
		{trust.OIDC, "logout+jwt", "RS256", []string{"typ"}},
		{trust.SPIFFE, "JOSE", "PS512", nil},
		{trust.SPIFFE, "JWT", "EdDSA", []string{"alg"}},
		{"aws", "JWT", "ES384", nil},
	} {
		r := recording(t, c.preset)
		got := unmet(trust.Judge(r.settings(), r.parsed, trust.Audience(r.settings(), serverIssuer), c.typ, c.alg, r.At))
		if !slices.Equal(got, c.want) {
			t.Errorf("%s, typ %q, alg %q: %v, want %v", c.preset, c.typ, c.alg, got, c.want)
		}
	}
	r := recording(t, "github")
	s := r.settings()
	s.Algorithms = []string{"ES256"}
	if got := unmet(trust.Judge(s, r.parsed, serverIssuer, r.Typ, "RS256", r.At)); !slices.Equal(got, []string{"alg"}) {
		t.Errorf("the trust lists its algorithms: %v", got)
	}
}

func TestTokenOfAnotherKindIsRefused(t *testing.T) {
	secret := `{"iss":"kubernetes/serviceaccount","kubernetes.io/serviceaccount/namespace":"shop","kubernetes.io/serviceaccount/secret.name":"m1-token",` +
		`"kubernetes.io/serviceaccount/service-account.name":"m1","kubernetes.io/serviceaccount/service-account.uid":"a087d5a0-e1dd-43ec-93ac-f13d89cd13af","sub":"system:serviceaccount:shop:m1"}`
	k := recording(t, trust.Kubernetes)
	findings := k.judge(parse(t, secret))
	if got := unmet(findings); !slices.Equal(got, []string{"iss", "aud", "exp"}) {
		t.Errorf("a token of a Secret: %v", got)
	}
	for _, claim := range []string{"iss", "exp"} {
		if f := find(t, findings, claim); !strings.Contains(f.Hint, "use a projected token, or kubectl create token") {
			t.Errorf("%+v", f)
		}
	}

	// The sub of a service account can be used again, which the preset for any issuer does not know.
	s := k.settings()
	s.Preset = trust.OIDC
	if got := unmet(trust.Judge(s, k.parsed, serverIssuer, "", "RS256", k.At)); !slices.Equal(got, []string{"lifetime", "kubernetes.io"}) {
		t.Errorf("a token of Kubernetes with the preset oidc: %v", got)
	}

	azure := recording(t, "azure")
	for _, value := range []any{nil, "user", "App", []any{"app"}} {
		if got := unmet(azure.judge(azure.changed(t, []string{"idtyp"}, value))); !slices.Equal(got, []string{"idtyp"}) {
			t.Errorf("idtyp %v: %v", value, got)
		}
	}
	other := azure.changed(t, []string{"iss"}, "https://sts.windows.net/aaaabbbb-0000-cccc-1111-dddd2222eeee/")
	if f := find(t, azure.judge(other), "iss"); f.Met || !strings.Contains(f.Hint, "add a trust for this issuer too") {
		t.Errorf("%+v", f)
	}
}

func TestPullRequestsAreRefusedUnlessTheRuleNamesThem(t *testing.T) {
	r := recording(t, "github")
	s := r.settings()
	rule := map[string]string{"repository_id": "74", "repository_owner_id": "65", "environment": "prod"}
	for event, want := range map[string]bool{"push": true, "pull_request": false, "pull_request_target": false} {
		c := r.changed(t, []string{"event_name"}, event)
		findings := trust.Match(s, rule, c)
		if trust.IsMet(findings) != want {
			t.Errorf("%s: %+v", event, findings)
		}
		if !want && !strings.Contains(find(t, findings, "event_name").Hint, "event_name "+event+" is accepted only if the rule names it.") {
			t.Errorf("%+v", findings)
		}
		named := maps.Clone(rule)
		named["event_name"] = event
		if _, err := trust.CheckClaims(s, named); err != nil || !trust.IsMet(trust.Match(s, named, c)) {
			t.Errorf("%s is named: %v, %+v", event, err, trust.Match(s, named, c))
		}
	}
}

func TestFindingsSayWhatProbablyHappened(t *testing.T) {
	for _, c := range []struct {
		preset string
		rule   map[string]string // added to the proposal
		at     string
		value  any
		claim  string
		hint   string
	}{
		{trust.Kubernetes, nil, "uid", "b187d5a0-e1dd-43ec-93ac-f13d89cd13af", "uid", "uid b187d5a0-e1dd-43ec-93ac-f13d89cd13af is not a087d5a0-e1dd-43ec-93ac-f13d89cd13af; sub is the same (system:serviceaccount:shop:m1): was it deleted and created again?"},
		{trust.Kubernetes, nil, "uid", nil, "uid", "kubectl create token"},
		{"github", map[string]string{"repository": "octo-org/octo-repo"}, "repository_id", "75", "repository_id", "repository_id 75 is not 74; repository is the same (octo-org/octo-repo): was it deleted and created again?"},
		{"github", nil, "repository_id", "75", "repository_id", "repository_id 75 is not 74; repository is octo-org/octo-repo. If this is the one that the rule means"},
		{"github", map[string]string{"sub": "repo:octo-org/octo-repo:environment:prod"}, "sub", "repo:octo-org@65/octo-repo@74:environment:prod", "sub", "changed on 2026-07-15"},
		{"github", nil, "environment", nil, "environment", "The job names no environment"},
		{"github", map[string]string{"ref": "main"}, "ref", "refs/heads/main", "ref", "whole ref: refs/heads/main"},
		{"github", map[string]string{"ref": "refs/heads/main"}, "ref", "refs/heads/dev", "ref", "ref is refs/heads/dev."},
		{"github", nil, "environment", "Prod", "environment", "upper and lower case"},
		{"github", map[string]string{"sha": "a"}, "sha", "b", "sha", "sha differs with each run"},
		{"gitlab", nil, "ref_protected", "false", "ref_protected", "protect the branch or tag"},
		{"gitlab", nil, "ref_protected", true, "", ""},
		{"buildkite", nil, "pipeline_id", nil, "pipeline_id", "buildkite-agent oidc request-token --claim organization_id,pipeline_id"},
		{"circleci", map[string]string{"context_ids": "cb32986e-2f6f-4f43-b2bd-d3c2fd98e903"}, "context_ids", []any{"a74579f1-2e7d-451e-b009-5c082ad2729e"}, "context_ids", "does not have this element"},
		{"circleci", map[string]string{"context_ids": "cb32986e-2f6f-4f43-b2bd-d3c2fd98e903"}, "context_ids", "cb32986e-2f6f-4f43-b2bd-d3c2fd98e903", "context_ids", "no such array"},
		{"gcp", map[string]string{"project_number": "739419398126"}, "project_number", nil, "project_number", "format=full"},
		{trust.OIDC, map[string]string{"/tenant": "9"}, "/tenant", map[string]any{}, "/tenant", "no text"},
		{trust.OIDC, map[string]string{"/tenant": "9"}, "/tenant", 9, "", ""},
	} {
		r, p := recording(t, c.preset), preset(t, c.preset)
		s := r.settings()
		rule, _ := trust.Propose(s, r.parsed)
		maps.Copy(rule, c.rule)
		rule, err := trust.CheckClaims(s, rule)
		if err != nil {
			t.Fatal(err)
		}
		findings := trust.Match(s, rule, r.changed(t, where(p, c.at), c.value))
		if c.claim == "" {
			if !trust.IsMet(findings) {
				t.Errorf("%s: %s is %v: %+v", c.preset, c.at, c.value, findings)
			}
			continue
		}
		if f := find(t, findings, c.claim); f.Met || !strings.Contains(f.Hint, c.hint) || f.Wanted != rule[c.claim] {
			t.Errorf("%s: %+v, want a hint with %q", c.preset, f, c.hint)
		}
	}
}

func TestProposalSaysWhatAnOperatorShouldKnow(t *testing.T) {
	for _, c := range []struct {
		preset string
		at     string
		value  any
		said   string
		pinned string // not pinned if it begins with an exclamation mark
	}{
		{"github", "environment", nil, "a job of repository 74 (octo-org/octo-repo), of owner 65 (octo-org), for the ref refs/heads/main", "ref"},
		{"github", "environment", "prod", "in environment prod", "!ref"},
		{"github", "ref", "refs/tags/v1", "in environment prod", "!job_workflow_ref"},
		{"github", "event_name", "pull_request_target", "Whoever can open a pull request can start such a job.", "event_name"},
		{"github", "repository_owner_id", nil, "The token has no repository_owner_id, which a rule must pin.", "repository_id"},
		{"github", "run_id", "1", "left out: actor_id", "!run_id"},
		{"github", "sha", "1", "left out: actor_id", "!sha"},
		{"gitlab", "ref_protected", "false", `ref_protected is "false" in this token, and must be "true": The ref is not protected`, "ref_protected"},
		{"buildkite", "organization_id", nil, "--claim organization_id,pipeline_id", "pipeline_id"},
		{trust.Kubernetes, "pod", "x", "left out: pod", "!pod_uid"},
		{"fly", "machine_id", "x", "a machine of app 11111111 (example-app), of organization 22222222 (example-org)", "!machine_id"},
		{"aws", "sub", "arn:aws:iam::123456789012:role/Other", "the principal arn:aws:iam::123456789012:role/Other, of the account 123456789012", "aws_account"},
		{"github", "environment", "a\u202eb\x1b[2J", "in environment a\uFFFDb\uFFFD[2J", "environment"},
	} {
		r, p := recording(t, c.preset), preset(t, c.preset)
		rule, words := trust.Propose(r.settings(), r.changed(t, where(p, c.at), c.value))
		if !strings.Contains(strings.Join(words, "\n"), c.said) {
			t.Errorf("%s: %s is %v: %q, want %q", c.preset, c.at, c.value, words, c.said)
		}
		name, not := strings.CutPrefix(c.pinned, "!")
		if _, pinned := rule[name]; pinned == not {
			t.Errorf("%s: %s is %v: %s is pinned: %t", c.preset, c.at, c.value, name, pinned)
		}
	}
	s := recording(t, trust.SPIFFE).settings()
	if got := trust.Describe(s, map[string]string{"sub": "spiffe://example.org/ns/shop/"}); got != "every workload whose SPIFFE ID begins with spiffe://example.org/ns/shop/" {
		t.Error(got)
	}
	s = recording(t, trust.OIDC).settings()
	if got := trust.Describe(s, map[string]string{"sub": "m1", "azp": "x", "/b": "2", "/a": "1"}); got != "the subject m1, with azp x, with /a 1, with /b 2" {
		t.Error(got)
	}
}

func TestProposalForAReleaseByTagSaysThatItHoldsForOneTag(t *testing.T) {
	r := recording(t, "github")
	rule, words := trust.Propose(r.settings(), r.edited(t, func(all map[string]any) {
		delete(all, "environment")
		all["ref"], all["ref_type"] = "refs/tags/v1", "tag"
	}))
	if rule["ref"] != "refs/tags/v1" || !strings.Contains(strings.Join(words, "\n"), "The rule holds for the tag refs/tags/v1 only.") {
		t.Errorf("%v %q", rule, words)
	}
}

func TestClaimsAreReadAsOneStrictObject(t *testing.T) {
	for _, payload := range []string{
		``, `null`, `[]`, `"x"`, `{}{}`, `{"sub":"a","sub":"b"}`, `{"sub":"a","s\u0075b":"b"}`, `{"x":{"a":1,"a":2}}`, `{"x":[{"a":1,"a":2}]}`, "{\"sub\":\"\xff\"}", `{"sub":"\ud800"}`,
		`{"x":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`, `{"sub":"` + strings.Repeat("a", trust.MaxPayload) + `"}`,
	} {
		if _, err := trust.Parse([]byte(payload)); err == nil {
			t.Errorf("accepted %.80s", payload)
		}
	}
	c := parse(t, `{"s":"x","n":1.0,"e":1e3,"big":12345678901234567890,"b":true,"f":false,"null":null,"o":{"a/b":"1","m~n":"2","":"3","in":{"x":"4"}},"a":["x"],"a/b":"5"}`)
	for name, want := range map[string]string{
		"s": "x", "/s": "x", "n": "1.0", "e": "1e3", "big": "12345678901234567890", "b": "true", "f": "false", "/o/a~1b": "1", "/o/m~0n": "2", "/o/": "3", "/o/in/x": "4", "a/b": "5", "/a~1b": "5",
	} {
		if got, ok := c.Text(name); !ok || got != want {
			t.Errorf("%s: %q, %t", name, got, ok)
		}
	}
	for _, name := range []string{"null", "o", "a", "/a/0", "/o/in", "x", "", "/", "/o/a/b", "/s/x", "/o/m~n", "/o/m~2n", "S"} {
		if got, ok := c.Text(name); ok {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestTableIsComplete(t *testing.T) {
	for _, p := range trust.Presets() {
		listed := map[string]trust.Claim{}
		for _, c := range p.Claims {
			if _, twice := listed[c.Name]; twice || c.Doc == "" || !strings.HasSuffix(c.Doc, ".") {
				t.Errorf("%s: %s is there twice or has no sentence", p.Name, c.Name)
			}
			listed[c.Name] = c
		}
		isListed := func(names ...string) {
			t.Helper()
			for _, name := range names {
				if _, ok := listed[name]; !ok {
					t.Errorf("%s: %s is not listed", p.Name, name)
				}
			}
		}
		unique := false
		for _, group := range p.Required {
			isListed(group...)
			unique = unique || len(group) == 1 && listed[group[0]].Unique
		}
		if !unique {
			t.Errorf("%s: a rule need not pin what nobody can register again", p.Name)
		}
		for _, c := range p.Claims {
			if c.Names != "" {
				isListed(c.Names)
			}
		}
		for _, f := range p.Fixed {
			isListed(f.Claim)
		}
		for _, d := range p.Denied {
			isListed(d.Claim)
		}
		if p.Customer != "" && !listed[p.Customer].Unique {
			t.Errorf("%s: %s may be used again", p.Name, p.Customer)
		}
		isListed(p.Anchors...)
		if len(p.Anchors) == 0 || !slices.ContainsFunc(p.Required, func(group []string) bool { return slices.Equal(group, p.Anchors[:1]) }) {
			t.Errorf("%s: not every rule pins its first anchor", p.Name)
		}
		for _, alg := range p.Algorithms {
			if strings.HasPrefix(alg, "HS") || alg == "none" {
				t.Errorf("%s: %s", p.Name, alg)
			}
		}
		if len(p.Algorithms) == 0 || len(p.Types) == 0 || p.MaxLifetime <= 0 || p.MaxLifetime > trust.MaxLifetime || len(p.Traps) == 0 || len(p.Sources) == 0 || p.Title == "" || p.Doc == "" || p.Issuer == "" {
			t.Errorf("%s is not complete", p.Name)
		}
		if p.Ask != "" && !strings.Contains(p.Ask, "AUDIENCE") {
			t.Errorf("%s: how is a token requested for an audience?", p.Name)
		}
		s := recording(t, p.Name).settings()
		if got := trust.LongestLife(s); got != p.MaxLifetime {
			t.Errorf("%s: %s", p.Name, got)
		}
	}
}

func TestThreePresetsHaveADefaultIssuer(t *testing.T) {
	got := map[string]string{}
	for _, p := range trust.Presets() {
		if issuer := p.DefaultIssuer(); issuer != "" {
			got[p.Name] = issuer
		}
	}
	want := map[string]string{"github": "https://token.actions.githubusercontent.com", "buildkite": "https://agent.buildkite.com", "gcp": "https://accounts.google.com"}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
