package clientauth

import "sync"

// recent remembers what costs something to find out again. It forgets in generations: full, the
// younger becomes the older and the older goes. Forgetting costs finding out, nothing else.
type recent[K comparable, V any] struct {
	mu           sync.RWMutex
	young, older map[K]V
}

const RecentMost = 8192 // of one generation

func (r *recent[K, V]) find(k K) (V, bool) {
	r.mu.RLock()
	v, ok := r.young[k]
	if ok {
		r.mu.RUnlock()
		return v, true
	}
	v, ok = r.older[k]
	r.mu.RUnlock()
	if ok {
		r.add(k, v)
	}
	return v, ok
}

func (r *recent[K, V]) add(k K, v V) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.young == nil || len(r.young) >= RecentMost {
		r.young, r.older = make(map[K]V), r.young
	}
	r.young[k] = v
}
