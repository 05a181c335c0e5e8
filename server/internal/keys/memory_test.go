package keys

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/server/internal/directory"
)

// memory is a Store whose clock the test sets: thousands of hours pass in these tests. That
// real stores keep the same promises is tested in store_test.go.
type memory struct {
	mu      sync.Mutex
	records []Record
	version int64
	changes []directory.Change
	clock   func() time.Time
	// err, when set, is what every call answers.
	err error
	// meanwhile is called once, between the reading of the time and the write after it.
	meanwhile func()
}

var start = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// at makes a store whose clock stands at *now.
func at(now *time.Time) *memory { return &memory{clock: func() time.Time { return *now }} }

func (m *memory) LoadKeys(context.Context) ([]Record, int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.records), m.version, m.err
}

func (m *memory) SaveKeys(_ context.Context, version int64, put []Record, drop []string, c directory.Change) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.err != nil:
		return m.err
	case version != m.version:
		return ErrConflict
	}
	m.version++
	m.changes = append(m.changes, c)
	m.records = slices.DeleteFunc(m.records, func(k Record) bool {
		return slices.Contains(drop, k.ID) || slices.ContainsFunc(put, func(p Record) bool { return p.ID == k.ID })
	})
	m.records = append(m.records, put...)
	return nil
}

func (m *memory) Now(context.Context) (time.Time, error) {
	m.mu.Lock()
	now, err, meanwhile := m.clock(), m.err, m.meanwhile
	m.meanwhile = nil
	m.mu.Unlock()
	if meanwhile != nil {
		meanwhile()
	}
	return now, err
}

func (m *memory) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

// loaded is a ring over m, as a replica that has started and made its standing next key.
func loaded(t testing.TB, m Store, o Options) *Ring {
	t.Helper()
	r := NewRing(m, sealerOf(t, keyLine(1)), o)
	must(t, r.Load(t.Context()))
	must(t, r.step(t.Context()))
	return r
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// inState lists the ids of a lane's keys in a state, oldest first.
func inState(r *Ring, l Lane, s State) (ids []string) {
	for _, k := range r.List() {
		if k.lane() == l && k.State == s {
			ids = append(ids, k.ID)
		}
	}
	return ids
}

var (
	accessES = Lane{UseAccess, "ES256"}
	operator = directory.Author{Actor: "operator", RequestID: "req"}
)
