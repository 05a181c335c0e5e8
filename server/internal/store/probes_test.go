package store

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/watchword-dev/watchword/server/internal/directory"
)

func TestProbesAreKeptByService(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		services := insert(t, db, "m1", "m2", "m3")
		before := revision(t, db)
		for i, s := range services {
			for _, result := range []string{`{"old":true}`, `{"service":"` + s.Name + `"}`} {
				must(t, db.SaveProbe(t.Context(), s.UID, noon.Add(time.Duration(i)*time.Minute), []byte(result)))
			}
		}
		page, err := db.ListProbes(t.Context(), directory.UID{}, 2)
		must(t, err)
		rest, err := db.ListProbes(t.Context(), page[len(page)-1].Service, 2)
		must(t, err)
		var want []directory.Probe
		for i, s := range services {
			want = append(want, directory.Probe{Service: s.UID, BegunAt: noon.Add(time.Duration(i) * time.Minute), Result: []byte(`{"service":"` + s.Name + `"}`)})
		}
		if d := cmp.Diff(want, append(page, rest...)); d != "" || len(page) != 2 {
			t.Errorf("%d on the first page: %s", len(page), d)
		}
		times, err := db.ProbeTimes(t.Context())
		if err != nil || len(times) != 3 || !times[services[1].UID].Equal(noon.Add(time.Minute)) {
			t.Errorf("got %v, %v", times, err)
		}
		if now := revision(t, db); now != before {
			t.Errorf("made %d revisions", now-before)
		}

		// With the service goes the result.
		gone := services[0]
		if _, err := db.DeleteService(t.Context(), gone.UID, gone.Version, directory.Revocation{ID: directory.FormatUID(gone.UID), RevokedAt: noon, Until: noon}, change(directory.SubjectService(gone.UID))); err != nil {
			t.Fatal(err)
		}
		if all, err := db.ListProbes(t.Context(), directory.UID{}, 9); len(all) != 2 || err != nil {
			t.Errorf("got %v, %v", all, err)
		}
		if err := db.SaveProbe(t.Context(), gone.UID, noon, []byte(`{}`)); !errors.Is(err, directory.ErrNotFound) {
			t.Errorf("of a service that is gone: %v", err)
		}
		if mine, err := db.ClaimProbe(t.Context(), gone.UID, noon, noon); mine || err != nil {
			t.Errorf("of a service that is gone: %v, %v", mine, err)
		}
	})
}

// Of all replicas one probes a service in an interval.
func TestOneOfManyClaimsAProbe(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		m1 := insert(t, db, "m1")[0]
		claim := func(now time.Time) (won int32) {
			var n atomic.Int32
			var wg sync.WaitGroup
			for range 10 {
				wg.Go(func() {
					mine, err := db.ClaimProbe(t.Context(), m1.UID, now, now.Add(-time.Hour))
					if err != nil {
						t.Error(err)
					}
					if mine {
						n.Add(1)
					}
				})
			}
			wg.Wait()
			return n.Load()
		}
		for _, step := range []struct {
			at   time.Duration
			want int32
		}{{0, 1}, {59 * time.Minute, 0}, {time.Hour, 1}, {119 * time.Minute, 0}} {
			if got := claim(noon.Add(step.at)); got != step.want {
				t.Errorf("after %s: %d won, want %d", step.at, got, step.want)
			}
		}
		if all, err := db.ListProbes(t.Context(), directory.UID{}, 9); len(all) != 0 || err != nil {
			t.Errorf("a claim is listed as a result: %v, %v", all, err)
		}
	})
}
