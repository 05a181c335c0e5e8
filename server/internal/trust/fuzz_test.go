package trust_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/trust"
)

// A token that proposes a rule meets it, whatever else it says, and what is shown of it can be printed.
func FuzzClaims(f *testing.F) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		f.Fatal(err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		f.Add([]byte(recording(f, name).Claims), "/kubernetes.io/serviceaccount/uid", name)
	}
	f.Add([]byte(`{"sub":"a\u001b[2J","aud":[1],"exp":1e400,"iat":-0,"nbf":{},"kubernetes.io":[]}`), "/a~1b/~0", "oidc")
	f.Add([]byte(`{"a":{"":"x"},"sub":"spiffe://example.org//"}`), "/a/", "spiffe")
	f.Fuzz(func(t *testing.T, payload []byte, name, preset string) {
		c, err := trust.Parse(payload)
		if err != nil {
			return
		}
		if text, ok := c.Text(name); ok && len(text) > trust.MaxPayload {
			t.Errorf("%s is longer than the payload", name)
		}
		_, known := trust.Find(preset)
		if !known {
			preset = trust.Detect(c)
		}
		iss, _ := c.Text("iss")
		if preset == trust.SPIFFE {
			iss = "spiffe://example.org"
		}
		s := &api.TrustSettings{Preset: preset, Issuer: iss}
		shown := trust.Judge(s, c, trust.Audience(s, serverIssuer), name, name, time.Unix(1795867500, 0))
		rule, words := trust.Propose(s, c)
		if stored, err := trust.CheckClaims(s, rule); err == nil {
			findings := trust.Match(s, stored, c)
			shown = append(shown, findings...)
			for _, f := range findings {
				// ref_protected is proposed as it must be, not as it is.
				if !f.Met && f.Claim != "ref_protected" {
					t.Errorf("%s does not meet its own rule: %+v", payload, f)
				}
			}
			if len(trust.Anchors(preset, stored)) == 0 {
				t.Errorf("%v has no anchor", stored)
			}
		}
		if stored, err := trust.CheckClaims(s, map[string]string{name: "x", "sub": "y"}); err == nil {
			shown = append(shown, trust.Match(s, stored, c)...)
		}
		for _, f := range shown {
			if len(f.Seen) > 256 || len(f.Wanted) > 256 || f.Met != (f.Hint == "") {
				t.Errorf("%+v", f)
			}
			words = append(words, f.Seen, f.Wanted, f.Hint)
		}
		for _, text := range words {
			if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("%q does not print", text)
			}
		}
	})
}

func FuzzParseSPIFFEID(f *testing.F) {
	for _, id := range []string{"spiffe://example.org/ns/shop/sa/m1", "spiffe://example.org", "spiffe://example.org/", "spiffe://a/../b", "spiffe://a/%2e", "spiffe://a:1/b", ""} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		domain, path, err := trust.ParseSPIFFEID(id)
		if err != nil {
			return
		}
		if "spiffe://"+domain+path != id || path == "" || strings.HasSuffix(path, "/") || strings.ContainsAny(id[len("spiffe://"):], ":@?#%\\ ") || trust.CheckID("spiffe://"+domain, id) != nil {
			t.Errorf("%q: %q, %q", id, domain, path)
		}
	})
}

func TestRecordingsAreNamedAfterPresets(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) != len(trust.Names()) {
		t.Errorf("%d recordings, %d presets: %v", len(files), len(trust.Names()), err)
	}
	if _, err := os.Stat("testdata/README.md"); err != nil {
		t.Error(err)
	}
}
