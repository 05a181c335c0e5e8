package store

import (
	"testing"
	"time"

	"github.com/watchword-dev/watchword/server/internal/directory"
)

// Each server that begins raises the epoch, whatever its clock says, and the longest life of a token is never
// forgotten.
func TestEpochOnlyRises(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		last := int64(0)
		for _, begin := range []struct {
			at         time.Time
			life, want time.Duration
		}{
			{noon, time.Hour, time.Hour},
			{noon.Add(time.Second), 5 * time.Second, time.Hour},
			{noon.Add(-24 * time.Hour), 2 * time.Hour, 2 * time.Hour},
		} {
			c := change(directory.SubjectEpoch)
			c.At = begin.at
			if _, err := db.Begin(t.Context(), begin.life, c); err != nil {
				t.Fatal(err)
			}
			epoch, life, err := db.Epoch(t.Context())
			state, loadErr := db.Load(t.Context())
			if err != nil || loadErr != nil || epoch <= last || life != begin.want || state.Epoch != epoch || state.TokenLife != life {
				t.Errorf("got epoch %d after %d, life %v (want %v), loaded %d and %v; %v, %v", epoch, last, life, begin.want, state.Epoch, state.TokenLife, err, loadErr)
			}
			last = epoch
		}
		if last < noon.UnixMicro() {
			t.Error("the epoch is not a time, so that one from before a backup could be higher")
		}
	})
}
