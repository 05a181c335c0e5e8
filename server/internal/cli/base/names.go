package base

import (
	"errors"
	"slices"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/directory"
)

// Names are the names of a list as people read them, in the spelling of files and requests. Only a URN, such as that
// of a grant, has its short name there.
func Names(list []api.Name) string {
	names := make([]string, len(list))
	for i, n := range list {
		names[i] = n.Name
		if strings.HasPrefix(n.Name, "urn:") {
			names[i] = n.Short
		}
	}
	return strings.Join(names, ", ")
}

// NameOf is the name in list that text is, or is short for. The error is about the flag.
func NameOf(cmd *cobra.Command, flag string, list []api.Name, text string) (string, error) {
	i := slices.IndexFunc(list, func(n api.Name) bool { return text == n.Name || text == n.Short })
	if i < 0 || text == "" {
		return "", Usage(cmd, "%s: %q is not one of %s", flag, text, Names(list))
	}
	return list[i].Name, nil
}

// Scopes are the scopes that the flag --scope names. One value may have several, separated by spaces, as OAuth requests
// have them.
func Scopes(cmd *cobra.Command, given []string) ([]string, error) {
	scopes, err := directory.ParseScopes(strings.Join(strings.Fields(strings.Join(given, " ")), " "))
	if invalid, ok := errors.AsType[*directory.InvalidError](err); ok {
		return nil, Usage(cmd, "--scope: a scope %s", invalid.Problem)
	}
	return scopes, err
}

// FlagUsage is the documentation of something as that of a flag: without capitals and the last full stop.
func FlagUsage(doc string) string {
	sentences := strings.Split(strings.TrimSuffix(doc, "."), ". ")
	for i, s := range sentences {
		r := []rune(s)
		if len(r) > 1 && !unicode.IsUpper(r[1]) { // no abbreviation
			r[0] = unicode.ToLower(r[0])
		}
		sentences[i] = string(r)
	}
	return strings.Join(sentences, "; ")
}
