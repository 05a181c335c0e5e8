package usage

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
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
	r.Count(use(1, 2), nil, noon.Add(time.Minute))
	r.Count(use(1, 2), nil, noon)
	r.Count(refused, nil, noon)
	r.Count(use(1, 2), nil, noon.AddDate(0, 0, 1))
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
				r.Count(use(byte(i), byte(i>>3+g)), nil, noon)
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
			r.Count(use(1, i), nil, noon)
		}
		time.Sleep(11 * time.Second)
		r.Count(use(1, 0), nil, noon) // there is a row for it
		if r.Pending() != 2 || r.Dropped() != 1 {
			t.Errorf("got %d rows pending and %d dropped, want 2 and 1", r.Pending(), r.Dropped())
		}
		m.gone(nil)
		time.Sleep(10 * time.Second)
		if m.total() != 3 || r.Pending() != 0 {
			t.Errorf("got %d stored and %d pending once the store was back", m.total(), r.Pending())
		}
		r.Count(use(1, 9), nil, noon)
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
			u := use(byte(i/1000), 2)
			u.Scopes = fmt.Sprint(i)
			r.Count(u, nil, noon)
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
			u := use(byte(i/1000), 2)
			u.Scopes = fmt.Sprint(i)
			r.Count(u, nil, noon)
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

// rowsOf are the rows of one caller that m has.
func (m *memory) rowsOf(caller byte) (rows []Row) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.rows {
		if r.Caller == (policy.ServiceID{caller}) {
			rows = append(rows, r)
		}
	}
	return rows
}

// F05: whatever a caller asks for, it makes a bounded number of short rows in a day, also over many
// times of writing, and takes nothing from others.
func TestACallerMakesABoundedNumberOfRows(t *testing.T) {
	m := &memory{}
	r := NewRecorder(m, Options{})
	const asked = 20_000
	for i := range asked {
		u := use(1, byte(i))
		u.Why, u.Scopes = policy.ScopeNotGranted, fmt.Sprintf("s%d %s", i, strings.Repeat("x", i%4000))
		r.Count(u, nil, noon)
		if i%1000 == 0 {
			r.Flush(t.Context())
		}
	}
	r.Count(use(2, 1), nil, noon)
	r.Flush(t.Context())
	rows := m.rowsOf(1)
	sets := map[policy.Edge]int{}
	counted := int64(0)
	for _, row := range rows {
		if row.Scopes != "" {
			sets[row.Edge]++
		}
		if len(row.Scopes) > maxScopes {
			t.Errorf("got %d bytes of scopes in a row", len(row.Scopes))
		}
		counted += row.N
	}
	for e, n := range sets {
		if n > MaxAsked {
			t.Errorf("got %d sets of scopes for %v, want at most %d", n, e, MaxAsked)
		}
	}
	if len(rows) > MaxOfCaller || counted+r.Dropped() != asked {
		t.Errorf("got %d rows, %d counted and %d dropped of %d", len(rows), counted, r.Dropped(), asked)
	}
	if len(m.rowsOf(2)) != 1 {
		t.Error("another caller is not counted")
	}
	for i := range 100 {
		u := use(3, 1)
		u.Would, u.Scopes = policy.NoRule, fmt.Sprint(i) // as of a target that observes
		r.Count(u, nil, noon)
	}
	r.Flush(t.Context())
	if got := len(m.rowsOf(3)); got != MaxAsked+1 {
		t.Errorf("got %d rows of one edge, want %d", got, MaxAsked+1)
	}
	// The next day begins anew.
	u := use(1, 1)
	u.Why, u.Scopes = policy.ScopeNotGranted, "of tomorrow"
	r.Count(u, nil, noon.AddDate(0, 0, 1))
	r.Flush(t.Context())
	if len(m.rowsOf(1)) != len(rows)+1 {
		t.Error("tomorrow's is not counted")
	}
}

// F05: of what was allowed nothing is lost: a scope that was used never seems to be unused.
func TestWhatWasAllowedIsCountedAlsoWithoutRoom(t *testing.T) {
	m := &memory{}
	r := NewRecorder(m, Options{})
	of := []string{"a", "b", "read"}
	const asked = 3 * MaxOfCaller
	for i := range asked {
		u := use(1, byte(i))
		u.Network = NetworkOf(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1}))
		r.Count(u, of, noon)
	}
	r.Flush(t.Context())
	rows, counted, folded := m.rowsOf(1), int64(0), 0
	for _, row := range rows {
		counted += row.N
		if row.Scopes == "a b read" && !row.Network.IsValid() {
			folded++
		}
	}
	if counted != asked || r.Dropped() != 0 || folded != 256 || len(rows) != MaxOfCaller+folded {
		t.Errorf("got %d counted of %d, %d dropped, in %d rows, %d of them for all scopes of an edge", counted, asked, r.Dropped(), len(rows), folded)
	}
}

// spoiled is a store that cannot keep some rows.
type spoiled struct {
	memory
	bad func(Row) bool
}

func (s *spoiled) AddUsage(ctx context.Context, rows []Row) error {
	if slices.ContainsFunc(rows, s.bad) {
		return fmt.Errorf("add usage: %w", ErrRow)
	}
	return s.memory.AddUsage(ctx, rows)
}

// F04: a row that cannot be stored keeps none of the others from it.
func TestARowThatCannotBeStoredIsSetAside(t *testing.T) {
	s := &spoiled{bad: func(r Row) bool { return r.Target[0] == 7 || r.Target[0] == 200 }}
	r := NewRecorder(s, Options{})
	for range 2 {
		for i := range 256 {
			r.Count(use(byte(i%3), byte(i)), nil, noon)
		}
		r.Flush(t.Context())
	}
	if s.total() != 2*254 || r.Aside() != 4 || r.Pending() != 0 {
		t.Errorf("got %d stored, %d set aside, %d waiting; want 508, 4 and none", s.total(), r.Aside(), r.Pending())
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
			r.Count(use(byte(i), byte(i>>8)), nil, noon)
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
			r.Count(u, nil, noon)
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
			r.Count(u, nil, noon)
		}
		b.StartTimer()
		if len(r.take()) != 1_000_000 {
			b.Fatal("not all")
		}
	}
}
