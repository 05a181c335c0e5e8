package once_test

import (
	"crypto/rand"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/internal/once"
	"github.com/watchword-dev/watchword/internal/store"
	"github.com/watchword-dev/watchword/internal/store/pgtest"
)

// BenchmarkUse is 32 callers, each with a name of its own each time. cpu-us/op is what this
// process spends on one; what PostgreSQL spends is not in it.
func BenchmarkUse(b *testing.B) {
	bench := func(b *testing.B, o store.Options) {
		db, err := store.Open(b.Context(), o)
		if err != nil {
			b.Fatal(err)
		}
		defer db.Close()
		r := running(b, db, once.Options{})
		salt := rand.Text()
		var n atomic.Int64
		b.SetParallelism(16)
		b.ReportAllocs()
		before := processorTime(b)
		b.ResetTimer()
		b.RunParallel(func(p *testing.PB) {
			for p.Next() {
				e := once.Entry{Key: once.Key("bench", salt, strconv.FormatInt(n.Add(1), 10)), Until: time.Now().Add(time.Minute)}
				if fresh, err := r.Use(b.Context(), e); err != nil || !fresh[0] {
					b.Error(fresh, err)
					return
				}
			}
		})
		b.ReportMetric(float64((processorTime(b)-before).Microseconds())/float64(b.N), "cpu-us/op")
	}
	b.Run("SQLite", func(b *testing.B) { bench(b, store.Options{DataDir: b.TempDir()}) })
	b.Run("PostgreSQL", func(b *testing.B) {
		bench(b, store.Options{DatabaseURL: pgtest.New(b, pgtest.Options{Fsync: true}).Database(b)})
	})
}

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
