package conformance

import "testing"

// fapi2-security-profile-final-ensure-holder-of-key-required, its first half: all endpoints comply
// with the limits of FAPI 2.0 on TLS.
func TestFAPI2SecurityProfileFinalEnsureHolderOfKeyRequired(t *testing.T) {
	t.Run("tls", func(t *testing.T) {
		for _, w := range worlds {
			w.checkTLS(t, "as.example")
		}
	})
}
