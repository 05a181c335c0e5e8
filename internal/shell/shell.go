// Package shell writes command lines for people to paste into a shell. It runs nothing.
package shell

import (
	"strings"
	"unicode"
)

// Command returns a command line of these words. A POSIX shell reads each of them as one word and as it
// is, whatever it consists of: names and addresses in an error come from the sender of the request.
func Command(words ...string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = Quote(w)
	}
	return strings.Join(quoted, " ")
}

// Quote returns word as a POSIX shell reads it (XCU, section 2.2.2). Characters that cannot be seen become
// '?': a terminal would act on them, and nothing that has one is a name of ours.
func Quote(word string) string {
	plain := func(c rune) bool {
		return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("._-:/@,+=%", c)
	}
	if word != "" && word[0] != '=' && strings.TrimFunc(word, plain) == "" { // zsh expands =word
		return word
	}
	visible := strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return '?'
		}
		return c
	}, strings.ToValidUTF8(word, "?"))
	return "'" + strings.ReplaceAll(visible, "'", `'\''`) + "'"
}
