package cli

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/watchword-dev/watchword/server/internal/cli/base"
)

// tree lists all commands.
func tree() []*cobra.Command {
	var all []*cobra.Command
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		all = append(all, cmd)
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(Root(&base.CLI{}))
	return all
}

// The help of a command fits in 100 columns, flags included.
func TestEveryCommandHasHelp(t *testing.T) {
	short := regexp.MustCompile(`^[A-Z][^.]{5,62}$`)
	for _, cmd := range tree() {
		if !short.MatchString(cmd.Short) {
			t.Errorf("%s: the Short has to be a line without a full stop: %q", cmd.CommandPath(), cmd.Short)
		}
		if len(cmd.Long) < 40 || !strings.Contains(cmd.Long, ".") || strings.Contains(cmd.Long, "\n\n\n") {
			t.Errorf("%s: the Long has to be sentences: %q", cmd.CommandPath(), cmd.Long)
		}
		if !strings.HasPrefix(cmd.Example, "  watchword") {
			t.Errorf("%s: the Example has to begin with a command: %q", cmd.CommandPath(), cmd.Example)
		}
		if cmd.RunE == nil {
			t.Errorf("%s has no RunE", cmd.CommandPath())
		}
		code, stdout, stderr := call(t, "", nil, append(strings.Fields(cmd.CommandPath())[1:], "--help")...)
		if code != 0 || stderr != "" || !strings.Contains(stdout, "Usage:\n  "+cmd.CommandPath()) {
			t.Errorf("%s --help: got %d, %q, %q", cmd.CommandPath(), code, stdout, stderr)
		}
		for line := range strings.Lines(stdout) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 100 {
				t.Errorf("%s --help: a line has %d characters: %s", cmd.CommandPath(), n, line)
			}
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if len(f.Usage) < 10 || strings.HasSuffix(f.Usage, ".") && cmd.Flag("listen") == nil { // the settings of the server are whole sentences
				t.Errorf("%s --%s: the usage has to say what the flag does, without a full stop: %q", cmd.CommandPath(), f.Name, f.Usage)
			}
		})
	}
}

func TestHelpShowsThatTheFileOfAFlagIsOptional(t *testing.T) {
	for args, want := range map[string]string{
		"service create": "--from-token[=file] ", "credential create": "--from-token[=file] ",
		"trust add": "--from-kubeconfig[=kubeconfig] ", "trust keys": "--from-kubeconfig[=kubeconfig] ",
	} {
		if _, stdout, _ := call(t, "", nil, append(strings.Fields(args), "--help")...); !strings.Contains(stdout, want) || strings.Contains(stdout, `[="`) {
			t.Errorf("%s --help: got %q, want %q", args, stdout, want)
		}
	}
}

func TestHelpListsEveryCommandInAGroup(t *testing.T) {
	if code, stdout, _ := call(t, "", nil, "--help"); code != 0 || strings.Contains(stdout, "Additional Commands") {
		t.Errorf("got %d and a command outside the groups:\n%s", code, stdout)
	}
}

// privateWords are words and turns of phrase that help texts had and that a newcomer did not understand.
var privateWords = regexp.MustCompile(`(?i)\b(doors?|hangs? on|guess(es)?|says? whether|tells? whether|the house|prove[sd]? (itself|themselves|who)|` +
	`for a while|anew|meanwhile|mend|that there is|got with|who (asks|calls|follows|checks|shows|guesses)|beside|` +
	`takes? (it )?(away|out)|make a (service|credential|token)|withdraw(s|n)?|good (for|until)|is good|the one layout|stays? as it is|one by one|told)\b`)

func TestHelpHasNoPrivateWords(t *testing.T) {
	for _, cmd := range tree() {
		texts := map[string]string{"Short": cmd.Short, "Long": cmd.Long}
		cmd.Flags().VisitAll(func(f *pflag.Flag) { texts["--"+f.Name] = f.Usage })
		for where, text := range texts {
			if word := privateWords.FindString(strings.Join(strings.Fields(text), " ")); word != "" {
				t.Errorf("%s, %s: say it without %q", cmd.CommandPath(), where, word)
			}
		}
	}
}

// Examples are what people paste: each names a command and flags that exist.
func TestExamplesAreUnderstood(t *testing.T) {
	understood := 0
	for _, cmd := range tree() {
		for line := range strings.Lines(cmd.Example) {
			if !strings.HasPrefix(line, "  watchword ") {
				continue // a command of another program, with one of these in it
			}
			line, _, _ = strings.Cut(strings.TrimPrefix(line, "  watchword "), " |")
			line, _, _ = strings.Cut(strings.TrimSpace(line), " <")
			line, _, _ = strings.Cut(line, " >")
			out, err := exec.CommandContext(t.Context(), "sh", "-c", `printf '%s\n' `+line).Output()
			if err != nil {
				t.Fatal(err)
			}
			words := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
			found, rest, err := Root(&base.CLI{}).Find(words)
			if err != nil {
				t.Errorf("%s: %v", line, err)
				continue
			}
			if err := found.ParseFlags(rest); err != nil {
				t.Errorf("%s: %v", line, err)
			}
			if err := found.ValidateArgs(found.Flags().Args()); err != nil {
				t.Errorf("%s: %v", line, err)
			}
			understood++
		}
	}
	if understood < len(tree()) {
		t.Errorf("only %d examples for %d commands", understood, len(tree()))
	}
}
