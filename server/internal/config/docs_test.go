package config

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/configuration.md")

const docsIntro = `# Configuration

Every setting has a name in the configuration file, in the environment and, unless it is a secret, among the flags
of ` + "`watchword serve`" + `. A flag overrides the environment, which overrides the file, which overrides the default. The file is
named by ` + "`--config`" + ` or ` + "`" + ConfigEnv + "`" + `; without them no file is read. A dot in a name is a level in the file:

` + "```yaml" + `
listen: 0.0.0.0:8443
tls:
  cert_file: /etc/watchword/tls.crt
  key_file: /etc/watchword/tls.key
issuer: https://auth.example.com
token:
  ttl: 5m
` + "```" + `

` + "`watchword config print`" + ` shows the settings in force and where each comes from. ` + "`watchword config validate`" + ` reports all
problems at once, and the server does the same when it refuses to start. An unknown name in the file, or an unknown variable
whose name begins with ` + "`WATCHWORD_`" + `, is an error, except for the variables that Kubernetes sets for a Service named watchword. An
empty variable is not set.

Durations look like ` + "`30s`, `15m`, `24h`, `90d` or `1y`" + ` (365 days), and sizes like ` + "`64MiB`" + `. Lists are separated by commas or, in the
file, written as YAML lists. Relative paths are relative to the folder in which the server was started.

A secret is set by its variable, in the file, or by the name of a file that contains it, for which there are the names that end in
` + "`_file`, `_FILE` and `-file`" + `. Setting it in two of these ways in the same place is an error. ` + "`--database`" + ` refuses a URL
with a password, because everybody can read the arguments of a process.

The other commands also read ` + "`WATCHWORD_ADMIN_URL`" + ` (the operator's listener), ` + "`WATCHWORD_URL`" + ` (the public listener),
` + "`WATCHWORD_DATA` and `WATCHWORD_ADMIN_TOKEN_FILE`" + ` (the operator token). ` + "`watchword token get`" + ` and the SDK also read ` + "`WATCHWORD_TOKEN_FILE`" + `,
` + "`WATCHWORD_AUDIENCE` and `WATCHWORD_CLIENT_ID`" + `: see [Calling with the Go SDK](clients/go-sdk.md#without-a-secret).

<!-- Written from the table in server/internal/config/settings.go by: go test ./server/internal/config -update -->

`

func docs() string {
	var b strings.Builder
	b.WriteString(docsIntro)
	for _, s := range Settings() {
		names := []string{s.Env}
		if s.Secret {
			names = append(names, s.FileEnv)
		}
		if s.Flag != "" {
			names = append(names, "--"+s.Flag)
		}
		if s.Secret {
			names = append(names, "--"+s.FileFlag, s.FileKey)
		}
		fmt.Fprintf(&b, "### `%s`\n\n%s", s.Key, s.Doc)
		if s.Default != "" {
			fmt.Fprintf(&b, " Default: `%s`.", s.Default)
		}
		fmt.Fprintf(&b, "\n\n`%s`\n\n", strings.Join(names, "`, `"))
	}
	return strings.TrimSpace(b.String()) + "\n"
}

func TestDocumentationIsThatOfTheTable(t *testing.T) {
	const file = "../../../docs/configuration.md"
	want := docs()
	if *update {
		if err := os.MkdirAll("../../../docs", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil || string(got) != want {
		t.Errorf("docs/configuration.md is not what the table says (%v); write it with: go test ./server/internal/config -update", err)
	}
	_, example, _ := strings.Cut(want, "```yaml\n")
	example, _, _ = strings.Cut(example, "```")
	if entries, problems := parseYAML("example", []byte(example)); len(problems) > 0 || len(entries) != 5 {
		t.Errorf("the example is wrong: %v", problems)
	}
}
