package callmap

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Problem is one thing that is wrong with a file.
type Problem struct {
	File         string `json:"file"`
	Line, Column int    // from 1; 0: the file as a whole
	Text         string `json:"problem"`
	source       string // the line
}

// Error is the problem with the line it is in and a caret under the place.
func (p *Problem) Error() string {
	if p.Line == 0 {
		return p.File + ": " + p.Text
	}
	head := fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Text)
	if p.source == "" {
		return head
	}
	number := fmt.Sprintf("%5d | ", p.Line)
	// Tabs stay tabs under the line, so that the caret stands where the eye looks.
	before := strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return ' '
	}, string([]rune(p.source)[:min(p.Column-1, utf8.RuneCountInString(p.source))]))
	return fmt.Sprintf("%s\n%s%s\n%s| %s^", head, number, p.source, strings.Repeat(" ", len(number)-2), before)
}

// Problems are all that is wrong.
type Problems []*Problem

func (p Problems) Error() string {
	texts := make([]string, len(p))
	for i, problem := range p {
		texts[i] = problem.Error()
	}
	return strings.Join(texts, "\n")
}

// mostProblems is how many are told at once: more are mostly one mistake's.
const mostProblems = 20

// keptProblems are sorted before they are told.
const keptProblems = 10_000

// add notes a problem at a place.
func (p *Problems) add(at Position, format string, args ...any) {
	problem := &Problem{Line: at.Line, Column: at.Column, Text: fmt.Sprintf(format, args...)}
	if at.file != nil {
		problem.File = at.file.Name
		if at.Line > 0 && at.Line <= len(at.file.lines) {
			problem.source = strings.TrimRight(at.file.lines[at.Line-1], "\r")
		}
	}
	if len(*p) < keptProblems {
		*p = append(*p, problem)
	}
}

// addError notes an error of the directory, which has what is wrong but not where.
func (p *Problems) addError(at Position, err error) { p.add(at, "%v", err) }

func (p Problems) err() error {
	if len(p) == 0 {
		return nil
	}
	// What is planned is looked at in the order of no file.
	slices.SortStableFunc(p, func(a, b *Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Text, b.Text))
	})
	p = slices.CompactFunc(p, func(a, b *Problem) bool { return a.Error() == b.Error() })
	if len(p) > mostProblems {
		p = append(p[:mostProblems:mostProblems], &Problem{File: p[mostProblems].File, Text: "there are more problems; fix these first"})
	}
	return p
}

// AsProblems finds what is wrong in an error of this package.
func AsProblems(err error) (Problems, bool) {
	var p Problems
	return p, errors.As(err, &p)
}
