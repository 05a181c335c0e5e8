package revocation

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"maps"
	"math/bits"
	"slices"
	"sync"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
)

// sum names a set of ids, whatever the order in which they came: the sum of their digests, modulo 2^256. Replicas
// that deny the same agree on it, and one id more or less costs one addition. What it names is signed beside it, so
// it need not withstand somebody who chooses ids.
type sum [4]uint64

func digest(id string) (d sum) {
	h := sha256.Sum256([]byte(id))
	for i := range d {
		d[i] = binary.LittleEndian.Uint64(h[8*i:])
	}
	return d
}

func (s sum) plus(d sum) sum {
	var carry uint64
	for i := range s {
		s[i], carry = bits.Add64(s[i], d[i], carry)
	}
	return s
}

func (s sum) minus(d sum) sum {
	var borrow uint64
	for i := range s {
		s[i], borrow = bits.Sub64(s[i], d[i], borrow)
	}
	return s
}

// String is the name, 22 characters of base64url.
func (s sum) String() string {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:], s[0])
	binary.LittleEndian.PutUint64(b[8:], s[1])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// step is what changed from one state to the next.
type step struct {
	from, to    string
	add, remove []string
	keys        []string // all that are revoked afterwards
}

func (s step) size() int { return 1 + len(s.add) + len(s.remove) }

// history is the last steps, the newest last. A follower that is further behind fetches the whole list.
type history struct {
	mu    sync.Mutex
	steps []step
	size  int
}

// MaxSteps and leastHistory bound the history: so many steps, with in all no more ids than the list has, or
// leastHistory when that is more.
const (
	MaxSteps     = 512
	leastHistory = 4096
)

func (h *history) add(s step, listSize int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.steps, h.size = append(h.steps, s), h.size+s.size()
	drop := 0
	for most := max(listSize, leastHistory); drop < len(h.steps) && (len(h.steps)-drop > MaxSteps || h.size > most); drop++ {
		h.size -= h.steps[drop].size()
	}
	h.steps = slices.Delete(h.steps, 0, drop)
}

// since is what changed from a state to the newest, as one step. ok reports whether that is known.
func (h *history) since(state, newest string) (all step, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if state == newest {
		return step{from: state, to: state}, true
	}
	begin := -1
	for i, s := range slices.Backward(h.steps) {
		if s.from == state {
			begin = i
			break
		}
	}
	if begin < 0 || h.steps[len(h.steps)-1].to != newest {
		return step{}, false
	}
	added, removed := map[string]bool{}, map[string]bool{}
	for _, s := range h.steps[begin:] {
		for _, id := range s.add {
			if removed[id] {
				delete(removed, id)
			} else {
				added[id] = true
			}
		}
		for _, id := range s.remove {
			if added[id] {
				delete(added, id)
			} else {
				removed[id] = true
			}
		}
	}
	return step{state, newest, slices.Sorted(maps.Keys(added)), slices.Sorted(maps.Keys(removed)), nil}, true
}

// freshFor is how old an update may be that is answered. Most followers ask from one state, and share it.
const freshFor = time.Second

// updateFrom is the signed update from a state to that of e: what was added and removed, which may be nothing. It is nil
// when that is not known, and when it is no shorter than the whole list.
func (p *Publisher) updateFrom(state string, e *edition) ([]byte, error) {
	now := p.o.Now()
	e.mu.Lock()
	known := e.updates[state]
	e.mu.Unlock()
	if known.recent(e.keyID, now, freshFor) {
		return known.body, nil
	}
	s, ok := p.history.since(state, e.state)
	if !ok || s.size() > leastHistory && s.size() > e.n/2 {
		return nil, nil
	}
	s.keys = e.keys
	signer, err := p.signer()
	if err != nil {
		return nil, err
	}
	made, err := p.signUpdate(signer, e, s, now)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.updates[state] = made // at most one for each step of the history
	return made.body, nil
}

func (p *Publisher) signUpdate(signer *jose.Signer, e *edition, s step, now time.Time) (signed, error) {
	payload := p.head(e, now, 47*s.size())
	payload.WriteString(`,"from":"` + s.from + `","state":"` + s.to + `","add":`)
	writeStrings(payload, s.add)
	payload.WriteString(`,"remove":`)
	writeStrings(payload, s.remove)
	payload.WriteString(`,"keys":`)
	writeStrings(payload, s.keys)
	payload.WriteByte('}')
	return sign(signer, denyUpdateType, payload, now)
}
