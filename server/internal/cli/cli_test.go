package cli

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// call runs the program in this process.
func call(t *testing.T, stdin string, environ []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = Run(t.Context(), args, environ, strings.NewReader(stdin), &out, &err)
	return code, out.String(), err.String()
}

func TestWrongCommandLinesAreUsageErrors(t *testing.T) {
	for _, c := range []struct {
		args string
		want string
	}{
		{"servce", `"servce" is not a command; did you mean serve or service?`},
		{"zzzz", `"zzzz" is not a command`},
		{"service creat m1", "did you mean create?"},
		{"service create", "NAME is missing"},
		{"service create m1 m2", `"m2" is one argument too many`},
		{"service create m1 --token-ttl 5", "--token-ttl: \"5\" is not a duration"},
		{"service create m1 --token-ttl 500ms", "is not a whole number of seconds"},
		{"service update m1", "nothing to change"},
		{"service delete m1", "confirm it with --yes"},
		{"credential create m1 --ttl 0", "must be longer than 0"},
		{"credential list m1 m2", "one argument too many"},
		{"service create m1 --auth-method none", `"none" is not one of client_secret_basic`},
		{"service create m1 --grant password", `"password" is not one of client_credentials`},
		{"credential create m1 --kind password", `"password" is not one of bootstrap`},
		{"credential create m1 --dns a", "--dns applies to --kind tls_subject only"},
		{"credential create m1 --kind secret --public f", "--public applies to --kind key only"},
		{"credential create m1 --kind key", "give either --out, for a new key, or --public"},
		{"credential create m1 --kind key --out a --public b", "give either --out, for a new key, or --public"},
		{"credential create m1 --kind key --out a --algorithm RS256", `"RS256" is not one of ES256, PS256, EdDSA`},
		{"credential create m1 --kind jwks", "--jwks-uri is missing"},
		{"credential create m1 --kind certificate --out a", "give either --out and --out-cert"},
		{"credential create m1 --kind tls-subject", "exactly one of"},
		{"credential create m1 --kind tls-subject --dns a --ip 10.0.0.1", "exactly one of"},
		{"credential create m1 --kind workload", "give --trust and --claim, or --from-token"},
		{"credential create m1 --kind workload --trust prod --claim uid", `"uid" is not NAME=VALUE`},
		{"credential create m1 --kind workload --trust prod --claim a=1 --claim a=2", "a is there twice"},
		{"credential create m1 --from-token --claim a=1", "--from-token and --claim both name claims"},
		{"credential create m1 --kind secret --trust prod", "--trust applies to --kind workload only"},
		{"credential create m1 --from-token m1.token", "write the file behind an equals sign, as in --from-token=m1.token"},
		{"service create m1 --from-token", "a token on standard input is missing"},
		{"trust add", "NAME is missing"},
		{"trust add prod", "--issuer is missing: "},
		{"trust add prod --preset kubernets --issuer https://a", `"kubernets" is not one of oidc, kubernetes`},
		{"trust add prod --issuer https://a --max-lifetime 40d", "40d is longer than 31d"},
		{"trust add prod --issuer https://a --once sometimes", `"sometimes" is not always or never`},
		{"trust add prod --from-kubeconfig --jwks-file f", "both name keys"},
		{"trust add prod --from-kubeconfig f", "as in --from-kubeconfig=f"},
		{"trust update prod", "nothing to change"},
		{"trust update prod --enable --disable", "exclude each other"},
		{"trust test eyJh.a.b.c", "a token must not be an argument"},
		{"trust test", "a token on standard input is missing"},
		{"why --token - --to m2", "a token on standard input is missing"},
		{"why m1 --token f", "with --token the target is --to"},
		{"why m1 m2 --to m3", "--to requires --token"},
		{"credential create m1 --not-before soon", `"soon" is not a date`},
		{"credential rotate", "ID is missing"},
		{"credential rotate a --overlap 5", "is not a duration"},
		{"allow m1 m2 --exchange all", `"all" is not one of delegate, impersonate`},
		{"allow m1 m2 --chain loose", `"loose" is not one of any, direct`},
		{`allow m1 m2 --scope a"b`, "--scope: a scope must have only printable ASCII"},
		{"keys rotate --algorithm FOO", `"FOO" is not one of ES256, RS256, PS256, EdDSA`},
		{"keys rotate --use signing", `"signing" is not one of access, credential, audit`},
		{"allow m1", "TARGET is missing"},
		{"allow m1 m2 --until tomorrow", `"tomorrow" is not a date: write 2027-01-01`},
		{"rules m1", "one argument too many"},
		{"keys revoke kid", "confirm it with --yes"},
		{"keys list --bogus", "unknown flag: --bogus"},
		{"token get --as m1", "--target is missing"},
		{"token get --target m2", "--as, --credential-file or --token-file is missing"},
		{"token get --token-file f --secret-file g --target m2", "--secret-file and --token-file both prove who the service is"},
		{"token get --token-file f --key-file g --target m2", "--key-file and --token-file both prove who the service is"},
		{"token get --method spiffe-x509 --as spiffe://a/b --target m2", "--cert-file is missing, which spiffe_x509 requires"},
		{"token get --token-file f --method secret-post --target m2", "client_secret_post does not use --token-file"},
		{"token get --as m1 --credential-file f --target m2", "both name a credential"},
		{"token get --as m1 --secret-file f --credential-file g --target m2", "--secret-file and --credential-file both name"},
		{"token get --as m1 --target m2 --resource https://a", "both name a target"},
		{"token get --as m1 --resource m2", `"m2" is not an absolute URI`},
		{"token get --as m1 --target m2 --impersonate", "--impersonate requires --exchange"},
		{"token get --secret-file f --target m2", "--as is missing, which client_secret_basic requires"},
		{"token get --as m1 --method secret-post --target m2", "--secret-file is missing, which client_secret_post requires"},
		{"token get --as m1 --method password --target m2", `"password" is not one of client_secret_basic, client_secret_post`},
		{"token get --as m1 --cert-file f --target m2", "--method is missing: with a certificate it is tls_client_auth, self_signed_tls_client_auth or spiffe_x509"},
		{"token get --as m1 --method tls --cert-file f --target m2", "--cert-key-file is missing"},
		{"token revoke a.b.c", "every user of the machine can read it there"},
		{"token revoke a b", "one argument too many"},
		{"revocation list m1", "one argument too many"},
		{"token inspect a.b.c", "every user of the machine can read it there"},
		{"audit tail -n -1", "-n must not be negative"},
		{"audit tail -n many", "invalid argument"},
		{"config validate a --config b", "both name a file"},
		{"serve now", "one argument too many"},
		{"keys revoke -gmWw", "after --, as in: watchword keys revoke -- -x"},
		{"why", "an ID, or CALLER and TARGET, is missing"},
		{"why m1", `TARGET is missing; write two services, as in "watchword why m1 m2"`},
		{"why eyJh.a.b", "watchword token inspect < FILE"},
		{"token inspect", "a token on standard input is missing"},
		{"plan", "-f is missing"},
		{"plan -f x --format png", `"png" is not text, mermaid or dot`},
		{"plan callmap.yaml", "one argument too many"},
		{"callmap show x", `"x" is not a revision`},
		{"callmap show", "REVISION is missing"},
		{"callmap fmt -f . -w --check", "exclude each other"},
		{"callmap history -n 0", "-n must be from 1 to 1000"},
		{"serve --supertokens-api-keys x", "unknown flag: --supertokens-api-keys"},
	} {
		code, stdout, stderr := call(t, "", nil, strings.Fields(c.args)...)
		if code != 2 || stdout != "" || !strings.Contains(stderr, c.want) || !strings.Contains(stderr, "\nSee: watchword ") {
			t.Errorf("%s: got %d, %q, %q, want 2 and %q on stderr", c.args, code, stdout, stderr, c.want)
		}
		if strings.Contains(stderr, "a.b.c") {
			t.Errorf("%s: the token is repeated: %s", c.args, stderr)
		}
	}
}

func TestErrorsEndWithWhatToDo(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "operator.token"), []byte("0123456789012345678901234567890123456789\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := t.TempDir()
	for _, c := range []struct {
		name    string
		environ []string
		args    string
		want    string
	}{
		{"no token", []string{"WATCHWORD_DATA=" + empty}, "service list", "there is no operator token: " + empty + "/operator.token: no such file or directory\nThe server creates the token when it starts for the first time: watchword serve\n"},
		{"no server", []string{"WATCHWORD_DATA=" + folder}, "service list --admin-url http://127.0.0.1:1", "no answer from http://127.0.0.1:1: dial tcp 127.0.0.1:1: connect: connection refused\nIs the server running? Start it with: watchword serve\n"},
		{"no server, by variable", []string{"WATCHWORD_DATA=" + folder, "WATCHWORD_ADMIN_URL=http://127.0.0.1:1"}, "status", "Is the server running?"},
		{"no server, by its own setting", []string{"WATCHWORD_DATA=" + folder, "WATCHWORD_ADMIN_LISTEN=127.0.0.1:1"}, "status", "no answer from http://127.0.0.1:1:"},
		{"another machine", []string{"WATCHWORD_DATA=" + folder}, "rules --admin-url http://10.0.0.1:8010", "use https, or a tunnel such as: ssh -L 8010:127.0.0.1:8010 10.0.0.1"},
		{"no credential", []string{"WATCHWORD_DATA=" + empty}, "token get --credential-file " + empty + "/m1.jwt --target m2", "Create a credential with: watchword credential create"},
		{"a credential to another machine", nil, "token get --credential-file " + folder + "/operator.token --target m2 --url http://10.0.0.1:8000", "http"},
		{"no audit log", []string{"WATCHWORD_DATA=" + empty}, "audit tail", "there is no audit log in " + empty + "/audit\nName the data folder with --data"},
		{"no keys", nil, "audit verify --keys " + empty + "/none", "none: no such file or directory"},
		{"no configuration", nil, "config validate " + empty + "/none", "name a file that is there"},
		{"a bad configuration", []string{"WATCHWORD_LISTEN=x"}, "serve", "See the settings and where they come from with: watchword config print\n"},
	} {
		code, stdout, stderr := call(t, "", c.environ, strings.Fields(c.args)...)
		if code != 1 || stdout != "" || !strings.HasPrefix(stderr, "watchword: ") || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: got %d, %q, %q, want 1 and %q", c.name, code, stdout, stderr, c.want)
		}
		if strings.Contains(stderr, "0123456789") {
			t.Errorf("%s: a secret is told: %s", c.name, stderr)
		}
	}
}

// A server that is not ready cannot be had for the asking: this one only says so.
func TestStatusFailsWhenTheServerIsNotReady(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `{"status":"not ready","problems":{"audit":"no space left on device"}}`)
			return
		}
		fmt.Fprint(w, `{"version":"v1","issuer":"http://localhost:8000"}`)
	}))
	defer server.Close()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("0123456789012345678901234567890123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := call(t, "", nil, "status", "--admin-url", server.URL, "--admin-token-file", token)
	if code != 1 || !strings.Contains(stdout, "ready     no\n") || !strings.Contains(stderr, "not ready: audit: no space left on device\n") {
		t.Errorf("got %d, %q, %q", code, stdout, stderr)
	}
}
