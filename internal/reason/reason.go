// Package reason has the table of all error codes and of all reasons of recorded decisions: what each means, and what
// to do about it. Answers, explanations, the advice of package client and docs/errors.md are made from it. It does not
// know particular requests.
package reason

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Page is the document that is made of the table.
const Page = "docs/errors.md"

// Entry is one code or reason.
type Entry struct {
	Name string
	// OAuth, AccessToken, Operator and Resource are the HTTP status with which the name is the code of an answer:
	// of /oauth2/*, of POST /accesstoken, of the operator API, of a service that verifies with package verify.
	// 0: of none.
	OAuth, AccessToken, Operator, Resource int
	// Recorded reports whether the audit log can have it as a reason.
	Recorded bool
	// Means is what is wrong and Do is what to do, in one or two sentences: for the receiver of the answer or, for
	// what is only recorded, for the operator.
	Means, Do string
	// More is for the page only.
	More string
}

// Group is entries that belong together.
type Group struct {
	Title, About string
	Entries      []Entry
}

// Find returns the entry of that name.
func Find(name string) (Entry, bool) {
	for _, g := range table {
		for _, e := range g.Entries {
			if e.Name == name {
				return e, true
			}
		}
	}
	if rest, ok := strings.CutPrefix(name, subjectToken); ok {
		if e, ok := Find(rest); ok {
			return Entry{Name: name, Recorded: true, Means: "The token to exchange is not valid. " + e.Means, Do: e.Do}, true
		}
	}
	return Entry{}, false
}

// subjectToken begins the reasons why a token that is to be exchanged is not valid. The rest is what is wrong with
// it, as it would be with any token.
const subjectToken = "subject_token_"

// Names returns the names of all entries.
func Names() (names []string) {
	for _, g := range table {
		for _, e := range g.Entries {
			names = append(names, e.Name)
		}
	}
	return names
}

// Of returns the entry of a name that is in the table.
func Of(name string) Entry {
	e, ok := Find(name)
	if !ok {
		panic("package reason has no entry " + name)
	}
	return e
}

// Text is what a name means, in lower case and without a full stop. A name that is not in the table, as one that
// another version of the server recorded, is returned in words.
func Text(name string) string {
	if e, ok := Find(name); ok {
		return Clause(e.Means)
	}
	return strings.ReplaceAll(name, "_", " ")
}

// See returns the place where the page explains a name, or "" if the table does not have it.
func See(name string) string {
	if _, ok := Find(name); !ok {
		return ""
	}
	if strings.HasPrefix(name, subjectToken) && !slices.Contains(Names(), name) {
		name = strings.TrimPrefix(name, subjectToken)
	}
	return Page + "#" + name
}

// Clause makes sentences a part of another one: joined by semicolons, in lower case where they begin, and without
// their full stops. That is also how OAuth servers put an error_description.
func Clause(sentences ...string) string {
	all := make([]string, 0, len(sentences))
	for _, s := range sentences {
		first, size := utf8.DecodeRuneInString(s)
		second, _ := utf8.DecodeRuneInString(s[size:])
		if !unicode.IsUpper(second) { // an abbreviation, such as DPoP, stays
			s = string(unicode.ToLower(first)) + s[size:]
		}
		all = append(all, strings.TrimSuffix(s, "."))
	}
	return strings.Join(all, "; ")
}
