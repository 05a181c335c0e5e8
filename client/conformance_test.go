package client_test

import (
	"log/slog"
	"net/http"
	"testing"

	"github.com/watchword-dev/watchword/client"
)

// SCL-011. The modules of fapi2-security-profile-final-client-test-plan (OpenID Foundation,
// conformance-suite at 12f2a4dac) that its profile fapi_client_credentials_grant has, each with
// every combination of client_auth_type and sender_constrain it applies to: discovery, a token, and a
// request to the resource, where the suite asks for a nonce, for a new one with each request.
func TestFAPI2SecurityProfileFinalClientTestPlan(t *testing.T) {
	for _, module := range []struct {
		name  string
		nonce bool
		types map[string]string // of tokens, by sender_constrain
	}{
		{"client-test-happy-path", true, map[string]string{"dpop": "DPoP", "mtls": "Bearer"}},
		{"client-test-happy-path-no-dpop-nonce", false, map[string]string{"dpop": "DPoP"}},
		{"client-test-token-type-case-insensitivity", true, map[string]string{"dpop": "dPOp", "mtls": "bEAreR"}},
	} {
		for constrain, kind := range module.types {
			for _, auth := range []string{"private_key_jwt", "mtls"} {
				t.Run(module.name+"/"+auth+"/"+constrain, func(t *testing.T) {
					runModule(t, newSuite(t, suiteVariant{auth, constrain, module.nonce && constrain == "dpop", kind}))
				})
			}
		}
	}
}

func runModule(t *testing.T, s *suite) {
	c := s.client(t)
	resource := &http.Client{Transport: c.Transport("https://rs.example/", s.transport(), "accounts")}
	const calls = 3
	for range calls {
		resp, err := resource.Get(s.resource())
		must(t, err)
		if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("the resource answered %s, %v", resp.Status, err)
		}
	}
	tries := 1
	if s.nonce {
		tries = 2 // once without the nonce asked for
	}
	if s.done["token"] != 1 || s.attempts["token"] != tries || s.done["accounts"] != calls || s.attempts["accounts"] != calls*tries {
		t.Errorf("%v of %v requests were good, want one token and %d calls, with %d tries each", s.done, s.attempts, calls, tries)
	}
}

// client is ours, configured for the variant.
func (s *suite) client(t *testing.T, edit ...func(*client.Config)) *client.Client {
	t.Helper()
	cfg := client.Config{
		Server:     s.issuer(),
		Auth:       client.PrivateKeyJWT("m1", client.Key(s.key, "")),
		HTTPClient: &http.Client{Transport: s.transport()},
		Logger:     slog.New(slog.DiscardHandler),
	}
	if s.auth == "mtls" {
		cfg.Auth = client.TLSClientAuth("m1")
	}
	if s.auth == "mtls" || s.constrain == "mtls" {
		cfg.Certificate = client.Certificate(s.cert)
	}
	if s.constrain == "dpop" {
		cfg.DPoP = &client.DPoP{}
	}
	for _, e := range edit {
		e(&cfg)
	}
	c, err := client.New(cfg)
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}
