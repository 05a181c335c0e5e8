package app

import (
	"crypto/tls"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/watchword-dev/watchword/server/internal/config"
)

// RFC 9325, section 4.2: of TLS 1.2, only the suites it recommends are taken.
func TestOnlyRecommendedSuitesOfTLS12AreTaken(t *testing.T) {
	cfg := testConfig(t)
	dir := t.TempDir()
	cfg.TLS = config.TLS{CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem")}
	writeCertificate(t, cfg.TLS, "localhost")
	address := strings.TrimPrefix(start(t, cfg).url, "https://")
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		if !slices.Contains(s.SupportedVersions, tls.VersionTLS12) {
			continue
		}
		c, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{s.ID}})
		if err == nil {
			c.Close()
		}
		// The server's key is an elliptic one.
		want := strings.HasPrefix(s.Name, "TLS_ECDHE_ECDSA_WITH_AES_") && strings.Contains(s.Name, "_GCM_")
		if (err == nil) != want {
			t.Errorf("%s: got %v, want it to be taken: %v", s.Name, err, want)
		}
	}
}
