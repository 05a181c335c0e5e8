// Package cowmap is an immutable map that is cheap to copy with one entry changed.
// It does not know what it holds.
//
// The entries are spread over shards by hash. A change copies the list of shards and the
// one shard it falls in, about 2*sqrt(n) words in all, and shares the rest; a look-up is one
// index and one look-up in an ordinary Go map. Trees do the same in fewer copies but with
// several dependent memory reads per look-up, and look-ups are on the path of every token.
package cowmap

import (
	"hash/maphash"
	"iter"
	"maps"
	"reflect"
)

// minShards keeps a small map small; maxLoad is the mean shard size at which it doubles.
const (
	minShards = 16
	maxLoad   = 512
)

// Map is an immutable map. The zero value is empty and ready to use.
// It is safe for concurrent use, as everything immutable is.
type Map[K comparable, V any] struct {
	seed   maphash.Seed
	shards []map[K]V
	n      int
}

// Len is the number of entries.
func (m Map[K, V]) Len() int { return m.n }

// Find returns the value of key, and whether there is one.
func (m Map[K, V]) Find(key K) (V, bool) {
	if m.n == 0 {
		var zero V
		return zero, false
	}
	v, ok := m.shards[m.shard(key)][key]
	return v, ok
}

// With returns a map in which key has value.
func (m Map[K, V]) With(key K, value V) Map[K, V] {
	if m.shards == nil || m.n >= len(m.shards)*maxLoad {
		m = m.grown()
	}
	shards := append([]map[K]V(nil), m.shards...)
	i := m.shard(key)
	shard := make(map[K]V, len(shards[i])+1)
	maps.Copy(shard, shards[i])
	shard[key] = value
	shards[i] = shard
	return Map[K, V]{m.seed, shards, m.n + len(shard) - len(m.shards[i])}
}

// Without returns a map that lacks key.
func (m Map[K, V]) Without(key K) Map[K, V] {
	if _, ok := m.Find(key); !ok {
		return m
	}
	shards := append([]map[K]V(nil), m.shards...)
	i := m.shard(key)
	shard := maps.Clone(shards[i])
	delete(shard, key)
	shards[i] = shard
	return Map[K, V]{m.seed, shards, m.n - 1}
}

// All ranges over the entries, in no order.
func (m Map[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for _, shard := range m.shards {
			for k, v := range shard {
				if !yield(k, v) {
					return
				}
			}
		}
	}
}

// Collect makes a map of n or so entries at once, much faster than n calls of With.
func Collect[K comparable, V any](n int, entries iter.Seq2[K, V]) Map[K, V] {
	m := Map[K, V]{seed: maphash.MakeSeed(), shards: make([]map[K]V, shardsFor(n))}
	for k, v := range entries {
		m.put(k, v)
	}
	return m
}

func (m Map[K, V]) grown() Map[K, V] { return Collect(max(m.n*2, 1), m.All()) }

// put changes m in place: only for a map nobody else has seen.
func (m *Map[K, V]) put(key K, value V) {
	i := m.shard(key)
	if m.shards[i] == nil {
		m.shards[i] = make(map[K]V)
	}
	before := len(m.shards[i])
	m.shards[i][key] = value
	m.n += len(m.shards[i]) - before
}

func (m Map[K, V]) shard(key K) int {
	return int(maphash.Comparable(m.seed, key) & uint64(len(m.shards)-1))
}

// shardsFor is the power of two nearest above sqrt(n): there a change copies least.
func shardsFor(n int) int {
	shards := minShards
	for shards*shards < n {
		shards *= 2
	}
	return shards
}

// Difference is a key whose value differs in two maps.
type Difference[K comparable, V any] struct {
	Key          K
	Old, New     V
	InOld, InNew bool
}

// Differences ranges over the keys whose values differ between from and to, in no order. Maps of which one was
// made from the other by a few changes are compared in the time of these: the shards that both share are skipped.
func Differences[K comparable, V any](from, to Map[K, V], equal func(a, b V) bool) iter.Seq[Difference[K, V]] {
	return func(yield func(Difference[K, V]) bool) {
		related := from.seed == to.seed && len(from.shards) == len(to.shards)
		shared := func(shard int) bool {
			return related && reflect.ValueOf(from.shards[shard]).Pointer() == reflect.ValueOf(to.shards[shard]).Pointer()
		}
		for i, shard := range to.shards {
			if shared(i) {
				continue
			}
			for k, v := range shard {
				old, ok := from.Find(k)
				if (!ok || !equal(old, v)) && !yield(Difference[K, V]{k, old, v, ok, true}) {
					return
				}
			}
		}
		for i, shard := range from.shards {
			if shared(i) {
				continue
			}
			for k, v := range shard {
				if _, ok := to.Find(k); !ok && !yield(Difference[K, V]{Key: k, Old: v, InOld: true}) {
					return
				}
			}
		}
	}
}
