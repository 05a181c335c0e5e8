package audit

import (
	"fmt"
	"math"
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
		if r, _, err := l.Find(t.Context(), id, math.MaxInt64); err != nil || r == nil || r.ID != id {
			t.Errorf("%s: got %v, %v", id, r, err)
		}
	}
	r, looked, err := l.Find(t.Context(), "decision", math.MaxInt64) // the beginning of an id is none
	if r != nil || err != nil || !looked.Whole || looked.Since.IsZero() {
		t.Errorf("an id nobody has: got %v, %+v, %v; want the whole log searched", r, looked, err)
	}
}

func TestFindReadsNoMoreThanItMay(t *testing.T) {
	dir := t.TempDir()
	l := start(t, dir, Options{MaxSize: 800})
	for i := range 10 {
		add(t, l, fmt.Sprint("decision", i))
	}
	if r, looked, err := l.Find(t.Context(), "decision0", 1000); r != nil || err != nil || looked.Whole || looked.Bytes > 2000 {
		t.Errorf("got %v, %+v, %v; want it not found and not all read", r, looked, err)
	}
	if r, _, err := l.Find(t.Context(), "decision9", 1000); r == nil || err != nil {
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
		if err := l.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	if r, _, err := l.Find(t.Context(), "abc", math.MaxInt64); r != nil || err != nil {
		t.Errorf("got %+v, %v; want nothing", r, err)
	}
}
