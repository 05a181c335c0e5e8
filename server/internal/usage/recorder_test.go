package usage

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/watchword-dev/watchword/server/internal/policy"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// memory is a store that can be away.
type memory struct {
	mu     sync.Mutex
	rows   map[key]Row
	calls  int
	away   error
	purged []Day
}

func (m *memory) AddUsage(_ context.Context, rows []Row) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls++
	if m.away != nil {
		return m.away
	}
	if m.rows == nil {
		m.rows = map[key]Row{}
	}
	for i, r := range rows {
		if i > 0 && rows[i-1].compare(r) >= 0 {
			return fmt.Errorf("rows %d and %d are not in order", i-1, i)
		}
		k := key{r.Use, r.Day}
		old := m.rows[k]
		r.N += old.N
		if old.Last.After(r.Last) {
			r.Last = old.Last
		}
		m.rows[k] = r
	}
	return nil
}

func (m *memory) PurgeUsage(_ context.Context, before Day) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.purged = append(m.purged, before)
	return nil
}

func (m *memory) total() (n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.rows {
		n += r.N
	}
	return n
}

func (m *memory) gone(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.away = err
}

func use(caller, target byte) Use {
	return Use{
		Edge: policy.Edge{Caller: policy.ServiceID{caller}, Target: policy.ServiceID{target}}, Credential: "c", Scopes: "read",
		Method: "bootstrap", Network: NetworkOf(netip.MustParseAddr("192.0.2.7")),
	}
}

func TestDecisionsAreCountedByWhatTheyHaveInCommon(t *testing.T) {
	m := &memory{}
	r := NewRecorder(m, Options{})
	refused := use(1, 2)
	refused.Why = policy.NoRule
	r.Count(use(1, 2), noon.Add(time.Minute))
	r.Count(use(1, 2), noon)
	r.Count(refused, noon)
	r.Count(use(1, 2), noon.AddDate(0, 0, 1))
	if r.Pending() != 3 || m.calls != 0 {
		t.Errorf("got %d rows pending and %d calls of the store before the flush", r.Pending(), m.calls)
	}
	r.Flush(t.Context())
	r.Flush(t.Context())
	if m.calls != 1 || r.Pending() != 0 {
		t.Errorf("got %d calls, %d pending: an empty flush asks nothing of the store", m.calls, r.Pending())
	}
	got := m.rows[key{use(1, 2), DayOf(noon)}]
	if got.N != 2 || !got.Last.Equal(noon.Add(time.Minute)) {
		t.Errorf("got %d, last at %s", got.N, got.Last)
	}
	if n := m.rows[key{refused, DayOf(noon)}].N; n != 1 || len(m.rows) != 3 {
		t.Errorf("got %d refused in %d rows", n, len(m.rows))
	}
}

func TestNothingIsLostOrCountedTwiceWhileOthersCount(t *testing.T) {
	m := &memory{}
	r := NewRecorder(m, Options{})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 2000 {
				r.Count(use(byte(i), byte(i>>3+g)), noon)
				if i%500 == 0 {
					r.Flush(t.Context())
				}
			}
		})
	}
	wg.Wait()
	r.Flush(t.Context())
	if m.total() != 16000 || r.Pending() != 0 {
		t.Errorf("got %d decisions stored and %d rows pending, want 16000 and none", m.total(), r.Pending())
	}
}

func TestStoreThatIsAwayIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{away: errors.New("away")}
		r := NewRecorder(m, Options{MaxRows: 2})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		for i := range byte(3) {
			r.Count(use(1, i), noon)
		}
		time.Sleep(11 * time.Second)
		r.Count(use(1, 0), noon) // there is a row for it
		if r.Pending() != 2 || r.Dropped() != 1 {
			t.Errorf("got %d rows pending and %d dropped, want 2 and 1", r.Pending(), r.Dropped())
		}
		m.gone(nil)
		time.Sleep(10 * time.Second)
		if m.total() != 3 || r.Pending() != 0 {
			t.Errorf("got %d stored and %d pending once the store was back", m.total(), r.Pending())
		}
		r.Count(use(1, 9), noon)
		cancel()
		if err := <-done; err != nil || m.total() != 4 {
			t.Errorf("got %v, and %d stored: the last ones are written when it ends", err, m.total())
		}
	})
}

func TestManyRowsAreNotLeftWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		r := NewRecorder(m, Options{})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		synctest.Wait()
		for i := range flushAt {
			u := use(1, 2)
			u.Scopes = fmt.Sprint(i)
			r.Count(u, noon)
		}
		synctest.Wait() // no time passes
		if m.total() != flushAt || m.calls < flushAt/batchRows {
			t.Errorf("got %d stored in %d calls", m.total(), m.calls)
		}
		cancel()
		<-done
	})
}

// A store that is away is asked once an interval, however much waits.
func TestStoreThatIsAwayIsNotPressed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{away: errors.New("away")}
		r := NewRecorder(m, Options{})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		synctest.Wait()
		for i := range flushAt + 10 {
			u := use(1, 2)
			u.Scopes = fmt.Sprint(i)
			r.Count(u, noon)
		}
		time.Sleep(35 * time.Second)
		if m.calls < 3 || m.calls > 5 || r.Pending() != flushAt+10 {
			t.Errorf("got %d calls in 35 s, %d pending", m.calls, r.Pending())
		}
		cancel()
		<-done
	})
}

func TestOldCountsArePurgedDaily(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		ctx, cancel := context.WithTimeout(t.Context(), 49*time.Hour)
		defer cancel()
		NewRecorder(m, Options{}).Run(ctx)
		first := DayOf(time.Now()) - 2 - Retention
		if len(m.purged) != 3 || m.purged[0] != first || m.purged[2] != first+2 {
			t.Errorf("got %v, want three days from %s on", m.purged, first)
		}
	})
}

func TestDays(t *testing.T) {
	for at, want := range map[string]Day{"1970-01-01T23:59:59.999Z": 0, "1970-01-02T00:00:00Z": 1, "1969-12-31T23:59:59Z": -1} {
		when, err := time.Parse(time.RFC3339, at)
		if err != nil || DayOf(when) != want {
			t.Errorf("%s: got %d, want %d", at, DayOf(when), want)
		}
	}
	if got := DayOf(noon).String(); got != "2026-11-24" {
		t.Errorf("got %s", got)
	}
}

func TestNetworks(t *testing.T) {
	for address, want := range map[string]string{"192.0.2.7": "192.0.2.0/24", "2001:db8:1:2::3": "2001:db8:1::/48"} {
		if got := NetworkOf(netip.MustParseAddr(address)); got.String() != want {
			t.Errorf("%s: got %s, want %s", address, got, want)
		}
	}
	if NetworkOf(netip.Addr{}).IsValid() {
		t.Error("no address has a network")
	}
}

func BenchmarkCountAgain(b *testing.B) {
	r := NewRecorder(&memory{}, Options{})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			r.Count(use(byte(i), byte(i>>8)), noon)
		}
	})
}

// A million edges, each used once: the time and the memory of a row that waits.
func BenchmarkCountMillionEdges(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		r := NewRecorder(&memory{}, Options{MaxRows: 1 << 30})
		for i := range 1_000_000 {
			u := use(byte(i), byte(i>>8))
			u.Caller[3] = byte(i >> 16)
			r.Count(u, noon)
		}
		if r.Pending() != 1_000_000 {
			b.Fatal(r.Pending())
		}
	}
}

func BenchmarkTakeMillionEdges(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		r := NewRecorder(&memory{}, Options{MaxRows: 1 << 30})
		for i := range 1_000_000 {
			u := use(byte(i), byte(i>>8))
			u.Caller[3] = byte(i >> 16)
			r.Count(u, noon)
		}
		b.StartTimer()
		if len(r.take()) != 1_000_000 {
			b.Fatal("not all")
		}
	}
}
