package cli

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/spf13/pflag"

	"github.com/watchword-dev/watchword/server/internal/app"
	"github.com/watchword-dev/watchword/server/internal/cli/base"
	"github.com/watchword-dev/watchword/server/internal/config"
)

// hostile are names as a caller may choose them: a shell would run them, a terminal would act on them, and a
// reader of the audit log would take them for fields.
var hostile = []string{
	"audience=$(touch${IFS}pwned)",
	"m9;touch pwned;`touch pwned`",
	"m9' ; touch pwned ; '",
	"m9\ntouch pwned",
	"m9\x1b[2J\u009b2J\x7f\u202e\U000e0041",
	"m9  scope=admin  from=10.9.9.9  id=0",
}

// testServer runs a server until the test ends, and returns its address and the environment of its operator.
func testServer(t *testing.T) (url string, environ []string) {
	t.Helper()
	data := t.TempDir()
	loaded, err := config.Load(config.Sources{Flags: map[string]string{"data": data, "listen": "127.0.0.1:0", "admin-listen": "127.0.0.1:0"}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	server, err := app.New(ctx, loaded.Config, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	return server.URL(), []string{"WATCHWORD_DATA=" + data, "WATCHWORD_ADMIN_URL=" + server.AdminURL(), "WATCHWORD_URL=" + server.URL()}
}

// done runs a command that has to succeed and returns its answer.
func done(t *testing.T, environ []string, args ...string) string {
	t.Helper()
	code, stdout, stderr := call(t, "", environ, args...)
	if code != 0 {
		t.Fatalf("%v: got %d, %s", args, code, stderr)
	}
	return stdout
}

// decisions has m1 ask for a token for each hostile name, and returns the ids of the refusals.
func decisions(t *testing.T, url string, environ []string) (ids []string) {
	t.Helper()
	credential := strings.TrimSpace(done(t, environ, "credential", "create", "m1"))
	for _, target := range hostile {
		body, err := json.Marshal(map[string]string{"target": target})
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/accesstoken", strings.NewReader(string(body)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+credential)
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(io.Discard, resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err != nil {
			t.Fatal(err)
		}
		if id := resp.Header.Get("Watchword-Decision"); id != "" {
			ids = append(ids, id)
		}
	}
	return ids
}

// harmless checks that what a command printed neither acts on a terminal nor, pasted into a shell, runs
// anything but watchword.
func harmless(t *testing.T, args []string, printed string) {
	t.Helper()
	if i := strings.IndexFunc(printed, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }); i >= 0 {
		t.Errorf("F13: %q prints a character that does not print: %q", args, printed)
	}
	texts := strings.Split(printed, "\n")
	var answer any
	if json.Unmarshal([]byte(printed), &answer) == nil {
		texts = nil
		var walk func(any)
		walk = func(v any) {
			switch v := v.(type) {
			case string:
				texts = append(texts, strings.Split(v, "\n")...)
			case []any:
				for _, e := range v {
					walk(e)
				}
			case map[string]any:
				for _, e := range v {
					walk(e)
				}
			}
		}
		walk(answer)
	}
	for _, text := range texts {
		command := printedCommand.FindString(text)
		if command == "" {
			continue
		}
		folder := t.TempDir()
		cmd := exec.CommandContext(t.Context(), "sh", "-c", "watchword() { :; }\n"+command)
		cmd.Dir = folder
		_ = cmd.Run() // prose after a command may be no shell's
		if _, err := os.Stat(filepath.Join(folder, "pwned")); err == nil {
			t.Errorf("F10: %q prints a command that runs what is in a name: %s", args, command)
		}
	}
}

var printedCommand = func() *regexp.Regexp {
	var names []string
	for _, cmd := range Root(&base.CLI{}).Commands() {
		names = append(names, cmd.Name())
	}
	return regexp.MustCompile(`\bwatchword (` + strings.Join(names, "|") + `)\b.*`)
}()

// F10, F13: every command of the tree is given hostile names, in each argument and in each flag.
func TestF10F13WhatIsPrintedIsHarmless(t *testing.T) {
	url, environ := testServer(t)
	t.Chdir(t.TempDir()) // some of the flags name files
	for _, name := range []string{"m1", "m2"} {
		done(t, environ, "service", "create", name)
	}
	done(t, environ, "allow", "m1", "m2", "--scope", "$(touch${IFS}pwned)")
	ids := decisions(t, url, environ)
	if len(ids) == 0 {
		t.Fatal("no hostile name was decided about")
	}
	var lines [][]string
	for _, id := range ids {
		lines = append(lines, []string{"why", id}, []string{"why", id, "--json"})
	}
	lines = append(lines, []string{"audit", "tail", "-n", "1000"}, []string{"audit", "tail", "-n", "1000", "--json"}, []string{"suggest"}, []string{"unused"},
		[]string{"why", "m1", "m2", "--scope", ";touch$IFS`pwned`"}, []string{"why", "m1", "m2", "--scope", ";touch$IFS`pwned`", "--json"})
	for _, name := range hostile {
		lines = append(lines, hostileLines(name)...)
	}
	commands := 0
	for _, args := range lines {
		_, stdout, stderr := call(t, "", environ, args...)
		harmless(t, args, stdout)
		if strings.Contains(stdout, "\ntouch pwned") {
			t.Errorf("F13: %q answers with a line that a name has written: %q", args, stdout)
		}
		harmless(t, args, stderr)
		commands += len(printedCommand.FindAllString(stdout+stderr, -1))
	}
	if commands < 100 {
		t.Errorf("only %d commands were printed, which is not what this test was written for", commands)
	}
}

// hostileLines are command lines with name in the arguments of each command, and in each of its flags.
func hostileLines(name string) (lines [][]string) {
	for _, cmd := range tree() {
		if cmd.HasSubCommands() || cmd.Name() == "serve" || cmd.Name() == "demo" {
			continue
		}
		path := strings.Fields(cmd.CommandPath())[1:]
		if cmd.Flag("yes") != nil {
			path = append(path, "--yes")
		}
		for n := range 3 {
			args := path[:len(path):len(path)]
			for range n {
				args = append(args, name)
			}
			lines = append(lines, args)
		}
		lines = append(lines, append(path[:len(path):len(path)], "m1", name), append(path[:len(path):len(path)], name, "m1"))
		for _, flags := range []*pflag.FlagSet{cmd.LocalFlags(), cmd.InheritedFlags()} {
			flags.VisitAll(func(f *pflag.Flag) {
				if f.Value.Type() == "bool" || cmd.Name() == "print" || cmd.Parent().Name() == "config" {
					return // the flags of the configuration are the settings, which no caller writes
				}
				args := slices.Concat(path, []string{"--" + f.Name + "=" + name})
				for range strings.Count(strings.Split(cmd.Use, "|")[0], " ") {
					args = append(args, "m1")
				}
				lines = append(lines, args)
			})
		}
	}
	return lines
}
