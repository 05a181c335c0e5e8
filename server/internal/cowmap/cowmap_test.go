package cowmap

import (
	"maps"
	"testing"

	"pgregory.net/rapid"
)

func TestMapIsWhatAnOrdinaryMapWouldBeAndOldOnesStay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		model := map[int]int{}
		var m Map[int, int]
		type version struct {
			m     Map[int, int]
			model map[int]int
		}
		var versions []version
		for range rapid.IntRange(0, 300).Draw(t, "steps") {
			k := rapid.IntRange(0, 40).Draw(t, "key")
			if rapid.Bool().Draw(t, "remove") {
				delete(model, k)
				m = m.Without(k)
			} else {
				v := rapid.Int().Draw(t, "value")
				model[k] = v
				m = m.With(k, v)
			}
			versions = append(versions, version{m, maps.Clone(model)})
		}
		for _, v := range versions {
			if got := maps.Collect(v.m.All()); !maps.Equal(got, v.model) || v.m.Len() != len(v.model) {
				t.Fatalf("got %v, len %d, want %v", got, v.m.Len(), v.model)
			}
			for k := range 41 {
				got, ok := v.m.Find(k)
				want, wantOK := v.model[k]
				if got != want || ok != wantOK {
					t.Fatalf("key %d: got %d %v, want %d %v", k, got, ok, want, wantOK)
				}
			}
		}
	})
}

func TestMapGrowsWithItsEntries(t *testing.T) {
	var m Map[int, int]
	const n = 20_000
	for i := range n {
		m = m.With(i, i)
	}
	if m.Len() != n || len(m.shards)*maxLoad < n {
		t.Fatalf("got %d entries in %d shards", m.Len(), len(m.shards))
	}
	for i := range n {
		if v, ok := m.Find(i); !ok || v != i {
			t.Fatalf("key %d: got %d %v", i, v, ok)
		}
	}
}
