package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// problemsOf loads and returns the problems as text, one a line.
func problemsOf(t *testing.T, from Sources) string {
	t.Helper()
	_, err := Load(from)
	if err == nil {
		return ""
	}
	var all *Error
	if !errors.As(err, &all) || len(all.Problems) == 0 {
		t.Fatalf("got %#v, want an *Error with problems", err)
	}
	var lines []string
	for _, p := range all.Problems {
		lines = append(lines, p.String())
	}
	return strings.Join(lines, "\n")
}

func TestWrongValuesAreRefusedWithAFix(t *testing.T) {
	for _, c := range []struct{ env, want string }{
		{"WATCHWORD_LISTEN=8000", `"8000" is not an address: write host:port`},
		{"WATCHWORD_LISTEN=127.0.0.1:99999", "no port from 0 to 65535"},
		{"WATCHWORD_LISTEN=:8000", "can be reached from other machines, without TLS"},
		{"WATCHWORD_ADMIN_LISTEN=[::]:8010", "set admin.tls.cert_file and admin.tls.key_file"},
		{"WATCHWORD_ADMIN_LISTEN=127.0.0.1:8000", "is the address of listen too; give each its own"},
		{"WATCHWORD_TLS_CERT_FILE=/c.pem", "is set without tls.key_file; set both or neither"},
		{"WATCHWORD_ADMIN_TLS_KEY_FILE=/k.pem", "is set without admin.tls.cert_file; set both or neither"},
		{"WATCHWORD_TLS_CLIENT_CA_FILE=/ca.pem", "is set where no client can present a certificate"}, // MTL-013.
		{"WATCHWORD_ISSUER=auth.example.com", "is not an http or https URL"},
		{"WATCHWORD_ISSUER=https://a.example/?x=1", "must have no user, query or fragment"},
		{"WATCHWORD_ISSUER=https://a.example/#", "must have no user, query or fragment"},
		{"WATCHWORD_ISSUER=https://u@a.example", "must have no user, query or fragment"},
		{"WATCHWORD_ISSUER=https://a.example/", `must not end with a slash: write https://a.example`},
		{"WATCHWORD_PLAIN_ISSUER= ", "must not be empty"},
		{"WATCHWORD_DATABASE=mysql://db", "is not a PostgreSQL URL"},
		{"WATCHWORD_DATABASE=host=db password=x", "is not a PostgreSQL URL"},
		{"WATCHWORD_TOKEN_TTL=25h", "is longer than token.max_ttl (24h)"},
		{"WATCHWORD_TOKEN_TTL=0", "out of range: choose from 1s to 30d"},
		{"WATCHWORD_TOKEN_TTL=-5m", "is not a duration"},
		{"WATCHWORD_TOKEN_REUSE_WINDOW=10m", "choose from 1ms to 1m, or 0"},
		{"WATCHWORD_SIGNING_ALGORITHM=HS256", "choose one of ES256, RS256, PS256, EdDSA"},
		{"WATCHWORD_KEYS_PUBLISH_LEAD=4m", "choose from 5m to 30d"},
		{"WATCHWORD_KEYS_ROTATE_EVERY=1h", "is shorter than twice keys.publish_lead (1h)"},
		{"WATCHWORD_ADMIN_HOSTS=http://ops", "is not a host name"},
		{"WATCHWORD_ADMIN_HOSTS=a,,b", "has an empty item"},
		{"WATCHWORD_SUPERTOKENS_API_KEYS=short", "has a key of fewer than 20 characters"},
		{"WATCHWORD_SUPERTOKENS_API_KEYS=abcdefghijklmnopqrst_", "has a key with a character other than"},
		// ADM-016.
		{"WATCHWORD_SUPERTOKENS_API_KEYS=aaaaaaaaaaaaaaaaaaaaaaaaa", "is easy to guess"},
		{"WATCHWORD_SUPERTOKENS_APPS=public,m2M-auth", `"m2M-auth" is not an app id`},
		{"WATCHWORD_SUPERTOKENS_BASE_PATH=auth/", "is not a path"},
		{"WATCHWORD_SUPERTOKENS_TRUST_BOOTSTRAP=true", "while the SuperTokens interface is off"},
		{"WATCHWORD_INSECURE_HTTP=yes", `"yes" is neither true nor false`},
		{"WATCHWORD_AUDIT_MAX_SIZE=64MB", "is not a size"},
		{"WATCHWORD_AUDIT_MAX_SIZE=1KiB", "choose from 1MiB to 16GiB"},
		{"WATCHWORD_AUDIT_MAX_SIZE=9223372036854775807GiB", "choose from 1MiB to 16GiB"},
		{"WATCHWORD_AUDIT_MAX_SIZE=17179869185GiB", "choose from 1MiB to 16GiB"}, // 1 GiB, if it wrapped around
		{"WATCHWORD_AUDIT_RETENTION=1h", "choose from 24h to 36500d, or 0"},
		{"WATCHWORD_SHUTDOWN_DRAIN=9s", "choose from 1ms to 8s, or 0"},
		{"WATCHWORD_LOG_LEVEL=INFO+1", "choose one of debug, info, warn, error"},
		{"WATCHWORD_LOG_FORMAT=xml", "choose one of text, json"},
		{"WATCHWORD_NOTHING_LIKE_IT_AT_ALL=1", "is not a variable Watchword knows; unset it"},
		{"WATCHWORD_PORT=8000", "is not a variable Watchword knows"},
	} {
		if got := problemsOf(t, Sources{Environ: []string{c.env}}); !strings.Contains(got, c.want) || strings.Contains(got, "\n") {
			t.Errorf("%s: got %q, want one problem with %q", c.env, got, c.want)
		}
	}
}

// TOK-045.
func TestOtherMachinesNeedTLSOrAWordThatItIsElsewhere(t *testing.T) {
	for _, environ := range [][]string{
		{"WATCHWORD_LISTEN=:8000", "WATCHWORD_INSECURE_HTTP=true"},
		{"WATCHWORD_LISTEN=:8443", "WATCHWORD_TLS_CERT_FILE=/c.pem", "WATCHWORD_TLS_KEY_FILE=/k.pem"},
		{"WATCHWORD_LISTEN=localhost:8000", "WATCHWORD_ADMIN_LISTEN=[::1]:8010"},
		{"WATCHWORD_LISTEN=127.0.0.1:0", "WATCHWORD_ADMIN_LISTEN=127.0.0.1:0"},
		{"WATCHWORD_SUPERTOKENS_LISTEN=:3567"}, // shut
	} {
		if got := problemsOf(t, Sources{Environ: environ}); got != "" {
			t.Errorf("%v: got %s", environ, got)
		}
	}
	open := []string{"WATCHWORD_SUPERTOKENS_LISTEN=:3567", "WATCHWORD_SUPERTOKENS_API_KEYS=abcdefghijklmnopqrst"}
	if got := problemsOf(t, Sources{Environ: open}); !strings.HasPrefix(got, "supertokens.listen (WATCHWORD_SUPERTOKENS_LISTEN): :3567 can be reached") {
		t.Errorf("the SuperTokens interface with a key: got %q", got)
	}
}

func TestWrongFilesAreRefusedWithTheirLine(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"a second document", "listen: 127.0.0.1:1\n---\nissuer: https://x\n", "begins a second document"},
		{"bad syntax", "listen: [\n", "did not find expected node content"},
		{"bad syntax after the document", "listen: 127.0.0.1:1\n...\n%bad\n", "watchword.yaml: "},
		{"no mapping", "- a\n", "is not a section"},
		{"a value for a section", "token: 5m\n", "token (FILE:1): is not a section"},
		{"a section for a value", "listen:\n  host: x\n", "listen (FILE:2): is a section"},
		{"no value", "listen:\n", "listen (FILE:1): has no value"},
		{"a nested list", "admin:\n  hosts: [[a]]\n", "has an item that is not one plain value"},
		{"an alias", "issuer: &a https://x\nplain_issuer: *a\n", "plain_issuer (FILE:2): refers to an anchor"},
		{"an alias of itself", "token: &a\n  ttl: *a\n", "token.ttl (FILE:2): refers to an anchor"},
		{"a dotted name", "token.ttl: 5m\n", "put its parts on lines of their own"},
		{"a typing mistake", "tokne:\n  ttl: 5m\n", "tokne (FILE:1): is not a setting"},
		{"a typing mistake below", "token:\n  tll: 5m\n", "token.tll (FILE:2): is not a setting; did you mean token.ttl?"},
		{"another case", "Listen: 127.0.0.1:1\n", "Listen (FILE:1): is not a setting; did you mean listen?"},
		{"a merge", "<<: {listen: x}\n", "<< (FILE:1): is not a setting"},
		{"a key that is a list", "[a, b]: c\n", "the key is not a name"},
		{"a number for a text", "plain_issuer: 010\ntoken: {ttl: 010}\n", `"010" is not a duration`},
		{"a secret twice", "database: postgres://a/b\ndatabase_file: /x\n", "database (FILE:1): is set, and so is FILE:2; remove one of the two"},
		{"a secret file that is not there", "database_file: /nowhere/at/all\n", "database_file (FILE:1): open /nowhere/at/all: no such file"},
	} {
		file := write(t, c.text)
		got := strings.ReplaceAll(problemsOf(t, Sources{File: file}), file, "FILE")
		if want := strings.Replace(c.want, "watchword.yaml", "FILE", 1); !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want %q in it", c.name, got, want)
		}
	}
}

func TestAnEmptyFileSetsNothing(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "---\n", "{}", "token:\n"} {
		if got := problemsOf(t, Sources{File: write(t, text)}); got != "" {
			t.Errorf("%q: got %s", text, got)
		}
	}
	if got := problemsOf(t, Sources{File: "/nowhere/watchword.yaml"}); !strings.Contains(got, "no such file") || !strings.Contains(got, "--config") {
		t.Errorf("a missing file: got %s", got)
	}
	if got := problemsOf(t, Sources{File: write(t, strings.Repeat("#", maxFile+1))}); !strings.Contains(got, "larger than 1 MiB") {
		t.Errorf("a huge file: got %s", got)
	}
}

func TestSecretsComeFromFiles(t *testing.T) {
	name := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(name, []byte(" abcdefghijklmnopqrst-1, abcdefghijklmnopqrst-2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, from := range []Sources{
		{File: write(t, "supertokens:\n  api_keys_file: "+name+"\n")},
		{Environ: []string{"WATCHWORD_SUPERTOKENS_API_KEYS_FILE=" + name}},
		{Flags: map[string]string{"supertokens-api-keys-file": name}},
		// The later source wins, whichever the variant.
		{Environ: []string{"WATCHWORD_SUPERTOKENS_API_KEYS=abcdefghijklmnopqrst-3"}, Flags: map[string]string{"supertokens-api-keys-file": name}},
	} {
		l, err := Load(from)
		if err != nil {
			t.Fatal(err)
		}
		if got := l.Config.SuperTokens.APIKeys; len(got) != 2 || got[0].Reveal() != "abcdefghijklmnopqrst-1" || got[1].Reveal() != "abcdefghijklmnopqrst-2" {
			t.Errorf("%v: got %d keys", from, len(got))
		}
	}
	both := Sources{Environ: []string{"WATCHWORD_DATABASE=postgres://a/b", "WATCHWORD_DATABASE_FILE=" + name}}
	if got := problemsOf(t, both); got != "database (WATCHWORD_DATABASE): is set, and so is WATCHWORD_DATABASE_FILE; remove one of the two" {
		t.Errorf("both: got %s", got)
	}
	if got := problemsOf(t, Sources{Environ: []string{"WATCHWORD_DATABASE_FILE=" + write(t, "\n")}}); !strings.Contains(got, "is empty; put the value into it") {
		t.Errorf("an empty file: got %s", got)
	}
}

func TestAPasswordIsNoArgument(t *testing.T) {
	for _, url := range []string{"postgres://ww:hunter2@db/ww", "postgres://db/ww?password=hunter2", "postgres://db/ww?sslpassword=hunter2", "postgres://ww:hunter2@db/%zz"} {
		got := problemsOf(t, Sources{Flags: map[string]string{"database": url}})
		if !strings.Contains(got, "can read the arguments of a process; set WATCHWORD_DATABASE") || strings.Contains(got, "hunter2") {
			t.Errorf("%s: got %s", url, got)
		}
	}
	if got := problemsOf(t, Sources{Flags: map[string]string{"database": "postgres://ww@db/ww"}}); got != "" {
		t.Errorf("a URL without password: got %s", got)
	}
	if got := problemsOf(t, Sources{Environ: []string{"WATCHWORD_DATABASE=mysql://ww:hunter2@db/ww"}}); strings.Contains(got, "hunter2") {
		t.Errorf("a refused URL is printed: %s", got)
	}
}

func TestWhatKubernetesInjectsIsLeftAlone(t *testing.T) {
	if got := problemsOf(t, Sources{Environ: []string{
		"WATCHWORD_SERVICE_HOST=10.0.0.1", "WATCHWORD_SERVICE_PORT=8000", "WATCHWORD_SERVICE_PORT_PUBLIC=8000",
		"WATCHWORD_PORT=tcp://10.0.0.1:8000", "WATCHWORD_PORT_8000_TCP=tcp://10.0.0.1:8000", "WATCHWORD_PORT_8000_TCP_ADDR=10.0.0.1",
		"WATCHWORD_ADMIN_SERVICE_HOST=10.0.0.1", "WATCHWORD_ADMIN_PORT=tcp://10.0.0.1:8010", "WATCHWORD_CONFIG=/x", "WATCHWORD_ADMIN_URL=http://x",
	}}); got != "" {
		t.Errorf("got %s", got)
	}
}

func TestDurations(t *testing.T) {
	for _, c := range []struct {
		text string
		want time.Duration
		back string
	}{
		{"90d", 90 * day, "90d"},
		{"1y", year, "365d"},
		{"100y", century, "36500d"},
		{"1d12h", 36 * time.Hour, "36h"},
		{"1y1d", 366 * day, "366d"},
		{"0", 0, "0s"},
		{"0d", 0, "0s"},
		{"15m", 15 * time.Minute, "15m"},
		{"24h", day, "24h"},
		{"1h30m", 90 * time.Minute, "1h30m"},
		{"1m30s", 90 * time.Second, "1m30s"},
		{"150ms", 150 * time.Millisecond, "150ms"},
		{"10s", 10 * time.Second, "10s"},
		{"1h0m10s", time.Hour + 10*time.Second, "1h0m10s"},
		{"10h", 10 * time.Hour, "10h"},
	} {
		got, err := ParseDuration(c.text)
		if err != nil || got != c.want || FormatDuration(got) != c.back {
			t.Errorf("%s: got %v (%s), %v, want %v (%s)", c.text, got, FormatDuration(got), err, c.want, c.back)
		}
	}
	for _, text := range []string{"", "d", "1", "90", "-1d", "-1s", "1.5d", "1d1y", "1d 1h", "300y", "292y365d", "1y-1d", "1d-1h", "99999999999d", "１d", "+1d"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
		}
	}
}

func FuzzLoadYAML(f *testing.F) {
	for _, seed := range []string{
		"listen: 127.0.0.1:1\ntoken: {ttl: 5m}\n", "a: &a [*a]\n", "token: &a\n  ttl: *a\n", "? [x]\n: y\n", "<<: *x\n", "--- a\n--- b\n",
		"database: postgres://u:p@h/d?password=x\n", "supertokens: {api_keys: [abcdefghijklmnopqrst]}\n", "audit: {max_size: 16GiB}\n", "\xff\xfe", "!!binary x: y\n",
	} {
		f.Add([]byte(seed))
	}
	known := map[string]bool{}
	for _, s := range Settings() {
		known[s.Key], known[s.FileKey] = true, true
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, problems := parseYAML("f", data)
		for key, e := range entries {
			if !known[key] || key == "" || !strings.HasPrefix(e.source, "f:") {
				t.Errorf("took %q from %s", key, e.source)
			}
		}
		for _, p := range problems {
			if p.Text == "" || !strings.HasPrefix(p.Source, "f") {
				t.Errorf("a problem says nothing: %+v", p)
			}
		}
		l := loader{Loaded: &Loaded{sources: map[string]string{}}}
		for _, s := range Settings() {
			if s.FileKey != "" {
				delete(entries, s.FileKey) // reads no files here
			}
			l.setting(s, []map[string]entry{entries})
		}
		l.defaults()
		l.check()
		l.Values()
	})
}

func FuzzParseDuration(f *testing.F) {
	for _, seed := range []string{"90d", "1y1d1h", "-1s", "292y", "9223372036s", "1d9223372036854775807ns"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDuration(s)
		if err != nil {
			return
		}
		if again, err := ParseDuration(FormatDuration(d)); d < 0 || err != nil || again != d {
			t.Errorf("%q: %v, written %q, read %v, %v", s, d, FormatDuration(d), again, err)
		}
	})
}

// F44. An issuer below which no request would find the metadata is refused.
func TestIssuerIsAURLThatRequestsReach(t *testing.T) {
	for _, s := range []string{"https://as.test", "http://localhost:8000", "https://as.test:65535/a/b-c_d.e~f", "http://[::1]:80/a"} {
		if err := issuerURL(s); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	for _, s := range []string{
		"https://as.test/a b", "https://as.test/ü", "https://as.test/%61", "https://as.test:99999", "https://as.test:0", "https://as.test:",
		"https://as.test/a/../b", "https://as.test/./a", "https://as.test/..", "https://as.test//a", "https://as.test/{a}", "https://as.test/a%2Fb",
	} {
		if issuerURL(s) == nil {
			t.Errorf("%s is taken", s)
		}
	}
}

// F09. Settings by which more keys would be published than verifiers read are refused.
func TestRotationThatKeepsTooManyKeysIsRefused(t *testing.T) {
	environ := []string{"WATCHWORD_KEYS_ROTATE_EVERY=2h", "WATCHWORD_TOKEN_MAX_TTL=30d"}
	if _, err := Load(Sources{Environ: environ}); err == nil || !strings.Contains(err.Error(), "is so short that more than 60 keys") {
		t.Errorf("got %v", err)
	}
	environ[0] = "WATCHWORD_KEYS_ROTATE_EVERY=12h"
	if _, err := Load(Sources{Environ: environ}); err != nil {
		t.Error(err)
	}
}
