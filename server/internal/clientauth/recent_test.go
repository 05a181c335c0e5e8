package clientauth

import "testing"

// What is remembered is bounded, and what is used is not forgotten for what is not.
func TestRecentIsBounded(t *testing.T) {
	var r recent[int, struct{}]
	r.add(-1, struct{}{})
	for i := range 10 * RecentMost {
		r.add(i, struct{}{})
		if _, ok := r.find(-1); i%(RecentMost/2) == 0 && !ok {
			t.Fatalf("after %d others, what is used all the time is forgotten", i)
		}
		if n := len(r.young) + len(r.older); n > 2*RecentMost {
			t.Fatalf("%d are remembered", n)
		}
	}
}
