package conformance

import (
	"crypto/tls"
	"slices"
	"strings"
	"testing"
)

// recommendedSuites are those of TLS 1.2 that BCP 195 recommends (RFC 9325, section 4.2), which are
// all that FAPI 2.0 permits (Security Profile, section 5.2.2).
var recommendedSuites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
}

// checkTLS is what the modules check of every endpoint they know (conditions
// EnsureTLS12RequireBCP195Ciphers, DisallowTLS10, DisallowTLS11, EnsureTLS13OrLater,
// EnsureTLS13PreferredOverTLS12, RequireOnlyBCP195RecommendedCiphersForTLS12). The finite-field
// suites of CheckForBCP195InsecureFAPICiphers are left out: neither side of this test knows them.
func (w *world) checkTLS(t *testing.T, host string) {
	t.Helper()
	for _, c := range []struct {
		name     string
		from, to uint16
		want     uint16 // 0: no connection
	}{
		{"TLS 1.0", tls.VersionTLS10, tls.VersionTLS10, 0},
		{"TLS 1.1", tls.VersionTLS11, tls.VersionTLS11, 0},
		{"TLS 1.2", tls.VersionTLS12, tls.VersionTLS12, tls.VersionTLS12},
		{"TLS 1.3 only", tls.VersionTLS13, tls.VersionTLS13, tls.VersionTLS13},
		{"TLS 1.2 and 1.3", tls.VersionTLS12, tls.VersionTLS13, tls.VersionTLS13},
	} {
		got, err := w.handshake(host, c.from, c.to, recommendedSuites)
		switch {
		case c.want == 0 && err == nil:
			t.Errorf("%s: %s was accepted", host, c.name)
		case c.want == 0 && !isAlert(err):
			t.Errorf("%s: %s: no refusal but %v", host, c.name, err)
		case c.want != 0 && err != nil:
			t.Errorf("%s: %s: %v", host, c.name, err)
		case err == nil && got.Version != c.want:
			t.Errorf("%s: %s: got %s, want %s", host, c.name, tls.VersionName(got.Version), tls.VersionName(c.want))
		}
	}
	w.checkSuites(t, host)
}

// checkSuites offers each suite of TLS 1.2 that is not recommended.
func (w *world) checkSuites(t *testing.T, host string) {
	t.Helper()
	tried := 0
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		if !slices.Contains(s.SupportedVersions, tls.VersionTLS12) || slices.Contains(recommendedSuites, s.ID) {
			continue
		}
		tried++
		if _, err := w.handshake(host, tls.VersionTLS12, tls.VersionTLS12, []uint16{s.ID}); err == nil {
			t.Errorf("%s: the suite %s was accepted, which BCP 195 does not recommend", host, s.Name)
		} else if !isAlert(err) {
			t.Errorf("%s: the suite %s: no refusal but %v", host, s.Name, err)
		}
	}
	if tried < 10 {
		t.Errorf("only %d suites were tried", tried)
	}
}

func isAlert(err error) bool { return strings.Contains(err.Error(), "remote error: tls:") }

func (w *world) handshake(host string, from, to uint16, suites []uint16) (tls.ConnectionState, error) {
	c, err := tls.Dial("tcp", w.at[host+":443"], &tls.Config{
		ServerName: host, RootCAs: w.roots, MinVersion: from, MaxVersion: to, CipherSuites: suites,
	})
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer c.Close()
	return c.ConnectionState(), nil
}
