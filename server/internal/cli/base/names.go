package base

import (
	"cmp"
	"slices"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/api"
)

// Names are the names of a list as people write them: the short ones, where there are any.
func Names(list []api.Name) (names []string) {
	for _, n := range list {
		names = append(names, cmp.Or(n.Short, n.Name))
	}
	return names
}

// Short is a name as people write it.
func Short(list []api.Name, name string) string {
	return Names(list)[slices.IndexFunc(list, func(n api.Name) bool { return n.Name == name })]
}

// NameOf is the name in list that text is, or is short for. The error is about the flag.
func NameOf(cmd *cobra.Command, flag string, list []api.Name, text string) (string, error) {
	i := slices.IndexFunc(list, func(n api.Name) bool { return text == n.Name || text == n.Short })
	if i < 0 || text == "" {
		return "", Usage(cmd, "%s: %q is not one of %s", flag, text, strings.Join(Names(list), ", "))
	}
	return list[i].Name, nil
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
