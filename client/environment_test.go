package client

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// environment is an environment that records which variables are read.
type environment struct {
	values map[string]string
	read   []string
}

func (e *environment) get(name string) string {
	e.read = append(e.read, name)
	return e.values[name]
}

// secrets are variables that other programs, or this project's own, put secrets into or the names of files with secrets.
var secrets = map[string]string{
	"WATCHWORD_CREDENTIAL_FILE": "/bootstrap", "WATCHWORD_CREDENTIAL": "hunter2", "WATCHWORD_CLIENT_SECRET": "hunter2",
	"WATCHWORD_TOKEN": "hunter2", githubRequestToken: "hunter2",
}

func TestFromEnvironmentChoosesTheSourceAndSaysWhich(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	must(t, os.WriteFile(file, []byte("a.b.c\n"), 0o600))
	const github = "https://runner.example/idtoken?x=1"
	for name, c := range map[string]struct {
		env  map[string]string
		want string
	}{
		"file":              {map[string]string{envTokenFile: file}, "file " + file},
		"GitHub":            {map[string]string{githubRequestURL: github, envGitHub: "true"}, "GitHub Actions"},
		"both":              {map[string]string{githubRequestURL: github, envGitHub: "true", envTokenFile: file}, "file " + file},
		"another audience":  {map[string]string{githubRequestURL: github, envAudience: "x"}, "GitHub Actions for the audience x"},
		"one of the clouds": {map[string]string{envTokenFile: file, envClientID: "m1"}, "file " + file},
	} {
		e := &environment{values: c.env}
		e.values[envURL] = "https://as.example"
		for name, value := range secrets {
			e.values[name] = value
		}
		var edited Config
		cl, err := fromEnvironment(t.Context(), e.get, []func(*Config){func(cfg *Config) { edited = *cfg }})
		must(t, err)
		must(t, cl.Close())
		if want := "https://as.example by workload_jwt with " + c.want; cl.String() != want || edited.Auth.clientID != c.env[envClientID] {
			t.Errorf("%s: got %q and the client id %q, want %q", name, cl, edited.Auth.clientID, want)
		}
		checkRead(t, e)
	}
}

// A source must not be replaced by a secret, or by another source, because it does not work.
func TestFromEnvironmentWithoutASourceIsAnErrorThatSaysWhatToSet(t *testing.T) {
	dir := t.TempDir()
	absent, empty := filepath.Join(dir, "absent"), filepath.Join(dir, "empty")
	must(t, os.WriteFile(empty, nil, 0o600))
	const server = "https://as.example"
	for name, c := range map[string]struct {
		env  map[string]string
		want []string
	}{
		"nothing":           {map[string]string{}, []string{"WATCHWORD_URL is not set; set it to", "WATCHWORD_TOKEN_FILE is not set; set it to", "`permissions: id-token: write`"}},
		"no server":         {map[string]string{envTokenFile: absent}, []string{"WATCHWORD_URL is not set"}},
		"no source":         {map[string]string{envURL: server}, []string{"WATCHWORD_TOKEN_FILE is not set"}},
		"no permission":     {map[string]string{envURL: server, envGitHub: "true"}, []string{"set `permissions: id-token: write`"}},
		"no file":           {map[string]string{envURL: server, envTokenFile: absent}, []string{absent, "have the platform write its token there"}},
		"no file in a job":  {map[string]string{envURL: server, envTokenFile: absent, envGitHub: "true", githubRequestURL: "https://runner.example/"}, []string{absent}},
		"empty file":        {map[string]string{envURL: server, envTokenFile: empty}, []string{empty, "it is empty"}},
		"a token":           {map[string]string{envURL: server, envTokenFile: "eyJhbGci.hunter2.c2ln"}, []string{"WATCHWORD_TOKEN_FILE is itself a token, which is not shown here; write the token to a file"}},
		"a long token":      {map[string]string{envURL: server, envTokenFile: strings.Repeat("hunter2", 1000)}, []string{"WATCHWORD_TOKEN_FILE is itself a token"}},
		"no address":        {map[string]string{envURL: "as.example", envTokenFile: absent}, []string{absent}},
		"GitHub, no server": {map[string]string{githubRequestURL: "https://runner.example/"}, []string{"WATCHWORD_URL is not set"}},
	} {
		e := &environment{values: c.env}
		for name, value := range secrets {
			e.values[name] = value
		}
		cl, err := fromEnvironment(t.Context(), e.get, nil)
		for _, want := range c.want {
			if cl != nil || err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, %v; want %q in the error", name, cl, err, want)
			}
		}
		if strings.Contains(fmt.Sprint(err), "hunter2") {
			t.Errorf("%s: the error repeats the token: %v", name, err)
		}
		checkRead(t, e)
	}
}

// checkRead fails if a variable was read that FromEnvironment does not name, such as one with a secret.
func checkRead(t *testing.T, e *environment) {
	t.Helper()
	for _, name := range e.read {
		if !slices.Contains([]string{envURL, envTokenFile, envAudience, envClientID, envGitHub, githubRequestURL}, name) {
			t.Errorf("the variable %s was read", name)
		}
	}
}
