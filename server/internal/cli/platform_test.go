package cli

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/watchword-dev/watchword/client/clienttest"
)

// token get authenticates with the token that the flag or the environment names, and with nothing else if that fails.
func TestTokenGetUsesThePlatformTokenAndNoSecretInstead(t *testing.T) {
	auth := clienttest.NewServer()
	defer auth.Close()
	auth.Allow("m1", "m2")
	// It stands in for the service of GitHub that answers the jobs of GitHub Actions, which cannot run here.
	github := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer of-the-job" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		fmt.Fprintf(w, `{"value":%q}`, auth.PlatformToken("m1", r.URL.Query().Get("audience")))
	}))
	defer github.Close()
	t.Setenv("ACTIONS_ID_TOKEN_REQUEST_URL", github.URL+"/?api-version=2.0") // which the source reads itself
	t.Setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "of-the-job")

	data := t.TempDir()
	file, absent, empty := filepath.Join(data, "token"), filepath.Join(data, "absent"), filepath.Join(data, "empty")
	bootstrap := filepath.Join(data, "credentials", "m1.jwt")
	if err := os.Mkdir(filepath.Dir(bootstrap), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{file: auth.PlatformToken("m1", auth.URL), empty: "\n", bootstrap: auth.Credential("m1")} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	always := []string{"WATCHWORD_DATA=" + data, "WATCHWORD_URL=" + auth.URL, "WATCHWORD_CREDENTIAL_FILE=" + bootstrap}
	const job = "ACTIONS_ID_TOKEN_REQUEST_URL=set"
	for _, c := range []struct {
		name, args string
		environ    []string
		want       string // in stderr; empty: a token
	}{
		{"flag", "--token-file " + file, nil, ""},
		{"flag and service", "--token-file " + file + " --as m1", nil, ""},
		{"flag and method", "--token-file " + file + " --method workload_jwt", nil, ""},
		{"short method", "--token-file " + file + " --method spiffe-jwt", nil, ""},
		{"variable", "", []string{"WATCHWORD_TOKEN_FILE=" + file}, ""},
		{"variable and service", "--as m1", []string{"WATCHWORD_TOKEN_FILE=" + file}, ""},
		{"flag before variable", "--token-file " + file, []string{"WATCHWORD_TOKEN_FILE=" + absent}, ""},
		{"name by variable", "", []string{"WATCHWORD_TOKEN_FILE=" + file, "WATCHWORD_CLIENT_ID=m1"}, ""},
		{"wrong name by variable", "", []string{"WATCHWORD_TOKEN_FILE=" + file, "WATCHWORD_CLIENT_ID=m9"}, "(status 401, invalid_client)"},
		{"GitHub", "", []string{job}, ""},
		{"GitHub, another audience", "", []string{job, "WATCHWORD_AUDIENCE=x"}, "(status 401, invalid_client)"},
		{"GitHub without permission", "", []string{"GITHUB_ACTIONS=true"}, "set `permissions: id-token: write` for the job"},
		{"GitHub without permission, method", "--method workload-jwt", []string{"GITHUB_ACTIONS=true"}, "set `permissions: id-token: write` for the job"},
		{"GitHub without permission, with a stored credential", "--as m1", []string{"GITHUB_ACTIONS=true"}, ""},
		{"file before GitHub", "", []string{job, "WATCHWORD_TOKEN_FILE=" + absent}, absent},
		{"no file", "--token-file " + absent, nil, "platform token: open " + absent + ": no such file or directory; have the platform write its token there"},
		{"no file by variable, with a stored credential", "--as m1", []string{"WATCHWORD_TOKEN_FILE=" + absent}, "platform token: open " + absent},
		{"empty file", "--token-file " + empty, nil, "platform token file " + empty + ": it is empty"},
		{"nothing but the method", "--method workload_jwt", nil, "--token-file is missing, and WATCHWORD_TOKEN_FILE is not set; set it to"},
		{"method and variable", "--as m1 --method workload-jwt", []string{"WATCHWORD_TOKEN_FILE=" + file}, ""},
		{"no platform", "--as m1 --method bootstrap", nil, ""},
	} {
		code, stdout, stderr := call(t, "", append(c.environ, always...), strings.Fields("token get --target m2 "+c.args)...)
		if c.want == "" && (code != 0 || !strings.HasPrefix(stdout, "eyJ")) {
			t.Errorf("%s: got %d, %q, %q; want a token", c.name, code, stdout, stderr)
		}
		if c.want != "" && (code == 0 || stdout != "" || !strings.Contains(stderr, c.want)) {
			t.Errorf("%s: got %d, %q, %q; want %q", c.name, code, stdout, stderr, c.want)
		}
		if strings.Contains(stderr, "credential create") || strings.Contains(stderr, "eyJ") || strings.Contains(stderr, "of-the-job") {
			t.Errorf("%s: stderr is %q", c.name, stderr)
		}
	}
}

// Errors are logged by CI systems, so a token that is given where a file is expected is not in them.
func TestTokenGivenAsAFileIsNotRepeated(t *testing.T) {
	auth := clienttest.NewServer()
	defer auth.Close()
	data := t.TempDir()
	if err := os.WriteFile(filepath.Join(data, "operator.token"), []byte(strings.Repeat("0", 40)), 0o600); err != nil { // which some commands read first
		t.Fatal(err)
	}
	for _, token := range []string{"eyJhbGci.hunter2.c2ln", "hunter2.b.c", "eyJ" + strings.Repeat("hunter2", 1000)} {
		for _, c := range []struct {
			args, environ string
			want          string
		}{
			{"token get --target m2", "WATCHWORD_TOKEN_FILE=" + token, "WATCHWORD_TOKEN_FILE is itself a token"},
			{"token get --target m2 --token-file " + token, "", "the value of --token-file is itself a token"},
			{"token get --target m2 --credential-file " + token, "", "is itself a credential"},
			{"token get --target m2 --as m1 --secret-file f --exchange " + token, "", "[not shown"},
			{"why --to m2 --token " + token, "", "the value of --token is itself a token"},
			{"trust test --token-file " + token, "", "the value of --token-file is itself a token"},
			{"trust test prod " + token, "", "one argument too many"},
			{"service create m1 --from-token=" + token, "", "the value of --from-token is itself a token"},
			{"service create m1 --from-token " + token, "", "a token must not be an argument"},
			{"service create m1 " + token, "", "one argument too many"},
			{"credential create m1 --from-token=" + token, "", "the value of --from-token is itself a token"},
			{"credential create m1 --from-token " + token, "", "a token must not be an argument"},
			{"service list --admin-token-file " + token, "", "[not shown"},
		} {
			environ := []string{"WATCHWORD_DATA=" + data, "WATCHWORD_URL=" + auth.URL, "WATCHWORD_ADMIN_URL=http://127.0.0.1:1", c.environ}
			code, stdout, stderr := call(t, "", environ, strings.Fields(c.args)...)
			if code == 0 || stdout != "" || strings.Contains(stderr, "hunter2") || !strings.Contains(stderr, c.want) {
				t.Errorf("%.60s: got %d, %q, %q; want %q and no token", c.args, code, stdout, stderr, c.want)
			}
		}
	}
}
