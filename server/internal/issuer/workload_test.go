package issuer_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/issuer"
)

// jobs is an issuer of CI jobs that a world trusts.
type jobs struct {
	*world
	key  *jose.Signer
	name string // of the trust
}

const runner = "https://token.actions.githubusercontent.com"

// withJobs is a world whose service m1 is also a job of a repository, which may call m2.
func withJobs(t *testing.T, edit ...func(*issuer.Options)) *jobs {
	w := newWorld(t, edit...)
	j := &jobs{world: w}
	var err error
	j.key, err = jose.GenerateSigner(jose.RS256)
	w.must(err)
	j.trust("ci")
	w.service("m1", "m2", "m3")
	j.workload("m1", "123")
	w.allow("m1", "m2", directory.NewRule{Scopes: []string{"read"}})
	return j
}

func (j *jobs) trust(name string) {
	j.Helper()
	jwk, err := j.key.Public().JWK()
	j.must(err)
	j.name = name
	_, err = j.directory.AddTrust(j.Context(), operator, name, api.TrustSettings{Preset: "github", Issuer: runner, JWKS: fmt.Sprintf(`{"keys":[%s]}`, jwk)})
	j.must(err)
}

func (j *jobs) workload(service, repository string) directory.Credential {
	j.Helper()
	c, _, err := j.issuer.Credential(j.Context(), operator, service, directory.NewCredential{
		Kind: directory.KindWorkload, Trust: j.name,
		Claims: map[string]string{"repository": "o/r", "repository_id": repository, "repository_owner_id": "9", "environment": "production"},
	})
	j.must(err)
	return c
}

// job is the token of a job, but for what edit says; nil takes a claim out.
func (j *jobs) job(edit map[string]any) string {
	j.Helper()
	c := map[string]any{
		"iss": runner, "aud": issuerURL, "sub": "repo:o@9/r@123:environment:production", "repository": "o/r", "repository_id": "123", "repository_owner": "o",
		"repository_owner_id": "9", "environment": "production", "event_name": "push", "ref": "refs/heads/main", "jti": directory.RandomID(),
		"iat": j.clock().Unix(), "nbf": j.clock().Unix(), "exp": j.clock().Add(10 * time.Minute).Unix(),
	}
	maps.Copy(c, edit)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	payload, err := json.Marshal(c)
	j.must(err)
	token, err := j.key.Sign("JWT", payload)
	j.must(err)
	return token
}

func asserting(token string) *issuer.Proposal {
	p := &issuer.Proposal{Request: issuer.Request{Endpoint: issuer.TokenEndpoint, Address: home}, Grant: api.GrantClientCredentials, Targets: []string{"m2"}}
	p.Presented.Address, p.Presented.Assertion = home, token
	return p
}

// granting presents the token as the grant (RFC 7523, section 2.1).
func granting(token string) *issuer.Proposal {
	p := asserting("")
	p.Grant, p.GrantAssertion = api.GrantJWTBearer, token
	return p
}

func bearing(token string) *issuer.Proposal {
	p := asserting("")
	plain(p)
	p.Presented.Bearer = token
	return p
}

var ways = map[string]func(string) *issuer.Proposal{"assertion": asserting, "grant": granting, "bearer": bearing}

// FED-001. The token of a job gets an access token in each of the three ways, which lives no longer than it and ends with the
// trust.
func TestPlatformTokenGetsAnAccessToken(t *testing.T) {
	j := withJobs(t)
	for name, way := range ways {
		issued, _, err := j.issuer.AccessToken(t.Context(), way(j.job(map[string]any{"exp": j.clock().Add(5 * time.Minute).Unix()})))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		c, err := jose.Parse(issued.Value)
		j.must(err)
		claims, err := jose.ParseClaims(c.Payload)
		j.must(err)
		if claims.Subject != "m1" || len(claims.Deps) != 3 || !directory.IsGeneration(claims.Deps[2]) {
			t.Errorf("%s: got the subject %s and deps %v", name, claims.Subject, claims.Deps)
		}
		if issued.ExpiresIn != 5*time.Minute || claims.Expiry.After(j.clock().Add(5*time.Minute)) {
			t.Errorf("%s: lives for %s, until %s", name, issued.ExpiresIn, claims.Expiry)
		}
	}
}

// FED-002, FED-003, FED-005. However a token differs, the caller is told the same, and the record says which claim.
func TestPlatformTokenIsRefusedInOneWay(t *testing.T) {
	j := withJobs(t)
	for name, way := range ways {
		kind := issuer.InvalidToken
		if name == "grant" {
			kind = issuer.InvalidGrant
		}
		for claim, c := range map[string]struct {
			value  any
			reason string
		}{
			"iss": {runner + "/", "unknown_issuer"}, "aud": {"https://other.test", "audience_mismatch"}, "exp": {nil, "no_expiry"},
			"repository_id": {"124", "claims_differ"}, "environment": {"production-evil", "claims_differ"}, "event_name": {"pull_request_target", "claims_differ"},
		} {
			r := j.refused(name+" "+claim, way(j.job(map[string]any{claim: c.value})), kind, c.reason)
			named := false
			for _, f := range r.Claims {
				named = named || f.Claim == claim && f.Wanted != ""
			}
			if !named {
				t.Errorf("%s %s: the record has %+v", name, claim, r.Claims)
			}
		}
	}
}

// FED-008. The token of a job is accepted once, whichever way it takes.
func TestTokenOfAJobIsAcceptedOnce(t *testing.T) {
	j := withJobs(t)
	token := j.job(nil)
	j.token(asserting(token))
	j.refused("again", asserting(token), issuer.InvalidToken, "replayed_assertion")
	j.refused("as the grant", granting(token), issuer.InvalidGrant, "replayed_assertion")
	j.refused("as the bearer", bearing(token), issuer.InvalidToken, "replayed_assertion")
	// Nor by another trust of the same issuer.
	j.must(j.directory.RemoveTrust(t.Context(), operator, "ci", directory.AnyVersion))
	j.trust("ci2")
	j.workload("m1", "123")
	j.refused("by another trust", asserting(token), issuer.InvalidToken, "replayed_assertion")
	// What is refused for another reason uses nothing up.
	token = j.job(nil)
	p := asserting(token)
	p.Presented.ClientID = "m3"
	j.refused("as another", p, issuer.InvalidToken, "no_matching_credential")
	j.token(asserting(token))
}

// FED-015. When a trust is disabled, changed so that it accepts less, or removed, its tokens end, and so does what they
// were exchanged for.
func TestTokensEndWithTheirTrust(t *testing.T) {
	for name, withdraw := range map[string]func(*jobs) error{
		"disabled": func(j *jobs) error {
			_, err := j.directory.UpdateTrust(t.Context(), operator, "ci", directory.AnyVersion, func(s *api.TrustSettings) { s.Disabled = true })
			return err
		},
		"another audience": func(j *jobs) error {
			_, err := j.directory.UpdateTrust(t.Context(), operator, "ci", directory.AnyVersion, func(s *api.TrustSettings) { s.Audience = "https://new.test" })
			return err
		},
		"removed": func(j *jobs) error { return j.directory.RemoveTrust(t.Context(), operator, "ci", directory.AnyVersion) },
	} {
		t.Run(name, func(t *testing.T) {
			j := withJobs(t)
			j.allow("m1", "m2", directory.NewRule{Scopes: []string{"read"}})
			j.allow("m2", "m3", directory.NewRule{Exchange: "delegate"})
			token := j.token(asserting(j.job(nil)))
			made := j.token(j.propose("m2", "m3", exchanging(token)))
			if !j.introspected("m2", token) || !j.introspected("m3", made) {
				t.Fatal("a new token is not valid")
			}
			j.must(withdraw(j))
			if j.introspected("m2", token) || j.introspected("m3", made) {
				t.Error("the token, or what it was exchanged for, is still valid")
			}
			if _, _, err := j.issuer.AccessToken(t.Context(), asserting(j.job(nil))); !isRefusal(err) {
				t.Errorf("a new one: got %v", err)
			}
			j.token(j.propose("m1", "m2")) // by its secret, as before
		})
	}
}

func isRefusal(err error) bool {
	var r *issuer.Refusal
	return errors.As(err, &r)
}

// A window in which equal requests get one token gives nobody a token that lives longer than what was shown.
func TestReuseGivesNoLongerLife(t *testing.T) {
	j := withJobs(t, func(o *issuer.Options) { o.ReuseWindow = time.Minute })
	j.token(asserting(j.job(nil)))
	short := map[string]any{"exp": j.clock().Add(time.Minute).Unix()}
	got, _, err := j.issuer.AccessToken(t.Context(), asserting(j.job(short)))
	j.must(err)
	if got.ExpiresIn > time.Minute {
		t.Errorf("lives for %s", got.ExpiresIn)
	}
}

// Trusts do not count as hops of a chain.
func TestChainsOfPlatformsAreAsLongAsOthers(t *testing.T) {
	j := withJobs(t, func(o *issuer.Options) { o.MaxActors = 2 })
	j.service("m4", "m5")
	j.allow("m2", "m3", directory.NewRule{Exchange: "delegate"})
	j.allow("m3", "m4", directory.NewRule{Exchange: "delegate"})
	j.allow("m4", "m5", directory.NewRule{Exchange: "delegate"})
	token := j.token(asserting(j.job(nil)))
	token = j.token(j.propose("m2", "m3", exchanging(token)))
	token = j.token(j.propose("m3", "m4", exchanging(token)))
	j.refused("a third", j.propose("m4", "m5", exchanging(token)), issuer.Malformed, "chain_too_long")
}
