package config

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/configuration.md anew")

const docsIntro = `# Configuration

Every setting has a name in the configuration file, in the environment and, unless it is a
secret, among the flags of ` + "`watchword serve`" + `. Flags win over the environment, which wins over the
file, which wins over the defaults. The file is named by ` + "`--config`" + ` or ` + "`" + ConfigEnv + "`" + `; no file is
read otherwise. In it, dots are levels:

` + "```yaml" + `
listen: 0.0.0.0:8443
tls:
  cert_file: /etc/watchword/tls.crt
  key_file: /etc/watchword/tls.key
issuer: https://auth.example.com
token:
  ttl: 5m
` + "```" + `

` + "`watchword config print`" + ` shows what is in force and where it comes from; ` + "`watchword config validate`" + `
lists all that is wrong, as the server does when it refuses to start. An unknown name, in the file
or among variables that begin with ` + "`WATCHWORD_`" + `, is an error; what Kubernetes puts into the environment for a
Service named watchword is left alone. An empty variable is one that is not set.

Durations are written as in ` + "`30s`, `15m`, `24h`, `90d` or `1y`" + ` (365 days), sizes as in ` + "`64MiB`" + `, lists with commas
or, in the file, as YAML lists. Relative paths are relative to where the server was started.

A secret is set by its variable, in the file, or by naming a file that holds it: the names that
end in ` + "`_file`, `_FILE` and `-file`" + `. To set it both ways in one place is an error. ` + "`--database`" + ` refuses a URL
with a password, since everybody can read the arguments of a process.

The command line reads ` + "`WATCHWORD_ADMIN_URL`" + ` (the operator's listener), ` + "`WATCHWORD_URL`" + ` (the public listener),
` + "`WATCHWORD_DATA` and `WATCHWORD_ADMIN_TOKEN_FILE`" + ` (the operator token) as well.

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
		t.Errorf("docs/configuration.md is not what the table says (%v); write it with: go test ./internal/config -update", err)
	}
	_, example, _ := strings.Cut(want, "```yaml\n")
	example, _, _ = strings.Cut(example, "```")
	if entries, problems := parseYAML("example", []byte(example)); len(problems) > 0 || len(entries) != 5 {
		t.Errorf("the example is wrong: %v", problems)
	}
}
