package verify

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"
)

// A full memory refuses: it never forgets what could still be replayed.
func TestReplaysAreBoundedByRefusing(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	r := newReplays(100, func() time.Time { return now })
	until := now.Add(time.Minute)
	for n := range 100 {
		if fresh, err := r.Add(context.Background(), strconv.Itoa(n), until); !fresh || err != nil {
			t.Fatalf("%d: got %v, %v", n, fresh, err)
		}
	}
	if _, err := r.Add(context.Background(), "one more", until); !errors.Is(err, errReplaysFull) {
		t.Errorf("got %v, want errReplaysFull", err)
	}
	for _, later := range []time.Duration{0, time.Minute - 1} {
		now = until.Add(-time.Minute + later)
		for n := range 100 {
			if fresh, err := r.Add(context.Background(), strconv.Itoa(n), until.Add(time.Duration(n)*time.Second)); fresh || err != nil {
				t.Fatalf("%d again: got %v, %v", n, fresh, err)
			}
		}
	}
	now = until.Add(groupSpan)
	if fresh, err := r.Add(context.Background(), "one more", until.Add(time.Hour)); !fresh || err != nil || r.n != 1 {
		t.Errorf("when the others are over: got %v, %v and %d remembered", fresh, err, r.n)
	}
}

func BenchmarkReplays(b *testing.B) {
	r := newReplays(maxReplays, time.Now)
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		n++
		_, _ = r.Add(context.Background(), strconv.Itoa(n%maxReplays), time.Now().Add(time.Minute))
	}
}
