package keys

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var testPolicy = Policy{Lead: time.Hour, RotateEvery: 720 * time.Hour, Overlap: 25 * time.Hour}

// world is a ring without real keys, moved through time by the pure functions.
type world struct {
	ring []Record
	now  time.Time
	p    Policy
	made int
}

func (w *world) apply(after []Record) {
	for i := range after {
		if after[i].ID == "" {
			w.made++
			after[i].ID, after[i].Sealed = fmt.Sprintf("k%03d", w.made), []byte("sealed")
		}
	}
	w.ring = after
}

func (w *world) step(want ...Lane) { w.apply(Step(w.ring, want, w.now, w.p)) }

func (w *world) ids(l Lane, s State) (ids []string) {
	for _, k := range w.ring {
		if k.lane() == l && k.State == s {
			ids = append(ids, k.ID)
		}
	}
	return ids
}

func TestKeyGoesThroughItsStates(t *testing.T) {
	w := &world{now: start, p: testPolicy}
	w.step(accessES)
	for _, c := range []struct {
		after                  time.Duration
		active, next, retiring []string
	}{
		{0, []string{"k001"}, []string{"k002"}, nil},
		{720*time.Hour - 1, []string{"k001"}, []string{"k002"}, nil},
		{1, []string{"k002"}, []string{"k003"}, []string{"k001"}},
		{25*time.Hour - 1, []string{"k002"}, []string{"k003"}, []string{"k001"}},
		{1, []string{"k002"}, []string{"k003"}, nil},
	} {
		w.now = w.now.Add(c.after)
		w.step(accessES)
		if a, n, r := w.ids(accessES, StateActive), w.ids(accessES, StateNext), w.ids(accessES, StateRetiring); !slices.Equal(a, c.active) || !slices.Equal(n, c.next) || !slices.Equal(r, c.retiring) {
			t.Fatalf("at %v: got active %v, next %v, retiring %v; want %v, %v, %v", w.now.Sub(start), a, n, r, c.active, c.next, c.retiring)
		}
	}
}

func TestShorterScheduleBringsTheNextKeyForward(t *testing.T) {
	w := &world{now: start, p: testPolicy}
	w.step(accessES)
	w.now, w.p.RotateEvery = w.now.Add(30*time.Hour), 24*time.Hour
	w.step(accessES)
	w.step(accessES)
	if got := w.ids(accessES, StateActive); got[0] != "k002" {
		t.Errorf("active is %v, want the next key: it is overdue", got)
	}
	w.p.RotateEvery = 720 * time.Hour
	before := slices.Clone(w.ring)
	w.step(accessES)
	if !reflect.DeepEqual(w.ring, before) {
		t.Error("a longer schedule put off a key that has its date")
	}
}

func TestLongerLeadCountsForAKeyPlannedWithAShorterOne(t *testing.T) {
	w := &world{now: start, p: Policy{Lead: 5 * time.Minute, RotateEvery: 5 * time.Minute, Overlap: time.Hour}}
	w.step(accessES)
	w.p.Lead = time.Hour
	w.now = w.now.Add(time.Hour - 1)
	w.step(accessES)
	if got := w.ids(accessES, StateActive); got[0] != "k001" {
		t.Error("the key signs before it was published for the new lead")
	}
}

func TestRingDamagedByHandIsMended(t *testing.T) {
	l := accessES
	for _, c := range []struct {
		name   string
		ring   []Record
		active string
	}{
		{"two active", []Record{{ID: "a", State: StateActive, SignsFrom: start}, {ID: "b", State: StateActive, SignsFrom: start.Add(1)}}, "b"},
		{"only a next", []Record{{ID: "a", State: StateNext, SignsFrom: start.Add(time.Hour)}}, "a"},
		{"only retiring", []Record{{ID: "a", State: StateRetiring, DropAt: start.Add(time.Hour)}}, "k001"},
		{"only revoked", []Record{{ID: "a", State: StateRevoked}}, "k001"},
	} {
		for i := range c.ring {
			c.ring[i].Use, c.ring[i].Algorithm, c.ring[i].CreatedAt = l.Use, l.Algorithm, start
		}
		w := &world{ring: c.ring, now: start, p: testPolicy}
		w.step()
		if got := w.ids(l, StateActive); !slices.Equal(got, []string{c.active}) {
			t.Errorf("%s: active is %v, want %s", c.name, got, c.active)
		}
	}
}

// ROT-002, ROT-006: in any order of steps, rotations and revocations, at any moment.
func TestRingIsSoundWhateverHappens(t *testing.T) {
	lanes := []Lane{accessES, {UseAccess, "RS256"}, {UseCredential, "ES256"}, {UseAudit, "ES256"}}
	rapid.Check(t, func(t *rapid.T) {
		minutes := func(name string, most int) time.Duration {
			return time.Duration(rapid.IntRange(1, most).Draw(t, name)) * time.Minute
		}
		w := &world{now: start, p: Policy{Lead: minutes("lead", 90), RotateEvery: minutes("every", 600), Overlap: minutes("overlap", 300)}}
		w.step(lanes...)
		for range rapid.IntRange(1, 60).Draw(t, "events") {
			w.now = w.now.Add(minutes("passes", 200) - time.Minute)
			before := slices.Clone(w.ring)
			l := rapid.SampledFrom(lanes).Draw(t, "lane")
			what := rapid.SampledFrom([]string{"step", "step", "rotate", "force", "revoke"}).Draw(t, "what")
			revoked := ""
			switch what {
			case "step":
				w.step(lanes...)
			case "revoke":
				revoked = rapid.SampledFrom(w.ring).Draw(t, "key").ID
				w.apply(eachLane(w.ring, nil, func(l Lane, keys []Record) []Record {
					return w.p.revoke(l, keys, revoked, w.now)
				}))
			default:
				w.apply(w.p.lane(w.ring, l, func(l Lane, keys []Record) []Record {
					return w.p.rotate(l, keys, w.now, what == "force")
				}))
			}
			checkWorld(t, w, before, what, revoked, lanes)
			if err := sound(before, w.ring, w.now); err != nil {
				t.Fatalf("the last check refuses a good ring: %v", err)
			}
		}
	})
}

func checkWorld(t *rapid.T, w *world, before []Record, what, revoked string, lanes []Lane) {
	old := map[string]Record{}
	for _, k := range before {
		old[k.ID] = k
	}
	for _, l := range lanes {
		if got := w.ids(l, StateActive); len(got) != 1 {
			t.Fatalf("%s: %v has active keys %v, want exactly one", what, l, got)
		}
		if got := w.ids(l, StateNext); what == "step" && len(got) != map[bool]int{true: 1}[l.Use == UseAccess] {
			t.Fatalf("%v has next keys %v after a step", l, got)
		}
	}
	for _, k := range w.ring {
		was, known := old[k.ID]
		delete(old, k.ID)
		if (k.State == StateRetiring || k.State == StateRevoked) && len(k.Sealed) != 0 {
			t.Fatalf("%s key %s still has its private half", k.State, k.ID)
		}
		if known && was.State == StateRevoked && k.State != StateRevoked {
			t.Fatalf("key %s came back from being revoked", k.ID)
		}
		began := k.State == StateActive && was.State != StateActive
		if began && k.Use == UseAccess && (what == "step" || what == "rotate") {
			if !known || was.State != StateNext || w.now.Sub(was.CreatedAt) < w.p.Lead {
				t.Fatalf("%s: key %s signs %v after it was published, lead is %v", what, k.ID, w.now.Sub(k.CreatedAt), w.p.Lead)
			}
		}
		if began && what == "revoke" && !known && slices.ContainsFunc(before, func(b Record) bool {
			return b.lane() == k.lane() && b.State == StateNext && b.ID != revoked
		}) {
			t.Fatal("a new key signs although a published one stood by")
		}
	}
	for id, k := range old {
		if k.State != StateRetiring || k.Use != UseAccess || w.now.Sub(k.RetiredAt) < w.p.Overlap {
			t.Fatalf("%s: %s %s key %s was dropped %v after it retired, overlap is %v", what, k.Use, k.State, id, w.now.Sub(k.RetiredAt), w.p.Overlap)
		}
	}
	if what == "step" {
		again := Step(w.ring, lanes, w.now, w.p)
		if d := compare(w.ring, again); !d.empty() {
			t.Fatalf("a second step at the same moment wants %v", d.detail)
		}
	}
}

// ROT-002: whatever computed it.
func TestBrokenRingIsNeverStored(t *testing.T) {
	active := Record{ID: "a", Use: UseAccess, Algorithm: "ES256", State: StateActive}
	old := Record{ID: "b", Use: UseAccess, Algorithm: "ES256", State: StateRetiring, DropAt: start.Add(1)}
	for name, after := range map[string][]Record{
		"without an active key":  {old},
		"without any key":        {},
		"with two active keys":   {active, {ID: "c", Use: UseAccess, Algorithm: "ES256", State: StateActive}, old},
		"without a retiring key": {active},
		"with a key twice":       {active, old, old},
	} {
		if err := sound([]Record{active, old}, after, start); err == nil {
			t.Errorf("a ring %s passed", name)
		}
	}
	if err := sound([]Record{old}, nil, start.Add(1)); err == nil {
		t.Error("an empty ring passed")
	}
	if err := sound([]Record{active, old}, []Record{active}, start.Add(1)); err != nil {
		t.Errorf("dropped when due: %v", err)
	}
}
