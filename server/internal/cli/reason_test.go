package cli

import (
	"regexp"
	"strings"
	"testing"

	"github.com/watchword-dev/watchword/internal/reason"
	"github.com/watchword-dev/watchword/server/internal/cli/base"
)

// What docs/errors.md and "watchword why" tell people to run exists, with its flags.
func TestCommandsThatAreAdvisedExist(t *testing.T) {
	quoted := regexp.MustCompile("`watchword ([^`]*)`")
	advised := 0
	for _, name := range reason.Names() {
		e := reason.Of(name)
		for _, found := range quoted.FindAllStringSubmatch(e.Means+e.Do+e.More, -1) {
			line, _, _ := strings.Cut(found[1], " <") // what follows is for the shell
			words := strings.Fields(line)
			cmd, rest, err := Root(&base.CLI{}).Find(words)
			if err != nil || !cmd.HasParent() {
				t.Errorf("%s: there is no command watchword %s: %v", name, line, err)
				continue
			}
			for _, word := range rest {
				if flag, ok := strings.CutPrefix(word, "--"); ok && cmd.Flag(flag) == nil {
					t.Errorf("%s: %s has no flag --%s", name, cmd.CommandPath(), flag)
				}
				if word == strings.ToLower(word) && !strings.HasPrefix(word, "-") && cmd.HasSubCommands() {
					t.Errorf("%s: %s has no command %s", name, cmd.CommandPath(), word)
				}
			}
			advised++
		}
	}
	if advised < 20 {
		t.Errorf("only %d commands were found", advised)
	}
}
