package audit

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"testing"
)

func TestFindsARecordByItsIDInWhateverFile(t *testing.T) {
	dir := t.TempDir()
	l := start(t, dir, Options{MaxSize: 800})
	for i := range 10 {
		add(t, l, fmt.Sprint("decision", i))
	}
	for i := range 10 {
		id := fmt.Sprint("decision", i)
		if r, err := l.Find(t.Context(), id, math.MaxInt64); err != nil || r == nil || r.ID != id {
			t.Errorf("%s: got %v, %v", id, r, err)
		}
	}
	if r, err := l.Find(t.Context(), "decision", math.MaxInt64); r != nil || err != nil { // the beginning of an id is none
		t.Errorf("an id nobody has: got %v, %v", r, err)
	}
}

func TestFindReadsNoMoreThanItMay(t *testing.T) {
	dir := t.TempDir()
	l := start(t, dir, Options{MaxSize: 800})
	for i := range 10 {
		add(t, l, fmt.Sprint("decision", i))
	}
	if r, err := l.Find(t.Context(), "decision0", 1000); r != nil || err != nil {
		t.Errorf("got %v, %v; want it not found", r, err)
	}
	if r, err := l.Find(t.Context(), "decision9", 1000); r == nil || err != nil {
		t.Errorf("the newest: got %v, %v", r, err)
	}
}

func TestFindTakesNoTextForAnID(t *testing.T) {
	dir := t.TempDir()
	l := start(t, dir, Options{})
	for _, e := range []Event{
		{Kind: KindChange, Subject: `,"id":"abc"`},
		{Kind: KindChange, Detail: map[string]string{"id": "abc"}},
	} {
		must(t, l.Append(t.Context(), e))
	}
	if r, err := l.Find(t.Context(), "abc", math.MaxInt64); r != nil || err != nil {
		t.Errorf("got %+v, %v; want nothing", r, err)
	}
}

func TestFindFollowsTheChainOverFilesThatWereRotated(t *testing.T) {
	dir := t.TempDir()
	l := start(t, dir, Options{})
	add(t, l, "in the copy")
	path := onlyFile(t, dir)
	copyFile(t, path, path+".1")
	must(t, os.Truncate(path, 0))
	add(t, l, "after the truncation")
	rename(t, path, path+".2")
	add(t, l, "after the rename")
	for _, id := range []string{"in the copy", "after the truncation", "after the rename"} {
		if r, err := l.Find(t.Context(), id, math.MaxInt64); err != nil || r == nil || r.ID != id {
			t.Errorf("%s: got %v, %v", id, r, err)
		}
	}
}

// planted is a record, good in itself, that the log never wrote.
func planted(seq uint64, id string) []byte {
	line, _ := link{seq: seq - 1}.appendRecord(nil, &Event{Kind: KindDecision, ID: id, Outcome: Allowed, Caller: "forged"})
	return line
}

// F18.
func TestAFileThatSomebodyPutThereIsNotFound(t *testing.T) {
	for name, c := range map[string]struct {
		named, seq uint64
		suffix     string
	}{
		"older":                  {named: 2, seq: 2},
		"newer":                  {named: 900, seq: 900},
		"named as another one":   {named: 1, seq: 2, suffix: ".1"},
		"with a number of later": {named: 2, seq: 5},
	} {
		dir := t.TempDir()
		l := start(t, dir, Options{MaxSize: 800})
		for i := range 10 {
			add(t, l, fmt.Sprint("decision", i))
		}
		write(t, segmentPath(dir, c.named)+c.suffix, planted(c.seq, "forged"))
		write(t, segmentPath(dir, c.named)+c.suffix+".x", planted(c.seq, "decision3"))
		if r, err := l.Find(t.Context(), "forged", math.MaxInt64); r != nil {
			t.Errorf("%s: got %+v, %v", name, r, err)
		}
		if r, err := l.Find(t.Context(), "decision3", math.MaxInt64); err != nil || r == nil || r.Caller == "forged" {
			t.Errorf("%s: the record itself: got %+v, %v", name, r, err)
		}
	}
}

// F18.
func TestWhatStandsBeforeAChangedRecordIsNotFound(t *testing.T) {
	dir := t.TempDir()
	l := start(t, dir, Options{})
	for i := range 10 {
		add(t, l, fmt.Sprint("decision", i))
	}
	path := onlyFile(t, dir)
	text := read(t, path)
	lines := bytes.SplitAfter(text, []byte("\n"))
	forged, _ := link{seq: 3}.appendRecord(nil, &Event{Kind: KindDecision, ID: "decision2", Caller: "forged"})
	lines[3] = forged
	write(t, path, bytes.Join(lines, nil))
	for _, id := range []string{"decision0", "decision2"} {
		if r, err := l.Find(t.Context(), id, math.MaxInt64); r != nil || !errors.Is(err, ErrUnproved) {
			t.Errorf("%s: got %+v, %v; want ErrUnproved", id, r, err)
		}
	}
}
