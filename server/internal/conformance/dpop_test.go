package conformance

import (
	"testing"
	"time"
)

// fapi2-security-profile-final-check-dpop-proof-nbf-exp: a proof may have these two as any JWT.
func TestFAPI2SecurityProfileFinalCheckDpopProofNbfExp(t *testing.T) {
	proofs(t, func(_, claims map[string]any) {
		now := time.Now()
		claims["nbf"], claims["exp"] = now.Unix(), now.Add(5*time.Minute).Unix()
	})
}

// fapi2-security-profile-final-ensure-dpopproof-with-iat-10seconds-before-succeeds: FAPI 2.0 Security
// Profile, section 5.3.2.1, item 13.
func TestFAPI2SecurityProfileFinalEnsureDpopproofWithIat10secondsBeforeSucceeds(t *testing.T) {
	proofs(t, func(_, claims map[string]any) { claims["iat"] = time.Now().Add(-10 * time.Second).Unix() })
}

// fapi2-security-profile-final-ensure-dpopproof-with-iat-10seconds-after-succeeds, which despite its
// name is 8 seconds ahead: ten would be at the mercy of the network.
func TestFAPI2SecurityProfileFinalEnsureDpopproofWithIat10secondsAfterSucceeds(t *testing.T) {
	proofs(t, func(_, claims map[string]any) { claims["iat"] = time.Now().Add(8 * time.Second).Unix() })
}

// proofs has all proofs changed, those for the token endpoint and those for the resource.
func proofs(t *testing.T, edit change) {
	inAll(t, variants(withDPoP), func(t *testing.T, c, _ *client) {
		c.reach(t, c.token(t, tokenSteps{proof: edit}), resourceSteps{proof: edit})
	})
}
