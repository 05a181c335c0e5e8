package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestDefaultsAreValidAndOnLoopback(t *testing.T) {
	l, err := Load(Sources{})
	if err != nil {
		t.Fatal(err)
	}
	c := l.Config
	for _, ln := range append(c.listeners(), listener{addr: c.SuperTokens.Listen}) {
		if !loopback(ln.addr) {
			t.Errorf("%s is not loopback", ln.addr)
		}
	}
	if c.Token.TTL != 15*time.Minute || c.Keys.RotateEvery != 720*time.Hour || c.Signing.Algorithm != "ES256" ||
		c.PlainIssuer != "auth-server" || c.Token.ReuseWindow != 0 || c.SuperTokens.Enabled() || c.SuperTokens.TrustBootstrap ||
		c.Admin.TokenFile != "./watchword-data/operator.token" || c.Audit.Dir != "./watchword-data/audit" || c.Shutdown.Drain != 0 {
		t.Errorf("got %+v", c)
	}
}

func TestEveryNameIsUnlike(t *testing.T) {
	seen := map[string]string{}
	for _, s := range Settings() {
		if s.Doc == "" || !strings.HasSuffix(s.Doc, ".") {
			t.Errorf("%s: the doc is no sentence", s.Key)
		}
		for _, name := range []string{s.Key, s.FileKey, s.Env, s.FileEnv, "--" + s.Flag, "--" + s.FileFlag} {
			if name == "" || name == "--" {
				continue
			}
			if seen[name] != "" {
				t.Errorf("%s is a name of %s and of %s", name, seen[name], s.Key)
			}
			seen[name] = s.Key
		}
	}
	for _, name := range []string{
		"WATCHWORD_LISTEN", "WATCHWORD_ADMIN_LISTEN", "WATCHWORD_DATA", "WATCHWORD_DATABASE", "WATCHWORD_DATABASE_FILE", "WATCHWORD_ISSUER",
		"WATCHWORD_SUPERTOKENS_LISTEN", "WATCHWORD_SUPERTOKENS_API_KEYS", "WATCHWORD_SUPERTOKENS_API_KEYS_FILE", "WATCHWORD_SEALING_KEY_FILE",
		"WATCHWORD_ADMIN_TOKEN_FILE", "--listen", "--data", "--database", "--issuer", "--supertokens-api-keys-file",
	} {
		if seen[name] == "" {
			t.Errorf("no setting has the name %s, which was promised", name)
		}
	}
	if key := seen["--supertokens-api-keys"]; key != "" {
		t.Error("API keys can be given as an argument, which is public")
	}
}

// write makes a file for a test and returns its name.
func write(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "watchword.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestLaterSourcesWin(t *testing.T) {
	file := write(t, "listen: 127.0.0.1:1\nissuer: https://file.example\ntoken:\n  ttl: 1m\n")
	l, err := Load(Sources{
		File:    file,
		Environ: []string{"WATCHWORD_LISTEN=127.0.0.1:2", "WATCHWORD_TOKEN_TTL=2m", "PATH=/bin", "WATCHWORD_DATA="},
		Flags:   map[string]string{"listen": "127.0.0.1:3"},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][2]string{}
	for _, v := range l.Values() {
		got[v.Setting.Key] = [2]string{v.Text, v.Source}
	}
	for key, want := range map[string][2]string{
		"listen":        {"127.0.0.1:3", "--listen"},
		"token.ttl":     {"2m", "WATCHWORD_TOKEN_TTL"},
		"issuer":        {"https://file.example", file + ":2"},
		"data":          {"./watchword-data", "default"},
		"audit.dir":     {"./watchword-data/audit", "default"},
		"admin.hosts":   {"", "default"},
		"token.max_ttl": {"24h", "default"},
	} {
		if got[key] != want {
			t.Errorf("%s: got %v, want %v", key, got[key], want)
		}
	}
}

func TestAFileMaySetEverything(t *testing.T) {
	l, err := Load(Sources{File: write(t, `
listen: 0.0.0.0:443
tls: {cert_file: /c.pem, key_file: /k.pem}
issuer: https://auth.example.com
plain_issuer: gate
data: /var/lib/watchword/
database: postgres://ww:hunter2@db/ww?sslmode=verify-full
token:
  ttl: 5m
  max_ttl: 1h
  reuse_window: 2s
signing: {algorithm: EdDSA}
keys: {rotate_every: 90d, publish_lead: 2h}
admin:
  listen: "[::1]:8010"
  hosts:
    - ops.example.com
    - 10.0.0.1
supertokens:
  api_keys: [abcdefghijklmnopqrst-1, abcdefghijklmnopqrst-2]
  base_path: /auth
  trust_bootstrap: true
audit: {max_size: 1GiB, retention: 0}
max_staleness: 15m
shutdown: # nothing
log: {level: debug, format: json}
`)})
	if err != nil {
		t.Fatal(err)
	}
	c := l.Config
	if c.Keys.RotateEvery != 90*24*time.Hour || !slices.Equal(c.Admin.Hosts, []string{"ops.example.com", "10.0.0.1"}) ||
		len(c.SuperTokens.APIKeys) != 2 || c.SuperTokens.APIKeys[1].Reveal() != "abcdefghijklmnopqrst-2" || c.Audit.MaxSize != 1<<30 ||
		c.Shutdown.Drain != 5*time.Second || c.Log.Level != slog.LevelDebug || c.Keys.SealingKeyFile != "/var/lib/watchword/sealing.key" ||
		c.Database.Reveal() != "postgres://ww:hunter2@db/ww?sslmode=verify-full" {
		t.Errorf("got %+v", c)
	}
}

func TestAllProblemsAreReportedAtOnce(t *testing.T) {
	file := write(t, "listen: 0.0.0.0:8000\nisuer: x\ntoken:\n  ttl: 900\n  max_ttl: 24h\n  max_ttl: 1h\n")
	_, err := Load(Sources{
		File:    file,
		Environ: []string{"WATCHWORD_LISTN=x", "WATCHWORD_MAX_STALENESS=16m"},
		Flags:   map[string]string{"log-level": "loud"},
	})
	var all *Error
	if !errors.As(err, &all) {
		t.Fatalf("got %v, want an *Error", err)
	}
	var got []string
	for _, p := range all.Problems {
		got = append(got, p.String())
	}
	want := []string{
		"isuer (" + file + ":2): is not a setting; did you mean issuer?",
		"token.max_ttl (" + file + ":6): is set a second time, first in line 5; delete one of the two",
		"WATCHWORD_LISTN: is not a variable Watchword knows; did you mean WATCHWORD_LISTEN?",
		"token.ttl (" + file + `:4): "900" is not a duration: write a number and a unit, as in 30s, 15m, 24h or 90d`,
		"max_staleness (WATCHWORD_MAX_STALENESS): 16m is out of range: choose from 1s to 15m",
		`log.level (--log-level): "loud" is unknown: choose one of debug, info, warn, error`,
		"listen (" + file + ":1): 0.0.0.0:8000 can be reached from other machines, without TLS; set tls.cert_file and tls.key_file, or insecure_http: true when something in front terminates TLS, or listen on 127.0.0.1",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	const hidden = "hunter2-hunter2-hunter2"
	l, err := Load(Sources{Environ: []string{
		"WATCHWORD_DATABASE=postgres://ww:" + hidden + "@db/ww?sslpassword=" + hidden,
		"WATCHWORD_SUPERTOKENS_API_KEYS=" + hidden,
	}})
	if err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(l.Config)
	if err != nil {
		t.Fatal(err)
	}
	var logged strings.Builder
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("config", "config", l.Config, "key", l.Config.Database)
	var values []string
	for _, v := range l.Values() {
		values = append(values, v.Text)
	}
	type inside struct{ secret Secret }
	for _, text := range []string{
		fmt.Sprintf("%v %+v %#v", l.Config, l.Config, l.Config), fmt.Sprintf("%s %q %x %d", l.Config.Database, l.Config.Database, l.Config.Database, l.Config.Database),
		fmt.Sprintf("%v %+v %#v", inside{l.Config.Database}, inside{l.Config.Database}, inside{l.Config.Database}),
		string(asJSON), logged.String(), strings.Join(values, "\n"), fmt.Sprint(err),
	} {
		if strings.Contains(text, "hunter2") || strings.Contains(text, fmt.Sprintf("%x", "hunter2")) {
			t.Errorf("a secret was printed: %s", text)
		}
	}
	if text := strings.Join(values, "\n"); !strings.Contains(text, "postgres://ww:xxxxx@db/ww") {
		t.Errorf("the rest of the database URL is hidden too: %s", text)
	}
}

// F64.
func TestDefaultIssuerIsWhereTheListenerIs(t *testing.T) {
	for _, tc := range []struct {
		listen  string
		tls     bool
		want    string
		warning string
	}{
		{"", false, "http://localhost:8000", ""},
		{"127.0.0.1:8000", false, "http://localhost:8000", ""},
		{"127.0.0.1:9999", false, "http://localhost:9999", ""},
		{"localhost:9999", false, "http://localhost:9999", ""},
		{"127.0.0.2:9999", false, "http://127.0.0.2:9999", ""},
		{"[::1]:9999", false, "http://[::1]:9999", ""},
		{"127.0.0.1:80", false, "http://localhost", ""},
		{"127.0.0.1:443", true, "https://localhost", ""},
		{"[::1]:443", true, "https://[::1]", ""},
		{"127.0.0.1:8443", true, "https://localhost:8443", ""},
		{"192.0.2.7:8443", true, "https://192.0.2.7:8443", ""},
		{"auth.example.com:443", true, "https://auth.example.com", ""},
		{"0.0.0.0:8443", true, "https://localhost:8443", "clients on other machines"},
		{":8443", true, "https://localhost:8443", "clients on other machines"},
		{"[::]:8443", true, "https://localhost:8443", "clients on other machines"},
		{"127.0.0.1:0", false, "http://localhost:8000", "chosen when the server starts"},
	} {
		flags := map[string]string{}
		if tc.listen != "" {
			flags["listen"] = tc.listen
		}
		if tc.tls {
			flags["tls-cert-file"], flags["tls-key-file"] = "c.pem", "k.pem"
		}
		l, err := Load(Sources{Flags: flags})
		if err != nil {
			t.Errorf("%s: %v", tc.listen, err)
		} else if l.Config.Issuer != tc.want {
			t.Errorf("%s, TLS %v: got %s, want %s", tc.listen, tc.tls, l.Config.Issuer, tc.want)
		}
		checkWarnings(t, l, tc.warning)
	}
}

// F64: an issuer at which nobody reaches the server is pointed out, and one at which a proxy may be is not.
func TestIssuerThatIsNotTheListenersIsAWarning(t *testing.T) {
	for _, tc := range []struct {
		flags   map[string]string
		warning string
	}{
		{map[string]string{"listen": "127.0.0.1:9999", "issuer": "http://localhost:8000"}, "leave it out, for http://localhost:9999"},
		{map[string]string{"issuer": "http://localhost"}, "no client reaches listen (127.0.0.1:8000)"},
		{map[string]string{"issuer": "https://localhost:8000"}, "no client reaches listen"},
		{map[string]string{"issuer": "http://[::1]:8000"}, "no client reaches listen"},
		{map[string]string{"issuer": "http://127.0.0.1:8000/tenant"}, ""},
		{map[string]string{"issuer": "http://localhost:8000"}, ""},
		{map[string]string{"issuer": "http://auth.localhost:8000"}, ""},
		{map[string]string{"listen": "127.0.0.1:80", "issuer": "http://localhost"}, ""},
		{map[string]string{"issuer": "https://auth.example.com"}, ""},
		{map[string]string{"issuer": "https://localhost", "proxy-networks": "127.0.0.0/8"}, ""},
		{map[string]string{"issuer": "https://localhost", "insecure-http": "true"}, ""},
		{map[string]string{"listen": "127.0.0.1:0", "issuer": "http://localhost:9"}, ""},
		{map[string]string{"listen": "0.0.0.0:8000", "insecure-http": "true", "issuer": "http://localhost:8000"}, ""},
		{map[string]string{"listen": "192.0.2.7:8000", "insecure-http": "true"}, "clients on other machines"},
	} {
		l, err := Load(Sources{Flags: tc.flags})
		if err != nil {
			t.Errorf("%v: %v", tc.flags, err)
		}
		checkWarnings(t, l, tc.warning)
	}
}

// checkWarnings wants one warning with this in it, or none where it is empty.
func checkWarnings(t *testing.T, l *Loaded, want string) {
	t.Helper()
	got := l.Warnings()
	if want == "" && len(got) > 0 || want != "" && (len(got) != 1 || !strings.Contains(got[0].String(), want)) {
		t.Errorf("listen %s, issuer %s: warnings %q, want %q", l.Config.Listen, l.Config.Issuer, got, want)
	}
}
