package trust_test

import (
	"errors"
	"testing"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/trust"
)

func TestSupposedTokenMeetsTheRuleThatHasItsClaims(t *testing.T) {
	for preset, claims := range map[string]map[string]string{
		"kubernetes": {"uid": "0b9d1c5e-7a64-4e0c-8f0a-5a7d0e2f9b11", "namespace": "shop", "pod": "m1-7", "/kubernetes.io/warnafter": "1"},
		"circleci":   {"project_id": "0b9d1c5e-7a64-4e0c-8f0a-5a7d0e2f9b11", "context_ids": "0b9d1c5e-7a64-4e0c-8f0a-5a7d0e2f9b22"},
		"oidc":       {"sub": "a", "/b/c": "1", "/b/d~1e": "2"},
	} {
		s := &api.TrustSettings{Preset: preset}
		c, err := trust.Suppose(s, claims)
		if err != nil {
			t.Errorf("%s: %v", preset, err)
			continue
		}
		rule, err := trust.CheckClaims(s, claims)
		if err != nil || !trust.IsMet(trust.Match(s, rule, c)) {
			t.Errorf("%s: %v, %+v", preset, err, trust.Match(s, rule, c))
		}
		other := map[string]string{}
		for name := range claims {
			other[name] = claims[name] + "0"
		}
		if c, err := trust.Suppose(s, other); err != nil || trust.IsMet(trust.Match(s, rule, c)) {
			t.Errorf("%s: a token with other claims meets the rule, or: %v", preset, err)
		}
	}
	for claim, claims := range map[string]map[string]string{
		"uidd":                               {"uidd": "a"},
		"uid":                                {"uid": "a", "/kubernetes.io/serviceaccount/uid": "a"},
		"/kubernetes.io/pod/name/x":          {"/kubernetes.io/pod/name": "a", "/kubernetes.io/pod/name/x": "a"},
		"/kubernetes.io/pod":                 {"/kubernetes.io/pod": "a", "/kubernetes.io/node": "b", "/kubernetes.io": "c"},
		"/kubernetes.io/serviceaccount/~uid": {"/kubernetes.io/serviceaccount/~uid": "a"},
	} {
		_, err := trust.Suppose(&api.TrustSettings{Preset: "kubernetes"}, claims)
		wrong, ok := errors.AsType[*trust.InvalidError](err)
		if !ok || wrong.Claim == "" {
			t.Errorf("%s: got %v", claim, err)
		}
	}
}
