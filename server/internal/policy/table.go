package policy

import (
	"encoding/binary"
	"fmt"
	"iter"
	"math/bits"
	"strconv"
)

// table is an immutable hash table of rules, keyed by edge, cheap to copy with one rule
// changed: the rules are spread over shards, and a change copies the list of shards and
// one shard.
//
// A slot holds the rule itself and is one cache line long. With a million rules a
// look-up costs what the memory costs: this layout reads one line where a Go map of pointers
// reads five, one after the other (measured: 449 ns against under 150).
type table struct {
	shards [][]slot
	n      int
}

// slot is 64 bytes. It is empty when its edge is the zero edge, which no service has.
type slot struct {
	Rule
	_ [16]byte
}

const (
	minShards = 16
	maxLoad   = 4096 // rules a shard, on average, at which the number of shards doubles
)

func (t table) find(e Edge) *Rule {
	if t.n == 0 || e == (Edge{}) {
		return nil
	}
	h := hash(e)
	shard := t.shards[int(h&uint64(len(t.shards)-1))]
	if len(shard) == 0 {
		return nil
	}
	mask := len(shard) - 1
	for i := int(h>>32) & mask; ; i = (i + 1) & mask {
		switch s := &shard[i]; s.Edge {
		case e:
			return &s.Rule
		case Edge{}:
			return nil
		}
	}
}

func (t table) with(r Rule) table {
	if r.Edge == (Edge{}) {
		return t
	}
	if t.n >= len(t.shards)*maxLoad {
		t = collect(2*t.n, t.all())
	}
	i := int(hash(r.Edge) & uint64(len(t.shards)-1))
	return t.replace(i, func(yield func(Rule) bool) {
		for s := range rulesOf(t.shards[i]) {
			if s.Edge != r.Edge && !yield(s) {
				return
			}
		}
		yield(r)
	})
}

func (t table) without(e Edge) table {
	if t.find(e) == nil {
		return t
	}
	i := int(hash(e) & uint64(len(t.shards)-1))
	return t.replace(i, func(yield func(Rule) bool) {
		for s := range rulesOf(t.shards[i]) {
			if s.Edge != e && !yield(s) {
				return
			}
		}
	})
}

func (t table) replace(i int, rules iter.Seq[Rule]) table {
	n := 0
	for range rules {
		n++
	}
	shards := append([][]slot(nil), t.shards...)
	shards[i] = fill(n, rules)
	return table{shards, t.n + n - count(t.shards[i])}
}

func (t table) all() iter.Seq[Rule] {
	return func(yield func(Rule) bool) {
		for _, shard := range t.shards {
			for r := range rulesOf(shard) {
				if !yield(r) {
					return
				}
			}
		}
	}
}

// collect makes a table of rules, sized for n; of two rules for one edge the later counts.
func collect(n int, rules iter.Seq[Rule]) table {
	shards := minShards
	for shards*shards < n { // at sqrt(n) a change copies least
		shards *= 2
	}
	parts := make([]map[Edge]Rule, shards)
	shared := map[string]*Terms{}
	for r := range rules {
		if r.Edge == (Edge{}) {
			continue
		}
		r.Terms = intern(shared, r.Terms)
		i := int(hash(r.Edge) & uint64(shards-1))
		if parts[i] == nil {
			parts[i] = make(map[Edge]Rule, n/shards)
		}
		parts[i][r.Edge] = r
	}
	t := table{shards: make([][]slot, shards)}
	for i, part := range parts {
		t.n += len(part)
		t.shards[i] = fill(len(part), func(yield func(Rule) bool) {
			for _, r := range part {
				if !yield(r) {
					return
				}
			}
		})
	}
	return t
}

// intern returns terms equal to t, the same ones for all that are: of a million rules few say
// something of their own, and what a decision reads is then in the cache.
func intern(shared map[string]*Terms, t *Terms) *Terms {
	if t == nil || t.empty() {
		return nil
	}
	var buf [256]byte
	key := t.appendKey(buf[:0])
	if known, ok := shared[string(key)]; ok {
		return known
	}
	shared[string(key)] = t
	return t
}

func (t *Terms) empty() bool {
	return len(t.Scopes) == 0 && t.Exchange == NoExchange && t.MayAct == (ServiceID{}) && t.When == nil && !t.Absent
}

// appendKey writes what t says so that equal terms, and no others, give equal text.
func (t *Terms) appendKey(key []byte) []byte {
	key = append(key, t.Exchange...)
	key = append(append(key, ' '), t.MayAct[:]...)
	key = strconv.AppendBool(key, t.Absent)
	for _, s := range t.Scopes {
		key = append(append(key, ' '), s...)
	}
	if w := t.When; w != nil {
		key = fmt.Appendf(key, "\n%q %v %v %v %v", w.Methods, w.Bound, w.Networks, w.Hours, w.Direct)
	}
	return key
}

// fill makes a shard of exactly n rules with distinct edges, at most two thirds full.
func fill(n int, rules iter.Seq[Rule]) []slot {
	if n == 0 {
		return nil
	}
	shard := make([]slot, 1<<bits.Len(uint(n+n/2)))
	mask := len(shard) - 1
	for r := range rules {
		i := int(hash(r.Edge)>>32) & mask
		for shard[i].Edge != (Edge{}) {
			i = (i + 1) & mask
		}
		shard[i].Rule = r
	}
	return shard
}

func rulesOf(shard []slot) iter.Seq[Rule] {
	return func(yield func(Rule) bool) {
		for i := range shard {
			if shard[i].Edge != (Edge{}) && !yield(shard[i].Rule) {
				return
			}
		}
	}
}

func count(shard []slot) (n int) {
	for range rulesOf(shard) {
		n++
	}
	return n
}

// hash mixes the two ids. They are random and made by the server, so nobody outside can
// aim for collisions; the multiplication spreads ids that are not random, as in tests.
func hash(e Edge) uint64 {
	c := binary.LittleEndian.Uint64(e.Caller[:8]) ^ bits.RotateLeft64(binary.LittleEndian.Uint64(e.Caller[8:]), 29)
	t := binary.LittleEndian.Uint64(e.Target[:8]) ^ bits.RotateLeft64(binary.LittleEndian.Uint64(e.Target[8:]), 29)
	hi, lo := bits.Mul64(c^0x9e3779b97f4a7c15, t^0xd1b54a32d192ed03)
	hi2, lo2 := bits.Mul64(hi^lo^c, 0xff51afd7ed558ccd)
	return hi2 ^ lo2
}
